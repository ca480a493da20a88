"""What a study could have seen at all."""

import numpy as np
from scipy import optimize, stats

from geophone.stats.clusters import LEAST


def smallest_effect(error: float, clusters: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true value that a two-sided t test at `alpha` over `clusters` independent units, with the standard
    error `error`, finds with probability `power`; in the units of `error` (for a correlation: of artanh r).

    Solves for delta in the noncentral t with clusters - 1 degrees of freedom and noncentrality delta / error. NaN with
    fewer than `LEAST` clusters or without an error. It speaks of the design; it is not "observed power", which only
    repeats the p.
    """
    if not (np.isfinite(error) and error > 0) or clusters < LEAST:
        return float("nan")
    df = clusters - 1
    edge = stats.t.ppf(1 - alpha / 2, df)
    # The other tail is below 1e-4 wherever the power is above .5, and scipy's nct returns NaN there.
    short = lambda far: stats.nct.sf(edge, df, far) - power  # noqa: E731
    return float(error * optimize.brentq(short, 0.0, 50.0))


def smallest_r2(clusters: int, columns: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true R^2 of `columns` columns that the F test over `clusters` independent units finds with
    probability `power`: noncentrality clusters x R^2 / (1 - R^2). NaN when no degrees of freedom are left.

    Source: Cohen 1988. Rows of one run add less than a unit each; counting runs is the cautious side.
    """
    left = clusters - columns - 1
    if left < 1:
        return float("nan")
    edge = stats.f.ppf(1 - alpha, columns, left)
    short = lambda f2: stats.ncf.sf(edge, columns, left, clusters * f2) - power  # noqa: E731
    most = 1.0
    while short(most) < 0 and most < 1e6:
        most *= 2
    if short(most) < 0:
        return float("nan")
    f2 = optimize.brentq(short, 1e-9, most)
    return float(f2 / (1 + f2))
