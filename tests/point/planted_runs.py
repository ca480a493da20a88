"""Runs whose transitions are planted: what was learned when, by which samples, in which layer."""

import numpy as np

from geophone.point.signals import Behaviour, RunSignals

STEPS = np.arange(5.0, 1505, 5)


def rise(steps, at, width):
    return 0.5 + 0.5 * np.tanh((steps - at) / (2 * width))


def bump(steps, at, width):
    return np.exp(-0.5 * ((steps - at) / width) ** 2)


def run(*, learned=(), lost=(), hidden=(), shocks=(), layers=4, noise=0.01, seed=0, steps=STEPS, outputs=False):
    """`learned` and `lost` hold (step, samples), `hidden` (step, layer), `shocks` steps; 120 scored samples.

    A skill of samples comes over about 12 measurements; the layer of its number moves with it. The initial transient is
    a change of all layers that decays over the first 4 measurements.
    """
    rng = np.random.default_rng(seed)
    width = 3 * float(np.median(np.diff(steps)))
    values = np.full((len(steps), 120), 0.1)
    change = 0.05 + np.exp(-np.arange(len(steps)) / 2)[:, None] * np.ones((1, layers))
    loss = np.full(len(steps), 2.0)
    for k, (at, samples) in enumerate(learned):
        values[:, samples] += 0.8 * rise(steps, at, width)[:, None]
        loss -= 0.3 * rise(steps, at, width)
        change[:, k % layers] += bump(steps, at, 2 * width)
    for at, samples in lost:
        values[:, samples] += 0.8 - 0.8 * rise(steps, at, width)[:, None]
    for at, layer in hidden:
        change[:, layer] += bump(steps, at, 2 * width)
    for at in shocks:
        loss += 2.0 * (steps >= at) * np.exp(-(steps - at).clip(0) / (2 * width))
    values = values + noise * rng.normal(size=values.shape)
    change = change * np.exp(0.1 * rng.normal(size=change.shape))
    late = np.full_like(change, np.nan)
    late[1:] = change[:-1]
    names = tuple(f"blocks.{i}" for i in range(layers))
    series = {"cka_change_1": late, "readable_change": 2 * late, "readable_gain": late} | {"layer_update_norm": change}
    series |= {"stable_rank": 5 + np.cumsum(change, axis=0)}
    flat = values @ rng.normal(size=(120, 24))
    return RunSignals(
        "planted",
        steps,
        names,
        scalars={"loss": loss * np.exp(0.01 * rng.normal(size=len(steps)))},
        series=series,
        behaviour=None if outputs else Behaviour(values),
        outputs=flat if outputs else None,
    )
