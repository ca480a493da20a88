"""Where nothing of the kind happened: the two windows that a target is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geophone.point.kernels import log_steps

Series = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """Three measurements of a window: `before` < `middle` < `after`, or the middle at one of the ends."""

    before: int
    middle: int
    after: int


def controls(
    steps: Series, target: Span, activity: Series, busy: Sequence[tuple[int, int]]
) -> tuple[Span | None, Span | None]:
    """The nearest windows before and after `target` that are as long in ln step, touch neither it nor any of `busy`
    (measurements, both ends included: where transitions lie), and in which `activity` (M,), how fast the signals that
    define the target move, is on average less than in the target and less than in half of all windows as long. None for
    a side on which there is no such window, as where it would be shorter than two measurements.
    """
    places = log_steps(steps)
    length = places[target.after] - places[target.before]
    lead = places[target.middle] - places[target.before]
    total = np.concatenate([[0.0], np.cumsum(activity)])
    own = float(activity[target.before : target.after + 1].mean())
    taken = np.zeros(len(steps) + 1)
    for low, high in (*busy, (target.before, target.after)):
        taken[low] += 1
        taken[high + 1] -= 1
    inside = np.concatenate([[0.0], np.cumsum(np.cumsum(taken)[:-1] > 0)])
    begins = np.arange(len(steps))
    ends = np.abs(places[:, None] - (places + length)[None]).argmin(0)
    fits = (places + length <= places[-1] + 1e-9) & (ends > begins)
    free = inside[ends + 1] - inside[begins] == 0
    pace = (total[ends + 1] - total[begins]) / (ends + 1 - begins)
    calm = (pace < own) & (pace <= np.median(pace[fits])) if fits.any() else np.zeros(len(steps), dtype=bool)
    good = np.flatnonzero(fits & free & calm)
    earlier, later = good[ends[good] < target.before], good[good > target.after]

    def span(begin: int) -> Span:
        middle = int(np.abs(places - (places[begin] + lead)).argmin())
        return Span(begin, int(np.clip(middle, begin, ends[begin])), int(ends[begin]))

    before = span(int(earlier[np.argmax(ends[earlier])])) if len(earlier) else None
    return before, span(int(later.min())) if len(later) else None
