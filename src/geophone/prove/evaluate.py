"""Every method on every run: a row each."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from geophone.detect.jumps import alarms
from geophone.prove.choice import GEOPHONE, Choice
from geophone.prove.runs import NUISANCES
from geophone.prove.scores import GRIDS, Method, grid, moments
from geophone.prove.signals import Signals
from geophone.prove.targeting import (
    APART,
    BUDGETS,
    CURVE,
    LEAST,
    Moments,
    Truth,
    area,
    budget,
    hits,
    needed,
    recall_curve,
)

OFFLINE, CAUSAL = "offline", "causal"
RANDOM_DRAWS = 20
ALARMS = 3
ALARM_REACH = 10
_RECALLS = dict(zip(("recall_half", "recall", "recall_double"), BUDGETS, strict=True))
Ranking = Callable[[int], Moments]


def evaluate(runs: Sequence[Signals], choice: Choice, *, rng: np.random.Generator) -> pd.DataFrame:
    """A row a run with events, method and track: bed, seed, method, track, events, recall_half, recall, recall_double,
    precision, chance, lift, layer_rate, area, needed, strict, other_run and curve_1 ... curve_6.

    recall, precision, chance, lift and layer_rate are at k = E (`targeting.hits`), recall_half and recall_double at
    E / 2 and 2 E; area and needed as in `targeting`; `strict` is recall at k = E with a reach of 5 measurements for all
    events; `other_run` is recall at k = E against the events of the next run of the same testbed: what the testbed's
    usual course alone gives. curve_i is recall at the i-th budget of `targeting.CURVE`. The grids have no causal track;
    "random" is the mean of 20 draws.
    """
    rows = []
    for bed in dict.fromkeys(run.bed for run in runs):
        these = [run for run in runs if run.bed == bed and run.truth.events]
        for run, other in zip(these, these[1:] + these[:1], strict=True):
            for method in choice.methods.values():
                for track in (OFFLINE, CAUSAL):
                    found = moments(run, method, causal=track == CAUSAL)
                    rows.append(_row(run, method.name, track) | _measures(_listed(found), run, other))
            rows += [_row(run, kind, OFFLINE) | _grid_measures(kind, run, other, rng) for kind in GRIDS]
    return pd.DataFrame(rows)


def _row(run: Signals, method: str, track: str) -> dict:
    return {"bed": run.bed, "seed": run.seed, "method": method, "track": track, "events": len(run.truth.events)}


def _listed(found: Moments) -> Ranking:
    return lambda k: found


def _grid_measures(kind: str, run: Signals, other: Signals, rng: np.random.Generator) -> dict[str, float]:
    def drawn(k: int) -> Moments:
        return grid(kind, run, k=k, apart=APART, rng=rng)

    draws = [_measures(drawn, run, other) for _ in range(RANDOM_DRAWS if kind == "random" else 1)]
    return pd.DataFrame(draws).mean().to_dict()


def _measures(ranking: Ranking, run: Signals, other: Signals) -> dict[str, float]:
    known, events = run.truth, len(run.truth.events)
    at = hits(ranking(budget(1.0, events)), known, share=1.0)
    found = {name: _recall(ranking, known, share) for name, share in _RECALLS.items()}
    found |= {"precision": at.precision, "chance": at.chance, "lift": at.lift, "layer_rate": at.layer_rate}
    whole = ranking(4 * events)
    found |= {"area": area(whole, known), "needed": needed(whole, known)}
    found |= {"strict": _recall(ranking, run.strict, 1.0), "other_run": _recall(ranking, other.truth, 1.0)}
    curve = recall_curve(whole, known) if len(whole.index) > 4 * events else _curve(ranking, known)
    return found | {f"curve_{i + 1}": float(value) for i, value in enumerate(curve)}


def _recall(ranking: Ranking, known: Truth, share: float) -> float:
    return hits(ranking(budget(share, len(known.events))), known, share=share).recall


def _curve(ranking: Ranking, known: Truth) -> list[float]:
    return [_recall(ranking, known, share) for share in CURVE]


def false_alarms(runs: Sequence[Signals], choice: Choice) -> pd.DataFrame:
    """A row a nuisance and method: `alarm`, the share of runs in which one of the method's first 3 moments lies from 5
    measurements before the nuisance to 10 after it; `plain`, the same share of the same seeds' undisturbed twins at the
    same place; `runs` how many."""
    twins = {run.seed: run for run in runs if run.bed == "plain"}
    rows = []
    for nuisance in (kind for kind in NUISANCES if kind != "plain"):
        pairs = [(run, twins[run.seed]) for run in runs if run.bed == nuisance and run.seed in twins]
        for method in choice.methods.values():
            told = [[_alarmed(each, run.planted[0], method) for each in (run, twin)] for run, twin in pairs]
            alarm, plain = np.mean(told, axis=0) if told else (math.nan, math.nan)
            rows.append(
                {"nuisance": nuisance, "method": method.name, "runs": len(pairs), "alarm": alarm, "plain": plain}
            )
    return pd.DataFrame(rows)


def _alarmed(run: Signals, at: int, method: Method) -> bool:
    every = float(np.median(np.diff(run.steps)))
    first = run.steps[moments(run, method).index[:ALARMS]]
    return bool(np.any((first >= at - LEAST * every) & (first <= at + ALARM_REACH * every)))


def examples(runs: Sequence[Signals], choice: Choice, *, dimension: str = "participation_ratio") -> pd.DataFrame:
    """What is drawn of the first run of every testbed, rows of four kinds: "series" (step, layer, value of `dimension`
    at every second measurement), "event" (step = t50, start = t10, stop = t90, name), "moment" (step, layer and rank of
    the product's first E moments) and "alarm" (step, layer: `OnlineCusum` on the same dimension)."""
    parts = []
    for bed in dict.fromkeys(run.bed for run in runs):
        run = next((r for r in runs if r.bed == bed and r.truth.events), None)
        if run is not None:
            rows = [*_series_rows(run, dimension), *_event_rows(run), *_alarm_rows(run, dimension)]
            rows += _moment_rows(run, choice.methods[GEOPHONE])
            parts.append(pd.DataFrame(rows).assign(bed=bed, seed=run.seed))
    columns = ["bed", "seed", "kind", "step", "layer", "value", "start", "stop", "name", "rank"]
    return pd.concat(parts).reindex(columns=columns) if parts else pd.DataFrame(columns=columns)


def _series_rows(run: Signals, dimension: str) -> list[dict]:
    signal = run.signals[dimension]
    values = np.exp(signal.y[::2])
    return [
        {"kind": "series", "step": step, "layer": layer, "value": value}
        for layer, column in zip(signal.layers, values.T, strict=True)
        for step, value in zip(run.steps[::2], column, strict=True)
    ]


def _alarm_rows(run: Signals, dimension: str) -> list[dict]:
    signal = run.signals[dimension]
    return [
        {"kind": "alarm", "step": run.steps[i], "layer": layer}
        for layer, heard in zip(signal.layers, alarms(np.exp(signal.y.T)), strict=True)
        for i, _, _ in heard
    ]


def _event_rows(run: Signals) -> list[dict]:
    return [
        {"kind": "event", "step": e.t50, "start": e.t10, "stop": e.t90, "name": e.name, "layer": e.layer}
        for e in run.truth.events
    ]


def _moment_rows(run: Signals, method: Method) -> list[dict]:
    found, count = moments(run, method), len(run.truth.events)
    first = zip(found.index[:count], found.layer[:count], strict=True)
    return [
        {"kind": "moment", "step": run.steps[i], "layer": layer, "rank": rank + 1}
        for rank, (i, layer) in enumerate(first)
    ]
