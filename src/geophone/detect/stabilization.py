"""When a series settles."""

import numpy as np
from scipy import stats

from geophone.detect.series import as_series, known_mode
from geophone.records import Stabilization

WINDOW = 20
MODES = ("naive", "calibrated")


def stabilization(series, *, mode: str) -> Stabilization:
    """First measurement at which `series` has settled.

    mode "naive": the first index i at which the standard deviation of the last 20 measurements x[i-19..i] is below
    10 % of their mean's size. It says that the series was once flat for 20 measurements, not that it stayed so.
    A window with a gap (NaN) does not count. Source: the founding study's step 1.1.

    mode "calibrated": the first measurement after the last one that lies outside median(last 10 %) +- 0.1 x the
    distance from the 5th to the 95th percentile of the whole series. "censored" when that falls into the last 20 %,
    or when the 95 % interval of the straight slope over the last 20 % excludes 0 (its width allows for first-order
    autocorrelation): the run ended before the series can be said to have settled. It says nothing of how large the
    remaining change is. Gaps are passed over.

    Never raises for a short, dead or constant series: the status says. Raises InputError for another mode, or what is
    not a series.
    """
    mode = known_mode(mode, MODES)
    values, steps = as_series(series)
    if not np.isfinite(values).any():
        return Stabilization(None, None, "dead")
    if len(values) < WINDOW:
        return Stabilization(None, None, "too short")
    return _calibrated(values, steps) if mode == "calibrated" else _seed(values, steps)


def _seed(values: np.ndarray, steps: np.ndarray) -> Stabilization:
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW)
    # A constant window is settled at any mean, zero included.
    flat = (windows.std(1) < 0.1 * np.abs(windows.mean(1))) | (np.ptp(windows, axis=1) == 0)
    if not flat.any():
        return Stabilization(None, None, "not reached")
    index = int(np.argmax(flat)) + WINDOW - 1
    return Stabilization(index, int(steps[index]), "stable")


def _calibrated(values: np.ndarray, steps: np.ndarray) -> Stabilization:
    there = np.flatnonzero(np.isfinite(values))
    x, n = values[there], len(there)
    if n < WINDOW:
        return Stabilization(None, None, "too short")
    level = np.median(x[-max(n // 10, 2) :])
    low, high = np.percentile(x, [5, 95])
    outside = np.flatnonzero(np.abs(x - level) > 0.1 * (high - low))
    # On a constant series nothing is outside: it was settled from the start.
    first = int(outside[-1]) + 1 if len(outside) else 0
    tail = n - max(n // 5, 2)
    if first >= tail or slope_differs(x[tail:]):
        return Stabilization(None, None, "censored")
    index = int(there[first])
    return Stabilization(index, int(steps[index]), "stable")


def slope_differs(x: np.ndarray) -> bool:
    """Whether the 95 % interval of the least-squares slope of evenly spaced `x` excludes 0.

    The residuals' lag-1 autocorrelation r reduces the number of values to n (1 - r) / (1 + r), at least 3.
    """
    n = len(x)
    t = np.arange(n) - (n - 1) / 2
    slope = (t @ x) / (t @ t)
    rest = x - x.mean() - slope * t
    variance = rest @ rest
    if n < 4 or variance <= np.finfo(float).eps * (x @ x):
        return n >= 4 and abs(slope) * n > 1e-9 * np.abs(x).max(initial=0.0)
    r = np.clip((rest[1:] @ rest[:-1]) / variance, 0.0, 0.99)
    effective = max(n * (1 - r) / (1 + r), 3.0)
    error = np.sqrt(variance / (n - 2) / (t @ t) * n / effective)
    return bool(abs(slope) > stats.t.ppf(0.975, effective - 2) * error)
