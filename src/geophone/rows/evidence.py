"""Every column of the evidence table: what it is, in which unit, and which stored table it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import Field

from geophone.records import MOMENTS
from geophone.rows.measures import LEVEL, SINCE
from geophone.rows.measures import MEASURES as ALL
from geophone.rows.model import Row, frame, row_model

WORDS = "words"
# What a difference of two numbers of a range may be.
_DIFFERENCES = {"0 ... 1": "-1 ... 1", "-1 ... 1": "-2 ... 2"}
_TYPES: dict[str, Any] = {"text": str, "whole": int | None, "number": float}
# Words that a row may do without.
_SPARE = ("source", "experiment", "task", "mode", "reason", "type")


@dataclass(frozen=True, slots=True)
class Described:
    """One column, described. `kind`: "text", "whole" (may be missing) or "number" (NaN where it was not measured)."""

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
    Described("pair", "the target that both rows of a pair belong to: run, layer and step", WORDS, "targets", "text"),
    Described("role", "target, or control (the nearest window in log step of that layer without a jump)", WORDS,
           "digs", "text"),
    Described("source", "the stored run, the steps, and the dug tables that the row was read from", WORDS,
           "folder", "text"),
    Described("run", "name of the run; the unit of analysis", WORDS, "targets", "text"),
    Described("experiment", "name of network and task", WORDS, "run.json", "text"),
    Described("architecture", "architecture", WORDS, "run.json", "text"),
    Described("task", "what was learned", WORDS, "run.json", "text"),
    Described("seed", "random seed of the run", "number", "run.json", "whole"),
    Described("layer", "name of the layer", WORDS, "targets", "text"),
    Described("depth", "layer index in the order of running", "layers", "targets", "whole"),
    Described("relative_depth", "depth / (layers - 1)", "0 ... 1", "targets, run.json"),
    Described("dimension", "the dimension whose jump was the target", WORDS, "targets", "text"),
    Described("mode", "what pointed at the target: a form of the jump detector, or a method of the ranker", WORDS,
              "targets", "text"),
    Described("rank", "rank of the target", "number", "targets", "whole"),
    Described("score", "|log ratio| x |detector score| of the target", "-", "targets"),
    Described("step", "the middle of the row's window; for a target the jump", "training steps", "targets", "whole"),
    Described("before", "start of the window", "training steps", "targets", "whole"),
    Described("after", "end of the window", "training steps", "targets", "whole"),
    Described("phase", "step / total steps", "0 ... 1", "targets, run.json"),
    Described("magnitude", "x[after] - x[before] of the dimension", "dimensions", "series"),
    Described("log_magnitude", "ln(x[after] / x[before])", "nats", "series"),
    Described("size", "|log_magnitude|", "nats", "series"),
    Described("num_jumps", "jumps of that dimension and detector in the whole run", "jumps", "jumps"),
    Described("expected_jumps", "how many of them the detector's null alone yields", "jumps", "detection"),
    Described("controls", "controls of the target, of two: before it and after it; the nearer is dug", "windows",
              "targets", "whole"),
    Described("reason", "why it is a target, and why it has fewer than two controls", WORDS, "targets", "text"),
    Described("type", "type of the jump; empty for a control, or where there is no taxonomy", WORDS,
           "type_members, types", "text"),
)  # fmt: skip


def _measured() -> list[Described]:
    found = []
    for measures, moments in ((MEASURES, MOMENTS), (SINCE_BEFORE, MOMENTS[1:]), (DERIVED, MOMENTS)):
        found += [Described(f"{m.name}_{at}", f"{m.says}; {at}", m.unit, m.source) for m in measures for at in moments]
    changing = [(m.name, _DIFFERENCES.get(m.unit, m.unit)) for m in (*MEASURES, *DERIVED)]
    return found + [Described(f"{name}_change", f"{name}: after - before", unit, "this row") for name, unit in changing]


COLUMNS: tuple[Described, ...] = (*_PLACE, *_measured())


def _field(column: Described) -> Any:
    said = f"{column.says} [{column.unit}]; from {column.source}"
    if column.name == "controls":
        return Field(default=None, description=said)
    return Field(default="", description=said) if column.name in _SPARE else Field(description=said)


EvidenceRow = row_model("EvidenceRow", Row, {c.name: (_TYPES[c.kind], _field(c)) for c in COLUMNS}, "See `COLUMNS`.")


def as_table(rows: list[dict]) -> pd.DataFrame:
    """Rows as an evidence table: every column there, in its kind; what a row lacks is missing."""
    return frame(rows, EvidenceRow)


def as_markdown(columns: Sequence[Described] = COLUMNS) -> str:
    """The table of `columns`, as in docs/columns.md."""
    rows = [f"| `{c.name}` | {_escaped(c.says)} | {c.unit} | {c.source} |" for c in columns]
    return "\n".join(["| column | what it is | unit | source |", "|---|---|---|---|", *rows]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
