"""Debiased linear centred kernel alignment between two representations of the same samples."""

import torch

from geophone.dimensions.gram import as_matrix
from geophone.dimensions.unbiased import unbiased_inner
from geophone.errors import InputError


def cka(x, y) -> float:
    """Debiased linear CKA of X (n, d1) and Y (n, d2), the same n samples in the same order.

    h(X, Y) / sqrt(h(X, X) h(Y, Y)) with h the unbiased HSIC of the linear kernels (Kornblith 2019; Song 2012;
    Murphy 2024). 1 for representations equal up to rotation and scale, 0 on average for independent ones; it may
    be negative. NaN for n < 4, and where a representation has no variance that can be told from noise. Not the
    naive CKA, which reads 0.89 on independent Gaussians at n = 64, d = 512.
    Raises InputError for different numbers of samples.
    """
    a, b = as_matrix(x).double(), as_matrix(y).double()
    if len(a) != len(b):
        raise InputError(f"CKA compares the same samples twice; got {len(a)} and {len(b)} rows.")
    a, b = a - a.mean(0), b - b.mean(0)
    own = _inner(a, a) * _inner(b, b)
    return _inner(a, b) / own**0.5 if own > 0 else float("nan")


def _inner(a: torch.Tensor, b: torch.Tensor) -> float:
    n = len(a)
    squares_a, squares_b = a.square().sum(1), b.square().sum(1)
    if a.shape[1] * b.shape[1] <= n * (a.shape[1] + b.shape[1]):
        frobenius = (a.T @ b).square().sum()
    else:
        frobenius = ((a @ a.T) * (b @ b.T)).sum()
    return unbiased_inner(
        n,
        frobenius=float(frobenius),
        diagonal=float(squares_a @ squares_b),
        traces=float(squares_a.sum() * squares_b.sum()),
    )
