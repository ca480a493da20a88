"""Whether one number is the same in several groups of runs."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from geophone.stats.clusters import LEAST, fisher, grouped, moments, ranked, sums
from geophone.stats.permutation import Significance, untested


def means_differ(
    values: ArrayLike, *, clusters: ArrayLike, labels: ArrayLike, rng: np.random.Generator, draws: int = 1999
) -> Significance:
    """Whether the clusters' means differ by label: sum over labels of k (mean - overall)^2 / s^2, the labels permuted
    over clusters; s^2 is pooled within labels, so this is the F statistic.

    A cluster has the label of its first row. Labels with fewer than `LEAST` clusters do not take part; "not enough
    data" when fewer than two remain. `n` is the number of clusters.
    """
    number, (y, label) = grouped(clusters, values, _coded(labels))
    if len(y) == 0:
        return untested(0)
    totals = sums(number, np.ones_like(y), y)
    each = totals[:, 1] / totals[:, 0]
    of, large = _labels(number, label)
    each = each[large]
    if of.shape[1] < 2 or np.ptp(each) == 0:
        return untested(len(each))

    apart = each - each.mean()

    def statistic(groups: np.ndarray) -> np.ndarray:
        k = groups.sum(axis=-2)
        between = ((np.swapaxes(groups, -1, -2) @ apart) ** 2 / k).sum(axis=-1)
        within = np.maximum((apart**2).sum() - between, 1e-300)
        return (between / (k.shape[-1] - 1)) / (within / (len(each) - k.shape[-1]))

    return _permuted(statistic, of, rng, draws)


def correlations_differ(
    x: ArrayLike,
    y: ArrayLike,
    *,
    clusters: ArrayLike,
    labels: ArrayLike,
    rng: np.random.Generator,
    method: str = "pearson",
    draws: int = 1999,
) -> Significance:
    """Whether the correlation of `x` and `y` differs by label: Q = sum over labels of k (artanh r - weighted mean)^2, k
    the number of clusters, the labels permuted over clusters.

    x and y (ranks for "spearman") are first brought to mean 0 and variance 1 within each label, so that labels which
    only differ in level or scale are alike. A cluster has one label. Labels with fewer than `LEAST` clusters, or no
    spread, do not take part; "not enough data" when fewer than two remain. `n` is the number of clusters.
    """
    number, (u, v, label) = grouped(clusters, x, y, _coded(labels))
    for value in np.unique(label):
        rows = label == value
        scaled = [ranked(column[rows], method) for column in (u, v)]
        flat = any(np.ptp(part) == 0 for part in scaled)
        for column, part in zip((u, v), scaled, strict=True):
            column[rows] = np.nan if flat else (part - part.mean()) / part.std()
    number, (u, v, label) = grouped(number, u, v, label)
    if not len(u):
        return untested(0)
    of, large = _labels(number, label)
    shares = moments(number, u, v)[large]
    if of.shape[1] < 2:
        return untested(len(shares))

    def statistic(groups: np.ndarray) -> np.ndarray:
        k = groups.sum(axis=-2)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.nan_to_num(fisher(np.swapaxes(groups, -1, -2) @ shares))
        middle = (k * z).sum(axis=-1, keepdims=True) / k.sum(axis=-1, keepdims=True)
        return (k * (z - middle) ** 2).sum(axis=-1)

    return _permuted(statistic, of, rng, draws)


def _coded(labels: ArrayLike) -> np.ndarray:
    return np.unique(np.asarray(labels).astype(str), return_inverse=True)[1]


def _labels(number: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(clusters that take part x labels) of 0 and 1, and which clusters those are."""
    first = label[np.unique(number, return_index=True)[1]]
    values, sizes = np.unique(first, return_counts=True)
    values = values[sizes >= LEAST]
    large = np.isin(first, values)
    return (first[large, None] == values).astype(float), large


def _permuted(
    statistic: Callable[[np.ndarray], np.ndarray], of: np.ndarray, rng: np.random.Generator, draws: int
) -> Significance:
    observed = float(statistic(of))
    orders = rng.permuted(np.tile(np.arange(len(of)), (draws, 1)), axis=1)
    reached = int((statistic(of[orders]) >= observed * (1 - 1e-12)).sum())
    return Significance(observed, (1 + reached) / (1 + draws), len(of), "tested")
