"""From a score at every measurement to moments, best first, that lie apart."""

import numpy as np
import numpy.typing as npt

APART = 11
SPREAD = 0.1


def least_apart(measurements: int) -> int:
    """11 measurements; an eighth of the run, 2 at least, where it has fewer than 88 (a row of checkpoints)."""
    return min(APART, max(2, measurements // 8))


def pick(
    score: npt.NDArray[np.float64],
    steps: npt.NDArray[np.float64],
    *,
    apart: int | None = None,
    spread: float = SPREAD,
    first: int = 0,
    peaks_only: bool = False,
    at_end: bool = False,
) -> npt.NDArray[np.intp]:
    """Indices of the measurements of `score` (M,) taken at `steps` (M,), best first, any two at least `apart` (default
    `least_apart`) measurements and `spread` times the better one's elapsed steps apart, since later events are slower.

    Greedy: local maxima from the highest down, then, unless `peaks_only`, what is left from the highest down, so that
    any number can be had: both ends of the run may be among those; with `at_end` the last measurement is a maximum
    too where it is above the one before. NaN never comes up; ties go to the earlier measurement.
    """
    from scipy.signal import find_peaks  # 26 MB, which no recording needs that only listens for alarms

    level = np.where(np.isfinite(score), np.asarray(score, dtype=np.float64), -np.inf)
    apart = least_apart(len(level)) if apart is None else apart
    tops = find_peaks(np.append(level, -np.inf) if at_end else level)[0]
    level[:first] = -np.inf
    tops = tops[tops >= first]
    best = tops[np.argsort(-level[tops], kind="stable")]
    order = np.argsort(-level, kind="stable")
    rest = order[:0] if peaks_only else order
    places, free = np.arange(len(level)), np.isfinite(level)
    chosen: list[int] = []
    for i in (*best, *rest):
        if free[i]:
            chosen.append(int(i))
            free &= (np.abs(places - i) >= apart) & (np.abs(steps - steps[i]) >= spread * steps[i])
            free[i] = False
    return np.array(chosen, dtype=np.intp)
