"""The founding document's tests, as written: every row an independent witness. Shown beside the calibrated forms."""

import numpy as np
from scipy import stats

from geophone.stats.clusters import Interval, ranked
from geophone.stats.permutation import Tested


def correlation(x: np.ndarray, y: np.ndarray, *, method: str = "pearson") -> tuple[Interval, Tested]:
    """Correlation with Fisher's 95 % interval, and SciPy's two-sided p, rows taken as independent.

    tanh(artanh r +- 1.96 s), s = 1 / sqrt(n - 3) for Pearson, sqrt((1 + r^2 / 2) / (n - 3)) for Spearman (Bonett &
    Wright 2000). Rows with a NaN are left out; "not enough data" with fewer than 4 or no spread.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    there = np.isfinite(x) & np.isfinite(y)
    x, y = ranked(x[there], method), ranked(y[there], method)
    n = len(x)
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(*[np.nan] * 4, n, n, "not enough data"), Tested(np.nan, np.nan, n, "not enough data")
    found = (stats.spearmanr if method == "spearman" else stats.pearsonr)(x, y)
    r, p = float(found.statistic), float(found.pvalue)
    error = float(np.sqrt((1 + r**2 / 2 if method == "spearman" else 1.0) / (n - 3)))
    middle, half = np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9)), stats.norm.ppf(0.975) * error
    low, high = float(np.tanh(middle - half)), float(np.tanh(middle + half))
    return Interval(r, low, high, error, n, n, "ok"), Tested(r, p, n, "tested")


def paired_t(before: np.ndarray, after: np.ndarray) -> tuple[Interval, Tested]:
    """The paired t test of after - before (its mean, 95 % interval and two-sided p); `Tested.statistic` is t.

    It takes every pair as independent, and every change as the jump's doing: drift that happens anywhere passes it.
    """
    d = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    d = d[np.isfinite(d)]
    n = len(d)
    error = float(d.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0
    mean = float(d.mean()) if n else np.nan
    if error <= 1e-12 * abs(mean) or n < 2:
        nothing = Tested(np.nan, np.nan, n, "not enough data")
        return Interval(mean, np.nan, np.nan, np.nan, n, n, "not enough data"), nothing
    half = stats.t.ppf(0.975, n - 1) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    interval = Interval(mean, float(mean - half), float(mean + half), error, n, n, "ok")
    return interval, Tested(mean / error, p, n, "tested")


def wilcoxon(differences: np.ndarray) -> Tested:
    """Wilcoxon's signed-rank test of symmetry about 0 (SciPy, two-sided, zeros left out); one difference a unit.

    "not enough data" with fewer than two differences other than 0.
    """
    d = np.asarray(differences, dtype=np.float64)
    d = d[np.isfinite(d) & (d != 0)]
    if len(d) < 2:
        return Tested(np.nan, np.nan, len(d), "not enough data")
    found = stats.wilcoxon(d)
    return Tested(float(found.statistic), float(found.pvalue), len(d), "tested")
