"""Coordination, lags and coupling to the loss, group by group of runs of one configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from geophone.detect.coordination import coordination, lags, loss_coupling
from geophone.phenomena.runs import Draws, RunSeries, Tables
from geophone.rows import PHENOMENA, frame

Group = tuple[str, list[RunSeries]]


def together(runs: Sequence[RunSeries], jumps: pd.DataFrame, *, draws: Draws, headline: Sequence[str]) -> Tables:
    """The tables of what layers, and layers and loss, do together, for the dimensions in `headline`."""
    rows: dict[str, list[dict]] = {kind: [] for kind in ("coordination", "lags", "coupling", "coupling_curves")}
    for dimension in headline:
        able = [run for run in runs if dimension in run.series]
        for name, group in _groups(able, _configuration):
            key = {"dimension": dimension, "group": name}
            velocity = _velocities([run.series[dimension] for run in group])
            rng = draws.stream("together", dimension, name)
            rows["coordination"].append({**key, **asdict(coordination(velocity, rng=rng, draws=draws.surrogates))})
            rows["lags"] += [{**key, **asdict(lag)} for lag in lags(velocity, rng=rng)]
        for mode in ("naive", "calibrated"):
            mine = jumps[(jumps["dimension"] == dimension) & (jumps["mode"] == mode)]
            for kind, name, group in _loss_groups(able):
                key = {"dimension": dimension, "mode": mode, "group": name, "grouped_by": kind}
                row, curve = _coupling(group, mine, draws.stream("coupling", *key.values()), draws.surrogates)
                rows["coupling"].append({**key, **row})
                rows["coupling_curves"] += [{**key, **point} for point in curve]
    return {kind: frame(made, PHENOMENA[kind]) for kind, made in rows.items()}


def _configuration(run: RunSeries) -> str:
    return run.experiment or run.name


def _groups(runs: Sequence[RunSeries], key: Callable[[RunSeries], str]) -> list[Group]:
    groups: dict[str, list[RunSeries]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.items())


def _loss_groups(runs: Sequence[RunSeries]) -> list[tuple[str, str, list[RunSeries]]]:
    """Runs of one configuration where there are 3; otherwise runs of one architecture and task, which is a weaker
    null."""
    same = _groups(runs, _configuration)
    rest = [run for _, group in same if len(group) < 3 for run in group]
    alike = _groups(rest, lambda run: f"{run.architecture or '?'} on {run.task or '?'}")
    large = [("configuration", name, group) for name, group in same if len(group) >= 3]
    return large + [("architecture and task", name, group) for name, group in alike]


def _velocities(tables: Sequence[pd.DataFrame]) -> np.ndarray:
    """ln x differences (runs, layers, measurements) over the measurements that all runs have."""
    length = min(len(table) for table in tables)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.stack([np.log(table.to_numpy(float)[:length].T) for table in tables])
    return np.diff(np.where(np.isfinite(logs), logs, np.nan), axis=2)


def _coupling(
    group: Sequence[RunSeries], jumps: pd.DataFrame, rng: np.random.Generator, draws: int
) -> tuple[Mapping, list[dict]]:
    losses = {run.name: run.loss for run in group if run.loss is not None}
    length = min(map(len, losses.values()), default=0)
    events = [jumps.loc[jumps["run"] == run, "index"].to_numpy(int) for run in losses]
    events = [np.unique(each[each < length]) for each in events]
    loss = np.stack([each.to_numpy(float)[:length] for each in losses.values()]) if length else np.empty((0, 0))
    coupling = loss_coupling(events, loss, rng=rng, draws=draws)
    row = {name: getattr(coupling, name) for name in ("p", "runs", "events", "status")}
    if coupling.status != "tested":
        return row, []
    points = zip(coupling.lags, coupling.average, coupling.expected, strict=True)
    return row, [{"lag": int(lag), "average": average, "expected": expected} for lag, average, expected in points]
