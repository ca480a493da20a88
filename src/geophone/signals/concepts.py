"""How well something that the user has labels of can be read, linearly, from a layer."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geophone.errors import InputError
from geophone.signals.representation import FINE_RIDGE, Representation, represent

FOLDS = 8


@dataclass(frozen=True, slots=True)
class Decodability:
    """`value` is the held-out accuracy (classes) or R2 (numbers) of a ridge probe, `shuffled` that of the same probe
    for shuffled labels, `chance` the share of the most frequent class (0 for numbers)."""

    value: float
    shuffled: float
    chance: float


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """Labels of the probe's samples, ready to be read from any layer.

    `answers` (n, c): one column of +-1 per class, or the numbers themselves; `shuffled` the same in another order;
    `classes` (n,) the class of every sample, or None for numbers; `folds` (n,) which samples are held out together.
    """

    answers: npt.NDArray[np.float64]
    shuffled: npt.NDArray[np.float64]
    classes: npt.NDArray[np.intp] | None
    order: npt.NDArray[np.intp]
    folds: npt.NDArray[np.intp]


def concept(labels: npt.ArrayLike, *, rng: np.random.Generator, folds: int = FOLDS) -> Concept:
    """`labels` (n,) as a `Concept`: whole numbers, booleans and strings are classes, floats are numbers to predict.
    Raises InputError for fewer than two values or fewer samples than folds."""
    values = np.asarray(labels)
    if values.ndim != 1 or len(values) < max(folds, 4):
        raise InputError(f"a concept is one label per sample, {max(folds, 4)} or more; got shape {values.shape}.")
    different = np.unique(values)
    if len(different) < 2:
        raise InputError("a concept needs two different labels at least; all samples have the same.")
    order, members = rng.permutation(len(values)), rng.permutation(len(values)) % folds
    if values.dtype.kind == "f":
        answers = values.astype(np.float64)[:, None]
        return Concept(answers, answers[order], None, order, members)
    classes = np.searchsorted(different, values)
    answers = 2.0 * (classes[:, None] == np.arange(len(different))) - 1
    return Concept(answers, answers[order], classes, order, members)


def decodability(x: npt.ArrayLike | Representation, what: Concept) -> Decodability:
    """How well a ridge probe fitted on the other folds predicts `what` from the representation `x` (n, d).

    The ridge is 1e-3 s per sample, s the mean variance of a feature, with an intercept that is not shrunk. Because the
    probe is linear in the labels, all folds follow from one projector P (`Representation`): with H = 11'/n + P, the
    held-out residual of fold f is (I - H_ff)^-1 (y - H y)_f, exactly that of fitting without f (with the penalty of the
    whole). NaN for a representation without variance. Raises InputError for another number of samples.
    """
    seen = x if isinstance(x, Representation) else represent(x, ridges=(FINE_RIDGE,), leading=0)
    if seen.n != len(what.answers):
        raise InputError(f"the concept labels {len(what.answers)} samples; the layer has {seen.n} rows.")
    chance = 0.0 if what.classes is None else float(np.bincount(what.classes).max()) / seen.n
    if not np.isfinite(seen.own):
        return Decodability(float("nan"), float("nan"), chance)
    answers = np.concatenate([what.answers, what.shuffled], axis=1)
    predicted = answers - _held_out_residuals(_projector(seen), answers, what.folds)
    own, other = np.split(predicted, 2, axis=1)
    if what.classes is None:
        return Decodability(_r2(own, what.answers), _r2(other, what.shuffled), chance)
    right = float((own.argmax(1) == what.classes).mean())
    return Decodability(right, float((other.argmax(1) == what.classes[what.order]).mean()), chance)


def _projector(seen: Representation) -> npt.NDArray[np.float64]:
    inverse = seen.inverses[seen.ridges.index(FINE_RIDGE)].astype(np.float64)
    if seen.side == "samples":
        return inverse
    rows = seen.matrix.astype(np.float64)
    return rows @ inverse @ rows.T / seen.n


def _held_out_residuals(
    projector: npt.NDArray[np.float64], answers: npt.NDArray[np.float64], folds: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    hat = projector + 1.0 / len(projector)
    rest = answers - hat @ answers
    for fold in range(int(folds.max()) + 1):
        out = np.flatnonzero(folds == fold)
        rest[out] = np.linalg.solve(np.eye(len(out)) - hat[np.ix_(out, out)], rest[out])
    return rest


def _r2(predicted: npt.NDArray[np.float64], answers: npt.NDArray[np.float64]) -> float:
    return 1 - float(np.square(answers - predicted).sum() / np.square(answers - answers.mean(0)).sum())
