"""Phase 1 of a run as tables: every phenomenon of every series, with where it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from math import log

import pandas as pd
from scipy.stats import norm

from geophone.detect.critical import critical_periods, transitions
from geophone.detect.jumps import Z, jumps
from geophone.detect.order import order_of
from geophone.detect.stabilization import stabilization
from geophone.records import Layer

_SERIES = ("run", "layer", "depth", "dimension", "mode")
COLUMNS: dict[str, tuple[str, ...]] = {
    "stabilization": (*_SERIES, "index", "step", "status"),
    "order": ("run", "dimension", "mode", "rho", "p", "verdict", "tau", "layers"),
    "jumps": (
        *_SERIES, "index", "step", "magnitude", "log_ratio", "speed", "phase", "sign", "score", "p",
        "layers", "log_phase", "relative_depth", "expected_false",
    ),
    "critical": (*_SERIES, "start", "stop", "peak"),
    "transitions": (*_SERIES, "index", "step", "acceleration"),
}  # fmt: skip


def run_tables(
    series: Mapping[str, pd.DataFrame],
    *,
    run: str,
    layers: Sequence[Layer],
    total_steps: int,
    modes: Sequence[str] = ("seed",),
) -> dict[str, pd.DataFrame]:
    """Stabilisation, order, jumps, critical periods and transitions of one run, for every dimension and mode.

    `series` maps a dimension to its table (steps x layers). Returns a table a phenomenon with the columns of
    `COLUMNS`, empty where nothing was found. In "jumps", `relative_depth` = depth / (layers - 1), `log_phase` =
    ln step / ln total steps, and `expected_false` is how many jumps the null alone yields in that series.
    """
    rows: dict[str, list[dict]] = {kind: [] for kind in COLUMNS}
    for dimension, table in series.items():
        for mode in modes:
            key = {"run": run, "dimension": dimension, "mode": mode}
            settled = []
            for layer in layers:
                place = {**key, "layer": layer.name, "depth": layer.depth}
                values = table[layer.name]
                stable = stabilization(values, mode=mode)
                settled.append((layer.depth, stable.step))
                rows["stabilization"].append({**place, **asdict(stable)})
                rows["jumps"] += _jump_rows(values, place, mode=mode, total=total_steps, layers=len(layers))
                rows["critical"] += _rows(place, critical_periods(values, mode=mode))
                rows["transitions"] += _rows(place, transitions(values, mode=mode))
            reached = [(depth, step) for depth, step in settled if step is not None]
            order = order_of([depth for depth, _ in reached], [step for _, step in reached])
            rows["order"].append({**key, **asdict(order)})
    return {kind: _frame(found, COLUMNS[kind]) for kind, found in rows.items()}


def _jump_rows(values: pd.Series, place: dict, *, mode: str, total: int, layers: int) -> list[dict]:
    differences = int(values.diff().notna().sum())
    extra = {
        "layers": layers,
        "relative_depth": place["depth"] / max(layers - 1, 1),
        "expected_false": differences * 2 * float(norm.sf(Z)),
    }
    found = jumps(values, mode=mode, total_steps=total)
    return [{**place, **asdict(j), **extra, "log_phase": _log_phase(j.step, total)} for j in found]


def _log_phase(step: int, total: int) -> float:
    return log(max(step, 1)) / log(total) if total > 1 else 1.0


def _rows(place: dict, found: Iterable) -> list[dict]:
    return [{**place, **asdict(record)} for record in found]


def _frame(rows: list[dict], columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(columns))
    whole = [c for c in ("index", "step", "depth", "start", "stop", "peak", "sign") if c in table]
    text = [c for c in ("run", "layer", "dimension", "mode", "status", "verdict") if c in table]
    other = [c for c in table if c not in whole and c not in text]
    kinds = dict.fromkeys(whole, "Int64") | dict.fromkeys(text, "str") | dict.fromkeys(other, "float64")
    return table.astype(kinds)
