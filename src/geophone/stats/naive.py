"""The founding document's tests, as written: every row an independent witness. Shown beside the calibrated forms."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from geophone.stats.clusters import Interval, no_interval, ranked
from geophone.stats.permutation import Significance, untested


def correlation(x: ArrayLike, y: ArrayLike, *, method: str = "pearson") -> tuple[Interval, Significance]:
    """Correlation with Fisher's 95 % interval, and SciPy's two-sided p, rows taken as independent.

    tanh(artanh r +- 1.96 s), s = 1 / sqrt(n - 3) for Pearson, sqrt((1 + r^2 / 2) / (n - 3)) for Spearman (Bonett &
    Wright 2000). Rows with a NaN are left out; "not enough data" with fewer than 4 or no spread.
    """
    u, v = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    finite = np.isfinite(u) & np.isfinite(v)
    u, v = ranked(u[finite], method), ranked(v[finite], method)
    n = len(u)
    if n < 4 or np.ptp(u) == 0 or np.ptp(v) == 0:
        return no_interval(n, n), untested(n)
    test = (stats.spearmanr if method == "spearman" else stats.pearsonr)(u, v)
    r, p = float(test.statistic), float(test.pvalue)
    error = float(np.sqrt((1 + r**2 / 2 if method == "spearman" else 1.0) / (n - 3)))
    middle, half = np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9)), stats.norm.ppf(0.975) * error
    low, high = float(np.tanh(middle - half)), float(np.tanh(middle + half))
    return Interval(r, low, high, error, n, n, "ok"), Significance(r, p, n, "tested")


def paired_t(before: ArrayLike, after: ArrayLike) -> tuple[Interval, Significance]:
    """The paired t test of after - before (its mean, 95 % interval and two-sided p); the statistic is t.

    It takes every pair as independent, and every change as the jump's doing: drift that happens anywhere passes it.
    """
    d = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    d = d[np.isfinite(d)]
    n = len(d)
    mean, error = (float(d.mean()) if n else np.nan), (float(stats.sem(d)) if n > 1 else 0.0)
    if n < 2 or error <= 1e-12 * abs(mean):
        return no_interval(n, n, mean), untested(n)
    test = stats.ttest_1samp(d, 0.0)
    low, high = (float(bound) for bound in test.confidence_interval())
    interval = Interval(mean, low, high, error, n, n, "ok")
    return interval, Significance(float(test.statistic), float(test.pvalue), n, "tested")


def wilcoxon(differences: ArrayLike) -> Significance:
    """Wilcoxon's signed-rank test of symmetry about 0 (SciPy, two-sided, zeros left out); one difference per unit.

    "not enough data" with fewer than two differences other than 0.
    """
    d = np.asarray(differences, dtype=np.float64)
    d = d[np.isfinite(d) & (d != 0)]
    if len(d) < 2:
        return untested(len(d))
    test = stats.wilcoxon(d)
    return Significance(float(test.statistic), float(test.pvalue), len(d), "tested")
