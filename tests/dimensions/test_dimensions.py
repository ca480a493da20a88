"""Every dimension against NumPy's SVD in float64, and against what is known of it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import geophone as gp
from geophone.dimensions import NAMES, read
from geophone.dimensions.gram import as_matrix, gram
from geophone.dimensions.spectrum import _batched, spectrum
from geophone.errors import InputError


def oracle(x: np.ndarray, *, eps: float = np.finfo(np.float32).eps) -> dict[str, float]:
    """The definitions, written out on the SVD of the data."""
    x = np.asarray(x, dtype=np.float64)
    n, d = x.shape
    s, raw = (np.linalg.svd(m, compute_uv=False) for m in (x - x.mean(0), x))
    lam = s**2

    def entropy(shares):
        shares = shares[shares > 0]
        return float(np.exp(-(shares * np.log(shares)).sum()))

    centred = x - x.mean(0)
    kernel = centred @ centred.T
    np.fill_diagonal(kernel, 0)
    ones = np.ones(n)
    unbiased = math.nan
    if n >= 4:
        h = (
            (kernel * kernel).sum()
            + kernel.sum() ** 2 / ((n - 1) * (n - 2))
            - 2 / (n - 2) * ones @ kernel @ kernel @ ones
        ) / (n * (n - 3))
        unbiased = (lam.sum() / (n - 1)) ** 2 / h if h > 0 else math.nan
    return {
        "stable_rank": lam.sum() / lam[0],
        "stable_rank_uncentred": (raw**2).sum() / raw[0] ** 2,
        "participation_ratio": lam.sum() ** 2 / (lam**2).sum(),
        "participation_ratio_unbiased": unbiased,
        "effective_rank": entropy(s / s.sum()),
        "spectral_entropy_rank": entropy(lam / lam.sum()),
        "rankme": entropy(raw / raw.sum() + 1e-7),
        "nuclear_rank": s.sum() / s[0],
        "pcs_90": 1 + np.searchsorted(np.cumsum(lam) / lam.sum(), 0.9),
        # Centring takes one direction out of the samples; what an SVD leaves of it is rounding, not rank.
        "numerical_rank": min((s > s[0] * max(n, d) * eps).sum(), n - 1),
        "mean_fraction": (x.mean(0) ** 2).sum() / (x**2).sum(1).mean(),
        "dead_fraction": (x == x[0]).all(0).mean(),
    }


def assert_agrees(x: torch.Tensor, *, rtol: float = 1e-5, **kwargs) -> None:
    expected, found = oracle(x.numpy(), **kwargs), gp.dimensions(x)
    assert list(found) == list(NAMES) == list(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=rtol, abs=1e-12, nan_ok=True), name


def unequal(n: int, d: int, rng: np.random.Generator) -> torch.Tensor:
    """Data whose singular values are all different, so that a wrong formula cannot hide."""
    return torch.from_numpy(rng.normal(size=(n, d)) * np.linspace(3, 0.1, d) + rng.normal(size=d)).float()


@pytest.mark.parametrize(("n", "d"), [(2, 1), (2, 5), (5, 1), (4, 4), (30, 20), (20, 30), (64, 300), (300, 64)])
def test_every_dimension_agrees_with_the_svd(n, d):
    assert_agrees(unequal(n, d, np.random.default_rng([n, d])))


@pytest.mark.parametrize(("n", "d"), [(128, 2200), (1500, 230), (400, 420)])
def test_large_products_start_in_float32_and_still_agree(n, d):
    """These are large enough for the float32 product; (400, 420) leaves an eigenvalue that must go to float64."""
    assert_agrees(unequal(n, d, np.random.default_rng(n)), rtol=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 40),
    d=st.integers(1, 40),
    decay=st.floats(0, 3),
    mean=st.sampled_from([0.0, 1.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_on_any_shape_spectrum_and_mean(n, d, decay, mean, seed):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(n, d)) * np.arange(1, d + 1) ** -decay + mean)
    assert_agrees(x, eps=np.finfo(np.float64).eps, rtol=2e-5)


def test_known_spectrum_by_hand():
    """Singular values 3, 2, 1 exactly: a centred frame of three orthogonal columns."""
    frame = np.linalg.qr(np.c_[np.ones(8), np.random.default_rng(0).normal(size=(8, 3))])[0][:, 1:]
    found = gp.dimensions(frame * [3, 2, 1])
    assert found["stable_rank"] == pytest.approx(14 / 9)
    assert found["participation_ratio"] == pytest.approx(14**2 / 98)
    assert found["nuclear_rank"] == pytest.approx(2)
    assert found["effective_rank"] == pytest.approx(np.exp(-sum(q * np.log(q) for q in (1 / 2, 1 / 3, 1 / 6))))
    assert found["pcs_90"] == 2
    assert found["numerical_rank"] == 3


def test_low_rank_and_duplicates_read_their_rank():
    rng = np.random.default_rng(1)
    low = torch.from_numpy(rng.normal(size=(60, 3)) @ rng.normal(size=(3, 100))).float()
    assert gp.dimensions(low)["numerical_rank"] == 3
    line = torch.outer(torch.arange(50.0), torch.ones(20))
    assert gp.dimensions(line)["effective_rank"] == pytest.approx(1, abs=1e-5)
    twice = torch.cat([low[:20], low[:20]])
    assert gp.dimensions(twice)["stable_rank"] == pytest.approx(gp.dimensions(low[:20])["stable_rank"])


@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1e-3, 1e15, 1e30])
def test_scale_does_not_matter(scale):
    x = unequal(50, 30, np.random.default_rng(2))
    plain, scaled = gp.dimensions(x), gp.dimensions(x.double() * scale)
    assert scaled == pytest.approx(plain, rel=1e-5)
    if scale > 1e-30:
        assert gp.dimensions((x * scale), names=["participation_ratio"]) == pytest.approx(
            {"participation_ratio": plain["participation_ratio"]}, rel=1e-4
        )


def test_float64_at_the_ends_of_its_range():
    x = unequal(20, 10, np.random.default_rng(3)).double()
    for scale in (1e-300, 1e300):
        assert gp.dimensions(x * scale)["stable_rank"] == pytest.approx(gp.dimensions(x)["stable_rank"])


def test_rotation_does_not_matter():
    rng = np.random.default_rng(4)
    x = unequal(40, 25, rng).double()
    turn = torch.from_numpy(np.linalg.qr(rng.normal(size=(25, 25)))[0])
    plain, turned = gp.dimensions(x), gp.dimensions(x @ turn)
    for name in set(NAMES) - {"dead_fraction"}:
        assert turned[name] == pytest.approx(plain[name], rel=1e-7), name


def test_a_mean_of_a_thousand_does_not_drown_the_variance():
    x = torch.randn(512, 64, generator=torch.Generator().manual_seed(0)) * torch.linspace(2, 0.2, 64)
    centred = gp.dimensions(x)
    shifted = gp.dimensions(x + 1000)
    for name in ("stable_rank", "participation_ratio", "effective_rank"):
        assert shifted[name] == pytest.approx(centred[name], rel=1e-3), name
    assert gp.dimensions(x + 1000, names=["participation_ratio"])["participation_ratio"] == pytest.approx(
        centred["participation_ratio"], rel=1e-3
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast_first(dtype):
    x = (unequal(200, 40, np.random.default_rng(5)) * 30).to(dtype)
    assert gp.dimensions(x) == gp.dimensions(x.float())


def test_integers_and_booleans_are_read_as_numbers():
    x = np.random.default_rng(6).integers(0, 5, size=(30, 8))
    assert gp.dimensions(x) == gp.dimensions(torch.from_numpy(x).float())


def test_isotropic_gaussian_stable_rank():
    n, d = 2000, 500
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(1))
    assert gp.dimensions(x)["stable_rank"] == pytest.approx(d / (1 + (d / n) ** 0.5) ** 2, rel=0.03)


@pytest.mark.parametrize("d", [32, 128])
def test_relu_of_gaussian_uncentred_is_pi(d):
    x = torch.relu(torch.randn(40_000, d, generator=torch.Generator().manual_seed(2)))
    # pi in the limit of many features: 1/pi + (1/2 - 1/(2 pi)) / (d / 2) of the second moment is the mean's.
    second, mean = 0.5, 1 / (2 * math.pi)
    top = d * mean + second - mean
    assert gp.dimensions(x)["stable_rank_uncentred"] == pytest.approx(d * second / top, rel=0.02)
    assert d * second / top == pytest.approx(math.pi, rel=0.1)


def test_uncentred_stable_rank_collapses_under_a_mean_and_the_centred_does_not():
    x = torch.randn(4000, 128, generator=torch.Generator().manual_seed(3))
    at_zero, at_half = gp.dimensions(x), gp.dimensions(x + 0.5)
    assert at_zero["stable_rank_uncentred"] == pytest.approx(94, rel=0.03)
    assert at_half["stable_rank_uncentred"] == pytest.approx(4.9, rel=0.03)
    assert at_half["stable_rank"] == pytest.approx(at_zero["stable_rank"], rel=1e-4)


@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_unbiased_participation_ratio_sees_256_dimensions_with_32_samples(mean):
    generator = torch.Generator().manual_seed(4)
    draws = [torch.randn(32, 256, generator=generator) + mean for _ in range(300)]
    found = [gp.dimensions(x, names=["participation_ratio_unbiased"]) for x in draws]
    values = [f["participation_ratio_unbiased"] for f in found]
    # The ratio's median is free of the skew that dividing by a noisy estimate brings.
    assert np.median(values) == pytest.approx(256, rel=0.04)


def test_plain_readings_at_64_samples_are_the_biased_ones():
    x = torch.randn(64, 256, generator=torch.Generator().manual_seed(5))
    found = gp.dimensions(x)
    assert found["stable_rank"] == pytest.approx(29, rel=0.06)
    assert found["participation_ratio"] == pytest.approx(50, rel=0.04)


def test_dead_and_nonfinite_are_statuses_not_numbers():
    dead = read(torch.full((20, 5), 0.1))
    assert dead.status == "dead"
    assert dead.values["dead_fraction"] == 1
    assert all(math.isnan(v) for name, v in dead.values.items() if name != "dead_fraction")
    for bad in (math.nan, math.inf):
        x = torch.randn(20, 5)
        x[3, 2] = bad
        reading = read(x)
        assert reading.status == "nonfinite"
        assert all(math.isnan(v) for v in reading.values.values())


def test_dead_features_are_counted_among_living_ones():
    x = torch.randn(30, 8)
    x[:, [1, 4]] = 0.3
    assert gp.dimensions(x)["dead_fraction"] == pytest.approx(2 / 8)


def test_only_what_is_asked_for_and_the_same_values():
    x = unequal(80, 40, np.random.default_rng(7))
    everything = gp.dimensions(x)
    some = gp.dimensions(x, names=["participation_ratio", "mean_fraction"])
    assert list(some) == ["participation_ratio", "mean_fraction"]
    assert some == pytest.approx({name: everything[name] for name in some}, rel=1e-5)


@pytest.mark.parametrize(("n", "d"), [(20, 50), (50, 20), (1, 1), (3, 3)])
def test_the_batched_spectrum_of_other_devices_is_the_same(n, d):
    x = unequal(max(n, 2), d, np.random.default_rng(8))
    g = gram(as_matrix(x))
    ours, theirs = spectrum(g), _batched(g)
    for a, b in ((ours.centred, theirs.centred), (ours.uncentred, theirs.uncentred)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * b[0])


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.randn(5), "n samples x d features"),
        (torch.randn(2, 3, 4), "Flatten or pool"),
        (torch.randn(1, 5), "at least 2 samples"),
        (torch.randn(5, 0), "1 feature"),
        (torch.randn(4, 4, dtype=torch.complex64), "complex"),
        (np.array([["a", "b"], ["c", "d"]]), "real numbers"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(x, says):
    with pytest.raises(InputError, match=says):
        gp.dimensions(x)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match="known are stable_rank"):
        gp.dimensions(torch.randn(5, 5), names=["stable_rnak"])


def test_the_input_is_left_alone():
    x = torch.randn(20, 30)
    before = x.clone()
    gp.dimensions(x)
    assert torch.equal(x, before)
