"""Intervals for statistics of rows that come in clusters: jumps of one run are not independent, runs are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from geophone.errors import InputError
from geophone.stats.permutation import Significance, untested

LEAST = 5  # clusters below which no interval is given
_EDGE = 1 - 1e-9
Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval. NaN where nothing can be said.

    `n` rows in `clusters` clusters; `error` is the standard error on the scale on which the interval is symmetric (see
    the function that made it). status: "ok" | "not enough data" (fewer than `LEAST` clusters, or no spread; the
    estimate stands where it can be computed).
    """

    statistic: float
    low: float
    high: float
    error: float
    n: int
    clusters: int
    status: str


def no_interval(n: int, clusters: int, value: float = np.nan) -> Interval:
    """The Interval where nothing can be said; `value` where at least the estimate can be had."""
    return Interval(value, np.nan, np.nan, np.nan, n, clusters, "not enough data")


def grouped(clusters: ArrayLike, *rows: ArrayLike) -> tuple[np.ndarray, list[np.ndarray]]:
    """The cluster of each row, numbered from 0, and `rows` as floats; rows with anything not finite are left out.

    Raises InputError when they differ in length.
    """
    arrays = [np.asarray(r, dtype=np.float64) for r in rows]
    names = np.asarray(clusters)
    if {len(a) for a in arrays} != {len(names)}:
        raise InputError(f"{[len(a) for a in arrays]} values with {len(names)} clusters: give one cluster per row.")
    finite = np.ones(len(names), dtype=bool)
    for a in arrays:
        finite &= np.isfinite(a).all(axis=tuple(range(1, a.ndim)))
    _, number = np.unique(names[finite], return_inverse=True)
    return number, [a[finite] for a in arrays]


def sums(number: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """(clusters, columns): the sum of each column over the rows of each cluster."""
    return np.stack([np.bincount(number, weights=c) for c in columns], axis=1)


def studentised(
    shares: np.ndarray, statistic: Statistic, *, rng: np.random.Generator, draws: int = 1999, level: float = 0.95
) -> tuple[float, float, float]:
    """(low, high, standard error) of `statistic` of the sums of `shares` over clusters: symmetric bootstrap-t.

    `shares` (clusters, k); `statistic` maps sums (..., k) to (...). Clusters are drawn with replacement `draws` times;
    each draw's distance from the estimate is divided by its own standard error, by the jackknife over clusters
    (sqrt((G - 1) / G sum (t_-g - mean)^2)); the interval is the estimate +- the `level` quantile of |those| x its
    error. NaN with fewer than `LEAST` clusters or no spread. Percentiles of the same draws cover a correlation in 87 to
    95 % with 6 to 44 clusters, these in 93.5 to 98 % (docs/evidence.md). Source: Hall 1988; Cameron,
    Gelbach & Miller 2008.
    """
    count = len(shares)
    if count < LEAST:
        return np.nan, np.nan, np.nan
    total = shares.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(total))
        error = float(_jackknife(statistic(total - shares), np.ones(count)))
        if not (np.isfinite(value) and error > 1e-12 * max(abs(value), 1e-300)):
            return np.nan, np.nan, np.nan
        weights = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(float)
        drawn = weights @ shares
        errors = _jackknife(statistic(drawn[:, None] - shares), weights)
        distances = np.abs(statistic(drawn) - value) / errors
    distances = distances[~np.isnan(distances)]
    # A draw without spread is infinitely far: dropping it would narrow the interval.
    reach = float(np.quantile(distances, level, method="higher")) if len(distances) > draws / 2 else np.inf
    return value - reach * error, value + reach * error, error


def _jackknife(left_out: np.ndarray, weights: np.ndarray) -> np.ndarray:
    count = weights.shape[-1]
    values = np.where(weights > 0, left_out, 0.0)
    mean = (weights * values).sum(axis=-1, keepdims=True) / count
    return np.sqrt((count - 1) / count * (weights * (values - mean) ** 2).sum(axis=-1))


def mean_interval(
    values: ArrayLike, *, clusters: ArrayLike, rng: np.random.Generator, draws: int = 1999, level: float = 0.95
) -> Interval:
    """The mean of the clusters' means, each cluster counting once, with its `studentised` interval (in its own units).

    `values` (n,), `clusters` names the cluster of each; NaN are left out.
    """
    number, (y,) = grouped(clusters, values)
    if len(y) == 0:
        return no_interval(0, 0)
    totals = sums(number, np.ones_like(y), y)
    each = totals[:, 1] / totals[:, 0]
    shares = np.stack([np.ones_like(each), each], axis=1)
    low, high, error = studentised(shares, lambda s: s[..., 1] / s[..., 0], rng=rng, draws=draws, level=level)
    return _interval(float(each.mean()), low, high, error, len(y), len(each))


def correlation_interval(
    x: ArrayLike,
    y: ArrayLike,
    *,
    clusters: ArrayLike,
    rng: np.random.Generator,
    method: str = "pearson",
    draws: int = 1999,
    level: float = 0.95,
) -> Interval:
    """Correlation over all rows, with an interval that knows the rows come in clusters.

    `x`, `y` (n,). `studentised` on artanh r, mapped back; `error` is on that scale. method: "pearson" | "spearman"
    (Pearson's of the ranks, the ranks of the whole sample kept in every draw). Rows with a NaN are left out.
    """
    number, (u, v) = grouped(clusters, x, y)
    u, v = ranked(u, method), ranked(v, method)
    count = int(number.max()) + 1 if len(number) else 0
    if len(u) < 3 or np.ptp(u) == 0 or np.ptp(v) == 0:
        return no_interval(len(u), count)
    u, v = (u - u.mean()) / u.std(), (v - v.mean()) / v.std()
    low, high, error = studentised(moments(number, u, v), fisher, rng=rng, draws=draws, level=level)
    return _interval(float(np.mean(u * v)), float(np.tanh(low)), float(np.tanh(high)), error, len(u), count)


def moments(number: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(clusters, 6): the sums of 1, x, y, x^2, y^2, xy over the rows of each cluster."""
    return sums(number, np.ones_like(x), x, y, x * x, y * y, x * y)


def fisher(s: np.ndarray) -> np.ndarray:
    """artanh of Pearson's r from sums (..., 6) of 1, x, y, x^2, y^2, xy."""
    n, x, y, xx, yy, xy = np.moveaxis(s, -1, 0)
    r = (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))
    return np.arctanh(np.clip(r, -_EDGE, _EDGE))


def ranked(values: np.ndarray, method: str) -> np.ndarray:
    """`values`, or their ranks for "spearman". Raises InputError for another method."""
    if method not in ("pearson", "spearman"):
        raise InputError(f"method must be pearson or spearman, got {method!r}.")
    return stats.rankdata(values) if method == "spearman" else values


def _interval(value: float, low: float, high: float, error: float, n: int, clusters: int) -> Interval:
    status = "ok" if np.isfinite(error) else "not enough data"
    return Interval(value, low, high, error, n, clusters, status)


def score_flip(
    x: ArrayLike,
    y: ArrayLike,
    *,
    clusters: ArrayLike,
    rng: np.random.Generator,
    method: str = "pearson",
    draws: int = 9999,
) -> Significance:
    """Whether `y` goes with `x` (n,) or with any column of `x` (n, k), when rows come in clusters.

    Each cluster's share of the covariance, u_g = sum over its rows of (x - mean)(y - mean), keeps or changes its sign
    at random: where x says nothing of y, both are equally likely. The statistic is |sum u_g| (for k columns the length
    of the sum in the metric of x'x, so that units do not matter); p = (1 + draws that reach it) / (1 + draws); `n`
    counts clusters. "not enough data" with fewer than `LEAST` clusters or no spread. Source: sign-flipped scores,
    Hemerik, Goeman & Finos 2020; with clusters Kline & Santos 2012.
    """
    number, (u, v) = grouped(clusters, x, y)
    u = u[:, None] if u.ndim == 1 else u
    count = int(number.max()) + 1 if len(number) else 0
    if count < LEAST or len(v) < 3 or np.ptp(v) == 0 or (np.ptp(u, axis=0) == 0).any():
        return untested(count)
    u = np.stack([ranked(column, method) for column in u.T], axis=1)
    v = ranked(v, method)
    u, v = (u - u.mean(0)) / u.std(0), (v - v.mean()) / v.std()
    metric = u.T @ u
    if np.linalg.cond(metric) > 1e10:
        return untested(count)
    shares = sums(number, *(u * v[:, None]).T) @ np.linalg.inv(np.linalg.cholesky(metric)).T
    length = float(np.sqrt((shares.sum(axis=0) ** 2).sum()))
    signs = 1.0 - 2.0 * rng.integers(0, 2, (draws, count))
    reached = int((np.sqrt(((signs @ shares) ** 2).sum(axis=1)) >= length * (1 - 1e-12)).sum())
    return Significance(length, (1 + reached) / (1 + draws), count, "tested")


def stratified_interval(
    groups: Iterable[ArrayLike], *, rng: np.random.Generator, draws: int = 3999, level: float = 0.95
) -> Interval:
    """The mean over `groups` (testbeds) of the mean of each one's units (runs), every group counting the same, with the
    interval between the percentiles of a bootstrap that draws the units of each group anew.

    NaN are left out. "not enough data" where a group has fewer than two units. `error` is the draws' standard
    deviation. Narrow with few units per group (percentiles are), and a point where all units agree. Source: Efron &
    Tibshirani 1993, for several samples.
    """
    arrays = [np.asarray(g, dtype=np.float64) for g in groups]
    arrays = [a[np.isfinite(a)] for a in arrays]
    arrays = [a for a in arrays if len(a)]
    count = sum(map(len, arrays))
    if not arrays:
        return no_interval(0, 0)
    value = float(np.mean([a.mean() for a in arrays]))
    means = np.mean([a[rng.integers(len(a), size=(draws, len(a)))].mean(1) for a in arrays], axis=0)
    if min(map(len, arrays)) < 2:
        return no_interval(count, count, value)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), float(means.std()), count, count, "ok")
