"""Every column of the evidence table: what it is, in which unit, and which stored table it came from."""

from dataclasses import dataclass

import pandas as pd

from geophone.dig.measures import LEVEL, SINCE
from geophone.dig.measures import MEASURES as ALL

MOMENTS = ("before", "during", "after")
WORDS = "words"
# What a difference of two numbers of a range may be.
_DIFFERENCES = {"0 ... 1": "-1 ... 1", "-1 ... 1": "-2 ... 2"}
_KINDS = {"text": "str", "whole": "Int64", "number": "float64"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `kind`: "text", "whole" (may be missing) or "number" (NaN where it was not measured)."""

    name: str
    says: str
    unit: str
    source: str
    kind: str = "number"


# Measures of the target's layer at a moment: read as they are, since the moment before, or derived from another table.
MEASURES = tuple(m for m in ALL if m.change == LEVEL and m.source == "moments")
SINCE_BEFORE = tuple(m for m in ALL if m.change == SINCE)
DERIVED = tuple(m for m in ALL if m.change == LEVEL and m.source != "moments")
CHANGING = tuple(m.name for m in (*MEASURES, *DERIVED))

_PLACE = (
    Column("pair", "the target that both rows of a pair belong to: run, layer and step", WORDS, "targets", "text"),
    Column("role", "target, or control (the nearest window in log step of that layer without a jump)", WORDS,
           "digs", "text"),
    Column("source", "the stored run, the steps, and the dug tables that the row was read from", WORDS,
           "folder", "text"),
    Column("run", "name of the run; the unit of analysis", WORDS, "targets", "text"),
    Column("experiment", "name of network and task", WORDS, "run.json", "text"),
    Column("architecture", "architecture", WORDS, "run.json", "text"),
    Column("task", "what was learned", WORDS, "run.json", "text"),
    Column("seed", "random seed of the run", "number", "run.json", "whole"),
    Column("layer", "name of the layer", WORDS, "targets", "text"),
    Column("depth", "layer index in the order of running", "layers", "targets", "whole"),
    Column("relative_depth", "depth / (layers - 1)", "0 ... 1", "targets, run.json"),
    Column("dimension", "the dimension whose jump was the target", WORDS, "targets", "text"),
    Column("mode", "the detector that found the jump: seed or calibrated", WORDS, "jumps", "text"),
    Column("rank", "rank of the target", "number", "targets", "whole"),
    Column("score", "|log ratio| x |detector score| of the target", "-", "targets"),
    Column("step", "the middle of the row's window; for a target the jump", "training steps", "targets", "whole"),
    Column("before", "start of the window", "training steps", "targets", "whole"),
    Column("after", "end of the window", "training steps", "targets", "whole"),
    Column("phase", "step / total steps", "0 ... 1", "targets, run.json"),
    Column("magnitude", "x[after] - x[before] of the dimension", "dimensions", "series"),
    Column("log_magnitude", "ln(x[after] / x[before])", "nats", "series"),
    Column("size", "|log_magnitude|", "nats", "series"),
    Column("num_jumps", "jumps of that dimension and detector in the whole run", "jumps", "jumps"),
    Column("expected_jumps", "how many of them the detector's null alone yields", "jumps", "detection"),
    Column("type", "type of the jump; empty for a control, or where there is no taxonomy", WORDS,
           "type_members, types", "text"),
)  # fmt: skip


def _measured() -> list[Column]:
    found = []
    for measures, moments in ((MEASURES, MOMENTS), (SINCE_BEFORE, MOMENTS[1:]), (DERIVED, MOMENTS)):
        found += [Column(f"{m.name}_{at}", f"{m.says}; {at}", m.unit, m.source) for m in measures for at in moments]
    changing = [(m.name, _DIFFERENCES.get(m.unit, m.unit)) for m in (*MEASURES, *DERIVED)]
    return found + [Column(f"{name}_change", f"{name}: after - before", unit, "this row") for name, unit in changing]


COLUMNS: tuple[Column, ...] = (*_PLACE, *_measured())


def as_table(rows: list[dict]) -> pd.DataFrame:
    """Rows as an evidence table: every column there, in its kind; what a row lacks is missing."""
    table = pd.DataFrame(rows, columns=[c.name for c in COLUMNS])
    return table.astype({c.name: _KINDS[c.kind] for c in COLUMNS})


def as_markdown() -> str:
    """The table of columns, as in docs/columns.md."""
    rows = [f"| `{c.name}` | {_escaped(c.says)} | {c.unit} | {c.source} |" for c in COLUMNS]
    return "\n".join(["| column | what it is | unit | source |", "|---|---|---|---|", *rows]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
