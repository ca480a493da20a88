"""What the charts of a run read: its series, its loss and its rows of the phenomenon tables, as plain JSON values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from geophone.records import Layer
from geophone.store.run import Run

MODES = ("naive", "calibrated")
LOSS_POINTS = 1000
# What the charts read of each table; a study without the table (one that still trains) has none of its rows.
COLUMNS = {
    "stabilization": ("layer", "dimension", "mode", "step", "status"),
    "jumps": ("layer", "dimension", "mode", "step", "magnitude", "log_ratio", "score"),
    "critical": ("layer", "dimension", "mode", "start", "stop", "peak"),
}


@dataclass(frozen=True, slots=True)
class RunTables:
    """What the charts of one run show: `series` (step x layer) by dimension, `loss` by step (may be empty), and the
    run's rows of the phenomenon tables in the modes of `MODES` (empty where phase 1 has not run)."""

    name: str
    layers: tuple[Layer, ...]
    series: dict[str, pd.DataFrame]
    loss: pd.Series
    stabilization: pd.DataFrame
    jumps: pd.DataFrame
    critical: pd.DataFrame

    @property
    def last_step(self) -> int:
        return int(next(iter(self.series.values())).index[-1])


def run_tables_of(run: Run, phenomena: Mapping[str, pd.DataFrame]) -> RunTables:
    """What the charts of `run` need, from the run and the study's phenomenon tables; a table that is not in
    `phenomena` counts as empty."""

    def mine(kind: str) -> pd.DataFrame:
        if kind not in phenomena:
            return pd.DataFrame(columns=list(COLUMNS[kind]))
        table = phenomena[kind]
        return table[(table["run"] == run.name) & table["mode"].isin(MODES)]

    scalars = run.scalars()
    return RunTables(
        name=run.name,
        layers=run.layers,
        series=run.all_series(),
        loss=scalars["loss"].dropna() if "loss" in scalars else pd.Series(dtype=float),
        stabilization=mine("stabilization"),
        jumps=mine("jumps"),
        critical=mine("critical"),
    )


def measurements(run: RunTables) -> pd.DataFrame:
    """One row a layer and step: step, since (the step measured before it), layer, cap = min(n - 1, d), and a column a
    dimension, to 5 digits."""
    caps = {layer.name: min(layer.rows - 1, layer.features) for layer in run.layers}
    long = pd.DataFrame({name: table.stack(future_stack=True) for name, table in run.series.items()})
    long = long.rename_axis(["step", "layer"]).reset_index()
    numbers = list(run.series)
    long[numbers] = long[numbers].map(five_digits)
    return long.assign(cap=long["layer"].map(caps), since=long["step"].map(_since(run)))


def _since(run: RunTables) -> dict[int, int]:
    steps = [int(step) for step in next(iter(run.series.values())).index]
    gap = int(np.median(np.diff(steps))) if len(steps) > 1 else 1
    return dict(zip(steps, [steps[0] - gap, *steps[:-1]], strict=True))


def run_data(run: RunTables, *, hrefs: Mapping[int, str] | None = None) -> dict[str, list[dict]]:
    """The data sets that the charts of a run read, as rows. `hrefs`: the page that a jump leads to, by the jump's
    place in the index of `run.jumps`; a jump without one leads nowhere."""
    heat = run.stabilization[list(COLUMNS["stabilization"])]
    jumps = run.jumps[list(COLUMNS["jumps"])]
    loss = pd.DataFrame({"step": run.loss.index, "loss": run.loss.to_numpy()})
    if len(loss):
        loss["smooth"] = loss["loss"].rolling(25, min_periods=1, center=True).mean()
        loss = loss.iloc[:: max(1, len(loss) // LOSS_POINTS)]
    tables = {
        "measurements": measurements(run),
        "stabilization": heat[heat["status"] == "stable"],
        "jumps": jumps.assign(href=[(hrefs or {}).get(i) for i in jumps.index]),
        "critical": run.critical[list(COLUMNS["critical"])],
        "loss": loss,
    }
    return {name: records(table) for name, table in tables.items()}


def columns(rows: list[dict[str, Any]]) -> dict[str, list]:
    """Rows that share their keys, a list a key: a third of the size on disk."""
    return {key: [row[key] for row in rows] for key in rows[0]} if rows else {}


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of plain JSON values; a missing value or NaN becomes null, which charts show as a gap."""
    plain = table.astype(object).where(table.notna(), None)
    return [{key: _plain(value) for key, value in row.items()} for row in plain.to_dict("records")]


def five_digits(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _plain(value):
    if isinstance(value, float | np.floating):
        return five_digits(float(value))
    return int(value) if isinstance(value, np.integer) else value
