"""One measured representation, prepared so that comparing it with another measurement of the same layer is cheap."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.linalg.lapack import dpotrf, dpotri, dtpttr, dtrttp, stpttr, strttp

from geophone.dimensions.unbiased import unbiased_inner
from geophone.errors import InputError

Array = npt.NDArray[np.floating]
_Number = TypeVar("_Number", bound=np.floating)
RIDGE = 1e-2  # for when something changed
FINE_RIDGE = 1e-3  # for where, and for concepts
# Up to this smaller side a representation takes at most 0.2 MB as it is, besides X where it is held on its features.
_SMALL = 128


@dataclass(frozen=True, slots=True, eq=False)
class Representation:
    """A centred representation X (n samples x d features) as later measurements are compared with it.

    Everything is held on the smaller side, with S = X'X/n and s = tr(S)/d. side "features" (d < n): `matrix` is X and
    `inverses` holds (S + lam s I)^-1 for each ridge lam, so that P = X (S + lam s I)^-1 X'/n. side "samples": `matrix`
    is K = XX' and `inverses` holds P itself, = I - c (K + c I)^-1 with c = lam tr(K)/d, which is the same matrix.
    `traces` and `squares` are tr P and tr P^2 for each ridge, `lengths` the squared length of every row of X, `own`
    the unbiased HSIC of X with itself, `leading` the k leading left singular vectors (n, k), or None where they were
    not asked for. Single precision keeps what is stored; every product that cancels is taken in double precision.
    """

    n: int
    d: int
    side: str
    matrix: Array
    ridges: tuple[float, ...]
    inverses: tuple[Array, ...]
    traces: tuple[float, ...]
    squares: tuple[float, ...]
    lengths: Array
    own: float
    leading: Array | None


def represent(x: npt.ArrayLike, *, ridges: Sequence[float] = (RIDGE, FINE_RIDGE), leading: int = 8) -> Representation:
    """`x` (n, d) prepared for comparison; `leading` = 0 leaves the leading subspace out, no
    `ridges` what is readable.

    O(n d min(n, d)). A representation without variance, or with a value that is not finite, has nothing to compare:
    its `own` is NaN and so is every change from or to it. Raises InputError unless `x` is n x d with n >= 4 and for a
    ridge that is not above 0.
    """
    rows = np.asarray(x)
    if rows.ndim != 2 or len(rows) < 4 or rows.shape[1] < 1:
        raise InputError(f"a change of representation is read from 4 or more samples x features; got {rows.shape}.")
    if any(ridge <= 0 for ridge in ridges):
        raise InputError(f"ridges={tuple(ridges)}: give numbers above 0.")
    n, d = rows.shape
    centred = _standardised(rows)
    if centred is None:
        return _unreadable(n, d, tuple(ridges))
    side = "features" if d < n else "samples"
    small = centred.astype(np.float32)
    if side == "features":
        matrix, gram = small, centred.T @ centred
        lengths = np.einsum("ij,ij->i", centred, centred)
        parts = [_on_features(gram, ridge, n) for ridge in ridges]
    else:
        matrix = small @ small.T
        gram = matrix.astype(np.float64)
        lengths = gram.diagonal().copy()
        parts = [_on_samples(gram, ridge, d) for ridge in ridges]
    return Representation(
        n=n,
        d=d,
        side=side,
        matrix=matrix,
        ridges=tuple(ridges),
        inverses=tuple(part[0] for part in parts),
        traces=tuple(part[1] for part in parts),
        squares=tuple(part[2] for part in parts),
        lengths=lengths,
        own=_hsic(float(np.vdot(gram, gram)), lengths, lengths),
        leading=_leading(centred, gram, leading) if leading else None,
    )


def _standardised(rows: np.ndarray) -> npt.NDArray[np.float64] | None:
    """`rows` less their mean, with a mean squared length of 1, since every change is free of scale; None where there is
    no variance beyond what rounding leaves of constant features, or a value that is not finite."""
    centred = rows.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = centred.mean(0)
        centred -= mean
        total = float(np.vdot(centred, centred))
        if not 1e-24 * len(rows) * float(mean @ mean) < total < np.inf:
            return None
    centred *= (len(rows) / total) ** 0.5
    return centred


def _unreadable(n: int, d: int, ridges: tuple[float, ...]) -> Representation:
    nan = (float("nan"),) * len(ridges)
    nothing = np.zeros((0, 0), np.float32)
    return Representation(n, d, "none", nothing, ridges, (), nan, nan, np.zeros(0), float("nan"), None)


def _inverse(a: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of a symmetric positive definite matrix, by its Cholesky factor."""
    factor, _ = dpotrf(a, lower=1)
    triangle, _ = dpotri(factor, lower=1)  # its upper triangle is 0
    return _mirrored(triangle)


def _mirrored(triangle: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """The symmetric matrix of which one `triangle` is there and the other 0."""
    whole: npt.NDArray[_Number] = triangle + triangle.T
    whole[np.diag_indices(len(whole))] *= 0.5
    return whole


def _on_features(gram: npt.NDArray[np.float64], ridge: float, n: int) -> tuple[Array, float, float]:
    """(S + lam s I)^-1, tr P and tr P^2, from tr P = d - lam s tr W and its square."""
    d = len(gram)
    shrink = ridge * float(np.trace(gram)) / n / d
    w = _inverse(gram / n + shrink * np.eye(d))
    trace, square = float(np.trace(w)), float(np.vdot(w, w))
    return w, d - shrink * trace, d - 2 * shrink * trace + shrink**2 * square


def _on_samples(gram: npt.NDArray[np.float64], ridge: float, d: int) -> tuple[Array, float, float]:
    n = len(gram)
    shrink = ridge * float(np.trace(gram)) / d
    p = _inverse(gram + shrink * np.eye(n))
    p *= -shrink
    p[np.diag_indices(n)] += 1.0
    return p.astype(np.float32), float(np.trace(p)), float(np.vdot(p, p))


def _leading(centred: npt.NDArray[np.float64], gram: npt.NDArray[np.float64], k: int) -> Array:
    m = len(gram)
    k = min(k, m)
    values, vectors = eigh(gram, subset_by_index=(m - k, m - 1), driver="evr", check_finite=False)
    alive = values > 1e-10 * max(float(values[-1]), 1e-300)
    vectors = vectors[:, alive]
    if len(gram) < len(centred):  # from right to left singular vectors
        vectors = centred @ vectors
        vectors /= np.linalg.norm(vectors, axis=0)
    return vectors.astype(np.float32)


def _hsic(frobenius: float, lengths: Array, others: Array) -> float:
    return unbiased_inner(
        len(lengths),
        frobenius=frobenius,
        diagonal=float(lengths @ others),
        traces=float(lengths.sum() * others.sum()),
    )


def _inner(a: Array, b: Array) -> float:
    """The sum of products of two single-precision matrices: rows in single, their sums in double precision."""
    return float(np.einsum("ij,ij->i", a, b).sum(dtype=np.float64))


class Condensed:
    """A representation kept for later in as little memory as gives the same numbers again: of symmetric matrices one
    triangle, and on side "samples" no inverses, which follow from K. A small one is kept as it is: to unfold it would
    take longer than what is done with it."""

    def __init__(self, seen: Representation) -> None:
        self._as_it_is = seen if min(seen.n, seen.d) <= _SMALL else None
        if self._as_it_is is not None:
            return
        self._rest, self._matrix = replace(seen, matrix=np.zeros((0, 0), np.float32), inverses=()), seen.matrix
        self._inverses: list[Array] = []
        if seen.side == "samples":
            self._matrix = _packed(seen.matrix)
        elif seen.side == "features":
            self._inverses = [_packed(inverse) for inverse in seen.inverses]

    @property
    def shape(self) -> tuple[int, int]:
        seen = self._as_it_is or self._rest
        return seen.n, seen.d

    def whole(self, *, inverses: bool) -> Representation:
        """The representation as it was; what is not asked for may be left out."""
        if self._as_it_is is not None:
            return self._as_it_is
        rest = self._rest
        if rest.side != "samples":
            found = [_unpacked(inverse, rest.d) for inverse in self._inverses if inverses]
            return replace(rest, matrix=self._matrix, inverses=tuple(found))
        matrix = _unpacked(self._matrix, rest.n)
        gram = matrix.astype(np.float64)
        found = [_on_samples(gram, ridge, rest.d)[0] for ridge in rest.ridges if inverses]
        return replace(rest, matrix=matrix, inverses=tuple(found))


def _packed(symmetric: Array) -> Array:
    pack = strttp if symmetric.dtype == np.float32 else dtrttp
    triangle: Array = pack(symmetric.T)[0]
    return triangle


def _unpacked(triangle: Array, m: int) -> Array:
    unpack = stpttr if triangle.dtype == np.float32 else dtpttr
    return _mirrored(np.triu(unpack(m, triangle)[0]))  # below the diagonal it is whatever was there before


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two measurements of one layer beside each other: `now` against `then`, on the same samples.

    `cross` is X(then)'X(now) where both are held on their features, else None.
    """

    now: Representation
    then: Representation
    cross: npt.NDArray[np.float64] | None
    _overlaps: dict[float, float] = field(default_factory=dict)

    @property
    def readable(self) -> bool:
        return bool(np.isfinite(self.now.own) and np.isfinite(self.then.own))


def compare(now: Representation, then: Representation) -> Comparison:
    """Prepare what all changes between two measurements share. Raises InputError where they are not of the same
    samples and features, or not of the same ridges."""
    if (now.n, now.d, now.ridges) != (then.n, then.d, then.ridges):
        raise InputError(
            f"changes are read on the same samples and features; got {then.n} x {then.d} and {now.n} x {now.d}."
        )
    if now.side == then.side == "features":
        return Comparison(now, then, (then.matrix.T @ now.matrix).astype(np.float64))
    return Comparison(now, then, None)


def cka_change(pair: Comparison) -> float:
    """1 - debiased linear CKA (Kornblith 2019; Murphy et al. 2024) of a layer with itself: 0 where it is the same up to
    rotation and scale, about 1 where nothing is left of it. NaN where either has no variance that can be told from
    noise."""
    if not pair.readable:
        return float("nan")
    now, then = pair.now, pair.then
    frobenius = float(np.vdot(pair.cross, pair.cross)) if pair.cross is not None else _inner(now.matrix, then.matrix)
    both = now.own * then.own
    return 1 - _hsic(frobenius, now.lengths, then.lengths) / both**0.5 if both > 0 else float("nan")


def readable_overlap(pair: Comparison, ridge: float) -> float:
    """tr P(now) P(then): what a ridge probe can read from both."""
    if not pair.readable:
        return float("nan")
    if ridge not in pair._overlaps:
        at = pair.now.ridges.index(ridge)
        w, v = pair.now.inverses[at], pair.then.inverses[at]
        if pair.cross is not None:  # tr(W C' V C) / n^2 with C = X(then)'X(now)
            pair._overlaps[ridge] = float(np.vdot(pair.cross @ w, v @ pair.cross)) / pair.now.n**2
        else:
            pair._overlaps[ridge] = _inner(w, v)
    return pair._overlaps[ridge]


def readable_change(pair: Comparison, ridge: float = RIDGE) -> float:
    """|P(now) - P(then)|_F^2 with P = X (X'X/n + lam s I)^-1 X'/n, s = tr(X'X/n)/d: by how many directions over the
    samples what a ridge probe of any label could read has turned. Free of the layer's scale and of any rotation of its
    features. It is the unsupervised form of a linear probe; it says nothing about which label became readable."""
    at = pair.now.ridges.index(ridge)
    apart = pair.now.squares[at] + pair.then.squares[at] - 2 * readable_overlap(pair, ridge)
    return max(apart, 0.0) if np.isfinite(apart) else float("nan")


def readable_gain(pair: Comparison, ridge: float = RIDGE) -> float:
    """tr P(now)(I - P(then)) - tr P(then)(I - P(then)): how much is readable now that was not, less what the ridge's
    own shrinking makes of a layer that did not move; in directions over the samples. Below 0 where readable directions
    were lost and none came."""
    at = pair.now.ridges.index(ridge)
    fresh = pair.now.traces[at] - readable_overlap(pair, ridge)
    return fresh - (pair.then.traces[at] - pair.then.squares[at])


def subspace_change(pair: Comparison) -> float:
    """1 - |U(now)'U(then)|_F^2 / k, U the k leading left singular vectors: 0 where the leading subspace stayed, 1 where
    it is orthogonal to what it was. k is the smaller of the two where a layer has fewer dimensions. NaN where it was
    not asked for."""
    u, v = pair.now.leading, pair.then.leading
    if u is None or v is None:
        return float("nan")
    k = min(u.shape[1], v.shape[1])
    return 1 - float(np.square(u.T @ v, dtype=np.float64).sum()) / k
