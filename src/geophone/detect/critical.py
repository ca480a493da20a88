"""Periods of fast change, and the turning points between them."""

import numpy as np

from geophone.detect.series import as_series, check_mode, stretches
from geophone.records import CriticalPeriod, Transition

MODES = ("seed",)
PERCENTILE = 90


def critical_periods(series, *, mode: str) -> list[CriticalPeriod]:
    """Stretches in which `series` changes fast, in order of time.

    Velocity is the first difference per training step. mode "seed": |velocity| above its own 90th percentile,
    which is 10 % of any run whatever happens in it: a map of where the change is, not a finding that there is
    any. Gaps (NaN) end a stretch. Raises InputError for another mode, or what is not a series. Source: the
    founding study's step 1.3.
    """
    check_mode(mode, MODES)
    values, steps = as_series(series)
    if len(values) < 3:
        return []
    speed = np.abs(np.diff(values) / np.diff(steps))
    return [
        # Velocity i lies between measurements i and i + 1.
        CriticalPeriod(int(steps[a]), int(steps[b + 1]), int(steps[a + int(np.argmax(speed[a : b + 1])) + 1]))
        for a, b in stretches(_above_percentile(speed))
    ]


def transitions(series, *, mode: str) -> list[Transition]:
    """Turning points: local peaks of |acceleration|, the change of velocity per step.

    mode "seed": peaks above the 90th percentile of |acceleration|. Otherwise as `critical_periods`.
    """
    check_mode(mode, MODES)
    values, steps = as_series(series)
    if len(values) < 4:
        return []
    velocity = np.diff(values) / np.diff(steps)
    acceleration = np.diff(velocity) / ((steps[2:] - steps[:-2]) / 2)
    size = np.nan_to_num(np.abs(acceleration))
    around = np.concatenate([[0.0], size, [0.0]])
    peaks = _above_percentile(np.abs(acceleration)) & (size >= around[:-2]) & (size > around[2:])
    return [Transition(int(i) + 1, int(steps[i + 1]), float(acceleration[i])) for i in np.flatnonzero(peaks)]


def _above_percentile(size: np.ndarray) -> np.ndarray:
    finite = size[np.isfinite(size)]
    if len(finite) == 0 or finite.max() == 0:
        return np.zeros(len(size), dtype=bool)
    return np.nan_to_num(size) > np.percentile(finite, PERCENTILE)
