"""From the census to one table: a row for every window of every layer of every run, what moved in it and what came of
it."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from geophone.errors import StoreError
from geophone.evidence.columns import MeasuredWindowRow
from geophone.point.reading import has_signals, run_signals
from geophone.point.rule import frozen_rule
from geophone.point.score import scaled
from geophone.point.targets import behaviour_score
from geophone.rows.measures import MEASURES, SINCE
from geophone.rows.model import frame
from geophone.rows.windows import CHANGING, CensusRow
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.store.tables import read_rows

_LOSSES = 5  # steps over which the loss is averaged
_MEANS = {"cka_change": "cka_change_1", "readable_change": "readable_change", "readable_gain": "readable_gain"}
_LOGS = {"gradient_norm": "layer_gradient_norm", "update_norm": "layer_update_norm"}
_SINCE = tuple(m.name for m in MEASURES if m.change == SINCE)


def window_table(study: Study) -> pd.DataFrame:
    """A `MeasuredWindowRow` for every two neighbouring moments of the census and every layer of every run; empty
    without one. What was not measured is NaN. Raises StoreError where a census is damaged."""
    rows: list[pd.DataFrame] = []
    for run in study:
        path = study.places.censuses / run.name / "census.parquet"
        if path.is_file():
            rows += _of_run(run, read_rows(path, CensusRow))
    return frame([row for table in rows for row in table.to_dict("records")], MeasuredWindowRow)


def _of_run(run: Run, census: pd.DataFrame) -> list[pd.DataFrame]:
    """A table for each window: a row a layer."""
    names = [layer.name for layer in run.layers]
    by_step = {int(step): rows.set_index("layer") for step, rows in census.groupby("step")}
    absent = [step for step in by_step if step not in set(run.series(run.dimensions[0]).index)]
    if absent:
        raise StoreError(f"the census of {run.name} has step {absent[0]}, which the run did not measure: do it again.")
    series, signals, score, loss = run.all_series(), run.signals(), _score(run), _loss(run)
    about = run.manifest.about
    place = {
        "run": run.name, "experiment": str(about.get("experiment", "unknown")),
        "architecture": str(about.get("architecture", "unknown")), "seed": about.get("seed"),
    }  # fmt: skip
    found = []
    for number, (before, after) in enumerate(pairwise(sorted(by_step))):
        old, new = by_step[before], by_step[after]
        layers = [name for name in names if name in new.index and name in old.index]
        columns: dict[str, object] = {
            **place, "layer": layers, "depth": new.loc[layers, "depth"].to_numpy(), "window": number,
            "before": before, "after": after, "log_step": (np.log1p(before) + np.log1p(after)) / 2,
            "ranker_score": _mean(score, before, after), "loss_change": _change(loss, before, after),
        }  # fmt: skip
        for name, wide in series.items():
            columns[f"{name}_log_ratio"] = _log_ratio(wide.loc[before, layers], wide.loc[after, layers])
        if "layer_weight_norm" in signals:
            wide = signals["layer_weight_norm"]
            columns["weight_norm_change"] = _log_ratio(wide.loc[before, layers], wide.loc[after, layers])
        for column, name in _MEANS.items():
            if name in signals:
                columns[column] = _mean(signals[name][layers], before, after)
        for column, name in _LOGS.items():
            if name in signals:
                columns[column] = _mean(np.log(signals[name][layers].where(lambda x: x > 0)), before, after)
        columns |= {name: (new.loc[layers, name] - old.loc[layers, name]).to_numpy() for name in CHANGING}
        columns |= {name: new.loc[layers, name].to_numpy() for name in _SINCE}
        found.append(pd.DataFrame(columns))
    return found


def _log_ratio(old: pd.Series, new: pd.Series) -> npt.NDArray[np.float64]:
    a, b = old.to_numpy(float), new.to_numpy(float)
    there = (a > 0) & (b > 0)
    return np.where(there, np.log(np.where(there, b, 1.0)) - np.log(np.where(there, a, 1.0)), np.nan)


def _mean(values: pd.DataFrame | pd.Series, before: int, after: int) -> npt.NDArray[np.float64] | float:
    """Over the measurements after `before` up to `after`."""
    inside = values[(values.index > before) & (values.index <= after)].mean()
    return inside.to_numpy(float) if isinstance(inside, pd.Series) else float(inside)


def _score(run: Run) -> pd.Series:
    """The ranker's score of behaviour at every measurement, as a share of its greatest; empty where there is none."""
    if not has_signals(run):
        return pd.Series(dtype=float)
    signals = run_signals(run).thinned()
    score = behaviour_score(signals, frozen_rule())
    return pd.Series(dtype=float) if score is None else pd.Series(scaled(score), index=signals.steps)


def _loss(run: Run) -> pd.Series:
    scalars = run.scalars()
    loss = scalars["loss"].dropna() if "loss" in scalars else pd.Series(dtype=float)
    return np.log(loss[loss > 0])


def _change(loss: pd.Series, before: int, after: int) -> float:
    """ln loss, mean of the last losses up to `after`, less the same at `before`."""
    old, new = (loss[loss.index <= step].iloc[-_LOSSES:] for step in (before, after))
    return float(new.mean() - old.mean())
