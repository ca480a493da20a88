"""Periods of fast change, and the turning points between them."""

import numpy as np

from geophone.detect.nulls import HALF_WINDOW, Null, log_series, make_null, peaks, reference_surrogates, scan
from geophone.detect.series import as_series, known_mode, stretches
from geophone.errors import InputError
from geophone.records import AccelerationPeak, CriticalPeriod

MODES = ("naive", "calibrated")
PERCENTILE = 90


def critical_periods(
    series, *, mode: str, rng: np.random.Generator | None = None, null: Null | None = None
) -> list[CriticalPeriod]:
    """Stretches in which `series` changes fast, in order of time.

    Velocity is the first difference per training step. mode "naive": |velocity| above its own 90th percentile,
    which is 10 % of any run whatever happens in it: a map of where the change is, not a finding that there is
    any. Source: the founding study's step 1.3. mode "calibrated": where the velocity of the log series (difference of
    the means of 5 measurements on each side, `nulls.scan`), in units of its local noise, passes the 95th
    percentile of its greatest value in surrogates without any change; by default 999 of AR(.5) noise that shrinks,
    drawn with `rng`. Steady drift that is fast beside the noise counts: it is change.

    Gaps (NaN) end a stretch. Raises InputError for another mode, what is not a series, and in mode "calibrated" without
    `rng` or `null`.
    """
    mode = known_mode(mode, MODES)
    values, steps = as_series(series)
    if len(values) < 3:
        return []
    if mode == "calibrated":
        null = null or change_null("velocity", len(values), rng=rng)
        return periods_of(scan(log_series(values)[None], kind="velocity")[0], steps, null)
    speed = np.abs(np.diff(values) / np.diff(steps))
    return [
        # Velocity i lies between measurements i and i + 1.
        CriticalPeriod(int(steps[a]), int(steps[b + 1]), int(steps[a + int(np.argmax(speed[a : b + 1])) + 1]))
        for a, b in stretches(_above_percentile(speed))
    ]


def periods_of(z: np.ndarray, steps: np.ndarray, null: Null) -> list[CriticalPeriod]:
    """Stretches of one velocity scan at or above the threshold of `null`."""
    size = np.abs(z)
    return [
        CriticalPeriod(int(steps[max(a - 1, 0)]), int(steps[b]), int(steps[a + int(np.argmax(size[a : b + 1]))]))
        for a, b in stretches(size >= null.threshold)
    ]


def transitions(
    series, *, mode: str, rng: np.random.Generator | None = None, null: Null | None = None
) -> list[AccelerationPeak]:
    """Turning points: local peaks of |acceleration|, the change of velocity per step.

    mode "naive": peaks above the 90th percentile of |acceleration|. mode "calibrated": peaks of the change of the log
    series' velocity, in units of its noise, above the 95th percentile of its greatest value in surrogates; the
    acceleration is then that of the log series. Otherwise as `critical_periods`.
    """
    mode = known_mode(mode, MODES)
    values, steps = as_series(series)
    if len(values) < 4:
        return []
    if mode == "calibrated":
        null = null or change_null("acceleration", len(values), rng=rng)
        y = log_series(values)
        return turns_of(y, scan(y[None], kind="acceleration")[0], steps, null)
    velocity = np.diff(values) / np.diff(steps)
    acceleration = np.diff(velocity) / ((steps[2:] - steps[:-2]) / 2)
    size = np.nan_to_num(np.abs(acceleration))
    around = np.concatenate([[0.0], size, [0.0]])
    found = _above_percentile(np.abs(acceleration)) & (size >= around[:-2]) & (size > around[2:])
    return [AccelerationPeak(int(i) + 1, int(steps[i + 1]), float(acceleration[i])) for i in np.flatnonzero(found)]


def turns_of(y: np.ndarray, z: np.ndarray, steps: np.ndarray, null: Null) -> list[AccelerationPeak]:
    """Peaks of one acceleration scan `z` of the log series `y` at or above the threshold of `null`."""
    found = []
    for i in peaks(z, null.threshold):
        before, after = max(i - HALF_WINDOW, 0), min(i + HALF_WINDOW, len(y) - 1)
        velocity = [(y[b] - y[a]) / (steps[b] - steps[a]) for a, b in ((before, i), (i, after))]
        found.append(
            AccelerationPeak(i, int(steps[i]), float(np.diff(velocity)[0] / ((steps[after] - steps[before]) / 2)))
        )
    return found


def change_null(kind: str, measurements: int, *, rng: np.random.Generator | None, surrogates: int = 999) -> Null:
    """The null of "velocity" or "acceleration": noise that shrinks, without drift."""
    if rng is None:
        raise InputError("mode 'calibrated' draws surrogates: pass rng=numpy.random.default_rng(seed).")
    return make_null(reference_surrogates(measurements, count=surrogates, drift=False, rng=rng), kind=kind)


def _above_percentile(size: np.ndarray) -> np.ndarray:
    finite = size[np.isfinite(size)]
    if len(finite) == 0 or finite.max() == 0:
        return np.zeros(len(size), dtype=bool)
    return np.nan_to_num(size) > np.percentile(finite, PERCENTILE)
