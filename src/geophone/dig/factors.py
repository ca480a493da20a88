"""What the units of a network without images answer to: the token, its position, the answer it is to give."""

import numpy as np

from geophone.dig.features import Tuning

_LEAST = 2


def factors_of(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """What can be told apart in the rows of a layer: token, position and answer of each token of sequences x (N, T)
    with answers y (N, T), row by row (N*T,); of other inputs the answer alone (N,). -1 where there is no answer."""
    if y.ndim == 2:
        position = np.broadcast_to(np.arange(x.shape[1]), x.shape)
        kinds = {"token": x, "position": position, "answer": np.where(y < 0, -1, y)}
        return {name: np.asarray(values).reshape(-1) for name, values in kinds.items()}
    return {"answer": y}


def tuned_to(a: np.ndarray, factors: dict[str, np.ndarray], *, rng: np.random.Generator) -> Tuning:
    """`a` (rows, units) by each factor (rows,): the index is the share of a unit's variance that the factor's levels
    explain, cross-fitted: means of one half predict the other (0 by chance, 1 at most, NaN for a dead unit).

    The tuning vector holds a unit's mean at every level of every factor, standardised. The two halves of the rows
    take the place of the two halves of a stimulus bank.
    """
    a = np.asarray(a, dtype=np.float64)
    spread = a.std(0)
    a = (a - a.mean(0)) / np.where(spread > 0, spread, 1)
    halves = rng.permutation(len(a)) % 2
    by_half = [[_explained(a, levels, halves, half) for levels in factors.values()] for half in (0, 1)]
    halved = np.stack([np.stack(half, axis=1) for half in by_half])
    halved[:, spread == 0] = np.nan
    vectors = np.concatenate([_means(a, levels)[0] for levels in factors.values()]).T
    return Tuning(vectors, halved.mean(0), halved)


def _explained(a: np.ndarray, levels: np.ndarray, halves: np.ndarray, half: int) -> np.ndarray:
    """1 - residual / total variance in `half` of the rows, with level means from the other half."""
    fit, test = (halves != half) & (levels >= 0), (halves == half) & (levels >= 0)
    means, counts = _means(a[fit], levels[fit], int(levels.max()) + 1)
    known = test & (counts[levels] >= _LEAST)
    if known.sum() < _LEAST:
        return np.full(a.shape[1], np.nan)
    residual = ((a[known] - means[levels[known]]) ** 2).mean(0)
    total = a[known].var(0)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), np.nan)


def _means(a: np.ndarray, levels: np.ndarray, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    there = levels >= 0
    hot = np.eye(int(levels.max()) + 1 if count is None else count)[levels[there]]
    counts = hot.sum(0).astype(int)
    return (hot.T @ a[there]) / np.maximum(counts, 1)[:, None], counts
