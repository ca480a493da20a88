"""The phenomena of one run as tables: every phenomenon of every series, with where it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import pandas as pd
from scipy.stats import norm

from geophone.detect.critical import critical_periods, periods_of, transitions, turns_of
from geophone.detect.cusum import WARM_UP
from geophone.detect.jumps import ALPHA, Found, Z, alarms, change_points, describe, jumps, significant
from geophone.detect.nulls import log_series, scans
from geophone.detect.order import order_of_layers
from geophone.detect.stabilization import stabilization
from geophone.phenomena.nulls import SeriesNulls
from geophone.phenomena.runs import RunSeries, Tables
from geophone.records import Jump, Layer
from geophone.rows import PHENOMENA, frame

# Alarms of the online detector per measurement on its nulls, at most (docs/online.md).
ONLINE_RATE = 0.001
KINDS = ("stabilization", "order", "jumps", "critical", "acceleration_peaks", "detection")
Rows = dict[str, list[dict]]


def run_tables(run: RunSeries, nulls: Mapping[str, SeriesNulls] | None = None) -> Tables:
    """Stabilisation, order, jumps, critical periods and acceleration peaks of one run, every dimension, every mode.

    `nulls` maps a dimension to what the calibrated forms need, which are left out without it. Returns a table per kind
    in `KINDS` (columns: `rows.PHENOMENA`), empty where nothing was found. In "jumps", `relative_depth` = depth /
    (layers - 1), `log_phase` = ln step / ln total steps, and `expected_false` is how many jumps the null alone yields
    in that series (in "critical" and "acceleration_peaks" likewise, missing for the naive forms, which are a tenth of
    any run); "detection" has a row for every series and jump detector, also where nothing was found, with its status:
    "ok", "too short", "dead" (no finite value), "not positive", "constant".
    """
    rows: Rows = {kind: [] for kind in KINDS}
    names = [layer.name for layer in run.layers]
    stacked = {d: table[names].to_numpy(dtype=float).T for d, table in run.series.items()}
    # The causal detector goes measurement by measurement: all series of the run at once.
    online = alarms(np.concatenate(list(stacked.values()))) if nulls is not None and stacked else []
    for at, (dimension, table) in enumerate(run.series.items()):
        place = _Place(run, dimension, rows)
        _naive(place, table)
        if nulls is not None:
            mine = online[at * len(names) : (at + 1) * len(names)]
            _calibrated(place, stacked[dimension], table.index.to_numpy(), nulls[dimension], mine)
            _settle(place, table, "calibrated")
    return {kind: frame(made, PHENOMENA[kind]) for kind, made in rows.items()}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where series are, and the rows that they yield."""

    run: RunSeries
    dimension: str
    rows: Rows

    def key(self, layer: Layer, mode: str) -> dict:
        where = {"run": self.run.name, "layer": layer.name, "depth": layer.depth}
        return {**where, "dimension": self.dimension, "mode": mode}

    def add(self, kind: str, key: Mapping, records: Iterable) -> None:
        # The records are flat: their fields as they are, which asdict would copy deeply.
        self.rows[kind] += [{**key, **{name: getattr(record, name) for name in record.__slots__}} for record in records]


def _naive(place: _Place, table: pd.DataFrame) -> None:
    for layer in place.run.layers:
        values, key = table[layer.name], place.key(layer, "naive")
        expected = int(values.diff().notna().sum()) * 2 * float(norm.sf(Z))
        _jumps(place, key, jumps(values, mode="naive", total_steps=place.run.total_steps), expected, values.to_numpy())
        place.add("critical", key, critical_periods(values, mode="naive"))
        place.add("acceleration_peaks", key, transitions(values, mode="naive"))
    _settle(place, table, "naive")


def _calibrated(
    place: _Place, values: np.ndarray, steps: np.ndarray, nulls: SeriesNulls, online: Sequence[Found]
) -> None:
    y = log_series(values)
    z = scans(y)
    expected = {
        "calibrated": min(null.expected for null in nulls.jump),
        "online": ONLINE_RATE * max(len(steps) - WARM_UP, 0),
        "pelt": ALPHA,
    }
    for i, layer in enumerate(place.run.layers):
        places = {"calibrated": significant(z["jump"][i], nulls.jump), "online": online[i]}
        if nulls.penalty is not None:
            places["pelt"] = change_points(y[i], penalty=nulls.penalty)
        for mode, each in places.items():
            total = place.run.total_steps
            described = [describe(values[i], steps, at, total=total, score=score, p=p) for at, score, p in each]
            _jumps(place, place.key(layer, mode), described, expected[mode], values[i])
        key = place.key(layer, "calibrated")
        periods = periods_of(z["velocity"][i], steps, nulls.velocity)
        place.add("critical", {**key, "expected_false": nulls.velocity.expected}, periods)
        turns = turns_of(y[i], z["acceleration"][i], steps, nulls.acceleration)
        place.add("acceleration_peaks", {**key, "expected_false": nulls.acceleration.expected}, turns)


def _settle(place: _Place, table: pd.DataFrame, mode: str) -> None:
    settled = [stabilization(table[layer.name], mode=mode) for layer in place.run.layers]
    for layer, one in zip(place.run.layers, settled, strict=True):
        place.add("stabilization", place.key(layer, mode), [one])
    key = {"run": place.run.name, "dimension": place.dimension, "mode": mode}
    place.add("order", key, [order_of_layers(settled)])


def _jumps(place: _Place, key: dict, records: Sequence[Jump], expected: float, values: np.ndarray) -> None:
    layers, total = len(place.run.layers), place.run.total_steps
    status = _status(values, positive=key["mode"] != "naive")
    # The naive rule reads any three values; the others say nothing of a series that is too short.
    expected = expected if status == "ok" or (status == "too short" and key["mode"] == "naive") else 0.0
    depth = key["depth"] / max(layers - 1, 1)
    for jump in records:
        phase = log(max(jump.step, 1)) / log(total) if total > 1 else 1.0
        more = {"layers": layers, "log_phase": phase, "relative_depth": depth, "expected_false": expected}
        place.add("jumps", {**key, **more}, [jump])
    place.rows["detection"].append({**key, "detected": len(records), "expected_false": expected, "status": status})


def _status(values: np.ndarray, *, positive: bool) -> str:
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return "dead"
    if len(values) < 20:
        return "too short"
    if np.ptp(finite) == 0:
        return "constant"
    return "not positive" if positive and (finite <= 0).mean() > 0.5 else "ok"
