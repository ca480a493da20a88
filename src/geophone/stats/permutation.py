"""Permutation tests: what a statistic does when labels carry nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from geophone.errors import InputError


@dataclass(frozen=True, slots=True)
class Significance:
    """One test: its statistic, p (NaN where nothing can be said), how many units it rests on, and why not if not.

    status: "tested" | "not enough data". p = (1 + draws at least as extreme) / (1 + draws), greater is more extreme.
    """

    statistic: float
    p: float
    n: int
    status: str


def untested(n: int) -> Significance:
    """The Significance of a test that `n` units are not enough for."""
    return Significance(np.nan, np.nan, n, "not enough data")


def permutation_test(
    values: ArrayLike,
    labels: ArrayLike,
    statistic: Callable[[np.ndarray, np.ndarray], float],
    *,
    rng: np.random.Generator,
    draws: int = 9999,
) -> Significance:
    """Whether `statistic(values, labels)` is large beside what it is when the labels are permuted.

    One value and one label per unit, and units must be exchangeable: give runs, not layers or jumps. A value may be an
    array (values of shape (units, ...)). Units with a NaN are left out. "not enough data" with fewer than two
    labels, or when every unit has a label of its own. Raises InputError when values and labels differ in length.
    """
    x, kinds = np.asarray(values, dtype=np.float64), np.asarray(labels)
    if len(x) != len(kinds):
        raise InputError(f"{len(x)} values with {len(kinds)} labels: give one label per value.")
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    x, kinds = x[finite], kinds[finite]
    if len(np.unique(kinds)) in (0, 1, len(kinds)):
        return untested(len(x))
    observed = statistic(x, kinds)
    if not np.isfinite(observed):
        return untested(len(x))
    least = observed - 1e-12 * abs(observed)
    reached = sum(statistic(x, rng.permutation(kinds)) >= least for _ in range(draws))
    return Significance(float(observed), (1 + reached) / (1 + draws), len(x), "tested")


def kruskal_wallis(values: np.ndarray, labels: np.ndarray) -> float:
    """The Kruskal-Wallis H, corrected for ties; NaN when all values tie."""
    n = len(values)
    # Midranks from the counts of ties; SciPy's rankdata takes three times as long as all the rest.
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    correction = 1 - (ties**3 - ties).sum() / (n**3 - n)
    if correction == 0:
        return float("nan")
    _, group = np.unique(labels, return_inverse=True)
    sums, sizes = np.bincount(group, weights=ranks), np.bincount(group)
    return float((12 / (n * (n + 1)) * (sums**2 / sizes).sum() - 3 * (n + 1)) / correction)


def contingency(counts: np.ndarray, labels: np.ndarray) -> float:
    """Pearson's chi-square of the table labels x kinds; `counts` (units, kinds) says how many of each a unit has."""
    table = np.stack([counts[labels == kind].sum(axis=0) for kind in np.unique(labels)])
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / max(table.sum(), 1)
    return float((np.divide((table - expected) ** 2, expected, out=np.zeros_like(expected), where=expected > 0)).sum())
