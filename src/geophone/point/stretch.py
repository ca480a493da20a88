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
EARLY, LATE = 0.1, 0.9
AROUND = 5


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
    """From the last measurement before `index` at which `curve` has done a tenth of its change between `bounds` to the
    first behind it at which it has done nine tenths."""
    low, high = bounds
    change = curve[high] - curve[low]
    if low == high or abs(change) < 1e-12:
        return Stretch(low, index, high)
    done = (curve - curve[low]) / change
    early = np.flatnonzero(done[low : index + 1] <= EARLY)
    late = np.flatnonzero(done[index : high + 1] >= LATE)
    return Stretch(low + int(early[-1]) if len(early) else low, index, index + int(late[0]) if len(late) else high)


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
    """What a transition did to behaviour: `sign` is 1 where its samples rose in skill and -1 where they fell, `own` are
    their places, `curve` (M,) their mean skill, smoothed, `noise` how far its single measurements lie from that."""

    sign: int
    own: npt.NDArray[np.intp]
    curve: Series
    noise: float


def moved(run: RunSignals, skill: Series, index: int) -> Moved:
    """The samples that the change at `index` moved by at least half as much as those that it moved most."""
    smooth = operators(run.steps, SMOOTH).mean @ skill
    low, high = around(index, len(run))
    change = smooth[high] - smooth[low]
    sign = 1 if change.sum() >= 0 else -1
    most = np.quantile(sign * change, 0.98)
    own = np.flatnonzero(sign * change >= 0.5 * most) if most > 0 else np.arange(len(change))
    curve = smooth[:, own].mean(1)
    return Moved(sign, own, curve, 1.4826 * float(np.median(np.abs(skill[:, own].mean(1) - curve))))


def sample_table(behaviour: Behaviour, stretch: Stretch, sign: int) -> pd.DataFrame:
    """sample, before, after and change of every scored sample, in the units that were recorded; those that moved most
    in the transition's own direction first (`sign` 1: skill rose).

    before is the mean of the 5 measurements up to the start, or up to 8 before the peak where that is earlier; after
    that of the 5 from the end on, or from 8 behind the peak: single measurements are too noisy to tell them apart by.
    In runs of fewer than 88 measurements, fewer in proportion.
    """
    values = filled(behaviour.values)
    far, some = (round(fitted(size, len(values), least=least)) for size, least in ((REACH, 2.0), (AROUND, 1.0)))
    low = max(min(stretch.start, stretch.peak - far), 0)
    high = min(max(stretch.stop, stretch.peak + far), len(values) - 1)
    before = values[max(0, low - some + 1) : low + 1].mean(0)
    after = values[high : high + some].mean(0)
    change = after - before
    direction = -sign if behaviour.falling else sign
    table = pd.DataFrame({"sample": np.arange(len(change)), "before": before, "after": after, "change": change})
    return table.iloc[np.argsort(-direction * change, kind="stable")].reset_index(drop=True)
