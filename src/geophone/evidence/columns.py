"""Every column of the evidence table: what it is, in which unit, and which stored table it came from."""

from dataclasses import dataclass

import pandas as pd

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


# Measures of the target's layer, by moment: (name, what it is, unit).
MEASURES = (
    ("selectivity", "class selectivity, mean over live units, minus its label-permutation null", "-1 ... 1"),
    ("selectivity_raw", "the same without the null taken off (the naive form)", "0 ... 1"),
    ("sparsity", "fraction of inputs that a unit answers to, mean over units", "0 ... 1"),
    ("patterns", "diversity: different binary patterns over the inputs (saturates)", "patterns"),
    ("pattern_pr", "diversity: participation ratio of the binarised code", "dimensions"),
    ("types", "feature types that at least one unit has", "types"),
    ("typed", "units that have a feature type", "units"),
    ("hill", "diversity of feature types: exp of the entropy over typed units", "types"),
    ("class_units", "units that answer to one class (cross-fitted d')", "units"),
    ("probe_accuracy", "accuracy of a linear probe on the layer", "0 ... 1"),
    ("silhouette", "how far activations cluster by class", "-1 ... 1"),
    ("accuracy", "accuracy of the network", "0 ... 1"),
    ("loss", "loss of the network", "nats a sample"),
)
SINCE = (
    ("turnover", "share of units whose tuning correlates below 0.5 with their own of the earlier moment", "0 ... 1"),
    ("new_units", "units with a feature that they did not have at the earlier moment", "units"),
    ("new_types", "new feature types: types that no unit had at the earlier moment", "types"),
)
DERIVED = (
    ("compositional_depth", "longest path in the graph of significant ablation effects", "edges", "composition"),
    ("ablation_impact", "accuracy lost when the layer is resampled", "-1 ... 1", "ablation, kind resample"),
    ("ablation_impact_zero", "accuracy lost when the layer is set to zero (the naive form)", "-1 ... 1",
     "ablation, kind zero"),
    ("ablation_loss", "loss gained when the layer is resampled", "nats a sample", "ablation, kind resample"),
    ("recovery_deficit", "accuracy missing beside the sham at the longest horizon, layer ablated at that moment",
     "-1 ... 1", "recovery, arm ablated"),
)  # fmt: skip
CHANGING = tuple(name for name, *_ in MEASURES) + tuple(name for name, *_ in DERIVED)

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
    for name, says, unit in MEASURES:
        found += [Column(f"{name}_{m}", f"{says}; {m}", unit, "moments") for m in MOMENTS]
    for name, says, unit in SINCE:
        found += [Column(f"{name}_{m}", f"{says}; {m}", unit, "moments") for m in MOMENTS[1:]]
    for name, says, unit, source in DERIVED:
        found += [Column(f"{name}_{m}", f"{says}; {m}", unit, source) for m in MOMENTS]
    units = {name: _DIFFERENCES.get(unit, unit) for name, _, unit, *_ in (*MEASURES, *DERIVED)}
    return found + [Column(f"{name}_change", f"{name}: after - before", units[name], "this row") for name in CHANGING]


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
