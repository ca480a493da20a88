"""From what was dug to one table: a row a target and a row its control."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from geophone.errors import InputError, StoreError
from geophone.records import MOMENTS, Target, Window
from geophone.rows.evidence import CHANGING, MEASURES, SINCE_BEFORE, as_table
from geophone.signals import ADDED
from geophone.store.dig import Dig
from geophone.store.run import Run
from geophone.store.study import Study

READ = ("moments", "composition", "ablation", "recovery")


def evidence_table(study: Study) -> pd.DataFrame:
    """A row for every target that was dug and, where it has one, a row for its control; columns as in `COLUMNS`.

    Targets without a finished dig, or with one that compared other steps, have no row. What was not measured is NaN.
    Rows go by rank, target before control. Raises InputError where digs do not compare: made by different code, with
    different numbers of samples per class, or recovery compared at different horizons; StoreError where a file of a dig
    is damaged.
    """
    try:
        targets = study.ranked()
    except StoreError as error:
        if study.is_ranked:
            raise
        raise InputError(f"{study.folder} has no targets yet: run `geophone targets` first.") from error
    digs = {dig.name: dig for dig in study.digs()}
    pairs = [(target, digs[target.name]) for target in targets if target.name in digs]
    pairs = [(target, dig) for target, dig in pairs if dig.target.windows == target.windows]
    check_comparable([dig for _, dig in pairs])
    known = _Known(study, {run.name: run for run in study})
    rows = []
    for target, dig in pairs:
        tables = {name: dig[name] for name in READ if name in dig.tables}
        # A control whose weights were not kept was not dug, and is no pair.
        there = {role: window for role, window in target.windows.items() if role in dig.steps}
        rows += [_row(target, role, window, tables, known) for role, window in there.items()]
    return as_table(rows)


def check_comparable(digs: Sequence[Dig]) -> None:
    """Raises InputError, naming two of `digs`, unless all were made by one code with options under which numbers mean
    the same. How many units are shown, the images' steps and the random seed do not change what a number means."""
    options: dict[str, list[tuple[object, Dig]]] = {
        "made by different code": [(dig.about.code, dig) for dig in digs],
        "of different numbers of samples per class": [(dig.about.options.per_class, dig) for dig in digs],
        "with recovery at different horizons": [
            (dig.about.options.horizons, dig) for dig in digs if dig.about.options.recovery
        ],
    }
    for difference, values in options.items():
        first: dict[object, Dig] = {}
        for value, dig in values:
            first.setdefault(value, dig)
        if len(first) > 1:
            (a, one), (b, other), *_ = first.items()
            raise InputError(
                f"digs {difference} do not compare: {one.name} ({_short(a)}) and {other.name} ({_short(b)}). "
                "Dig again with one, or take the others away."
            )


def _short(value: object) -> str:
    return (value[:8] or "not kept") if isinstance(value, str) else str(value)


class _Known:
    """What the study knows of its runs, read once: the dimension's series, jumps by run, types."""

    def __init__(self, study: Study, runs: Mapping[str, Run]) -> None:
        self.runs = runs
        self._series: dict[tuple[str, str], pd.DataFrame | None] = {}
        self.jumps = study.phenomena("jumps", optional=True)
        self.detection = study.phenomena("detection", optional=True)
        self.members = study.phenomena("type_members", optional=True)
        self.types = study.phenomena("types", optional=True)

    def about(self, run: str, key: str) -> str:
        return str(self.runs[run].manifest.about.get(key, "unknown")) if run in self.runs else "unknown"

    def seed(self, run: str) -> int | None:
        seed = self.runs[run].manifest.about.get("seed") if run in self.runs else None
        return seed if isinstance(seed, int) else None

    def at(self, target: Target, step: int) -> float:
        """The target's dimension in its layer at a step; NaN where the run does not have it."""
        key = (target.run, target.dimension)
        if key not in self._series:
            run = self.runs.get(target.run)
            able = run is not None and run.has_series and target.dimension in run.dimensions
            self._series[key] = run.series(target.dimension) if run is not None and able else None
        series = self._series[key]
        if series is None or target.layer not in series or step not in series.index:
            return float("nan")
        return float(series.at[step, target.layer])

    def counts(self, target: Target) -> tuple[float, float]:
        """(jumps, jumps the null yields) of the run, by the detector that pointed at the target; NaN where what did is
        no detector of jumps."""
        if target.method not in {*self.detection["mode"], *self.jumps["mode"]}:
            return float("nan"), float("nan")
        here = {"run": target.run, "dimension": target.dimension, "mode": target.method}
        return float(len(_of(self.jumps, **here))), _sum(_of(self.detection, **here), "expected_false")

    def type(self, target: Target) -> str:
        here = {"dimension": target.dimension, "mode": target.method}
        mine = _of(self.members, run=target.run, layer=target.layer, step=target.window.step, **here)
        if len(mine) == 0 or int(mine["type"].iloc[0]) < 0:
            return ""
        label = int(mine["type"].iloc[0])
        named = _of(self.types, type=label, **here)
        return str(named["name"].iloc[0]) if len(named) else f"type {label}"


def _of(table: pd.DataFrame, **where) -> pd.DataFrame:
    """The rows of `table` with these values; none where it lacks a column."""
    if not set(where) <= set(table.columns):
        return table.iloc[:0]
    keep = np.ones(len(table), dtype=bool)
    for column, value in where.items():
        keep &= (table[column] == value).fillna(False).to_numpy(dtype=bool)
    return table[keep]


def _sum(table: pd.DataFrame, column: str) -> float:
    return float(table[column].sum()) if len(table) and column in table else float("nan")


def _row(target: Target, role: str, window: Window, tables: Mapping[str, pd.DataFrame], known: _Known) -> dict:
    before, step, after = window.before, window.step, window.after
    jumps, expected = known.counts(target)
    run, pair = known.runs.get(target.run), target.name
    old, new = known.at(target, before), known.at(target, after)
    log = float(np.log(new / old)) if old > 0 and new > 0 else float("nan")
    layers, total = (max(len(run.layers) - 1, 1), max(run.total_steps, 1)) if run else (np.nan, np.nan)
    read = ", ".join(f"{name}.parquet" for name in tables) or "nothing"
    row = {
        "pair": pair, "role": role,
        "source": f"runs/{target.run} at steps {before}, {step}, {after}; digs/{pair}: {read}, role {role}",
        "run": target.run, "experiment": known.about(target.run, "experiment"),
        "architecture": known.about(target.run, "architecture"), "task": known.about(target.run, "task"),
        "seed": known.seed(target.run), "layer": target.layer, "depth": target.depth,
        "relative_depth": target.depth / layers, "dimension": target.dimension, "mode": target.method,
        "rank": target.rank, "score": target.score, "step": step, "before": before, "after": after,
        "phase": step / total, "magnitude": new - old, "log_magnitude": log, "size": abs(log),
        "num_jumps": jumps, "expected_jumps": expected,
        "controls": sum(c is not None for c in (target.earlier, target.later)), "reason": target.reason,
        "type": known.type(target) if role == "target" else "",
    }  # fmt: skip
    tables = _filled(tables, role, window)
    levels = (
        _moments(tables, role) | _composition(tables, role) | _ablation(tables, role, target.layer.removesuffix(ADDED))
    )
    levels |= _recovery(tables, role)
    nothing = float("nan")
    changes = {
        f"{name}_change": levels.get(f"{name}_after", nothing) - levels.get(f"{name}_before", nothing)
        for name in CHANGING
    }
    return row | levels | changes


def _filled(tables: Mapping[str, pd.DataFrame], role: str, window: Window) -> dict[str, pd.DataFrame]:
    """With the rows of before or after as those of during where the window's middle is that step: it is not dug
    twice."""
    end = {window.before: "before", window.after: "after"}.get(window.step)
    found = dict(tables)
    for name, table in tables.items():
        same = _of(table, role=role, moment=end)
        if len(same) and _of(table, role=role, moment="during").empty:
            found[name] = pd.concat([table, same.assign(moment="during")])
    return found


def _number(table: pd.DataFrame, column: str) -> float:
    """The mean of a column, NaN where there is none."""
    if column not in table or len(table) == 0:
        return float("nan")
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def _moments(tables: Mapping[str, pd.DataFrame], role: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for moment in MOMENTS:
        mine = _of(tables.get("moments", pd.DataFrame()), role=role, moment=moment)
        found |= {f"{m.name}_{moment}": _number(mine, m.name) for m in MEASURES}
        if moment != "before":
            found |= {f"{m.name}_{moment}": _number(mine, m.name) for m in SINCE_BEFORE}
    return found


def _composition(tables: Mapping[str, pd.DataFrame], role: str) -> dict[str, float]:
    table = tables.get("composition", pd.DataFrame())
    return {
        f"compositional_depth_{moment}": _number(_of(table, role=role, moment=moment), "compositional_depth")
        for moment in MOMENTS
    }


def _ablation(tables: Mapping[str, pd.DataFrame], role: str, layer: str) -> dict[str, float]:
    found = {}
    for moment in MOMENTS:
        mine = _of(tables.get("ablation", pd.DataFrame()), role=role, moment=moment, layer=layer)
        for kind, name in (("resample", "ablation_impact"), ("zero", "ablation_impact_zero")):
            rows = _of(mine, kind=kind)
            found[f"{name}_{moment}"] = _number(rows, "baseline_accuracy") - _number(rows, "accuracy")
        rows = _of(mine, kind="resample")
        found[f"ablation_loss_{moment}"] = _number(rows, "loss") - _number(rows, "baseline_loss")
    return found


def _recovery(tables: Mapping[str, pd.DataFrame], role: str) -> dict[str, float]:
    """The deficit at the longest horizon; "plateau" is longer than any number of steps."""
    table = _of(tables.get("recovery", pd.DataFrame()), arm="ablated")
    if "role" in table:
        table = _of(table, role=role)
    elif role == "control":
        table = table.iloc[:0]
    found = {}
    for moment in MOMENTS:
        mine = _of(table, moment=moment)
        if len(mine):
            steps = pd.to_numeric(mine["horizon"], errors="coerce").fillna(np.inf).to_numpy(dtype=float)
            mine = mine[steps == steps.max()]
        found[f"recovery_deficit_{moment}"] = _number(mine, "deficit")
    return found
