"""How well a list of moments, best first, points at events whose times are known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from geophone.errors import InputError
from geophone.prove.events import ANY, Event
from geophone.prove.truth import APART, Truth
from geophone.signals import ADDED

CURVE = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
SHOCK_BEFORE, SHOCK_AFTER = 2, 5
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Places to dig, best first: `index` of the measurement.

    Where the method says so: `layers`, the one that each moment happened in (ANY: not said); `samples`, how much every
    scored sample of the probe moved (one array per moment); `count`, at how many of them its own list ends.
    """

    index: Indices
    layers: tuple[str, ...] = ()
    samples: tuple[np.ndarray, ...] = ()
    count: int | None = None

    def first(self, k: int) -> "Moments":
        """The first k moments alone."""
        return Moments(self.index[:k], self.layers[:k], self.samples[:k])


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


def hits(moments: Moments, truth: Truth) -> list[tuple[int, int]]:
    """`match` of moments with the events of a run."""
    return match(truth.steps[moments.index], truth.events, truth.reach)


def budget(share: float, events: int) -> int:
    """The number of moments that a budget of `share` times the number of events buys, 1 at least."""
    return max(1, math.ceil(share * events - 1e-9))


def recall(moments: Moments, truth: Truth, *, share: float = 1.0) -> float:
    """The share of a run's events that the first k = ceil(share E) moments hit. Raises InputError for a run without
    events."""
    if not truth.events:
        raise InputError("a run without events has no recall; count its false alarms instead.")
    k = budget(share, len(truth.events))
    return len(hits(moments.first(k), truth)) / len(truth.events)


def chance(truth: Truth, *, share: float = 1.0) -> float:
    """The recall that as many random moments have on average (`random_recall`)."""
    k = budget(share, len(truth.events))
    return random_recall(truth.windows, k=k, length=len(truth.steps), apart=APART)


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


def random_moments(length: int, *, k: int, apart: int, rng: np.random.Generator) -> Moments:
    """k of `length` measurements in random order, any two at least `apart` apart, every such set as likely as
    another."""
    room = length - (k - 1) * (apart - 1)
    if room < k:
        raise InputError(f"{k} moments that lie {apart} apart do not fit into {length} measurements.")
    drawn = np.sort(rng.choice(room, k, replace=False)) + (apart - 1) * np.arange(k)
    return Moments(rng.permutation(drawn))


def oracle(truth: Truth) -> Moments:
    """The moments of somebody who knows: every event at its t50, in its layer, with its samples."""
    index = np.array([np.abs(truth.steps - event.t50).argmin() for event in truth.events], dtype=np.intp)
    moved = tuple(truth.samples.get(e.name, np.zeros(0)).astype(np.float64) for e in truth.events)
    return Moments(index, tuple(event.layer for event in truth.events), moved, len(index))


@dataclass(frozen=True, slots=True)
class Listed:
    """The moments that a method itself lists, k not told: the share of them that hit an event, the share of events that
    they hit, and the harmonic mean of the two (0 where nothing was hit)."""

    precision: float
    recall: float
    f1: float


def listed(moments: Moments, truth: Truth) -> Listed:
    """How the first `count` moments fare. Raises InputError for a method that does not say where its list ends."""
    if moments.count is None:
        raise InputError("this method does not say where its list of moments ends.")
    right = len(hits(moments.first(moments.count), truth))
    precision, share = right / max(moments.count, 1), right / len(truth.events)
    return Listed(precision, share, 2 * right / max(moments.count + len(truth.events), 1))


def layer_rate(moments: Moments, truth: Truth) -> float:
    """Of the events that the first E moments hit and whose layer is known, the share whose layer is named; NaN where
    there is none or the method names no layers. A block and what it adds are one layer."""
    pairs = [(i, j) for i, j in hits(moments.first(len(truth.events)), truth) if truth.events[j].layer != ANY]
    if not pairs or not moments.layers:
        return math.nan
    return float(np.mean([moments.layers[i].removesuffix(ADDED) == truth.events[j].layer for i, j in pairs]))


def sample_auc(moments: Moments, truth: Truth) -> float:
    """Of the events that the first E moments hit and whose task's samples are known, the mean area under the ROC curve
    of the samples ranked by how much they moved; NaN where there is none."""
    areas = [
        auc(moments.samples[i], truth.samples[truth.events[j].name])
        for i, j in hits(moments.first(len(truth.events)), truth)
        if truth.events[j].name in truth.samples and moments.samples
    ]
    return float(np.mean(areas)) if areas else math.nan


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """P(score of a positive > score of a negative) + P(equal) / 2, from the rank sum (Mann & Whitney 1947); NaN where
    all are of one kind."""
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return math.nan
    return float((rankdata(score)[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def shocked(moments: Moments, truth: Truth) -> float:
    """The share of the first E moments that lie from 2 measurements before to 5 after a step at which data, objective
    or optimizer were changed: pointing there is right for a shock and wrong for an acquisition. NaN where none was."""
    if not truth.planted or not truth.events:
        return math.nan
    away = truth.steps[moments.index[: len(truth.events)], None] - np.array(truth.planted)
    near = (away >= -SHOCK_BEFORE * truth.every) & (away <= SHOCK_AFTER * truth.every)
    return float(near.any(axis=1).mean())


def shock_recall(moments: Moments, truth: Truth) -> float:
    """The share of planted changes that as many moments as there are changes find, each within the same window."""
    if not truth.planted:
        return math.nan
    away = truth.steps[moments.index[: len(truth.planted)], None] - np.array(truth.planted)
    near = (away >= -SHOCK_BEFORE * truth.every) & (away <= SHOCK_AFTER * truth.every)
    return float(near.any(axis=0).mean()) if near.size else 0.0
