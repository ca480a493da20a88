"""From what was dug to one table: a row a target and a row its control."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from geophone.errors import InputError, StoreError
from geophone.evidence.columns import CHANGING, MEASURES, MOMENTS, SINCE_BEFORE, as_table
from geophone.records import target_name
from geophone.store.documents import DIG, read_dig
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.store.tables import read_table

DUG = ("moments", "composition", "ablation", "recovery")
MODES = ("naive", "calibrated", "pelt", "online")
ROLES = ("target", "control")
_WINDOWS = ("before", "step", "after", "control_before", "control_step", "control_after")


def evidence_table(study: Study) -> pd.DataFrame:
    """A row for every target that was dug and, where it has one, a row for its control; columns as in `COLUMNS`.

    Targets without a finished dig, or with one that compared other steps, have no row. What was not measured is NaN.
    Rows go by rank, target before control. Raises InputError where digs rest on different numbers of samples a class,
    StoreError where a file of a dig is damaged.
    """
    try:
        targets = study.targets()
    except StoreError as error:
        raise InputError(f"{study.folder} has no targets yet: run `geophone targets` first.") from error
    runs = {run.name: run for run in study}
    known = _Known(study, runs)
    rows, sizes = [], {}
    for target in targets.itertuples(index=False):
        folder = study.folder / "digs" / target_name(target.run, target.layer, int(target.step))
        about = read_dig(folder) if (folder / DIG).is_file() else None
        if about is not None and _same_windows(about["target"], target):
            sizes[about["options"].get("per_class")] = folder.name
            tables = {name: read_table(folder / f"{name}.parquet") for name in DUG if _is_there(folder, name)}
            rows += [_row(target, role, tables, known) for role in ROLES if _has(target, role)]
    if len(sizes) > 1:
        found = ", ".join(f"{size} in digs/{name}" for size, name in sizes.items())
        raise InputError(
            f"digs of different numbers of samples a class do not compare: {found}. "
            "Dig again with one number, or take the others away."
        )
    return as_table(rows)


def _same_windows(dug: Mapping, target) -> bool:
    return all(dug[name] == (None if pd.isna(value := getattr(target, name)) else int(value)) for name in _WINDOWS)


def _is_there(folder: Path, name: str) -> bool:
    return (folder / f"{name}.parquet").is_file()


def _has(target, role: str) -> bool:
    return role == "target" or pd.notna(target.control_step)


class _Known:
    """What the study knows of its runs, read once: the dimension's series, jumps by run, types."""

    def __init__(self, study: Study, runs: Mapping[str, Run]) -> None:
        self.runs = runs
        self._series: dict[tuple[str, str], pd.DataFrame | None] = {}
        self.jumps = _optional(study, "jumps")
        self.detection = _optional(study, "detection")
        self.members = _optional(study, "type_members")
        self.types = _optional(study, "types")

    def about(self, run: str, key: str) -> str:
        return str(self.runs[run].manifest.about.get(key, "unknown")) if run in self.runs else "unknown"

    def seed(self, run: str) -> int | None:
        seed = self.runs[run].manifest.about.get("seed") if run in self.runs else None
        return seed if isinstance(seed, int) else None

    def at(self, target, step: int) -> float:
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

    def mode(self, target) -> str:
        """The detector that found the target: the one among whose jumps is one of that place and score."""
        mine = _of(self.jumps, run=target.run, layer=target.layer, dimension=target.dimension, step=int(target.step))
        for mode in MODES:
            for jump in _of(mine, mode=mode).itertuples():
                if np.isclose(abs(jump.log_ratio) * abs(jump.score), target.score, rtol=1e-6):
                    return mode
        return "unknown"

    def counts(self, target, mode: str) -> tuple[float, float]:
        """(jumps, jumps the null yields) of the run."""
        here = {"run": target.run, "dimension": target.dimension, "mode": mode}
        if mode == "unknown":
            return float("nan"), float("nan")
        expected = _of(self.detection, **here)
        return float(len(_of(self.jumps, **here))), _sum(expected, "expected_false")

    def type(self, target, mode: str) -> str:
        here = {"dimension": target.dimension, "mode": mode}
        mine = _of(self.members, run=target.run, layer=target.layer, step=int(target.step), **here)
        if len(mine) == 0 or int(mine["type"].iloc[0]) < 0:
            return ""
        label = int(mine["type"].iloc[0])
        named = _of(self.types, type=label, **here)
        return str(named["name"].iloc[0]) if len(named) else f"type {label}"


def _optional(study: Study, kind: str) -> pd.DataFrame:
    try:
        return study.phenomena(kind)
    except StoreError:
        if (study.folder / "phenomena" / f"{kind}.parquet").is_file():
            raise
        return pd.DataFrame()


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


def _row(target, role: str, tables: Mapping[str, pd.DataFrame], known: _Known) -> dict:
    ahead = "" if role == "target" else "control_"
    before, step, after = (int(getattr(target, f"{ahead}{moment}")) for moment in ("before", "step", "after"))
    mode = known.mode(target)
    jumps, expected = known.counts(target, mode)
    run = known.runs.get(target.run)
    pair = target_name(target.run, target.layer, int(target.step))
    old, new = known.at(target, before), known.at(target, after)
    log = float(np.log(new / old)) if old > 0 and new > 0 else float("nan")
    layers, total = (max(len(run.layers) - 1, 1), max(run.total_steps, 1)) if run else (np.nan, np.nan)
    read = ", ".join(f"{name}.parquet" for name in tables) or "nothing"
    row = {
        "pair": pair, "role": role,
        "source": f"runs/{target.run} at steps {before}, {step}, {after}; digs/{pair}: {read}, role {role}",
        "run": target.run, "experiment": known.about(target.run, "experiment"),
        "architecture": known.about(target.run, "architecture"), "task": known.about(target.run, "task"),
        "seed": known.seed(target.run), "layer": target.layer, "depth": int(target.depth),
        "relative_depth": int(target.depth) / layers, "dimension": target.dimension, "mode": mode,
        "rank": int(target.rank), "score": float(target.score), "step": step, "before": before, "after": after,
        "phase": step / total, "magnitude": new - old, "log_magnitude": log, "size": abs(log),
        "num_jumps": jumps, "expected_jumps": expected, "type": known.type(target, mode) if role == "target" else "",
    }  # fmt: skip
    row |= _moments(tables, role) | _composition(tables, role) | _ablation(tables, role, target.layer)
    row |= _recovery(tables, role)
    nothing = float("nan")
    return row | {
        f"{name}_change": row.get(f"{name}_after", nothing) - row.get(f"{name}_before", nothing) for name in CHANGING
    }


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
