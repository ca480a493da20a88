"""Laws of the dimensions over shapes, spectra and number formats, against an SVD in float64 written from the
definitions."""

import itertools
import math

import numpy as np
import pytest
import torch
from by_definition import (
    CANCELS,
    COARSE,
    COUNTS,
    FINE,
    FORMATS,
    SPECTRA,
    TRACES,
    assert_by_definition,
    cast,
    expected,
    made,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

import geophone as gp
from geophone.dimensions import NAMES, cka, read
from geophone.dimensions.gram import _upper_product, gram
from geophone.dimensions.spectrum import is_resolved, spectrum
from geophone.errors import InputError


@settings(max_examples=250, deadline=None)
@given(
    n=st.integers(2, 70),
    d=st.integers(1, 70),
    kind=st.sampled_from(SPECTRA),
    strength=st.floats(0, 4),
    mean=st.sampled_from([0.0, 0.3, 30.0]),
    name=st.sampled_from(sorted(FORMATS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_dimension_is_its_definition(n, d, kind, strength, mean, name, seed):
    x = cast(made(n, d, kind=kind, strength=strength, mean=mean, seed=seed), name)
    if x is not None:
        assert_by_definition(x, rtol=2e-5)


def shapes(count: int, *, most: int, seed: int) -> list[tuple[int, int]]:
    """Log-uniform pairs from 2 x 1 on, whose product is at most `most` and which are not all small."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        n, d = (round(v) for v in np.exp(rng.uniform(0, np.log(4096), 2)))
        if n >= 2 and 2**15 < n * d <= most:
            found.append((n, d))
    return found


@pytest.mark.parametrize(("n", "d"), [*shapes(10, most=2**18, seed=0), (2, 4096), (4096, 1), (4096, 40), (60, 4096)])
def test_larger_shapes_too(n, d):
    rng = np.random.default_rng([n, d])
    kind, name = SPECTRA[rng.integers(len(SPECTRA))], sorted(FORMATS)[rng.integers(4)]
    x = cast(made(n, d, kind=kind, strength=rng.uniform(0, 2), mean=rng.choice([0.0, 0.3]), seed=n * d), name)
    assert_by_definition(x, rtol=COARSE)


@pytest.mark.parametrize(("n", "d"), [(600, 700), (5000, 190), (190, 5000), (640, 620)])
def test_products_that_are_cut_into_panels(n, d):
    assert_by_definition(cast(made(n, d, kind="power", strength=0.3, mean=0.1, seed=n), "float32"), rtol=COARSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(600, 400), (130, 9000), (127, 9000), (50, 60), (1, 3)])
def test_the_upper_product_is_the_product(shape, dtype):
    a = torch.from_numpy(np.random.default_rng(9).normal(size=shape)).to(dtype)
    whole = a.double() @ a.double().T
    found, square = _upper_product(a)
    torch.testing.assert_close(
        found.double().triu(), whole.triu(), rtol=1e-5, atol=1e-2 if dtype == torch.float32 else 1e-9
    )
    assert square == pytest.approx(float((whole**2).sum()), rel=1e-6 if dtype == torch.float64 else 3e-5)


def test_small_directions_of_a_long_matrix_are_read_in_float64():
    """Their float32 product drowns them: without a second look the effective rank comes out wrong."""
    x = cast(made(4000, 40, kind="power", strength=3.5, mean=0.0, seed=10), "float32")
    coarse = gram(x, dtype=torch.float32)
    assert not is_resolved(coarse, spectrum(coarse))
    assert_by_definition(x, rtol=FINE)
    flat = gram(cast(made(4000, 40, kind="noise", strength=0, mean=0.0, seed=10), "float32"), dtype=torch.float32)
    assert flat.matrix.dtype == torch.float32 and is_resolved(flat, spectrum(flat))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "d"), [*shapes(24, most=2**22, seed=1), (4096, 4096), (4095, 4096), (4096, 1000), (700, 4096)]
)
def test_the_largest_shapes_too(n, d):
    rng = np.random.default_rng([n, d])
    for kind in SPECTRA if n * d < 2**21 else SPECTRA[:1]:
        name = sorted(FORMATS)[rng.integers(4)]
        assert_by_definition(cast(made(n, d, kind=kind, strength=1.0, mean=0.3, seed=n * d), name), rtol=COARSE)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("k", [1, 2, 9, 10, 20, 31])
def test_exact_ties_are_counted_exactly(name, k):
    """Columns of a Hadamard matrix: k equal singular values, without a rounding error in any format."""
    found = gp.dimensions(torch.from_numpy(hadamard(32)[:, 1 : k + 1].astype(float)).to(FORMATS[name]))
    for dimension in ("stable_rank", "participation_ratio", "effective_rank", "spectral_entropy_rank", "nuclear_rank"):
        assert found[dimension] == pytest.approx(k, rel=1e-12), dimension
    assert found["numerical_rank"] == k and found["pcs_90"] == -(-9 * k // 10)
    assert found["mean_fraction"] == 0 == found["dead_fraction"]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 50),
    d=st.integers(1, 50),
    kind=st.sampled_from(SPECTRA),
    exponent=st.integers(-1000, 1000),
    seed=st.integers(0, 2**32 - 1),
)
def test_units_do_not_matter(n, d, kind, exponent, seed):
    """From subnormal numbers to the largest; a power of two takes no bit away unless it is subnormal."""
    x = made(n, d, kind=kind, strength=1.0, mean=0.2, seed=seed)
    plain, scaled = gp.dimensions(x), gp.dimensions(np.ldexp(x, exponent))
    for dimension in NAMES if plain["participation_ratio_unbiased"] < CANCELS else set(NAMES) - set(TRACES[3:]):
        assert scaled[dimension] == pytest.approx(plain[dimension], rel=1e-8, nan_ok=True), dimension


@pytest.mark.parametrize("shape", [(30, 20), (700, 300), (60, 3000)])
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("where", ["subnormal", "tiny", "huge"])
def test_the_ends_of_the_small_formats(shape, name, where):
    x = made(*shape, kind="power", strength=0.5, mean=0.1, seed=5)
    limits = torch.finfo(FORMATS[name])
    scale = {"subnormal": limits.tiny / 8, "tiny": limits.tiny * 64, "huge": limits.max / 8 / np.abs(x).max()}[where]
    assert_by_definition(cast(x, name, scale), rtol=COARSE)


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1.7e308])
def test_the_ends_of_float64(value):
    """Two opposite rows a coordinate: as many equal directions as coordinates, however small or large the unit."""
    x = np.concatenate([np.eye(6), -np.eye(6)]) * value
    found = gp.dimensions(x)
    assert found["stable_rank"] == pytest.approx(6) and found["participation_ratio"] == pytest.approx(6)
    assert found["numerical_rank"] == 6 and read(x).status == "ok"
    large = read(torch.from_numpy(np.kron(np.ones((400, 1)), x)).repeat(1, 40))
    assert large.status == "ok" and large.values["stable_rank"] == pytest.approx(6)
    assert large.values["numerical_rank"] == 6


@settings(max_examples=60, deadline=None)
@given(n=st.integers(4, 40), d=st.integers(1, 40), kind=st.sampled_from(SPECTRA), seed=st.integers(0, 2**32 - 1))
def test_turning_shuffling_and_repeating(n, d, kind, seed):
    rng = np.random.default_rng(seed)
    x = made(n, d, kind=kind, strength=1.0, mean=0.5, seed=seed)
    plain = gp.dimensions(x)
    turned = gp.dimensions(x @ np.linalg.qr(rng.normal(size=(d, d)))[0])
    shuffled = gp.dimensions(rng.permuted(x, axis=0) if d == 1 else x[rng.permutation(n)][:, rng.permutation(d)])
    rows, features = gp.dimensions(np.concatenate([x, x])), gp.dimensions(np.concatenate([x, x], axis=1))
    empty = gp.dimensions(np.concatenate([x, np.zeros((n, 3))], axis=1))
    changes = {
        "turned": (turned, {"dead_fraction"}),
        "shuffled": (shuffled, set()),
        # More samples of the same are another estimate of the population's, the one thing the unbiased form is.
        "rows twice": (rows, {"participation_ratio_unbiased"}),
        "features twice": (features, set()),
        "features of zeros": (empty, {"dead_fraction"}),
    }
    for change, (found, moved) in changes.items():
        for name in set(NAMES) - moved - set(COUNTS):
            if name == "participation_ratio_unbiased" and not plain[name] < CANCELS:
                continue
            # rankme adds 1e-7 to every share, one for each singular value there is room for.
            wide = 2e-4 if name == "rankme" else 2e-6
            assert found[name] == pytest.approx(plain[name], rel=wide, nan_ok=True), (change, name)
        low, high = expected(torch.from_numpy(x))["pcs_90"]
        assert low <= found["pcs_90"] <= high, change
    assert empty["dead_fraction"] == pytest.approx((plain["dead_fraction"] * d + 3) / (d + 3))


@settings(max_examples=80, deadline=None)
@given(n=st.integers(2, 60), d=st.integers(1, 60), kind=st.sampled_from(SPECTRA), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_dimensions(n, d, kind, seed):
    """Rényi entropies fall with their order, and an entropy of s is flatter than one of s^2."""
    found = gp.dimensions(made(n, d, kind=kind, strength=1.5, mean=0.0, seed=seed))
    names = ("stable_rank", "participation_ratio", "spectral_entropy_rank", "effective_rank")
    chain = [1.0, *(found[name] for name in names), float(min(n - 1, d))]
    assert all(a <= b * (1 + 1e-6) for a, b in itertools.pairwise(chain)), chain
    assert found["stable_rank"] <= found["nuclear_rank"] * (1 + 1e-6) <= found["effective_rank"] * (1 + 2e-6)
    assert found["pcs_90"] <= found["numerical_rank"] and 0 <= found["mean_fraction"] <= 1


@pytest.mark.parametrize("shape", [(2, 1), (2, 900), (900, 2), (64, 64), (500, 700)])
@pytest.mark.parametrize("name", FORMATS)
def test_rank_one_is_one(shape, name):
    rng = np.random.default_rng(6)
    x = torch.from_numpy(
        np.outer(rng.integers(-3, 4, shape[0]) + np.eye(1, shape[0])[0] * 9, 2.0 ** rng.integers(-3, 3, shape[1]))
    )
    found = gp.dimensions(x.to(FORMATS[name]))
    for dimension in ("stable_rank", "participation_ratio", "pcs_90", "numerical_rank"):
        assert found[dimension] == pytest.approx(1, rel=1e-6), dimension
    for dimension in ("effective_rank", "spectral_entropy_rank", "nuclear_rank"):
        assert found[dimension] == pytest.approx(1, abs=1e-4), dimension


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (900, 300)])
def test_constant_columns_change_only_what_counts_them(shape):
    x = torch.from_numpy(made(*shape, kind="noise", strength=0, mean=0.0, seed=7)).float()
    level = torch.full((len(x), 5), 0.1)
    plain, found = gp.dimensions(x), gp.dimensions(torch.cat([x, level], dim=1))
    for name in (
        "stable_rank",
        "participation_ratio",
        "participation_ratio_unbiased",
        "effective_rank",
        "nuclear_rank",
    ):
        assert found[name] == pytest.approx(plain[name], rel=1e-4), name
    assert found["dead_fraction"] == pytest.approx(5 / (shape[1] + 5))
    assert found["numerical_rank"] == plain["numerical_rank"] and found["mean_fraction"] > plain["mean_fraction"]


@pytest.mark.parametrize("d", [1, 7, 4096])
def test_one_sample_is_refused_and_equal_ones_are_dead(d):
    for name in FORMATS:
        row = torch.linspace(0.1, 3, d).to(FORMATS[name])
        with pytest.raises(InputError, match="at least 2 samples"):
            gp.dimensions(row[None])
        for rows in (2, 9, 700):
            found = read(row.repeat(rows, 1))
            assert found.status == "dead" and found.values["dead_fraction"] == 1
            assert sum(math.isnan(v) for v in found.values.values()) == len(NAMES) - 1


@pytest.mark.parametrize("shape", [(3, 3), (40, 900), (3000, 50)])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_number_anywhere_is_seen(shape, bad):
    rng = np.random.default_rng(8)
    for name in FORMATS:
        x = torch.from_numpy(rng.normal(size=shape)).to(FORMATS[name])
        x[rng.integers(shape[0]), rng.integers(shape[1])] = bad
        for names in (None, ["participation_ratio"]):
            found = read(x, names=names)
            assert found.status == "nonfinite" and all(math.isnan(v) for v in found.values.values())


@settings(max_examples=40, deadline=None)
@given(n=st.integers(5, 40), d=st.integers(1, 60), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 2**32 - 1))
def test_cka_is_symmetric_and_knows_neither_rotation_nor_units(n, d, scale, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) + 1
    y = np.concatenate([x[:, : d // 2], rng.normal(size=(n, 3))], axis=1)
    plain, turn = cka(x, y), np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert cka(y, x) == pytest.approx(plain, rel=1e-7, abs=1e-9)
    assert cka(scale * x @ turn - 3, y) == pytest.approx(plain, rel=1e-6, abs=1e-8, nan_ok=True)
