"""When a series settles."""

import numpy as np

from geophone.detect.series import as_series, check_mode
from geophone.records import Stabilization

WINDOW = 20
MODES = ("seed",)


def stabilization(series, *, mode: str) -> Stabilization:
    """First measurement at which `series` has settled.

    mode "seed": the first index i at which the standard deviation of the last 20 measurements x[i-19..i] is below
    10 % of their mean's size. It says that the series was once flat for 20 measurements, not that it stayed so.
    A window with a gap (NaN) does not count. Never raises for a short, dead or constant series: the status says.
    Raises InputError for another mode, or what is not a series. Source: the founding study's step 1.1.
    """
    check_mode(mode, MODES)
    values, steps = as_series(series)
    if not np.isfinite(values).any():
        return Stabilization(None, None, "dead")
    if len(values) < WINDOW:
        return Stabilization(None, None, "too short")
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW)
    # A constant window is settled at any mean, zero included.
    flat = (windows.std(1) < 0.1 * np.abs(windows.mean(1))) | (np.ptp(windows, axis=1) == 0)
    if not flat.any():
        return Stabilization(None, None, "not reached")
    index = int(np.argmax(flat)) + WINDOW - 1
    return Stabilization(index, int(steps[index]), "stable")
