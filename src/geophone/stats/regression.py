"""How much of y a straight line in x explains: where it was fitted, and where it was not."""

import numpy as np
from numpy.typing import ArrayLike

from geophone.errors import InputError
from geophone.stats.clusters import LEAST, Interval, grouped, no_interval, studentised, sums

FOLDS = 5


def r2_in_sample(
    x: ArrayLike, y: ArrayLike, *, clusters: ArrayLike, rng: np.random.Generator, draws: int = 1999
) -> Interval:
    """R^2 = 1 - SSE / SST of ordinary least squares of `y` (n,) on `x` (n, k) and a constant, on the rows it was
    fitted to (the naive form): it never falls when a column is added, and is above 0 on noise, by about k / rows.

    The interval is `studentised` over clusters on ln(1 - R^2), mapped back; its lower end is cut at 0. It does not
    take out the optimism. "not enough data" with fewer than k + 2 rows, or columns that say the same.
    """
    number, (u, v) = grouped(clusters, _columns(x), y)
    count = int(number.max()) + 1 if len(number) else 0
    k = u.shape[1]
    if len(v) < k + 2 or np.ptp(v) == 0 or not _independent(u):
        return no_interval(len(v), count)
    a = np.column_stack([np.ones(len(v)), (u - u.mean(0)) / u.std(0), (v - v.mean()) / v.std()])
    products = a[:, :, None] * a[:, None, :]
    shares = sums(number, *products.reshape(len(v), -1).T)
    logs = lambda s: np.log(np.maximum(_unexplained(s, k), 1e-12))  # noqa: E731
    low, high, error = studentised(shares, logs, rng=rng, draws=draws)
    value = 1 - float(_unexplained(shares.sum(axis=0), k))
    if not np.isfinite(error):
        return no_interval(len(v), count, value)
    return Interval(value, float(-np.expm1(min(high, 0.0))) + 0.0, float(-np.expm1(low)), error, len(v), count, "ok")


def _unexplained(s: np.ndarray, k: int) -> np.ndarray:
    """SSE / SST from sums (..., (k+2)^2) of products of (1, x_1 .. x_k, y)."""
    m = s.reshape(*s.shape[:-1], k + 2, k + 2)
    a, b, yy = m[..., : k + 1, : k + 1], m[..., : k + 1, -1], m[..., -1, -1]
    # A draw whose columns coincide has no unique line; the ridge of rounding size gives it one.
    a = a + 1e-9 * m[..., :1, :1] * np.eye(k + 1)
    beta = np.linalg.solve(a, b[..., None])[..., 0]
    return (yy - (b * beta).sum(axis=-1)) / (yy - b[..., 0] ** 2 / m[..., 0, 0])


def r2_left_out(x: ArrayLike, y: ArrayLike, *, clusters: ArrayLike, parts: ArrayLike) -> Interval:
    """R^2 on rows the line was not fitted to: each of `parts` (n,) in turn is left out and predicted from the rest.

    R^2 = 1 - sum (y - predicted)^2 / sum (y - mean)^2 over all rows together, as scikit-learn's r2_score of
    cross_val_predict; below 0 when the mean of everything would have done better. A cluster must lie in one part (see
    `run_folds`); architectures as parts give leave-one-architecture-out. It has no interval (NaN): with the
    predictions held fixed a nominal 95 % covers 57 to 92 % (docs/evidence.md), and it errs downward, since its lines
    saw fewer runs. "not enough data" with fewer than two parts or `LEAST` clusters, or too few rows to fit. Raises
    InputError for a cluster in two parts.
    """
    _, codes = np.unique(np.asarray(parts), return_inverse=True)
    number, (u, v, part) = grouped(clusters, _columns(x), y, codes)
    count = int(number.max()) + 1 if len(number) else 0
    different = np.unique(part)
    if len(different) < 2 or np.ptp(v) == 0:
        return no_interval(len(v), count)
    if any(len(np.unique(part[number == g])) > 1 for g in range(count)):
        raise InputError("a cluster lies in more than one part: what is left out would be known from its own rows.")
    predicted = np.empty_like(v)
    for code in different:
        out = part == code
        if (~out).sum() < u.shape[1] + 2 or not _independent(u[~out]):
            return no_interval(len(v), count)
        # Unscaled, a column in small units would count as rounding beside one in large units.
        z = (u - u[~out].mean(0)) / u[~out].std(0)
        fit = np.linalg.lstsq(np.column_stack([np.ones((~out).sum()), z[~out]]), v[~out], rcond=None)[0]
        predicted[out] = fit[0] + z[out] @ fit[1:]
    value = 1 - float(((v - predicted) ** 2).sum() / ((v - v.mean()) ** 2).sum())
    return Interval(value, np.nan, np.nan, np.nan, len(v), count, "ok" if count >= LEAST else "not enough data")


def run_folds(clusters: ArrayLike, *, rng: np.random.Generator, folds: int = FOLDS) -> np.ndarray:
    """A fold for every row, such that a cluster lies in one fold; clusters are dealt out in random order. As many folds
    as clusters where there are fewer than `folds`."""
    names, number = np.unique(np.asarray(clusters), return_inverse=True)
    return (rng.permutation(len(names)) % max(folds, 1))[number] if len(names) else np.empty(0, int)


def _columns(x: ArrayLike) -> np.ndarray:
    columns = np.asarray(x, dtype=np.float64)
    return columns[:, None] if columns.ndim == 1 else columns


def _independent(x: np.ndarray) -> bool:
    if len(x) == 0:
        return False
    spread = x.std(axis=0)
    if (spread <= 1e-12 * np.abs(x).max(axis=0, initial=0)).any():
        return False
    return bool(np.linalg.matrix_rank((x - x.mean(0)) / spread, tol=1e-8 * len(x) ** 0.5) == x.shape[1])
