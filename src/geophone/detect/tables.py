"""Phase 1 of a run as tables: every phenomenon of every series, with where it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log

import numpy as np
import pandas as pd
from scipy.stats import norm

from geophone.detect.critical import critical_periods, periods_of, transitions, turns_of
from geophone.detect.cusum import WARM_UP
from geophone.detect.jumps import ALPHA, Found, Z, alarms, change_points, describe, jumps, significant
from geophone.detect.nulls import Null, log_series, scans
from geophone.detect.order import order_of_layers
from geophone.detect.stabilization import stabilization
from geophone.records import Layer

# Alarms of the online detector per measurement on its nulls, at most (docs/online.md).
ONLINE_RATE = 0.001
_SERIES = ("run", "layer", "depth", "dimension", "mode")
COLUMNS: dict[str, tuple[str, ...]] = {
    "stabilization": (*_SERIES, "index", "step", "status"),
    "order": ("run", "dimension", "mode", "rho", "p", "verdict", "tau", "layers", "chance"),
    "jumps": (
        *_SERIES, "index", "step", "magnitude", "log_ratio", "speed", "phase", "sign", "score", "p",
        "layers", "log_phase", "relative_depth", "expected_false",
    ),
    "critical": (*_SERIES, "start", "stop", "peak", "expected_false"),
    "acceleration_peaks": (*_SERIES, "index", "step", "acceleration", "expected_false"),
    "detection": (*_SERIES, "detected", "expected_false", "status"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeriesNulls:
    """What nothing looks like, for the series of one dimension: the nulls of the calibrated forms, and PELT's penalty
    (None leaves PELT out)."""

    jump: tuple[Null, ...]
    velocity: Null
    acceleration: Null
    penalty: float | None = None


def run_tables(
    series: Mapping[str, pd.DataFrame],
    *,
    run: str,
    layers: Sequence[Layer],
    total_steps: int,
    nulls: Mapping[str, SeriesNulls] | None = None,
) -> dict[str, pd.DataFrame]:
    """Stabilisation, order, jumps, critical periods and acceleration peaks of one run, every dimension, every mode.

    `series` maps a dimension to its table (steps x layers); `nulls` does so for the calibrated forms, which are left
    out without it. Returns a table a phenomenon with the columns of `COLUMNS`, empty where nothing was found. In
    "jumps", `relative_depth` = depth / (layers - 1), `log_phase` = ln step / ln total steps, and `expected_false` is
    how many jumps the null alone yields in that series (in "critical" and "acceleration_peaks" likewise, missing for
    the naive forms, which are a tenth of any run); "detection" has a row for every series and jump detector, also where
    nothing was found, with its status: "ok", "too short", "dead" (no finite value), "not positive", "constant".
    """
    rows: dict[str, list[dict]] = {kind: [] for kind in COLUMNS}
    names = [layer.name for layer in layers]
    stacked = {d: table[names].to_numpy(dtype=float).T for d, table in series.items()}
    # The causal detector goes measurement by measurement: all series of the run at once.
    heard = alarms(np.concatenate(list(stacked.values()))) if nulls is not None and stacked else []
    for at, (dimension, table) in enumerate(series.items()):
        place = _Place(run, dimension, tuple(layers), total_steps)
        _seed_rows(rows, table, place)
        if nulls is not None:
            mine = heard[at * len(names) : (at + 1) * len(names)]
            _calibrated_rows(rows, stacked[dimension], table.index.to_numpy(), place, (nulls[dimension], mine))
            _settle(rows, table, place, "calibrated")
    return {kind: _frame(found, COLUMNS[kind]) for kind, found in rows.items()}


@dataclass(frozen=True, slots=True)
class _Place:
    run: str
    dimension: str
    layers: tuple[Layer, ...]
    total: int

    def row(self, layer: Layer, mode: str) -> dict:
        key = {"run": self.run, "layer": layer.name, "depth": layer.depth}
        return {**key, "dimension": self.dimension, "mode": mode}


def _seed_rows(rows: dict[str, list[dict]], table: pd.DataFrame, place: _Place) -> None:
    for layer in place.layers:
        values, key = table[layer.name], place.row(layer, "naive")
        expected = int(values.diff().notna().sum()) * 2 * float(norm.sf(Z))
        found = jumps(values, mode="naive", total_steps=place.total)
        _add_jumps(rows, key, [asdict(j) for j in found], place, expected=expected, values=values.to_numpy())
        rows["critical"] += _rows(key, critical_periods(values, mode="naive"))
        rows["acceleration_peaks"] += _rows(key, transitions(values, mode="naive"))
    _settle(rows, table, place, "naive")


def _calibrated_rows(
    rows: dict[str, list[dict]],
    values: np.ndarray,
    steps: np.ndarray,
    place: _Place,
    judged: tuple[SeriesNulls, list[Found]],
) -> None:
    nulls, heard = judged
    y = log_series(values)
    z = scans(y)
    expected = {
        "calibrated": min(null.expected for null in nulls.jump),
        "online": ONLINE_RATE * max(len(steps) - WARM_UP, 0),
        "pelt": ALPHA,
    }
    for i, layer in enumerate(place.layers):
        found = {"calibrated": significant(z["jump"][i], nulls.jump), "online": heard[i]}
        if nulls.penalty is not None:
            found["pelt"] = change_points(y[i], penalty=nulls.penalty)
        for mode, places in found.items():
            described = [
                asdict(describe(values[i], steps, at, total=place.total, score=score, p=p)) for at, score, p in places
            ]
            _add_jumps(rows, place.row(layer, mode), described, place, expected=expected[mode], values=values[i])
        key = place.row(layer, "calibrated")
        moving, turning = ({**key, "expected_false": null.expected} for null in (nulls.velocity, nulls.acceleration))
        rows["critical"] += _rows(moving, periods_of(z["velocity"][i], steps, nulls.velocity))
        rows["acceleration_peaks"] += _rows(turning, turns_of(y[i], z["acceleration"][i], steps, nulls.acceleration))


def _settle(rows: dict[str, list[dict]], table: pd.DataFrame, place: _Place, mode: str) -> None:
    settled = [stabilization(table[layer.name], mode=mode) for layer in place.layers]
    for layer, found in zip(place.layers, settled, strict=True):
        rows["stabilization"].append({**place.row(layer, mode), **asdict(found)})
    key = {"run": place.run, "dimension": place.dimension, "mode": mode}
    rows["order"].append({**key, **asdict(order_of_layers(settled))})


def _add_jumps(
    rows: dict[str, list[dict]], key: dict, found: list[dict], place: _Place, *, expected: float, values: np.ndarray
) -> None:
    layers = len(place.layers)
    status = _status(values, positive=key["mode"] != "naive")
    # The naive rule reads any three values; the others say nothing of a series that is too short.
    expected = expected if status == "ok" or (status == "too short" and key["mode"] == "naive") else 0.0
    extra = {
        "layers": layers,
        "relative_depth": key["depth"] / max(layers - 1, 1),
        "expected_false": expected,
    }
    rows["jumps"] += [{**key, **jump, **extra, "log_phase": _log_phase(jump["step"], place.total)} for jump in found]
    rows["detection"].append({**key, "detected": len(found), "expected_false": expected, "status": status})


def _status(values: np.ndarray, *, positive: bool) -> str:
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return "dead"
    if len(values) < 20:
        return "too short"
    if np.ptp(finite) == 0:
        return "constant"
    return "not positive" if positive and (finite <= 0).mean() > 0.5 else "ok"


def _log_phase(step: int, total: int) -> float:
    return log(max(step, 1)) / log(total) if total > 1 else 1.0


def _rows(key: dict, found: Iterable) -> list[dict]:
    return [{**key, **asdict(record)} for record in found]


def _frame(rows: list[dict], columns: Sequence[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(columns))
    whole = [c for c in ("index", "step", "depth", "start", "stop", "peak", "sign", "detected") if c in table]
    text = [c for c in ("run", "layer", "dimension", "mode", "status", "verdict") if c in table]
    other = [c for c in table if c not in whole and c not in text]
    kinds = dict.fromkeys(whole, "Int64") | dict.fromkeys(text, "str") | dict.fromkeys(other, "float64")
    return table.astype(kinds)
