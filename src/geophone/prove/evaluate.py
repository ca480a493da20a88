"""Every method on every run: one row per run and method."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import median_filter

from geophone.point.kernels import Kernel, operators
from geophone.point.moments import pick
from geophone.point.score import scaled
from geophone.point.signals import RunSignals
from geophone.prove.choice import Choice, named_at_times
from geophone.prove.events import ANY
from geophone.prove.rivals import GRIDS, grid, name_layers, rival_moments
from geophone.prove.swapped import layers_by_swap
from geophone.prove.targeting import (
    CURVE,
    Moments,
    budget,
    chance,
    hits,
    layer_rate,
    listed,
    recall,
    sample_auc,
    shock_recall,
    shocked,
)  # fmt: skip
from geophone.prove.trials import NUISANCES, TrialRun
from geophone.prove.truth import LEAST, read_clock
from geophone.signals import ADDED

CEILING, BEST = "clock_slopes", "best rival"
RANDOM_DRAWS = 20
ALARMS, ALARM_REACH = 3, 10
_BUDGETS = {"recall_half": 0.5, "recall": 1.0, "recall_double": 2.0}
Method = Callable[[RunSignals, str], Moments]
"""What a run shows, and which kind of events is asked for ("behaviour" or "hidden"), to moments."""


def frozen_methods(choice: Choice) -> dict[str, Method]:
    """The frozen rivals as methods, each blind to the kind of events that is asked for, and BEST, the best for it."""

    def method(name: str) -> Method:
        return lambda signals, kind: rival_moments(signals, choice.rivals[name], share=choice.shares[name])

    methods = {name: method(name) for name in choice.rivals}
    return {BEST: lambda signals, kind: methods[choice.best[kind]](signals, kind), **methods}


def evaluate(runs: Sequence[TrialRun], methods: Mapping[str, Method], *, rng: np.random.Generator) -> pd.DataFrame:
    """One row per run with events and method, the grids and the ceiling among them: bed, seed, method, events, and

    `recall` at k = E, recall_half and recall_double at E / 2 and 2 E, curve_i at each budget of `targeting.CURVE`;
    `strict` with a reach of 5 measurements for all events; `chance`, by formula; `other`, the mean recall of the
    moments that the method names in the other runs of the testbed, and `net` = recall - other; precision, found and f1
    of the list that the method itself ends; layer_rate, sample_auc, shocked and shock_recall as in `targeting`.
    """
    rows: list[Row] = []
    for bed in dict.fromkeys(run.bed for run in runs):
        these = [run for run in runs if run.bed == bed and run.truth.events]
        for name, method in methods.items():
            rows += _rows(name, these, _given([method(run.signals, run.trial.kind) for run in these]))
        rows += _rows(CEILING, these, _given([ceiling(run) for run in these]))
        for kind in GRIDS:
            times = RANDOM_DRAWS if kind == "random" else 1
            draws = [_rows(kind, these, _laid(kind, these, rng)) for _ in range(times)]
            rows += [_mean(same) for same in zip(*draws, strict=True)]
    return pd.DataFrame(rows)


Row = dict[str, Any]
Asked = Callable[[int, int], Moments]
"""Which run, and how many moments are wanted, to moments."""


def _given(found: Sequence[Moments]) -> Asked:
    return lambda i, k: found[i]


def _laid(kind: str, runs: Sequence[TrialRun], rng: np.random.Generator) -> Asked:
    return lambda i, k: grid(kind, runs[i].signals, k=k, rng=rng)


def _rows(method: str, runs: Sequence[TrialRun], ask: Asked) -> list[Row]:
    rows = []
    for i, run in enumerate(runs):
        events = len(run.truth.events)
        others = [recall(ask(j, events), run.truth) for j in range(len(runs)) if j != i]
        other = float(np.mean(others)) if others else math.nan
        values = _measures(run, i, ask)
        row: Row = {"bed": run.bed, "seed": run.seed, "method": method, "events": events, **values}
        rows.append({**row, "other": other, "net": values["recall"] - other})
    return rows


def _measures(run: TrialRun, i: int, ask: Asked) -> dict[str, float]:
    truth, events = run.truth, len(run.truth.events)

    def at(share: float) -> float:
        return recall(ask(i, budget(share, events)), truth, share=share)

    first = ask(i, events)
    values = {name: at(share) for name, share in _BUDGETS.items()}
    values |= {f"curve_{i + 1}": at(share) for i, share in enumerate(CURVE)}
    values |= {"strict": recall(first, truth.strict()), "chance": chance(truth)}
    if first.count is not None:
        own = listed(first, truth)
        values |= {"precision": own.precision, "found": own.recall, "f1": own.f1, "listed": float(first.count)}
    values |= {"layer_rate": layer_rate(first, truth), "sample_auc": sample_auc(first, truth)}
    return values | {"shocked": shocked(first, truth), "shock_recall": shock_recall(first, truth)}


def _mean(rows: Sequence[Row]) -> Row:
    numbers = pd.DataFrame(rows).drop(columns=["bed", "method"]).mean()
    return {**rows[0], **numbers.to_dict(), "seed": rows[0]["seed"], "events": rows[0]["events"]}


def ceiling(run: TrialRun) -> Moments:
    """The moments at which the clocks of the events themselves are steepest: what no method that looks for steepness
    can be expected to pass. It reads the truth."""
    curves = read_clock(run.folder)
    # A clock's reading is named by its event, or by its event and the layer that it is read in.
    named = {(n, e.layer) for e in run.truth.events for n in e.name.split("+")}
    columns = [c for c in curves if any(c in (name, f"{name}@{layer}") for name, layer in named)]
    smooth = median_filter(curves[columns or list(curves)].to_numpy(), size=(5, 1), mode="nearest")
    steps = curves.index.to_numpy(dtype=np.float64)
    slope = np.abs(operators(steps, Kernel("step", 2.0)).slope @ smooth)
    steepest = steps[pick(np.square(scaled(slope)).sum(1), steps)]
    return Moments(np.abs(run.truth.steps[:, None] - steepest).argmin(0))


def layers_named(runs: Sequence[TrialRun], method: Method, choice: Choice) -> pd.DataFrame:
    """One row per run with events whose layer is known, and way of naming it: bed, seed, way, `found`, the share named
    right at the moments of `method` that hit such an event (the same moments for all ways), and `true`, at the true
    times. Ways: "method" itself; the frozen forms of `Choice.where`; "one layer", always the one that is right most
    often over the runs of the testbed; "swap test", of the ranker's own transitions, where weights were kept."""
    rows = []
    for bed in dict.fromkeys(run.bed for run in runs):
        these = [run for run in runs if run.bed == bed and any(e.layer != ANY for e in run.truth.events)]
        layers = [e.layer for run in these for e in run.truth.events if e.layer != ANY]
        most = max(sorted(set(layers)), key=layers.count, default=ANY)
        for run in these:
            moments = method(run.signals, run.trial.kind).first(len(run.truth.events))
            known = [e.layer for e in run.truth.events if e.layer != ANY]
            ways = {name: name_layers(run.signals, form, moments.index) for name, form in choice.where.items()}
            ways |= {"method": moments.layers, "one layer": (most,) * len(moments.index)}
            if swapped := layers_by_swap(run, len(moments.index)):
                ways["swap test"] = swapped
            true = {name: named_at_times(run, form) for name, form in choice.where.items()}
            true["one layer"] = float(np.mean([layer == most for layer in known]))
            for way, names in ways.items():
                row = {"bed": bed, "seed": run.seed, "way": way, "true": true.get(way, math.nan)}
                rows.append(row | {"found": _named(moments, names, run)})
    return pd.DataFrame(rows, columns=["bed", "seed", "way", "found", "true"])


def _named(moments: Moments, names: Sequence[str], run: TrialRun) -> float:
    events = run.truth.events
    right = [
        names[i].removesuffix(ADDED) == events[j].layer for i, j in hits(moments, run.truth) if events[j].layer != ANY
    ]
    return float(np.mean(right)) if right and names else math.nan


def false_alarms(runs: Sequence[TrialRun], methods: Mapping[str, Method]) -> pd.DataFrame:
    """One row per nuisance and method: `alarm`, the share of runs in which one of the method's first 3 moments lies
    from 5 measurements before the nuisance to 10 after it; `plain`, the same share of the same seeds' undisturbed
    twins at the same place; `runs` how many."""
    twins = {run.seed: run for run in runs if run.bed == "plain"}
    rows = []
    for nuisance in (kind for kind in NUISANCES if kind != "plain"):
        pairs = [(run, twins[run.seed]) for run in runs if run.bed == nuisance and run.seed in twins]
        for name, method in methods.items():
            alarms = [[_alarmed(run, method) for run in pair] for pair in pairs]
            alarm, plain = np.mean(alarms, axis=0) if alarms else (math.nan, math.nan)
            rows.append({"nuisance": nuisance, "method": name, "runs": len(pairs), "alarm": alarm, "plain": plain})
    return pd.DataFrame(rows, columns=["nuisance", "method", "runs", "alarm", "plain"])


def _alarmed(run: TrialRun, method: Method) -> bool:
    at, every = run.truth.planted[0], run.truth.every
    first = run.truth.steps[method(run.signals, run.trial.kind).index[:ALARMS]]
    return bool(np.any((first >= at - LEAST * every) & (first <= at + ALARM_REACH * every)))


def examples(runs: Sequence[TrialRun], method: Method) -> pd.DataFrame:
    """What is drawn of the first run of every testbed, rows of three kinds: "series" (step, layer, value of the
    participation ratio at every second measurement), "event" (step = t50, start = t10, stop = t90, name) and "moment"
    (step, layer and rank of the method's first E moments)."""
    columns = ["bed", "seed", "kind", "step", "layer", "value", "start", "stop", "name", "rank"]
    parts = []
    for bed in dict.fromkeys(run.bed for run in runs):
        run = next((r for r in runs if r.bed == bed and r.truth.events), None)
        if run is not None:
            rows = [*_series_rows(run), *_event_rows(run), *_moment_rows(run, method(run.signals, run.trial.kind))]
            parts.append(pd.DataFrame(rows).assign(bed=bed, seed=run.seed))
    return pd.concat(parts).reindex(columns=columns) if parts else pd.DataFrame(columns=columns)


def _series_rows(run: TrialRun) -> list[Row]:
    values = run.signals.series["participation_ratio"][::2]
    return [
        {"kind": "series", "step": step, "layer": run.signals.layers[column], "value": value}
        for column in run.signals.streams
        for step, value in zip(run.signals.steps[::2], values[:, column], strict=True)
    ]


def _event_rows(run: TrialRun) -> list[Row]:
    return [
        {"kind": "event", "step": e.t50, "start": e.t10, "stop": e.t90, "name": e.name, "layer": e.layer}
        for e in run.truth.events
    ]


def _moment_rows(run: TrialRun, moments: Moments) -> list[Row]:
    first = moments.first(len(run.truth.events))
    layers = first.layers or (ANY,) * len(first.index)
    return [
        {"kind": "moment", "step": run.signals.steps[i], "layer": layer, "rank": rank + 1}
        for rank, (i, layer) in enumerate(zip(first.index, layers, strict=True))
    ]
