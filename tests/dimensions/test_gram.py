"""The parts beneath the dimensions: centring, what is dead, which arithmetic, and many at once."""

import numpy as np
import pytest
import torch

import geophone as gp
from geophone.dimensions import read
from geophone.dimensions.gram import Gram, _centre, _dead_fraction, as_matrix, gram
from geophone.dimensions.lapack import sterf
from geophone.dimensions.reading import _product_dtype, _rank_by_svd, read_each
from geophone.dimensions.spectrum import Spectrum, is_resolved, spectrum
from geophone.errors import InputError


def numbers(n, d, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)))


@pytest.mark.parametrize("mean", [0.0, 3.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centring_leaves_no_mean_and_says_what_it_took(mean, dtype):
    x = (numbers(500, 40) + mean).to(dtype)
    whole = x.double().numpy()
    # The first mean may be rough: the second pass takes out what it left.
    centred, found, trace = _centre(x, x.mean(0) + 1e-3, torch.float64)
    np.testing.assert_allclose(found, whole.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(centred, whole - whole.mean(0), atol=1e-12)
    assert trace == pytest.approx(((whole - whole.mean(0)) ** 2).sum(), rel=1e-10)
    centred, found, trace = _centre(x.float(), x.float().mean(0), torch.float32)
    assert centred.dtype == torch.float32 and found.dtype == torch.float64
    assert trace == pytest.approx(((whole - whole.mean(0)) ** 2).sum(), rel=1e-3)
    assert centred.mean(0).abs().max() < 1e-5


def test_a_large_mean_in_float32_gets_its_second_pass_and_a_small_one_does_not_need_it():
    for mean, passes in ((1000.0, True), (3.0, False)):
        x = (numbers(500, 40) + mean).float()
        centred, _, _ = _centre(x, x.mean(0) + 1e-3, torch.float32)
        assert bool(centred.mean(0).abs().max() < 1e-4) == passes


@pytest.mark.parametrize("n", [2, 3, 8, 9, 100])
def test_dead_features_are_those_with_one_value(n):
    x = numbers(n, 7)
    x[:, 2], x[:, 5] = 0.5, 0.0
    x[:, 6] = 1.0
    x[n - 1, 6] = 2.0  # lives in its last sample alone
    for given in (x, x.numpy(), x.float()):
        assert _dead_fraction(given) == pytest.approx(2 / 7)
    assert _dead_fraction(x[:, 2:3]) == 1.0 and _dead_fraction(numbers(n, 3)) == 0.0
    first = torch.ones(n, 1)
    first[0] = 0.0
    assert _dead_fraction(first) == 0.0


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize(("n", "d"), [(20, 30), (30, 20), (500, 600), (600, 500)])
def test_the_gram_matrix_is_that_of_the_shorter_side_with_its_sums(n, d, spectral):
    x = numbers(n, d) + 0.5
    found = gram(x, dtype=torch.float64, spectral=spectral)
    c = (x - x.mean(0)).numpy()
    whole = c @ c.T if n <= d else c.T @ c
    np.testing.assert_allclose(np.triu(found.matrix), np.triu(whole), atol=1e-9)
    assert (found.n, found.d, found.status, found.side) == (n, d, "ok", "rows" if n <= d else "features")
    assert found.trace == pytest.approx(np.trace(whole)) and found.frobenius == pytest.approx((whole**2).sum())
    assert found.row_quartic == pytest.approx(((c**2).sum(1) ** 2).sum())
    assert found.mean_square == pytest.approx(float((x.mean(0) ** 2).sum()))
    assert found.eps == np.finfo(float).eps and found.dead_fraction == 0
    if spectral and n <= d:
        np.testing.assert_allclose(found.cross, c @ x.mean(0).numpy(), atol=1e-9)


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (600, 300)])
def test_a_gram_matrix_of_nothing_says_its_shape_and_why(shape):
    dead = gram(torch.full(shape, 0.3))
    assert (dead.n, dead.d, dead.status, dead.dead_fraction, len(dead.matrix)) == (*shape, "dead", 1.0, 0)
    bad = numbers(*shape)
    bad[1, 1] = np.nan
    broken = gram(bad)
    assert (broken.n, broken.d, broken.status, len(broken.matrix)) == (*shape, "nonfinite", 0)
    # A sum that overflows is no infinity among the data.
    assert gram(numbers(*shape).sign() * 1.5e308).status == "ok"


def test_float32_serves_where_only_traces_are_wanted_or_the_matrix_is_long():
    for shape, tier, dtype, expected in (
        ((1000, 100), "spectrum", torch.float32, torch.float32),
        ((100, 1000), "spectrum", torch.float32, torch.float32),
        ((800, 100), "spectrum", torch.float32, torch.float32),
        ((799, 100), "spectrum", torch.float32, torch.float64),
        ((300, 200), "traces", torch.float32, torch.float32),
        ((1000, 100), "spectrum", torch.float64, torch.float64),
        ((300, 200), "traces", torch.float64, torch.float64),
        ((300, 200), "leading", torch.float32, torch.float64),
    ):
        assert _product_dtype(torch.zeros(shape, dtype=dtype), tier) == expected


def planted(least, *, mean_square=0.0, dead=0.0, dtype=torch.float32):
    values = np.r_[np.ones(9), least]
    return (
        Gram(n=50, d=10, status="ok", side="features", matrix=torch.zeros(10, 10, dtype=dtype), trace=9.0 + least,
             mean_square=mean_square, dead_fraction=dead),
        Spectrum(centred=values, uncentred=values),
    )  # fmt: skip


def test_a_spectrum_is_resolved_when_its_least_value_stands_out_of_the_products_rounding():
    edge = 1e3 * np.finfo(np.float32).eps * 9 / 10
    assert is_resolved(*planted(1.1 * edge)) and not is_resolved(*planted(0.9 * edge))
    assert is_resolved(*planted(1e-12, dtype=torch.float64))
    assert not is_resolved(*planted(0.0)) and is_resolved(*planted(0.0, dead=0.1))
    assert is_resolved(*planted(0.5, mean_square=18.9)) and not is_resolved(*planted(0.5, mean_square=19.1))
    g, s = planted(0.5)
    assert not is_resolved(g, Spectrum(centred=s.centred, uncentred=np.r_[np.ones(9), 0.1 * edge]))
    square = Gram(n=10, d=12, status="ok", matrix=torch.zeros(10, 10), trace=9.0, mean_square=0.0, dead_fraction=0.0)
    # Ten centred samples have nine directions: the tenth is zero and must not count.
    assert is_resolved(square, Spectrum(centred=np.r_[np.ones(9), 0.0], uncentred=np.ones(10)))


def test_rank_of_float64_is_that_of_its_svd_and_at_most_one_less_than_the_samples():
    rng = np.random.default_rng(1)
    for scales in (np.ones(6), 10.0 ** -np.arange(0, 18, 3)):
        basis = np.linalg.qr(rng.normal(size=(40, 6)))[0]
        basis -= basis.mean(0)
        x = basis * scales @ np.linalg.qr(rng.normal(size=(9, 6)))[0].T
        expected = np.linalg.matrix_rank(x - x.mean(0))
        assert _rank_by_svd(torch.from_numpy(x)) == expected == gp.dimensions(x)["numerical_rank"]
    assert _rank_by_svd(numbers(5, 30) + 100) == 4
    flat = numbers(4, 3)
    assert _rank_by_svd(flat + 1e6) == 3


def test_several_at_once_are_each_read_alone():
    given = {"a": numbers(20, 5), "b": numbers(9, 30).half(), "dead": torch.ones(4, 4)}
    names = ["stable_rank", "dead_fraction"]
    found = read_each(given, names=names)
    assert list(found) == list(given) and found["dead"].status == "dead"
    for name in ("a", "b"):
        assert found[name] == read(given[name], names=names) and set(found[name].values) == set(names)
    assert set(read_each({"a": given["a"]})["a"].values) == set(gp.dimensions(given["a"]))
    with pytest.raises(InputError, match="known are stable_rank, "):
        read_each(given, names=["nothing"])
    with pytest.raises(InputError, match="unknown"):
        read(given["a"], names=[])


def test_arrays_of_every_number_type_are_read_as_what_they_are():
    x = np.random.default_rng(2).integers(-3, 4, size=(12, 5))
    plain = gp.dimensions(x.astype(np.float32))
    for kind in ("int8", "int64", "float16", "float32"):
        assert gp.dimensions(x.astype(kind)) == plain, kind
    assert gp.dimensions(np.abs(x).astype("uint8")) == gp.dimensions(np.abs(x).astype(np.float32))
    assert gp.dimensions(x > 0) == gp.dimensions((x > 0).astype(np.float32))
    assert gp.dimensions(x.astype(np.longdouble)) == gp.dimensions(x.astype(np.float64))
    assert gp.dimensions(x.tolist()) == plain and gp.dimensions(x[::2, ::-1]) == gp.dimensions(x[::2, ::-1].copy())
    assert as_matrix(torch.ones(3, 2, requires_grad=True)).requires_grad is False
    with pytest.raises(InputError, match=r"got 1 sample\(s\) x 7"):
        gp.dimensions(np.ones((1, 7)))


@pytest.mark.parametrize("m", [1, 2, 3, 50, 300])
def test_sterf_gives_the_eigenvalues_of_a_tridiagonal_matrix_and_leaves_its_input(m):
    rng = np.random.default_rng(m)
    diagonal, off = rng.normal(size=m), rng.normal(size=m - 1)
    given = diagonal.copy(), off.copy()
    whole = np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
    np.testing.assert_allclose(sterf(diagonal, off), np.linalg.eigvalsh(whole), atol=1e-12 * m)
    assert np.array_equal(diagonal, given[0]) and np.array_equal(off, given[1])
    with pytest.raises(ValueError, match=f"a diagonal of {m}"):
        sterf(diagonal, np.zeros(m))


@pytest.mark.parametrize("shape", [(410, 500), (500, 410)])
def test_spectra_are_the_same_bit_for_bit_side_by_side_and_in_turn(shape):
    found = gram(numbers(*shape) + 0.5, dtype=torch.float64)
    before = torch.get_num_threads()
    try:
        both = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            both.append(spectrum(found))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(both[0].centred, both[1].centred) and np.array_equal(both[0].uncentred, both[1].uncentred)
