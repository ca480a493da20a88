import numpy as np
import pytest
import torch

from geophone.dimensions import cka
from geophone.errors import InputError


def naive(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())


def by_definition(x, y):
    """Song's estimator with explicit n x n kernels."""
    n = len(x)
    ones = np.ones(n)

    def inner(a, b):
        k, m = a @ a.T, b @ b.T
        np.fill_diagonal(k, 0)
        np.fill_diagonal(m, 0)
        first = (k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * ones @ k @ m @ ones
        return first / (n * (n - 3))

    return inner(x, y) / np.sqrt(inner(x, x) * inner(y, y))


def test_independent_gaussians_read_zero_where_the_naive_form_reads_ninety_percent():
    generator = torch.Generator().manual_seed(0)
    pairs = [[torch.randn(64, 512, generator=generator) for _ in "xy"] for _ in range(20)]
    assert np.mean([naive(x, y) for x, y in pairs]) == pytest.approx(0.886, abs=0.01)
    assert abs(np.mean([cka(x, y) for x, y in pairs])) < 0.02


@pytest.mark.parametrize(("n", "d1", "d2"), [(20, 5, 7), (10, 60, 40), (30, 4, 100)])
def test_agrees_with_the_definition(n, d1, d2):
    rng = np.random.default_rng([n, d1])
    x, y = rng.normal(size=(n, d1)) + 2, rng.normal(size=(n, d2))
    y[:, :3] += x[:, :3]
    assert cka(x, y) == pytest.approx(by_definition(x, y))


def test_rotation_scale_and_shift_leave_one():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 8))
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert cka(x, 3 * x @ turn + 5) == pytest.approx(1)


def test_different_samples_are_refused():
    with pytest.raises(InputError, match="20 and 21 rows"):
        cka(np.ones((20, 3)), np.ones((21, 3)))


def test_too_few_samples_or_no_variance_give_nan():
    assert np.isnan(cka(np.eye(3), np.eye(3)))
    assert np.isnan(cka(np.ones((9, 3)), np.random.default_rng(0).normal(size=(9, 3))))
