"""How well a list of moments, best first, points at events whose times are known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.signal import find_peaks

from geophone.errors import InputError
from geophone.prove.events import ANY, Event

LEAST = 5
MOST = 0.05
APART = 2 * LEAST + 1
BUDGETS = (0.5, 1.0, 2.0)
CURVE = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
GOAL = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Places to dig, best first: `index` of the measurement, and the `layer` that speaks for it (ANY: none does)."""

    index: np.ndarray
    layer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hits:
    """How the first k moments fared on the E events of a run.

    `recall` = matched / E, `precision` = matched / k, `chance` the recall of k random moments, `lift` = recall /
    chance, `layer_rate` the share of right layers among matched events whose layer is known (NaN: none is).
    """

    k: int
    recall: float
    precision: float
    chance: float
    lift: float
    layer_rate: float


def pick(score: np.ndarray, *, apart: int = APART, spread: float = 0.0) -> np.ndarray:
    """Indices of the measurements of `score` (measurements,), best first, any two at least `apart` of them apart, and
    at least `spread` times the better one's place from the start, since later events are slower.

    Greedy: local maxima within the run from the highest down, then, so that any budget can be spent, what is left from
    the highest down. NaN never comes up. Ties go to the earlier measurement.
    """
    score = np.where(np.isfinite(score), np.asarray(score, dtype=np.float64), -np.inf)
    tops = find_peaks(score)[0]
    first = tops[np.argsort(-score[tops], kind="stable")]
    rest = np.argsort(-score, kind="stable")
    free, kept = np.isfinite(score), []
    for i in [*first, *rest]:
        if free[i]:
            kept.append(int(i))
            far = max(apart, int(spread * (i + 1)))
            free[max(0, i - far + 1) : i + far] = False
    return np.array(kept, dtype=int)


def tolerance(event: Event, *, every: float, total: float) -> float:
    """How far from t50 a moment still hits, in steps: a quarter of the rise t90 - t10, at least 5 measurements and at
    most 5 % of the run."""
    return float(np.clip((event.t90 - event.t10) / 4, LEAST * every, max(MOST * total, LEAST * every)))


def match(steps: np.ndarray, events: Sequence[Event], reach: Sequence[float]) -> list[tuple[int, int]]:
    """Pairs (moment, event) of the one-to-one assignment with the most hits, the nearest among those with as many.

    `steps` are the moments' training steps and `reach` says how far from its t50 each event can be hit (Kuhn 1955).
    """
    if not len(steps) or not len(events):
        return []
    distance = np.abs(np.asarray(steps, dtype=np.float64)[:, None] - np.array([e.t50 for e in events]))
    inside = distance <= np.asarray(reach, dtype=np.float64)
    # A hit is worth more than all distances together, so the number of hits comes first.
    cost = np.where(inside, distance / (1 + distance.sum()) - 1, 0.0)
    rows, columns = linear_sum_assignment(cost)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if inside[i, j]]


def budget(share: float, events: int) -> int:
    """The number of moments that a budget of `share` times the number of events buys, 1 at least."""
    return max(1, math.ceil(share * events - 1e-9))


def random_recall(windows: Sequence[int], *, k: int, length: int, apart: int = 1) -> float:
    """The expected recall of k of `length` measurements drawn at random, any two `apart` or more of them apart, all
    such sets being as likely, when the measurements that hit event i are `windows[i]` in number and in the middle.

    1 - P(no moment in the window): of the C(L - (k-1)(g-1), k) sets, those with j moments before the window and k - j
    behind it, for j = 0 ... k. With g = 1 this is the hypergeometric 1 - C(L - w, k) / C(L, k), wherever the window
    lies. Exact where no two windows share a moment's reach and w >= g - 1. Raises InputError when k do not fit.
    """
    whole = _sets(length, k, apart)
    if not whole:
        raise InputError(f"{k} moments that lie {apart} apart do not fit into {length} measurements.")
    return float(np.mean([1 - _missing(w, k, length, apart) / whole for w in windows]))


def _sets(length: int, k: int, apart: int) -> int:
    """How many sets of k of `length` places have all of them `apart` or more from one another."""
    room = length - (k - 1) * (apart - 1)
    return 1 if k == 0 else math.comb(room, k) if room >= k else 0


def _missing(window: int, k: int, length: int, apart: int) -> int:
    before = (length - window) // 2
    behind = length - window - before
    return sum(_sets(before, j, apart) * _sets(behind, k - j, apart) for j in range(k + 1))


def random_moments(length: int, *, k: int, apart: int, rng: np.random.Generator) -> np.ndarray:
    """k of `length` indices in random order, any two at least `apart` apart, every such set as likely as another."""
    room = length - (k - 1) * (apart - 1)
    if room < k:
        raise InputError(f"{k} moments that lie {apart} apart do not fit into {length} measurements.")
    drawn = np.sort(rng.choice(room, k, replace=False)) + (apart - 1) * np.arange(k)
    return rng.permutation(drawn)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The events of one run, how far each can be hit, and the steps that were measured."""

    events: tuple[Event, ...]
    reach: tuple[float, ...]
    steps: np.ndarray

    @property
    def windows(self) -> list[int]:
        """How many measurements hit each event."""
        return [
            int((np.abs(self.steps - event.t50) <= reach).sum())
            for event, reach in zip(self.events, self.reach, strict=True)
        ]


def truth(events: Sequence[Event], steps: np.ndarray, *, reach: float | None = None) -> Truth:
    """The events of a run measured at `steps`; `reach` measurements for all of them instead of each one's own."""
    every, total = float(np.median(np.diff(steps))), float(steps[-1])
    own = [tolerance(e, every=every, total=total) if reach is None else reach * every for e in events]
    return Truth(tuple(events), tuple(own), np.asarray(steps))


def hits(moments: Moments, known: Truth, *, share: float) -> Hits:
    """The first k = ceil(share E) moments against the events of a run. Raises InputError when the run has none."""
    if not known.events:
        raise InputError("a run without events has no recall; count its false alarms instead.")
    k = budget(share, len(known.events))
    pairs = match(known.steps[moments.index[:k]], known.events, known.reach)
    chance = random_recall(known.windows, k=k, length=len(known.steps), apart=APART)
    recall = len(pairs) / len(known.events)
    placed = [(moments.layer[i], known.events[j].layer) for i, j in pairs if known.events[j].layer != ANY]
    right = [said == where or said.startswith(where + ".") for said, where in placed]
    return Hits(
        k=k,
        recall=recall,
        precision=len(pairs) / k,
        chance=chance,
        lift=recall / chance,
        layer_rate=float(np.mean(right)) if right else math.nan,
    )


def recall_curve(moments: Moments, known: Truth, shares: Sequence[float] = CURVE) -> np.ndarray:
    """Recall at each budget of `shares` times E."""
    return np.array([hits(moments, known, share=share).recall for share in shares])


def area(moments: Moments, known: Truth) -> float:
    """The area under recall against k / E from 0 to 4, over 4 (trapezoids; recall 0 at k = 0): 1 cannot be reached, and
    a perfect method has 1 - 1 / 8."""
    shares = np.arange(1, 4 * len(known.events) + 1) / len(known.events)
    recall = recall_curve(moments, known, shares)
    return float(np.trapezoid(np.concatenate([[0.0], recall]), np.concatenate([[0.0], shares])) / 4)


def needed(moments: Moments, known: Truth) -> float:
    """The least k / E at which recall is 0.8 or more; NaN when all the moments are not enough."""
    for k in range(1, len(moments.index) + 1):
        pairs = match(known.steps[moments.index[:k]], known.events, known.reach)
        if len(pairs) >= GOAL * len(known.events) - 1e-9:
            return k / len(known.events)
    return math.nan
