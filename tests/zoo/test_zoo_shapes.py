"""Shapes: what the factors say is what the image shows."""

from dataclasses import fields, replace

import numpy as np
import pytest

from geophone.errors import InputError
from geophone.zoo.shapes import CLASSES, SIDE, draw_factors, masks, render
from geophone.zoo.tasks import task


def one(label, **changes):
    """Factors of a single centred, unturned image of the class."""
    base = draw_factors(np.random.default_rng(0), 1)
    plain = {"label": CLASSES.index(label), "x": 0.0, "y": 0.0, "orientation": 0.0, "size": 8.0, "phase": 0.0}
    return replace(base, **{name: np.array([value]) for name, value in (plain | changes).items()})


def area(factors):
    return float(masks(factors).sum())


def test_masks_have_the_areas_of_their_shapes():
    assert area(one("disc", size=7.0)) == pytest.approx(np.pi * 49, rel=0.03)
    assert area(one("square", size=6.0)) == pytest.approx(144, rel=0.05)
    assert area(one("edge")) == pytest.approx(SIDE**2 / 2, rel=0.01)
    assert area(one("corner")) == pytest.approx(SIDE**2 / 4, rel=0.03)
    assert area(one("line")) == pytest.approx(2.6 * SIDE, rel=0.05)
    assert area(one("arc", size=9.0)) == pytest.approx(2.6 * 2 * 1.2 * 9, rel=0.15)
    assert area(one("junction")) == pytest.approx(2.6 * SIDE + 2.6 * (SIDE / 2 - 1.3), rel=0.05)


def test_position_and_orientation_move_the_shape_as_they_say():
    rows, columns = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    mask = masks(one("disc", x=5.0, y=-3.0, size=5.0))[0]
    assert (mask * columns).sum() / mask.sum() == pytest.approx(5, abs=0.1)
    assert (mask * rows).sum() / mask.sum() == pytest.approx(-3, abs=0.1)
    right, down = masks(one("edge"))[0], masks(one("edge", orientation=np.pi / 2))[0]
    assert right[:, -1].min() > 0.99 and right[:, 0].max() < 0.01
    np.testing.assert_allclose(down, right.T, atol=1e-5)


def test_a_grating_has_its_frequency():
    mask = masks(one("grating", frequency=1 / 8))[0]
    power = np.abs(np.fft.rfft(mask[0] - mask[0].mean()))
    assert power.argmax() == SIDE // 8
    assert np.ptp(mask, axis=0).max() < 1e-6


def test_images_mix_the_two_colours_by_the_mask():
    factors = draw_factors(np.random.default_rng(1), 200)
    images, mask = render(factors), masks(factors)
    inside, outside = mask > 0.999, mask < 0.001
    for image, a, b, front, back in zip(images, inside, outside, factors.foreground, factors.background, strict=True):
        if a.any():
            np.testing.assert_allclose(image[:, a].mean(1), front, atol=2e-3)
        if b.any():
            np.testing.assert_allclose(image[:, b].mean(1), back, atol=2e-3)
    assert (np.abs(factors.foreground - factors.background) > 0.399).all()
    assert images.min() >= 0 and images.max() <= 1


def test_noise_has_its_deviation_and_comes_from_the_generator():
    factors = draw_factors(np.random.default_rng(2), 50)
    noisy = render(factors, noise=0.2, rng=np.random.default_rng(3))
    assert float((noisy - render(factors)).std()) == pytest.approx(0.2, rel=0.02)
    np.testing.assert_array_equal(noisy, render(factors, noise=0.2, rng=np.random.default_rng(3)))


def test_noise_without_a_generator_is_refused():
    with pytest.raises(InputError, match="rng="):
        render(draw_factors(np.random.default_rng(2), 2), noise=0.2)


def test_a_batch_s_labels_are_the_classes_of_the_factors_drawn_first():
    x, y = task("shapes").batch(np.random.default_rng(5), 64)
    factors = draw_factors(np.random.default_rng(5), 64)
    assert y.tolist() == factors.label.tolist()
    clean = (render(factors) - 0.5) / 0.3
    assert np.abs(x.numpy() - clean).mean() < 0.5
    assert len({len(getattr(factors, f.name)) for f in fields(factors)}) == 1
