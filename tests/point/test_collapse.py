"""Streams that collapse from 17 directions to 2 within 80 steps, last block first: one transition, in that order."""

import numpy as np
import pytest

from geophone.point.find import transitions
from geophone.point.signals import RunSignals
from geophone.signals import CHANGES, LayerChanges

EVERY, MEASUREMENTS, LAYERS, WIDTH = 10, 160, 6, 48
WIDE, NARROW = 17, 2
BEGIN = 800  # the last block starts to collapse; each earlier one follows 10 steps later, and takes 30 steps


def streams(t, rng, paths):
    """The streams (128, 48) of all blocks at measurement t: 17 latent directions that wander slowly; in a collapsed
    block 15 of them are gone."""
    step = EVERY * t
    out = []
    for layer, latent in enumerate(paths):
        latent += 0.01 * rng.normal(size=latent.shape)
        begin = BEGIN + 10 * (LAYERS - 1 - layer)
        left = 1 - np.clip((step - begin) / 30, 0, 0.999)
        scale = np.r_[np.ones(NARROW), np.full(WIDE - NARROW, left)]
        mixing = np.random.default_rng(layer).normal(size=(WIDE, WIDTH)) / 4
        out.append((latent * scale) @ mixing + 0.02 * rng.normal(size=(128, WIDTH)))
    return out


@pytest.fixture(scope="module")
def collapsed():
    rng = np.random.default_rng(0)
    paths = [rng.normal(size=(128, WIDE)) for _ in range(LAYERS)]
    layers = [LayerChanges() for _ in range(LAYERS)]
    rows = [
        [layer.update(x) for layer, x in zip(layers, streams(t, rng, paths), strict=True)] for t in range(MEASUREMENTS)
    ]
    series = {name: np.array([[row[name] for row in measured] for measured in rows]) for name in CHANGES}
    names = tuple(f"blocks.{i}" for i in range(LAYERS))
    run = RunSignals("gpt", EVERY * np.arange(1.0, MEASUREMENTS + 1), names, series=series)
    return transitions(run, rng=np.random.default_rng(0))


def test_the_collapse_is_one_transition(collapsed):
    listed = [t for t in collapsed.of("hidden") if t.listed]
    assert len(listed) == 1 and BEGIN - 40 <= listed[0].peak <= BEGIN + 120


def test_its_layers_stand_in_the_order_in_which_they_collapsed(collapsed):
    (t,) = [t for t in collapsed.of("hidden") if t.listed]
    assert [layer.layer for layer in t.layers] == [f"blocks.{i}" for i in reversed(range(LAYERS))]
