"""Whether one number is the same in several groups of runs."""

from collections.abc import Callable, Sequence

import numpy as np

from geophone.stats.clusters import LEAST, fisher, grouped, ranked, sums
from geophone.stats.permutation import Tested


def means_differ(
    values: np.ndarray, *, clusters: Sequence, labels: Sequence, rng: np.random.Generator, draws: int = 1999
) -> Tested:
    """Whether the clusters' means differ by label: sum over labels of k (mean - overall)^2 / s^2, the labels permuted
    over clusters; s^2 is pooled within labels, so this is the F statistic.

    A cluster has the label of its first row. Labels with fewer than `LEAST` clusters do not take part; "not enough
    data" when fewer than two remain. `n` is the number of clusters.
    """
    labels = np.unique(np.asarray(labels).astype(str), return_inverse=True)[1].astype(float)
    number, (y, label) = grouped(clusters, values, labels)
    if len(y) == 0:
        return _nothing(0)
    totals = sums(number, np.ones_like(y), y)
    each = totals[:, 1] / totals[:, 0]
    of, kept = _labels(number, label)
    each = each[kept]
    if of.shape[1] < 2 or np.ptp(each) == 0:
        return _nothing(len(each))

    apart = each - each.mean()

    def statistic(groups: np.ndarray) -> np.ndarray:
        k = groups.sum(axis=-2)
        between = ((np.swapaxes(groups, -1, -2) @ apart) ** 2 / k).sum(axis=-1)
        within = np.maximum((apart**2).sum() - between, 1e-300)
        return (between / (k.shape[-1] - 1)) / (within / (len(each) - k.shape[-1]))

    return _permuted(statistic, of, rng, draws)


def correlations_differ(
    x: np.ndarray,
    y: np.ndarray,
    *,
    clusters: Sequence,
    labels: Sequence,
    rng: np.random.Generator,
    method: str = "pearson",
    draws: int = 1999,
) -> Tested:
    """Whether the correlation of `x` and `y` differs by label: Q = sum over labels of k (artanh r - weighted mean)^2, k
    the number of clusters, the labels permuted over clusters.

    x and y (ranks for "spearman") are first brought to mean 0 and variance 1 within each label, so that labels which
    only differ in level or scale are alike. A cluster has one label. Labels with fewer than `LEAST` clusters, or no
    spread, do not take part; "not enough data" when fewer than two remain. `n` is the number of clusters.
    """
    labels = np.unique(np.asarray(labels).astype(str), return_inverse=True)[1].astype(float)
    number, (x, y, label) = grouped(clusters, x, y, labels)
    x, y = x.copy(), y.copy()
    for value in np.unique(label):
        rows = label == value
        for column in (x, y):
            part = ranked(column[rows], method)
            column[rows] = (part - part.mean()) / part.std() if np.ptp(part) > 0 else np.nan
    flat = {value for value in np.unique(label) if np.isnan(x[label == value] + y[label == value]).any()}
    keep = ~np.isin(label, list(flat))
    if not keep.any():
        return _nothing(0)
    number, (x, y, label) = grouped(number[keep], x[keep], y[keep], label[keep])
    shares = sums(number, np.ones_like(x), x, y, x * x, y * y, x * y)
    of, kept = _labels(number, label)
    shares = shares[kept]
    if of.shape[1] < 2:
        return _nothing(len(shares))

    def statistic(groups: np.ndarray) -> np.ndarray:
        k = groups.sum(axis=-2)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.nan_to_num(fisher(np.swapaxes(groups, -1, -2) @ shares))
        middle = (k * z).sum(axis=-1, keepdims=True) / k.sum(axis=-1, keepdims=True)
        return (k * (z - middle) ** 2).sum(axis=-1)

    return _permuted(statistic, of, rng, draws)


def _labels(number: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(clusters that take part x labels) of 0 and 1, and which clusters those are."""
    first = label[np.unique(number, return_index=True)[1]]
    values, sizes = np.unique(first, return_counts=True)
    values = values[sizes >= LEAST]
    kept = np.isin(first, values)
    return (first[kept, None] == values).astype(float), kept


def _permuted(
    statistic: Callable[[np.ndarray], np.ndarray], of: np.ndarray, rng: np.random.Generator, draws: int
) -> Tested:
    found = float(statistic(of))
    orders = rng.permuted(np.tile(np.arange(len(of)), (draws, 1)), axis=1)
    reached = int((statistic(of[orders]) >= found * (1 - 1e-12)).sum())
    return Tested(found, (1 + reached) / (1 + draws), len(of), "tested")


def _nothing(n: int) -> Tested:
    return Tested(np.nan, np.nan, n, "not enough data")
