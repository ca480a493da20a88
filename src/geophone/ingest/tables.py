"""A series that was measured elsewhere becomes a run."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from geophone.dimensions import VERSIONS
from geophone.errors import InputError, StoreError
from geophone.records import Layer
from geophone.store.run import Run
from geophone.store.tables import read_table
from geophone.store.writer import RunWriter, new_manifest, series_row

ELSEWHERE = 0
_SEPARATORS = ",;\t|"
# The index that pandas writes, and what a chart's export adds beside each column.
_ASIDE = re.compile(r"^Unnamed: \d+$|__(?:MIN|MAX)$")
_STEP_NAMES = ("step", "_step", "global_step", "trainer/global_step", "iteration")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is which. None: guessed from the names, when that is unambiguous.

    A long table has a row a value: `step`, `layer`, `value` (and `dimension`). A wide table has a row a step: `step`
    and a column a layer, called by the layer's name or "dimension/layer" (what `on_record` gives to W&B and others).
    """

    step: str | None = None
    layer: str | None = None
    value: str | None = None
    dimension: str | None = None


def import_series(
    file: Path | str,
    *,
    out: Path | str,
    dimension: str | None = None,
    columns: Columns | None = None,
    total_steps: int | None = None,
) -> Run:
    """Make a run folder `out` of the table `file` (CSV of any separator, JSON lines or parquet), long or wide.

    `dimension` names what was measured where the table does not say. Layers come in order of first appearance, which
    is taken as depth order; their view is "imported", their features and rows are unknown (0). Gaps stay gaps. Values
    carry version 0 of their definition, "measured elsewhere", and so never mix with geophone's own. Raises InputError
    with what was found when the columns cannot be told, when (step, layer) repeats, or when steps or values are not
    numbers; StoreError when the file cannot be read.
    """
    path = Path(file)
    long = _long(_read(path), columns or Columns(), dimension)
    if long.empty:
        raise InputError(f"{path} holds no value.")
    repeated = long[long.duplicated(["step", "layer", "dimension"])]
    if len(repeated):
        first = repeated.iloc[0]
        raise InputError(f"{path} has more than one {first.dimension} of {first.layer} at step {first.step}.")
    names, dimensions = list(dict.fromkeys(long["layer"])), list(dict.fromkeys(long["dimension"]))
    wide = long.pivot(index=["step", "layer"], columns="dimension", values="value")
    steps = sorted(set(long["step"]))
    full = wide.reindex(pd.MultiIndex.from_product([steps, names], names=["step", "layer"]))[dimensions]
    return _written(Path(out), full, names, dimensions, source=path.name, total=total_steps or steps[-1])


def _written(out: Path, full: pd.DataFrame, names: list[str], dimensions: list[str], *, source: str, total: int) -> Run:
    steps = list(dict.fromkeys(full.index.get_level_values("step")))
    layers = [Layer(name, depth, "imported", 0, 0, ()) for depth, name in enumerate(names)]
    manifest = new_manifest(
        out.name,
        about={"source": source, "total_steps": total},
        schedule={"steps": steps},
        layers=layers,
        definitions=dict.fromkeys(dimensions, ELSEWHERE),
    )
    writer = RunWriter(out, manifest, part_rows=10_000)
    for index, step in enumerate(steps):
        rows = []
        for layer in layers:
            values = full.loc[(step, layer.name)]
            status = "ok" if values.notna().any() else "absent"
            rows.append(series_row(index, step, layer, status, values.to_dict()))
        writer.add(rows, {"index": index, "step": step})
    writer.finish("finished", steps=total, measurements=len(steps))
    return Run(out)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return read_table(path)
    try:
        if path.suffix in (".jsonl", ".ndjson"):
            return pd.read_json(path, lines=True)
        with open(path, encoding="utf-8-sig", newline="") as handle:
            head = handle.readline()
        separator = max(_SEPARATORS, key=head.count)
        table = pd.read_csv(path, sep=separator, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise StoreError(f"{path} is not there.") from error
    except (OSError, ValueError, OverflowError, pd.errors.ParserError) as error:
        raise StoreError(f"{path} cannot be read as a table: {error}") from error
    return _one_run(table.loc[:, [not _ASIDE.search(str(name)) for name in table.columns]])


def _one_run(table: pd.DataFrame) -> pd.DataFrame:
    """A chart's export names its columns "RUN - KEY": those of one run are called KEY, those of several refused."""
    parts = {str(name): str(name).partition(" - ") for name in table.columns}
    runs = sorted({run for run, dash, _ in parts.values() if dash})
    if len(runs) > 1:
        raise InputError(
            f"this table holds {len(runs)} runs side by side ({', '.join(runs[:4])}); a run is one training: keep the "
            "columns of one of them."
        )
    return table.rename(columns={name: key if dash else name for name, (_, dash, key) in parts.items()})


def _long(table: pd.DataFrame, columns: Columns, dimension: str | None) -> pd.DataFrame:
    """`table` as step, layer, dimension, value; rows without a value are left out."""
    lower = {str(name).lower(): str(name) for name in table.columns}
    table = table.rename(columns=str)
    known = next((lower[name] for name in _STEP_NAMES if name in lower), None)
    step = _there(table, columns.step or known, "step", option="--step")
    layer, value = (given or lower.get(name) for given, name in ((columns.layer, "layer"), (columns.value, "value")))
    if layer or columns.value:
        layer = _there(table, layer, "layer", option="--layer")
        value = _there(table, value, "value", option="--value")
        kind = columns.dimension or lower.get("dimension")
        named = table[kind] if kind else _needed(dimension, table)
        long = pd.DataFrame({"step": table[step], "layer": table[layer], "dimension": named, "value": table[value]})
    else:
        long = _melted(table, step, dimension)
    return _numbers(long)


def _melted(table: pd.DataFrame, step: str, dimension: str | None) -> pd.DataFrame:
    measured = [c for c in table.columns if c != step and pd.api.types.is_numeric_dtype(table[c])]
    slashed = [c for c in measured if c.partition("/")[0] in VERSIONS and "/" in c]
    if "wall time" in {str(c).lower() for c in table.columns} and not slashed:
        raise InputError(
            "this looks like a TensorBoard export: one tag a file, columns Wall time, Step, Value. Put the tags side "
            "by side (a column a layer), or add a column with the layer's name and pass --layer and --value."
        )
    parts: list[tuple[str, str, str]] = [(c, c.partition("/")[0], c.partition("/")[2]) for c in slashed]
    if not parts:
        parts = [(c, _needed(dimension, table), c) for c in measured if not c.startswith("_")]
    if not parts:
        raise InputError(f"no column of numbers besides {step!r}; the columns are {', '.join(table.columns)}.")
    return pd.concat(
        [pd.DataFrame({"step": table[step], "layer": n, "dimension": d, "value": table[c]}) for c, d, n in parts]
    )


def _needed(dimension: str | None, table: pd.DataFrame) -> str:
    if dimension is None:
        raise InputError(
            f"the table does not say which dimension its numbers are; pass --dimension NAME. Its columns are "
            f"{', '.join(table.columns[:12])}."
        )
    return dimension


def _there(table: pd.DataFrame, name: str | None, what: str, *, option: str) -> str:
    """`name`, if it is a column of `table`. Raises InputError with the columns there are."""
    if name is None or name not in table.columns:
        raise InputError(
            f"cannot tell which column is the {what}; the columns are {', '.join(table.columns[:12])}. Name it with "
            f"{option}."
        )
    return name


def _numbers(long: pd.DataFrame) -> pd.DataFrame:
    values, steps = (pd.to_numeric(long[name], errors="coerce") for name in ("value", "step"))
    wrong = long[(values.isna() & long["value"].notna()) | steps.isna()]
    if len(wrong):
        raise InputError(f"not a number: step {wrong.iloc[0]['step']!r} with value {wrong.iloc[0]['value']!r}.")
    if (steps != np.floor(steps)).any() or (steps < 0).any():
        raise InputError("steps must be whole numbers, 0 or more.")
    if long[["layer", "dimension"]].isna().any(axis=None):
        raise InputError("a row has no layer or no dimension; every value must say of what it is.")
    tidy = long.assign(
        value=values.astype(float),
        step=steps.astype(int),
        layer=long["layer"].astype(str),
        dimension=long["dimension"].astype(str),
    )
    return tidy[tidy["value"].notna()]
