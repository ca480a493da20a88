"""Both spectra of a representation, centred and uncentred, from one tridiagonal reduction of one Gram matrix."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.linalg import blas
from threadpoolctl import ThreadpoolController

from geophone.dimensions.gram import Gram
from geophone.dimensions.lanczos import largest_eigenvalue
from geophone.dimensions.lapack import sterf, sytrd

_EPS = float(np.finfo(np.float64).eps)
_EPS32 = float(np.finfo(np.float32).eps)
# From this size on the two spectra gain from a second thread. Below it they are done before torch's own threads, which
# spin for a while after every product, have let go of the other core.
_SIDE_BY_SIDE = 400


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Squared singular values in descending order, min(n, d) of each: `centred` of Xc, `uncentred` of X.

    Values that a float64 Gram matrix cannot tell from zero (below m eps times the largest centred one) are zero.
    """

    centred: np.ndarray
    uncentred: np.ndarray


def spectrum(gram: Gram) -> Spectrum:
    """Both spectra of `gram` (status "ok").

    Reduce to tridiagonal form T = Q'GQ with the first column of Q along the direction in which centring acts.
    On side "features" the uncentred matrix is S + n mu mu', so with q_1 = mu/|mu| only T[0,0] differs by n|mu|^2.
    On side "rows" the direction is 1/sqrt(n), which the centred matrix annihilates, so the centred spectrum is
    that of T without its first row and column. The reduction, the O(m^3) part, is done once for the two. On a
    GPU the two matrices go to `torch.linalg.eigvalsh` as one batch.
    """
    if gram.matrix.device.type != "cpu":
        return _batched(gram)
    centred, uncentred = _rows(gram) if gram.side == "rows" else _features(gram)
    return _interlaced(centred, uncentred)


def leading(gram: Gram) -> Spectrum:
    """Of both spectra of `gram` (status "ok", float64) the largest value and the sum of all others: what a stable rank
    needs, to 1e-6 relative, in a few dozen products with a vector."""
    m = min(gram.n, gram.d)
    lower = _lower(gram)
    mean, cross = gram.mean.cpu().numpy(), gram.cross.cpu().numpy()

    def centred(v: np.ndarray) -> np.ndarray:
        return blas.dsymv(1.0, lower, v, lower=1)

    def uncentred(v: np.ndarray) -> np.ndarray:
        if gram.side == "features":
            return centred(v) + mean * (gram.n * float(mean @ v))
        total = float(v.sum())
        return centred(v) + cross * total + (float(cross @ v) + gram.mean_square * total)

    sums = gram.trace, gram.trace + gram.n * gram.mean_square
    largest = (largest_eigenvalue(apply, m) for apply in (centred, uncentred))
    return Spectrum(*(np.array([value, total - value]) for value, total in zip(largest, sums, strict=True)))


def is_resolved(gram: Gram, values: Spectrum) -> bool:
    """Whether the product's rounding is small against every eigenvalue that should not be zero.

    A float32 product carries errors of about eps tr/m; the least eigenvalue must be 1,000 times that (dead features
    aside, whose rows of the product are exactly zero), and the mean not so large that the uncentred matrix drowns
    the centred one. Always true for float64.
    """
    if gram.matrix.dtype == torch.float64:
        return True
    m = min(gram.n, gram.d)
    living = round(gram.d * (1.0 - gram.dead_fraction))
    least = min(values.centred[min(gram.n - 1, living) - 1], values.uncentred[min(gram.n, living) - 1])
    return least > 1e3 * _EPS32 * gram.trace / m and gram.n * gram.mean_square < 100 * gram.trace


def one_lapack_thread():
    """Context in which BLAS and LAPACK keep to one thread.

    Their pool waits in line behind torch's, which spins: with both on the same two cores a 128 x 128 spectrum took
    40 times as long.
    """
    return _openblas().limit(limits=1)


@cache
def _openblas() -> ThreadpoolController:
    return ThreadpoolController().select(internal_api="openblas")


def _lower(gram: Gram) -> np.ndarray:
    """A copy for LAPACK to work in: the upper triangle by rows is the lower one by columns, with nothing to turn."""
    return np.array(gram.matrix.cpu().numpy(), dtype=np.float64, order="C").T


def _rows(gram: Gram) -> tuple[np.ndarray, np.ndarray]:
    n = gram.n
    matrix, reflector = _aligned(_lower(gram), np.full(n, n**-0.5))
    border = gram.cross.numpy() * np.sqrt(n)
    border -= reflector * (2.0 * (reflector @ border) / (reflector @ reflector))
    matrix[1:, 0] = border[1:]
    matrix[0, 0] = n * gram.mean_square
    diagonal, off = sytrd(matrix)
    centred, uncentred = _both((diagonal[1:], off[1:]), (diagonal, off))
    return np.append(centred, 0.0), uncentred


def _features(gram: Gram) -> tuple[np.ndarray, np.ndarray]:
    mean = gram.mean.numpy()
    length = np.sqrt(gram.mean_square)
    if length == 0.0:
        values = _eigenvalues(*sytrd(_lower(gram)))
        return values, values
    matrix, _ = _aligned(_lower(gram), mean / length)
    diagonal, off = sytrd(matrix)
    moved = diagonal.copy()
    moved[0] += gram.n * gram.mean_square
    return _both((diagonal, off), (moved, off))


def _aligned(lower: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P A P with P the Householder reflection that takes the unit vector `direction` to +-e_1; and its vector."""
    v = direction.copy()
    v[0] += np.copysign(1.0, v[0])
    beta = 2.0 / (v @ v)
    w = blas.dsymv(1.0, lower, v, lower=1)
    z = (0.5 * beta * beta * (v @ w)) * v - beta * w
    return blas.dsyr2(1.0, v, z, a=lower, lower=1, overwrite_a=1), v


def _both(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of two tridiagonal matrices, side by side where torch, too, may use two threads."""
    if len(second[0]) < _SIDE_BY_SIDE or torch.get_num_threads() == 1:
        return _eigenvalues(*first), _eigenvalues(*second)
    with ThreadPoolExecutor(1) as beside:
        waited_for = beside.submit(_eigenvalues, *first)
        here = _eigenvalues(*second)
        return waited_for.result(), here


def _eigenvalues(diagonal: np.ndarray, off: np.ndarray) -> np.ndarray:
    return diagonal.copy() if len(diagonal) < 2 else sterf(diagonal, off)[::-1]


def _interlaced(centred: np.ndarray, uncentred: np.ndarray) -> Spectrum:
    """Values below what the product resolves are zero. The mean adds one direction, X'X = Xc'Xc + n mu mu', so that
    uncentred value i + 1 lies between centred ones i + 1 and i (Cauchy): they resolve it where the mean is large."""
    centred = np.where(centred > centred[0] * len(centred) * _EPS, centred, 0.0)
    return Spectrum(centred, np.clip(uncentred, centred, np.append(np.inf, centred[:-1])))


def _batched(gram: Gram) -> Spectrum:
    centred = gram.matrix.double()
    uncentred = centred.clone()
    if gram.side == "rows":
        uncentred += gram.cross[:, None] + gram.cross[None, :] + gram.mean_square
    else:
        uncentred += gram.n * torch.outer(gram.mean, gram.mean)
    both = torch.linalg.eigvalsh(torch.stack([centred, uncentred]), UPLO="U").flip(1).cpu().numpy()
    return _interlaced(both[0], both[1])
