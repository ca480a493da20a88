"""The signals of a recorded run, from its folder."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from geophone.errors import InputError
from geophone.point.scene import HEADLINE, MEAN
from geophone.point.shared import facts
from geophone.point.signals import LAGS, Behaviour, RunSignals
from geophone.store.run import Run
from geophone.store.tables import parts

Series = npt.NDArray[np.float64]


def run_signals(run: Run, *, dimensions: tuple[str, ...] = HEADLINE) -> RunSignals:
    """All that was recorded of `run` beside what it is described by, `dimensions` (those that it has), and its layers'
    mean fraction.

    Loss is the mean over the steps since the measurement before, every other scalar its value at the measured step.
    Steps whose weights are not their own are left out, and so is a change that is said against one of them. Raises
    StoreError where the run has no measurement.
    """
    known = tuple(name for name in dimensions if name in run.dimensions) or run.dimensions[:1]
    also = [name for name in (MEAN,) if name in run.dimensions and name not in known]
    series = run.all_series([*known, *also])
    every = series[known[0]].index
    at = run.placed(series[known[0]]).index
    steps = at.to_numpy(dtype=np.float64)
    tables = series | {name: _compared(table, every, at, LAGS.get(name, 0)) for name, table in run.signals().items()}
    concepts, chances = _concepts(run, at)
    return RunSignals(
        name=run.name,
        steps=steps,
        layers=tuple(layer.name for layer in run.layers),
        scalars=_scalars(run, at),
        series={name: table.reindex(at).to_numpy(dtype=np.float64) for name, table in tables.items()},
        behaviour=_behaviour(run, at),
        outputs=_outputs(run, at),
        concepts=concepts,
        chances=chances,
    )


def _compared(table: pd.DataFrame, every: pd.Index, at: pd.Index, lag: int) -> pd.DataFrame:
    """`table` without the changes that compare with a step that is not in `at`, `lag` measurements earlier or at the
    first one."""
    partner = every[np.maximum(np.arange(len(every)) - lag, 0)]
    return table.where(pd.Series(partner.isin(at), index=every).reindex(table.index), axis=0)


def has_signals(run: Run) -> bool:
    """Whether anything was recorded of `run` by which transitions can be ranked."""
    return bool(run.manifest.behaviour or run.manifest.signals or parts(run.folder / "outputs"))


def _behaviour(run: Run, at: pd.Index) -> Behaviour | None:
    if not run.manifest.behaviour or not parts(run.folder / "behaviour"):
        return None
    values = run.behaviour().reindex(at).to_numpy(dtype=np.float64)
    known = facts(run.samples(), run.tokens() if run.has_tokens else None)
    about = run.manifest.behaviour
    name = "behaviour" if about.get("kind") == "own" else ""
    return Behaviour(values, bool(about.get("falling", False)), name, known)


def _outputs(run: Run, at: pd.Index) -> Series | None:
    if not parts(run.folder / "outputs"):
        return None
    return run.outputs().reindex(at).to_numpy(dtype=np.float64)


def _scalars(run: Run, at: pd.Index) -> dict[str, Series]:
    table = run.scalars().drop(columns="index")
    found = {name: table[name].reindex(at).to_numpy(dtype=np.float64) for name in table.select_dtypes("number")}
    if "loss" in table and table["loss"].notna().any():
        found["loss"] = mean_since_last(table["loss"], at.to_numpy(dtype=np.float64))
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def mean_since_last(values: pd.Series, steps: Series) -> Series:
    """The mean of what is finite of `values` (by step) over the steps since the one of `steps` before; NaN where
    nothing is."""
    known = values[np.isfinite(values.to_numpy(dtype=np.float64))]
    total = np.concatenate([[0.0], np.cumsum(known.to_numpy(dtype=np.float64))])
    ends = np.searchsorted(known.index.to_numpy(), steps, side="right")
    begins = np.concatenate([[0], ends[:-1]])
    count = ends - begins
    return np.divide(total[ends] - total[begins], count, out=np.full(len(steps), np.nan), where=count > 0)


def _concepts(run: Run, at: pd.Index) -> tuple[dict[str, Series], dict[str, Series]]:
    if not parts(run.folder / "concepts"):
        return {}, {}
    rows, names = run.concepts(), [layer.name for layer in run.layers]
    if rows.duplicated(["step", "layer", "concept"]).any():
        raise InputError(f"{run.folder / 'concepts'} is damaged: it has one concept of one layer twice at one step.")
    wide = {
        str(concept): [
            mine.pivot(index="step", columns="layer", values=column)
            .reindex(index=at, columns=names)
            .to_numpy(dtype=np.float64)
            for column in ("value", "shuffled")
        ]
        for concept, mine in rows.groupby("concept", sort=True)
    }
    return {name: pair[0] for name, pair in wide.items()}, {name: pair[1] for name, pair in wide.items()}
