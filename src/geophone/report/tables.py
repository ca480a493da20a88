"""What the charts of one run are drawn from, taken from a study's tables."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.records import Layer
from geophone.store.run import Run

KINDS = ("stabilization", "order", "jumps", "critical", "transitions")
FRACTIONS = ("mean_fraction", "dead_fraction")
MOST_MEASUREMENTS = 1000
SMOOTH = 25


@dataclass(frozen=True, slots=True)
class RunTables:
    """What the charts of one run show.

    `series` and `statuses` are step x layer; `loss` is by step (may be empty); the phenomenon tables and `targets`
    hold this run's rows only, in every mode that was detected; `samples` is the size of the probe, None when unknown.
    """

    name: str
    layers: tuple[Layer, ...]
    samples: int | None
    series: dict[str, pd.DataFrame]
    statuses: pd.DataFrame
    loss: pd.Series
    stabilization: pd.DataFrame
    order: pd.DataFrame
    jumps: pd.DataFrame
    critical: pd.DataFrame
    transitions: pd.DataFrame
    targets: pd.DataFrame

    @property
    def first_step(self) -> int:
        return int(self.statuses.index[0])

    @property
    def last_step(self) -> int:
        return max(int(self.statuses.index[-1]), 1)

    @property
    def modes(self) -> list[str]:
        """The detectors that were run, "seed" first."""
        return sorted(set(self.stabilization["mode"]), key=lambda mode: (mode != "seed", mode))

    @property
    def every_shown(self) -> int:
        """1, or k where only every k-th measurement is drawn, because a page cannot hold more."""
        return -(-len(self.statuses) // MOST_MEASUREMENTS)


def tables_of(run: Run, phenomena: dict[str, pd.DataFrame], targets: pd.DataFrame) -> RunTables:
    """The rows of `run` in the study's phenomenon tables (by kind) and targets, beside its series and loss."""
    scalars = run.scalars()
    return RunTables(
        name=run.name,
        layers=run.layers,
        samples=run.manifest.probe.get("samples"),
        series=run.all_series(),
        statuses=run.statuses(),
        loss=scalars["loss"].dropna() if "loss" in scalars else pd.Series(dtype=float),
        targets=targets[targets["run"] == run.name],
        **{kind: table[table["run"] == run.name] for kind, table in phenomena.items()},
    )


def cap(layer: Layer, dimension: str) -> int | None:
    """The most that `dimension` can be at `layer`: min(n - 1, d), or 1 for a share; None where n or d is unknown."""
    if dimension in FRACTIONS:
        return 1
    return min(layer.rows - 1, layer.features) if layer.rows > 1 and layer.features else None


def data_sets(run: RunTables) -> dict[str, pd.DataFrame]:
    """The named data sets that `charts.run_charts` read. Numbers have 5 digits; what has no value is NaN.

    measurements: a row a layer and step with `start` and `stop`, the edges of its cell on the step axis, and a column
    a dimension. ranges: least and most value and `cap`, by `key` = layer|dimension. jumps carry `value`, the
    series at that step. The others are the tables themselves.
    """
    place = ["layer", "dimension", "mode"]
    settled = run.stabilization[run.stabilization["status"] == "stable"]
    return {
        "measurements": _measurements(run),
        "ranges": _ranges(run),
        "loss": _loss(run),
        "stabilization": settled[[*place, "step"]],
        "jumps": _jumps(run)[[*place, "step", "magnitude", "score", "value"]],
        "critical": run.critical[[*place, "start", "stop", "peak"]],
        "transitions": run.transitions[[*place, "step"]],
        "targets": run.targets[["rank", "layer", "dimension", "before", "step", "after", "reason"]],
    }


def as_columns(table: pd.DataFrame) -> dict[str, list]:
    """A table as plain JSON values, column by column; a missing value, NaN or infinity becomes null."""
    return {name: [_plain(value) for value in column] for name, column in table.items()}


def _plain(value):
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.5g}")
        return int(short) if short.is_integer() else short
    return int(value) if isinstance(value, np.integer) else value


def _measurements(run: RunTables) -> pd.DataFrame:
    shown = slice(None, None, run.every_shown)
    start, stop = _cells(run.statuses.index[shown], run.last_step)
    columns = {"status": run.statuses} | run.series
    long = pd.DataFrame({name: table.iloc[shown].stack(future_stack=True) for name, table in columns.items()})
    long = long.rename_axis(["step", "layer"]).reset_index()
    long.insert(1, "start", long["step"].map(start))
    long.insert(2, "stop", long["step"].map(stop))
    return long


def _cells(steps: pd.Index, last: int) -> tuple[pd.Series, pd.Series]:
    """Where the cell of each measured step begins and ends: half way to its neighbours, within [0, last]."""
    at = steps.to_numpy(float)
    if len(at) == 1:
        edges = np.array([at[0] - 0.5, at[0] + 0.5])
    else:
        middle = (at[1:] + at[:-1]) / 2
        edges = np.concatenate([[2 * at[0] - middle[0]], middle, [at[-1]]])
    edges = edges.clip(0, last)
    return pd.Series(edges[:-1], steps), pd.Series(edges[1:], steps)


def _ranges(run: RunTables) -> pd.DataFrame:
    rows = [
        {
            "key": f"{layer.name}|{dimension}",
            "least": table[layer.name].min(),
            "most": table[layer.name].max(),
            "cap": cap(layer, dimension),
        }
        for dimension, table in run.series.items()
        for layer in run.layers
    ]
    return pd.DataFrame(rows)


def _loss(run: RunTables) -> pd.DataFrame:
    loss = run.loss[np.isfinite(run.loss)]
    smooth = loss.rolling(SMOOTH, min_periods=1, center=True).mean()
    table = pd.DataFrame({"step": loss.index, "loss": loss.to_numpy(float), "smooth": smooth.to_numpy(float)})
    return table.iloc[:: max(1, len(table) // MOST_MEASUREMENTS)]


def _jumps(run: RunTables) -> pd.DataFrame:
    values = [
        run.series[row.dimension].at[row.step, row.layer] if row.dimension in run.series else math.nan
        for row in run.jumps.itertuples()
    ]
    return run.jumps.assign(value=np.array(values, dtype=float))
