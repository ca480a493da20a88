"""Where a transition begins and ends, and which samples it moved."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from geophone.point.kernels import Kernel, fitted, operators
from geophone.point.signals import Behaviour, RunSignals, filled

Series = npt.NDArray[np.float64]
REACH = 8  # measurements on each side over which a change is read
SHARE_OF_RUN = 0.05  # or this part of the elapsed run, where that is more: later transitions are slower
SMOOTH = Kernel("step", 2.0)
PACE = Kernel("step", 4.0)
EARLY, LATE = 0.1, 0.9
AROUND = 5
MOST_OF = 0.98


@dataclass(frozen=True, slots=True)
class Stretch:
    """Measurements: `start` <= `peak` <= `stop`."""

    start: int
    peak: int
    stop: int


def reach(index: int, length: int) -> int:
    """How many measurements on each side of `index` its change is read over, in a run of `length` of them."""
    return max(round(fitted(REACH, length, least=2.0)), int(SHARE_OF_RUN * (index + 1)))


def around(index: int, length: int) -> tuple[int, int]:
    """The two measurements between which the change at `index` is read, held within the run."""
    far = reach(index, length)
    return max(index - far, 0), min(index + far, length - 1)


def valleys(score: Series, index: int, others: npt.NDArray[np.intp]) -> tuple[int, int]:
    """The lowest measurements of `score` between `index` and the nearest of `others` on each side; the ends of the run
    where there is none."""
    before, after = others[others < index], others[others > index]
    low = int(before.max()) if len(before) else 0
    high = int(after.min()) if len(after) else len(score) - 1
    return low + int(score[low : index + 1].argmin()), index + int(score[index : high + 1].argmin())


def rise_stretch(curve: Series, index: int, bounds: tuple[int, int]) -> Stretch:
    """From the last measurement before `index` at which `curve` has done a tenth of its rise to the first behind it at
    which it has done nine tenths. The rise is from its lowest within `bounds` up to `index` to its highest from there
    on, so that neither a fall before it nor one behind it is taken for a part of it."""
    low, high = bounds
    bottom, top = low + int(curve[low : index + 1].argmin()), index + int(curve[index : high + 1].argmax())
    change = curve[top] - curve[bottom]
    if change < 1e-12:
        return Stretch(low, index, high)
    done = (curve - curve[bottom]) / change
    early = np.flatnonzero(done[bottom : index + 1] <= EARLY)
    late = np.flatnonzero(done[index : top + 1] >= LATE)
    return Stretch(bottom + int(early[-1]), index, index + int(late[0]))


def bump_stretch(score: Series, index: int, bounds: tuple[int, int]) -> Stretch:
    """The measurements around `index`, within `bounds`, at which `score` is at least half of what it is there."""
    low, high = bounds
    below = score < score[index] / 2
    left = np.flatnonzero(below[low : index + 1])
    right = np.flatnonzero(below[index : high + 1])
    start = low + int(left[-1]) if len(left) else low
    return Stretch(start, index, index + int(right[0]) if len(right) else high)


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """What a rise of mean skill did: `rising` says whether it rises there at all, `own` are the places of the samples
    that it moved, `curve` (M,) their mean skill, smoothed, `noise` how far its single measurements lie from that."""

    rising: bool
    own: npt.NDArray[np.intp]
    curve: Series
    noise: float


def smoothed(run: RunSignals, skill: Series) -> Series:
    """Skill (M, n) over 2 measurements, as `moved` asks for it."""
    return operators(run.steps, SMOOTH).mean @ skill


def moved(run: RunSignals, skill: Series, smooth: Series, index: int) -> Moved:
    """The samples that the rise of `skill` (M, n; `smooth`: the same, `smoothed`) at `index` moved by at least half as
    much as those that it moved most, from the lowest mean within reach before it to the highest behind it."""
    low, high = around(index, len(run))
    mean = smooth.mean(1)
    bottom, top = low + int(mean[low : index + 1].argmin()), index + int(mean[index : high + 1].argmax())
    change = smooth[top] - smooth[bottom]
    most = np.quantile(change, MOST_OF)
    own = np.flatnonzero(change >= 0.5 * most) if most > 0 else np.arange(len(change))
    curve = smooth[:, own].mean(1)
    noise = 1.4826 * float(np.median(np.abs(skill[:, own].mean(1) - curve)))
    return Moved(bool(operators(run.steps, PACE).slope[index] @ mean > 0), own, curve, noise)


def steepest(run: RunSignals, curve: Series, index: int, bounds: tuple[int, int]) -> int:
    """The measurement within `bounds` and within reach of `index` at which `curve` rises fastest; `index` itself where
    that is at an end of them, since it is another rise that goes on there."""
    low, high = around(index, len(run))
    low, high = max(low, bounds[0]), min(high, bounds[1])
    fastest = low + int((operators(run.steps, SMOOTH).slope[low : high + 1] @ curve).argmax())
    return fastest if low < fastest < high else index


def sample_table(behaviour: Behaviour, stretch: Stretch, sign: int) -> pd.DataFrame:
    """sample, before, after and change of every scored sample, in the units that were recorded; those that moved most
    in the transition's own direction first (`sign` 1: skill rose).

    before is the mean of the 5 measurements up to the start, after that of the 5 from the end on: single ones are
    noisy. The order is that of a wider change, from 8 measurements before the peak to 8 behind it, or from start to end
    where they lie farther apart: it tells samples apart better than it says how far they moved meanwhile. In runs of
    fewer than 88 measurements, of fewer in proportion.
    """
    values, (_, some) = filled(behaviour.values), _reaches(behaviour)
    before, after = _means(values, stretch.start, stretch.stop, some)
    data = {"sample": np.arange(len(before)), "before": before, "after": after, "change": after - before}
    order = np.argsort(-_wide(behaviour, stretch, sign), kind="stable")
    return pd.DataFrame(data).iloc[order].reset_index(drop=True)


def own_count(behaviour: Behaviour, stretch: Stretch, sign: int) -> int:
    """How many samples the transition moved, at the head of its `sample_table`: those that moved by at least half as
    much as the fiftieth that moved most, by the change that orders it."""
    wide = _wide(behaviour, stretch, sign)
    most = float(np.quantile(wide, MOST_OF))
    return int((wide >= most / 2).sum()) if most > 0 else len(wide)


def _reaches(behaviour: Behaviour) -> tuple[int, int]:
    length = len(behaviour.values)
    return round(fitted(REACH, length, least=2.0)), round(fitted(AROUND, length, least=1.0))


def _means(values: Series, low: int, high: int, some: int) -> tuple[Series, Series]:
    return values[max(0, low - some + 1) : low + 1].mean(0), values[high : high + some].mean(0)


def _wide(behaviour: Behaviour, stretch: Stretch, sign: int) -> Series:
    """How far each sample moved in the transition's direction, from well before its peak to well behind it."""
    values, (far, some) = filled(behaviour.values), _reaches(behaviour)
    low, high = min(stretch.start, stretch.peak - far), max(stretch.stop, stretch.peak + far)
    old, new = _means(values, max(low, 0), min(high, len(values) - 1), some)
    return (-sign if behaviour.falling else sign) * (new - old)
