"""Anybody's detector on the testbeds."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from geophone.errors import InputError
from geophone.point.signals import RunSignals
from geophone.prove.evaluate import Method, evaluate
from geophone.prove.protocol import FIRST_QUICK
from geophone.prove.ranker import printed
from geophone.prove.tables import POOLED, RANKER, method_table
from geophone.prove.targeting import Moments
from geophone.prove.trials import PRIMARY, Crew, train_all, trials

SEEDS = 4
DETECTOR = "detector"
Detector = Callable[[RunSignals], Iterable[float]] | Callable[[pd.DataFrame], Iterable[float]]


def score(
    detector: Detector, *, signal: str | None = None, out: str | Path | None = None, crew: Crew | None = None
) -> pd.DataFrame:
    """How well `detector` points at what is learned, beside the package's ranker and chance, on 4 seeds of each primary
    testbed.

    `detector(run)` sees a `RunSignals` (scalars, series of layers, behaviour, outputs) and gives training steps, the
    best first, as many as it likes; with `signal`, the name of a scalar or of a layer signal ("stable_rank", "loss"),
    it sees a table of that signal alone (index step, a column per layer). Testbeds are trained under `out` (a temporary
    folder by default; given again, its runs are used again), in a few minutes on two cores.

    One row per testbed and for all of them ("primary"): `runs`; `recall`, the share of a run's E events among the first
    E steps; `chance`; `net` = recall less that of the steps named in other runs of the testbed, with `low` and `high`;
    `f1` of the whole list; `ranker`, the net recall of the package's own; `verdict`: "valid" (the interval of net lies
    above 0), "invalid" (below) or "not shown". Raises InputError for steps that are not numbers within the run.
    """
    method = _method(detector, signal)
    with tempfile.TemporaryDirectory() as folder:
        wanted = trials(dict.fromkeys(PRIMARY, SEEDS), first=FIRST_QUICK)
        runs = train_all(wanted, Path(folder if out is None else out), crew or Crew())
        rows = evaluate(runs, {DETECTOR: method, RANKER: printed}, rng=np.random.default_rng(0))
    table = method_table(rows, rng=np.random.default_rng(0))
    table = table[table["bed"].isin((*PRIMARY, POOLED))]
    own = table[table["method"] == DETECTOR].set_index("bed")
    found = own[["runs", "recall", "chance", "net", "net_low", "net_high", "f1"]]
    found = found.rename(columns={"net_low": "low", "net_high": "high"})
    found["ranker"] = table[table["method"] == RANKER].set_index("bed")["net"]
    found["verdict"] = np.select([found["low"] > 0, found["high"] < 0], ["valid", "invalid"], "not shown")
    return found.reset_index()


def _method(detector: Detector, signal: str | None) -> Method:
    def method(run: RunSignals, kind: str) -> Moments:
        given = run if signal is None else _table(run, signal)
        steps = np.asarray(list(detector(given)), dtype=np.float64)  # type: ignore[arg-type]  # by `signal`
        inside = (steps >= run.steps[0]) & (steps <= run.steps[-1])
        if not inside.all():
            raise InputError(
                f"the detector named step {steps[~inside][0]:g}; {run.name} goes from {run.steps[0]:g} to "
                f"{run.steps[-1]:g}."
            )
        index = np.abs(run.steps[:, None] - steps).argmin(0) if len(steps) else np.zeros(0, dtype=np.intp)
        return Moments(index, count=len(index))

    return method


def _table(run: RunSignals, signal: str) -> pd.DataFrame:
    index = pd.Index(run.steps, name="step")
    if signal in run.series:
        return pd.DataFrame(run.series[signal], index=index, columns=list(run.layers))
    if signal in run.scalars:
        return pd.DataFrame({signal: run.scalars[signal]}, index=index)
    raise InputError(f"no signal {signal!r}; there are {', '.join((*run.scalars, *run.series))}.")
