"""Changes of a representation against textbook forms, laws and a planted new direction."""

import numpy as np
import pytest

from geophone.dimensions import dimensions
from geophone.dimensions.similarity import cka
from geophone.errors import InputError
from geophone.signals import (
    CHANGES,
    FINE_RIDGE,
    RIDGE,
    LayerChanges,
    cka_change,
    compare,
    readable_change,
    readable_gain,
    represent,
    subspace_change,
)
from geophone.signals.representation import Condensed, Representation

SHAPES = ((64, 10), (64, 63), (64, 64), (64, 200))


def pair(n, d, seed=0, scale=0.3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ np.diag(np.linspace(3, 0.2, d)) + 5
    return x, x + scale * rng.normal(size=(n, d))


def projector(x, ridge):
    x = x - x.mean(0)
    n, d = x.shape
    s = np.trace(x.T @ x / n) / d
    return x @ np.linalg.inv(x.T @ x / n + ridge * s * np.eye(d)) @ x.T / n


def hsic(x, y):
    """The unbiased estimator as Song et al. 2012 write it, diagonals zeroed."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    one = np.ones(n)
    middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.sum(k * m) + middle - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ridge", [RIDGE, FINE_RIDGE])
def test_readable_changes_are_those_of_the_explicit_projector(shape, ridge):
    old, new = pair(*shape)
    q, p = projector(old, ridge), projector(new, ridge)
    eye = np.eye(len(p))
    both = compare(represent(new), represent(old))
    assert readable_change(both, ridge) == pytest.approx(np.sum((p - q) ** 2), rel=2e-3, abs=1e-5)
    gain = np.trace(p @ (eye - q)) - np.trace(q @ (eye - q))
    assert readable_gain(both, ridge) == pytest.approx(gain, abs=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_cka_change_is_one_less_the_unbiased_hsic_ratio(shape):
    old, new = pair(*shape)
    expected = 1 - hsic(new, old) / np.sqrt(hsic(new, new) * hsic(old, old))
    assert cka_change(compare(represent(new), represent(old))) == pytest.approx(expected, abs=2e-5)
    assert expected == pytest.approx(1 - cka(new, old), abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_subspace_change_is_that_of_the_singular_vectors(shape):
    old, new = pair(*shape)
    u, v = (np.linalg.svd(x - x.mean(0), full_matrices=False)[0][:, :8] for x in (new, old))
    expected = 1 - np.sum((u.T @ v) ** 2) / 8
    assert subspace_change(compare(represent(new), represent(old))) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shape", [(64, 10), (64, 200)])
def test_changes_know_nothing_of_scale_place_rotation_and_order(shape):
    rng = np.random.default_rng(1)
    old, new = pair(*shape)
    turn = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0]
    order = rng.permutation(shape[0])
    reference = compare(represent(new), represent(old))
    moved = compare(represent(7e3 * (new @ turn)[order] + 4), represent(1e-4 * old[order] - 2))
    for measure in (cka_change, readable_change, readable_gain, subspace_change):
        assert measure(moved) == pytest.approx(measure(reference), abs=2e-3)


def test_a_layer_that_did_not_move_has_no_change():
    x, _ = pair(64, 20)
    same = compare(represent(x), represent(x @ np.linalg.qr(np.random.default_rng(2).normal(size=(20, 20)))[0]))
    assert abs(cka_change(same)) < 1e-5
    assert abs(readable_change(same)) < 1e-4
    assert abs(readable_gain(same)) < 1e-4
    assert abs(subspace_change(same)) < 1e-5


def test_a_direction_that_takes_anothers_place_is_a_gain_and_no_change_of_dimension():
    rng = np.random.default_rng(3)
    n, d = 256, 16
    stays, goes, comes = rng.normal(size=(n, d - 1)), rng.normal(size=(n, 1)), rng.normal(size=(n, 1))
    old, new = np.hstack([stays, goes]), np.hstack([stays, comes])
    gain = readable_gain(compare(represent(new), represent(old)))
    assert 0.8 < gain < 1.1  # one direction that was not readable, less what chance shares with the others
    ratio = dimensions(new)["participation_ratio"] / dimensions(old)["participation_ratio"]
    assert abs(np.log(ratio)) < 0.02


def test_new_directions_are_gained_and_lost_ones_are_a_loss():
    rng = np.random.default_rng(4)
    few, more = rng.normal(size=(128, 4)), rng.normal(size=(128, 3))
    narrow, wide = np.hstack([few, 1e-6 * more]), np.hstack([few, more])
    assert readable_gain(compare(represent(wide), represent(narrow))) == pytest.approx(3, abs=0.3)
    assert readable_gain(compare(represent(narrow), represent(wide))) == pytest.approx(0, abs=0.3)
    assert readable_change(compare(represent(narrow), represent(wide))) == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize("bad", [np.zeros((32, 5)), np.full((32, 5), 3.3), np.full((32, 5), np.nan)])
def test_a_layer_without_variance_or_finite_values_has_no_change(bad):
    good = np.random.default_rng(5).normal(size=(32, 5))
    for both in (compare(represent(bad), represent(good)), compare(represent(good), represent(bad))):
        for measure in (cka_change, readable_change, readable_gain, subspace_change):
            assert np.isnan(measure(both))


def test_what_cannot_be_compared_is_said():
    x = np.random.default_rng(6).normal(size=(32, 5))
    with pytest.raises(InputError, match="4 or more samples"):
        represent(x[:3])
    with pytest.raises(InputError, match="above 0"):
        represent(x, ridges=(0.0,))
    with pytest.raises(InputError, match="same samples and features"):
        compare(represent(x), represent(x[:16]))


@pytest.mark.parametrize("shape", [*SHAPES, (200, 150), (150, 150), (140, 300)])
def test_a_representation_kept_in_little_memory_is_the_same_again(shape):
    seen = represent(np.random.default_rng(6).normal(size=shape) + 3)
    kept = Condensed(seen)
    whole, part = kept.whole(inverses=True), kept.whole(inverses=False)
    assert kept.shape == shape and part.inverses == (() if min(shape) > 128 else seen.inverses)
    for name in Representation.__slots__:
        np.testing.assert_array_equal(getattr(whole, name), getattr(seen, name), strict=True)
    np.testing.assert_array_equal(part.matrix, seen.matrix)


def test_a_layers_memory_compares_with_the_right_measurement():
    rng = np.random.default_rng(7)
    path = [rng.normal(size=(48, 6))]
    for _ in range(20):
        path.append(path[-1] + 0.2 * rng.normal(size=(48, 6)))
    layer = LayerChanges()
    rows = [layer.update(x) for x in path]
    assert all(np.isnan(rows[0][name]) for name in CHANGES)
    for t in (3, 12):
        against = {lag: compare(represent(path[t]), represent(path[max(0, t - lag)])) for lag in (1, 4, 8)}
        assert rows[t]["cka_change_1"] == pytest.approx(cka_change(against[1]))
        assert rows[t]["cka_change_4"] == pytest.approx(cka_change(against[4]))
        assert rows[t]["subspace_change"] == pytest.approx(subspace_change(against[4]))
        assert rows[t]["readable_change"] == pytest.approx(readable_change(against[8]))
        assert rows[t]["readable_gain_fine"] == pytest.approx(readable_gain(against[8], FINE_RIDGE))


def test_a_layers_memory_outlives_a_dead_measurement_and_a_new_shape():
    rng = np.random.default_rng(8)
    layer, x = LayerChanges(), rng.normal(size=(48, 6))
    layer.update(x)
    assert np.isnan(layer.update(np.zeros((48, 6)))["cka_change_1"])
    after = layer.update(x)
    assert np.isnan(after["cka_change_1"]) and after["cka_change_4"] == pytest.approx(0, abs=1e-5)
    assert np.isnan(layer.update(rng.normal(size=(48, 9)))["cka_change_4"])


def test_many_rows_are_read_by_a_fixed_part_of_them():
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(1000, 12)), rng.normal(size=(1000, 12))
    layer = LayerChanges(rows=100)
    layer.update(x)
    part = np.linspace(0, 999, 100).round().astype(int)
    assert layer.update(y)["cka_change_1"] == pytest.approx(1 - cka(y[part], x[part]), abs=1e-5)
