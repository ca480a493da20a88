"""A linear mixed model: a slope over rows, with an intercept of its own for every run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from geophone.stats.clusters import LEAST, grouped, sums


@dataclass(frozen=True, slots=True)
class Mixed:
    """`slope` (or mean, see `mixed_model`) with its 95 % Wald interval and p; `between` and `within` are the variances
    of the runs' intercepts and of the rows around them.

    status: "fitted" | "fitted, no variance between runs" | "not enough data" (fewer than `LEAST` runs, no run with two
    rows, or columns that say the same; numbers are NaN).
    """

    slope: float
    low: float
    high: float
    p: float
    between: float
    within: float
    n: int
    clusters: int
    status: str


def mixed_model(
    y: ArrayLike, x: ArrayLike | None = None, *, clusters: ArrayLike, kinds: ArrayLike | None = None
) -> Mixed:
    """y = a + b x + kind + u_run + e, by restricted maximum likelihood; reports b.

    `y` and `x` (n,), `clusters` the run and `kinds` the architecture of each row; kinds are fixed effects coded to sum
    to zero, so that without `x` the number reported is a, the mean over kinds. Rows with a NaN are left out. The
    interval and p are normal approximations and are too short with few runs (below about 30): read the cluster
    bootstrap and the sign flips first. With one random intercept the likelihood has one unknown, which is searched
    for. MixedLM in statsmodels gives the same numbers where it converges, but warns that it did not in a third of small
    studies (5 to 11 runs), among them those without variance between runs. Source: Laird & Ware 1982.
    """
    values = np.asarray(y, dtype=float)
    kind = np.unique(np.asarray(["all"] * len(values) if kinds is None else kinds).astype(str), return_inverse=True)[1]
    number, (values, slope, kind) = grouped(clusters, values, np.zeros(len(values)) if x is None else x, kind)
    n, count = len(values), len(np.unique(number))
    levels = np.unique(kind)
    design = np.column_stack(
        [*([] if x is None else [slope]), np.ones(n)]
        + [(kind == level).astype(float) - (kind == levels[-1]) for level in levels[:-1]]
    )
    enough = count >= LEAST and n > count and n > design.shape[1] and np.ptp(values) > 0
    if not enough or np.linalg.matrix_rank(design) < design.shape[1]:
        nan = float("nan")
        return Mixed(nan, nan, nan, nan, nan, nan, n, count, "not enough data")
    return _fit(values, design, number)


def _fit(y: np.ndarray, design: np.ndarray, number: np.ndarray) -> Mixed:
    """The likelihood has one unknown left once the rest is solved for: `ratio`, between / within."""
    scale = y.std()
    problem = _Problem(y / scale, design, number)
    search = np.log(np.geomspace(1e-6, 1e4, 41))
    best = search[int(np.argmin([problem.loss(np.exp(at)) for at in search]))]
    minimum = optimize.minimize_scalar(
        lambda at: problem.loss(np.exp(at)), bounds=(best - 0.6, best + 0.6), method="bounded", options={"xatol": 1e-8}
    )
    ratio = 0.0 if problem.loss(0.0) <= minimum.fun else float(np.exp(minimum.x))
    beta, covariance, within = problem.solved(ratio)
    value, error = float(beta[0] * scale), float(np.sqrt(covariance[0, 0]) * scale)
    half = float(stats.norm.ppf(0.975)) * error
    p = float(2 * stats.norm.sf(abs(value) / error))
    status = "fitted" if ratio > 0 else "fitted, no variance between runs"
    spread = (within * ratio * scale**2, within * scale**2)
    return Mixed(value, value - half, value + half, p, *spread, len(y), len(problem.sizes), status)


class _Problem:
    def __init__(self, y: np.ndarray, design: np.ndarray, number: np.ndarray) -> None:
        self.sizes = np.bincount(number)
        both = np.column_stack([design, y])
        self._products = both.T @ both
        self._sums = sums(number, *both.T)
        self._left = len(y) - design.shape[1]

    def solved(self, ratio: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Coefficients, their covariance and the variance within runs. V = I + ratio 11' within a run."""
        shrink = ratio / (1 + ratio * self.sizes)
        m = self._products - (self._sums * shrink[:, None]).T @ self._sums
        inverse = np.linalg.inv(m[:-1, :-1])
        beta = inverse @ m[:-1, -1]
        within = float((m[-1, -1] - m[:-1, -1] @ beta) / self._left)
        return beta, within * inverse, within

    def loss(self, ratio: float) -> float:
        """-2 x the restricted log likelihood, but for a constant."""
        _, covariance, within = self.solved(ratio)
        inner = -np.linalg.slogdet(covariance / within)[1]
        return float(self._left * np.log(within) + np.log1p(ratio * self.sizes).sum() + inner)
