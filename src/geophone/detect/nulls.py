"""How a series is scanned for change, and how far the scan goes when nothing happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d

from geophone.detect.synthetic import autoregressive
from geophone.errors import InputError

KINDS = ("jump", "velocity", "acceleration")
HALF_WINDOW = 5
DRIFT_WINDOW = 41
NOISE_WINDOW = 101
BLOCK = 25
LEAST = 4 * HALF_WINDOW
# A change of the logarithm below one in a million is rounding, however quiet the series.
FLOOR = 1e-6


def scan(y: np.ndarray, *, kind: str) -> np.ndarray:
    """One kind of `scans`. Raises InputError for a kind that there is not."""
    if kind not in KINDS:
        raise InputError(f"unknown scan {kind!r}; known are {', '.join(KINDS)}.")
    return scans(y)[kind]


def scans(y: np.ndarray) -> dict[str, np.ndarray]:
    """The change at every measurement of `y` (series, measurements), in units of its own local noise, by kind; each of
    the shape of `y`.

    D_i = mean(y_i ... y_i+4) - mean(y_i-5 ... y_i-1). The drift is the running median of D over 41 measurements; the
    noise s is that of D - drift: over 101 measurements the greater of 1.4826 median |D - drift| and 1.2533 mean |D -
    drift|, and at least 1e-6. "jump": (D - drift) / s; "velocity": D / s; "acceleration": (D_i+5 - D_i-5) / s. Both
    windows shrink on short series. 0 where a window has a gap (NaN) in it or leaves the series, and everywhere on
    fewer than 20 measurements. Memory: a few copies of `y`.
    """
    y = np.asarray(y, dtype=np.float64)
    found = {kind: np.zeros(y.shape) for kind in KINDS}
    if y.shape[1] < LEAST:
        return found
    filled, gaps = _filled(y)
    difference, holes = _mean_difference(filled), _mean_difference(gaps, both=True) > 0
    around = difference - _running_median(difference, DRIFT_WINDOW)
    noise = _noise(around)
    inner = slice(HALF_WINDOW, HALF_WINDOW + difference.shape[1])
    for kind, change in (("jump", around), ("velocity", difference)):
        found[kind][:, inner] = np.where(holes, 0.0, change / noise)
    wide = 2 * HALF_WINDOW
    if difference.shape[1] > wide:
        turn = (difference[:, wide:] - difference[:, :-wide]) / noise[:, HALF_WINDOW:-HALF_WINDOW]
        found["acceleration"][:, wide : wide + turn.shape[1]] = np.where(holes[:, wide:] | holes[:, :-wide], 0.0, turn)
    return found


def log_series(values: np.ndarray) -> np.ndarray:
    """ln of `values`; what is missing, infinite, zero or negative becomes a gap (NaN)."""
    values = np.asarray(values, dtype=np.float64)
    positive = np.isfinite(values) & (values > 0)
    return np.where(positive, np.log(np.where(positive, values, 1.0)), np.nan)


@dataclass(frozen=True, eq=False)
class Null:
    """The greatest |scan| of each of many surrogate series in which nothing happens, for one kind of scan.

    `p(z)` is the family-wise probability of a |scan| of z anywhere in one series. `expected` is the mean number of
    detections at the level .05 in one surrogate: what the null alone yields.
    """

    kind: str
    maxima: np.ndarray
    expected: float

    @cached_property
    def threshold(self) -> float:
        """The least z with p <= .05."""
        ordered = np.sort(self.maxima)[::-1]
        return float(np.nextafter(ordered[max(int(0.05 * (len(ordered) + 1)) - 1, 0)], np.inf))

    def p(self, z) -> np.ndarray:
        """(1 + number of surrogates that reach |z|) / (1 + number of surrogates)."""
        reached = len(self.maxima) - np.searchsorted(np.sort(self.maxima), np.abs(z), side="left")
        return (1 + reached) / (1 + len(self.maxima))


def make_null(surrogates: np.ndarray, *, kind: str) -> Null:
    """The null that `surrogates` (series, measurements), logarithms in which nothing happens, give."""
    z = np.abs(scan(surrogates, kind=kind))
    rough = Null(kind, z.max(axis=1), 0.0)
    counts = [len(peaks(row, rough.threshold)) for row in z[rough.maxima >= rough.threshold]]
    return Null(kind, rough.maxima, sum(counts) / len(z))


def reference_surrogates(measurements: int, *, count: int, drift: bool, rng: np.random.Generator) -> np.ndarray:
    """Surrogates (count, measurements) of the hardest kind for which the detector is held to its level.

    AR(.5) noise that shrinks by up to e^4 over the series (by another factor in each surrogate), and with `drift` a
    smooth Gaussian drift beneath it of up to 10 noise deviations and a correlation length of 50 in 400 measurements.
    """
    t = np.linspace(0, 1, measurements)
    envelope = np.exp(-4 * np.linspace(0, 1, count)[:, None] * t)
    y = autoregressive(0.5, (count, measurements), rng)
    if drift:
        knots = np.arange(-1, 10) / 8
        shape = np.exp(-0.5 * ((t[:, None] - knots) / 0.125) ** 2)
        smooth = rng.normal(size=(count, len(knots))) @ shape.T / np.sqrt((shape**2).sum(1))
        y = y + 10 * rng.random((count, 1)) * smooth
    return envelope * y


def block_surrogates(
    residuals: np.ndarray | Sequence[np.ndarray], measurements: int, *, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Surrogates stitched of blocks of 25 measurements of `residuals` (series, 25 measurements or more each), drawn
    at random from all of them, each with a random sign.

    Flipping the blocks of one series in place is not enough: a window of 10 measurements lies within a block 6 times
    in 10, so that the surrogate's greatest scan is nearly always the series' own (LOG.md). Many series' blocks make
    it a null. Raises InputError when no series has 25 measurements without a gap.
    """
    pool = [row for row in residuals if len(row) >= BLOCK and np.isfinite(row).all()]
    if not pool:
        raise InputError(f"a block null needs series of {BLOCK} measurements or more without a gap.")
    lengths = np.array([len(row) for row in pool])
    flat, begin = np.concatenate(pool), np.concatenate([[0], np.cumsum(lengths)[:-1]])
    blocks = -(-measurements // BLOCK) + 1
    which = rng.integers(len(pool), size=(count, blocks))
    start = begin[which] + rng.integers(0, lengths[which] - BLOCK + 1)
    signs = rng.choice((-1.0, 1.0), size=(count, blocks))
    stitched = (flat[start[..., None] + np.arange(BLOCK)] * signs[..., None]).reshape(count, -1)
    # Where the first block begins is random too, so that seams fall anywhere.
    offset = rng.integers(0, BLOCK, size=count)
    return stitched[np.arange(count)[:, None], offset[:, None] + np.arange(measurements)]


def residuals(y: np.ndarray) -> np.ndarray:
    """`y` (series, measurements) less its running median over 25, in units of its own local noise: what is left of it
    when drift and jumps are gone. Rows with gaps, and constant ones, are left out."""
    whole = y[np.isfinite(y).all(axis=1)]
    if not len(whole) or whole.shape[1] < BLOCK:
        return np.empty((0, y.shape[1]))
    rest = whole - _running_median(whole, BLOCK)
    noise = _noise(rest)
    return (rest / noise)[(noise > FLOOR).all(axis=1)]


def peaks(z: np.ndarray, threshold: float) -> list[int]:
    """Indices where |z| of one series passes `threshold` and is the greatest within 10 measurements, in order."""
    size = np.abs(z)
    kept: list[int] = []
    for i in sorted(np.flatnonzero(size >= threshold), key=lambda i: (-size[i], i)):
        if all(abs(i - k) > 2 * HALF_WINDOW for k in kept):
            kept.append(int(i))
    return sorted(kept)


def _filled(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`y` with gaps bridged by straight lines, and 1 where there was a gap."""
    missing = ~np.isfinite(y)
    filled = y.copy()
    index = np.arange(y.shape[1])
    for row, gap in zip(filled, missing, strict=True):
        if gap.all():
            row[:] = 0.0
        elif gap.any():
            row[gap] = np.interp(index[gap], index[~gap], row[~gap])
    return filled, missing.astype(float)


def _mean_difference(y: np.ndarray, *, both: bool = False) -> np.ndarray:
    """Mean of the 5 from i on, less (with `both` plus) the mean of the 5 before i, for i = 5 ... length - 5."""
    means = np.lib.stride_tricks.sliding_window_view(y, HALF_WINDOW, axis=1).mean(-1)
    later, earlier = means[:, HALF_WINDOW:], means[:, :-HALF_WINDOW]
    return later + earlier if both else later - earlier


def _running_median(y: np.ndarray, window: int) -> np.ndarray:
    """Beyond the ends the series is continued point-symmetrically, so that a trend stays one."""
    half = _half(window, y.shape[1])
    return _median(np.pad(y, ((0, 0), (half, half)), mode="reflect", reflect_type="odd"), half)


def _noise(rest: np.ndarray) -> np.ndarray:
    half = _half(NOISE_WINDOW, rest.shape[1])
    size = np.pad(np.abs(rest), ((0, 0), (half, half)), mode="reflect")
    width = 2 * half + 1
    mean = uniform_filter1d(size, width, axis=1)[:, half : half + rest.shape[1]]
    return np.maximum(np.maximum(1.4826 * _median(size, half), 1.2533 * mean), FLOOR)


def _median(padded: np.ndarray, half: int) -> np.ndarray:
    """The running median over 2 half + 1 of rows that are padded by `half` on each side.

    All rows at once, end to end: SciPy's filter of one axis keeps its window sorted, that of two axes sorts it anew at
    every place; no window of a row's own reaches beyond its padding.
    """
    flat = median_filter(np.ascontiguousarray(padded).ravel(), size=2 * half + 1)
    return flat.reshape(padded.shape)[:, half : padded.shape[1] - half]


def _half(window: int, length: int) -> int:
    return min(window // 2, length - 1)
