"""Activation statistics: how selective, sparse and diverse the units of a layer are, beside what chance gives."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.errors import InputError

NULL_DRAWS = 20
_BINS = 8
_FOLDS = 5
_OF_CLASSES = (
    "preferred", "selectivity", "selectivity_raw", "selectivity_null", "d_prime", "mutual_information",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grouping:
    """Whether answers group by class: `silhouette` (mean, Euclidean, Rousseeuw 1987) and `probe_accuracy` of a linear
    probe (ridge regression on one-hot labels, 5-fold cross-validated), each beside its mean under permuted labels and
    the share of permutations that reach it."""

    silhouette: float
    silhouette_null: float
    silhouette_p: float
    probe_accuracy: float
    probe_null: float
    probe_p: float


def class_means(a: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """Mean answer of each unit to each class: (classes, units), NaN for a class without samples; `a` (n, units), `y`
    (n,)."""
    hot = _one_hot(y, classes)
    count = hot.sum(0)
    return np.where(count[:, None] > 0, hot.T @ a / np.maximum(count, 1)[:, None], np.nan)


def selectivity(means: np.ndarray) -> np.ndarray:
    """(mu_max - mu_rest) / (mu_max + mu_rest) of each unit, mu_rest the mean over the other classes (Morcos et al.
    2018).

    `means` (classes, units) of non-negative answers, a row of NaN for a class without samples; NaN for a unit that is 0
    everywhere. In [0, 1], and biased upwards: among units that know nothing of the class it is 0.32 on average at 10
    images a class.
    """
    return selectivity_for(means, _greatest(means))


def selectivity_for(means: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """`selectivity` with the preferred class of each unit given (units,): chosen on other data it is not biased."""
    top = means[preferred, np.arange(means.shape[1])]
    others = (~np.isnan(means)).sum(0) - 1
    rest = np.divide(np.nansum(means, 0) - top, others, out=np.full(len(top), np.nan), where=others > 0)
    return _ratio(top - rest, top + rest)


def unit_statistics(a: np.ndarray, y: np.ndarray, *, rng: np.random.Generator, draws: int = NULL_DRAWS) -> pd.DataFrame:
    """A row a unit: what it tells of the class, and how sparsely it answers. `a` (n, units), `y` (n,) classes from 0,
    of which only those with samples count.

    preferred: the class of its greatest mean. selectivity_raw: Morcos et al. (2018). selectivity: the preferred
    class chosen on one half of the samples, the index taken on the other, both ways averaged, minus
    selectivity_null, its mean over `draws` permutations of the labels; NaN on signed answers, where the index has no
    meaning. d_prime: (mean of preferred - mean of rest) / root of their mean variance, cross-fitted the same way.
    mutual_information: of class and answer in 8 bins of equal count, nats, minus its mean under permuted labels.
    sparsity: share of samples with an answer above 0, or above the middle of its range where it is above 0 always (a
    mean over positions). treves_rolls: (1 - mean(|a|)^2 / mean(a^2)) / (1 - 1/n) (Rolls & Tovee 1995). hoyer: (root
    n - L1/L2) / (root n - 1) (Hoyer 2004). dead: the answer never changes; everything else is then NaN. Of one class
    alone, what is said of classes is NaN. Raises InputError for a shape that does not fit.
    """
    a, y = np.asarray(a, dtype=np.float64), np.asarray(y)
    if a.ndim != 2 or y.shape != (len(a),):
        raise InputError(f"answers {a.shape} with labels {y.shape}: give (n, units) and (n,).")
    labels, y = np.unique(y, return_inverse=True)
    classes = len(labels)
    if classes < 2:
        halves = np.arange(len(a)) % 2
        return unit_statistics(a, halves, rng=rng, draws=0).assign(**dict.fromkeys(_OF_CLASSES, np.nan))
    dead = np.ptp(a, axis=0) == 0
    signed = (a < 0).any(0)
    halves = rng.permutation(len(a)) % 2
    found, d_prime = _cross_fitted(a, y, halves, classes)
    bins = _binned(a)
    null, information_null = np.zeros(a.shape[1]), np.zeros(a.shape[1])
    for _ in range(draws):
        shuffled = rng.permutation(y)
        null += _cross_fitted_selectivity(a, shuffled, halves, classes) / draws
        information_null += _information(bins, shuffled, classes) / draws
    means, n = class_means(a, y, classes), len(a)
    l1, l2 = np.abs(a).mean(0), (a**2).mean(0)
    table = pd.DataFrame(
        {
            "preferred": labels[means.argmax(0)].astype(float),
            "selectivity": np.where(signed, np.nan, found - null),
            "selectivity_raw": np.where(signed, np.nan, selectivity(means)),
            "selectivity_null": np.where(signed, np.nan, null),
            "d_prime": d_prime,
            "mutual_information": _information(bins, y, classes) - information_null,
            "sparsity": (a > _threshold(a)).mean(0),
            "treves_rolls": (1 - _ratio(l1**2, l2)) / (1 - 1 / n),
            "hoyer": (np.sqrt(n) - _ratio(l1 * n, np.sqrt(l2 * n))) / (np.sqrt(n) - 1),
        }
    )
    table[dead] = np.nan
    table.insert(0, "unit", np.arange(a.shape[1]))
    return table.assign(dead=dead, signed=signed)


def _cross_fitted(a: np.ndarray, y: np.ndarray, halves: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    d_prime = np.zeros(a.shape[1])
    means = _half_means(a, y, halves, classes)
    for half in (0, 1):
        d_prime += _d_prime(a[halves != half], y[halves != half], _greatest(means[half]), classes) / 2
    return _cross_fitted_selectivity(a, y, halves, classes), d_prime


def _cross_fitted_selectivity(a: np.ndarray, y: np.ndarray, halves: np.ndarray, classes: int) -> np.ndarray:
    first, second = _half_means(a, y, halves, classes)
    return (selectivity_for(second, _greatest(first)) + selectivity_for(first, _greatest(second))) / 2


def _half_means(a: np.ndarray, y: np.ndarray, halves: np.ndarray, classes: int) -> np.ndarray:
    """Class means of each half (2, classes, units), of the classes that have samples in both: what one half prefers,
    the other must be able to tell of."""
    both = np.stack([class_means(a[halves == half], y[halves == half], classes) for half in (0, 1)])
    return np.where(np.isnan(both).any(0), np.nan, both)


def _greatest(means: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(means), -np.inf, means).argmax(0)


def _d_prime(a: np.ndarray, y: np.ndarray, preferred: np.ndarray, classes: int) -> np.ndarray:
    hot = _one_hot(y, classes)
    counts, sums, squares = hot.sum(0)[:, None], hot.T @ a, hot.T @ a**2
    units = np.arange(a.shape[1])
    n1, s1, q1 = counts[preferred, 0], sums[preferred, units], squares[preferred, units]
    n2, s2, q2 = len(a) - n1, sums.sum(0) - s1, squares.sum(0) - q1
    m1, m2 = _ratio(s1, n1), _ratio(s2, n2)
    spread = np.maximum((_ratio(q1, n1) - m1**2 + _ratio(q2, n2) - m2**2) / 2, 0)
    return _ratio(m1 - m2, np.sqrt(spread))


def _binned(a: np.ndarray) -> np.ndarray:
    """Each unit's answers in 8 bins of equal count; equal answers share a bin."""
    edges = np.quantile(a, np.arange(1, _BINS) / _BINS, axis=0)
    return (a[None] > edges[:, None]).sum(0)


def _information(bins: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    hot = _one_hot(y, classes)
    joint = np.stack([(bins == b).astype(float).T @ hot for b in range(_BINS)]) / len(y)
    parts = joint.sum(0, keepdims=True) * joint.sum(2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(joint > 0, joint * np.log(joint / parts), 0).sum((0, 2))


def _threshold(a: np.ndarray) -> np.ndarray:
    low = a.min(0)
    return np.where(low > 0, (low + a.max(0)) / 2, 0)


def code_diversity(a: np.ndarray) -> dict[str, float]:
    """Two readings of how many patterns the layer makes, from the binary code of answers above the threshold of
    sparsity (signed: above the median).

    patterns: different rows of the code; it saturates at n. pattern_pr: the participation ratio (sum l)^2 / sum(l^2)
    of the code's covariance, 1 to the number of units; NaN when the code never changes.
    """
    code = (a > np.where((a < 0).any(0), np.median(a, axis=0), _threshold(a))).astype(np.float64)
    centred = code - code.mean(0)
    gram = centred.T @ centred if code.shape[1] <= len(code) else centred @ centred.T
    square = float((gram**2).sum())
    return {
        "patterns": float(len(np.unique(np.packbits(code.astype(bool), axis=1), axis=0))),
        "pattern_pr": float(np.trace(gram) ** 2 / square) if square > 0 else float("nan"),
    }


def grouping(a: np.ndarray, y: np.ndarray, *, rng: np.random.Generator, draws: int = NULL_DRAWS) -> Grouping:
    """Whether the answers `a` (n, units) group by the classes `y` (n,); see Grouping. Features are standardised first,
    dead ones left out; NaN throughout when none is left, or there is one class alone."""
    live = a[:, np.ptp(a, axis=0) > 0].astype(np.float64)
    if live.shape[1] == 0 or len(np.unique(y)) < 2:
        return Grouping(*[float("nan")] * 6)
    live = (live - live.mean(0)) / live.std(0)
    labels = np.stack([y, *(rng.permutation(y) for _ in range(draws))])
    shapes, probes = _silhouettes(live, labels), _probes(live, labels, rng)
    reached = [(1 + int((v[1:] >= v[0]).sum())) / (1 + draws) for v in (shapes, probes)]
    return Grouping(
        float(shapes[0]), float(shapes[1:].mean()), reached[0], float(probes[0]), float(probes[1:].mean()), reached[1]
    )


def _silhouettes(a: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean silhouette for each row of `labels`, from one matrix of distances."""
    square = (a**2).sum(1)
    distances = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * a @ a.T, 0)).astype(np.float32)
    classes = int(labels.max()) + 1
    found = []
    for y in labels:
        hot = _one_hot(y, classes)
        sizes = hot.sum(0)
        hot, sizes = hot[:, sizes > 0], sizes[sizes > 0]
        sums = distances @ hot.astype(np.float32)
        own = hot.argmax(1)
        mine = sums[np.arange(len(y)), own] / np.maximum(sizes[own] - 1, 1)
        others = np.where(hot > 0, np.inf, sums / sizes).min(1)
        found.append(np.where(sizes[own] > 1, (others - mine) / np.maximum(np.maximum(others, mine), 1e-12), 0).mean())
    return np.array(found)


def _probes(a: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cross-validated accuracy of the linear probe for each row of `labels`; one factorisation a fold serves all."""
    n, classes = len(a), int(labels.max()) + 1
    fold = rng.permutation(n) % _FOLDS
    x = np.concatenate([a, np.ones((n, 1))], axis=1)
    right = np.zeros(len(labels))
    targets = np.concatenate([_one_hot(y, classes) for y in labels], axis=1)
    for k in range(_FOLDS):
        seen, new = x[fold != k], x[fold == k]
        weights = np.linalg.solve(seen.T @ seen + len(seen) * 1e-3 * np.eye(x.shape[1]), seen.T @ targets[fold != k])
        guesses = (new @ weights).reshape(len(new), len(labels), classes).argmax(2)
        right += (guesses == labels[:, fold == k].T).sum(0)
    return right / n


def _one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[y]


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.abs(bottom) > 0)
