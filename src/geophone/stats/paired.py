"""Paired comparisons: is the mean difference zero, and is it shown to be as good as zero."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from geophone.errors import InputError
from geophone.stats.permutation import Significance, untested

_CHUNK = 1 << 20  # signs drawn at a time


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided t tests: `statistic` is the mean difference, [`low`, `high`] its 1 - 2 alpha interval.

    `p` is the greater of the two one-sided p. status: "equivalent" (p < alpha: the mean lies within +- margin) |
    "not shown" (which is not the same as different) | "not enough data" (fewer than two differences, or no spread to
    judge them by; p is then NaN).
    """

    statistic: float
    p: float
    n: int
    status: str
    low: float
    high: float
    margin: float


def sign_flip(differences: ArrayLike, *, rng: np.random.Generator, draws: int = 9999) -> Significance:
    """Paired permutation test of a mean difference of 0, two-sided: under the null a difference and its opposite are
    equally likely.

    `differences` (n,), one per independent unit (a run, not a jump); NaN are left out. `statistic` is the mean. All 2^n
    signs are gone through when there are at most `draws` + 1 of them: p = the share that reaches the observed |mean|,
    itself counted; otherwise `draws` at random, p = (1 + draws that reach it) / (1 + draws). Least p: 2 / 2^n, so
    with five differences or fewer nothing falls below .05. "not enough data" with fewer than two differences, or when
    all are zero. It tests symmetry about 0: a skewed difference of mean 0 can be rejected. Source: Fisher 1935;
    Phipson & Smyth 2010 for the 1 in the p.
    """
    d = _finite(differences)
    if draws < 1:
        raise InputError(f"draws must be at least 1, got {draws}.")
    if len(d) < 2 or not d.any():
        return untested(len(d))
    reach = abs(d.sum()) * (1 - 1e-12)
    n = len(d)
    if 2**n <= draws + 1:
        # Half of the signs are the opposites of the other half, and reach as far.
        signs = 1 - 2 * ((np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1)
        return Significance(float(d.mean()), float((np.abs(signs @ d) >= reach).mean()), n, "tested")
    reached, left = 0, draws
    while left:
        size = min(left, max(_CHUNK // n, 1))
        reached += int((np.abs((1.0 - 2.0 * rng.integers(0, 2, (size, n))) @ d) >= reach).sum())
        left -= size
    return Significance(float(d.mean()), (1 + reached) / (1 + draws), n, "tested")


def tost(differences: ArrayLike, *, margin: float, alpha: float = 0.05) -> Equivalence:
    """Whether a mean difference is shown to lie within +- `margin`: two one-sided t tests at `alpha` each.

    `differences` (n,), one per independent unit, in the units of `margin`; NaN are left out. Equivalent exactly when
    the 1 - 2 alpha t interval of the mean lies inside (-margin, margin). A test that rejects no difference shows
    nothing; this is the one that shows "no difference". Raises InputError for a margin that is not positive.
    Source: Schuirmann 1987.
    """
    if not margin > 0:
        raise InputError(f"the margin must be positive, got {margin}.")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha must lie between 0 and 0.5, got {alpha}.")
    d = _finite(differences)
    n = len(d)
    mean, error = (float(d.mean()) if n else np.nan), (float(stats.sem(d)) if n > 1 else 0.0)
    if n < 2 or error <= 1e-12 * abs(mean):
        return Equivalence(mean, np.nan, n, "not enough data", np.nan, np.nan, margin)
    p = float(stats.t.sf((margin - abs(mean)) / error, n - 1))
    half = float(stats.t.ppf(1 - alpha, n - 1) * error)
    status = "equivalent" if p < alpha else "not shown"
    return Equivalence(mean, p, n, status, mean - half, mean + half, margin)


def _finite(differences: ArrayLike) -> np.ndarray:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1:
        raise InputError(f"differences must be one number per unit, got an array of shape {d.shape}.")
    return d[np.isfinite(d)]
