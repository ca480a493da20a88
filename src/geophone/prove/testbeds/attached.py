"""Latents that one known block learns for a head of its own, while the network's answers are about something else."""

import numpy as np
import torch
from torch import nn

from geophone.prove.bed import Clock, Setting, log_uniform
from geophone.prove.testbeds.stream import (
    BLOCKS,
    LAYERS,
    WIDTH,
    Stream,
    Teacher,
    became_readable,
    decodable,
    named_latents,
    signs,
)  # fmt: skip
from geophone.training import Losses

BITS, MAIN_BITS, CLASSES = 20, 12, 6
BATCH, PROBE, CHECKS = 96, 256, 1024
STEPS, EVERY = 1400, 7


def switch(seed: int, *, sharing: int = 1) -> Setting:
    """Each latent is trained from a step of its own on, uniform in [50, 1100], with weight 1; Adam at a rate
    log-uniform in [2e-3, 5e-3]. See `_setting`."""
    rng = np.random.default_rng([201, seed])
    begin, weight = rng.uniform(50, 1100, BLOCKS), np.ones(BLOCKS)
    rate = float(log_uniform(rng, 2e-3, 5e-3))
    return _setting(seed, rng, begin=begin, weight=weight, rate=rate, sharing=sharing)


def weights(seed: int, *, sharing: int = 1) -> Setting:
    """All latents are trained from the start, with loss weights log-uniform in [.003, .3]; rate log-uniform in
    [1e-3, 2.5e-3]. See `_setting`."""
    rng = np.random.default_rng([202, seed])
    weight = log_uniform(rng, 0.003, 0.3, BLOCKS)
    rate = float(log_uniform(rng, 1e-3, 2.5e-3))
    return _setting(seed, rng, begin=np.zeros(BLOCKS), weight=weight, rate=rate, sharing=sharing)


def _setting(
    seed: int, rng: np.random.Generator, *, begin: np.ndarray, weight: np.ndarray, rate: float, sharing: int
) -> Setting:
    """Main task: which of 6 classes a random teacher gives to the first 12 of 20 bits. Latent l is the product of two
    of the other 8 bits, and is trained by a linear head on what block l adds, computed on the stream without its
    gradient, so that block l alone can learn it; with `sharing` 2 or more, on what each of so many blocks from l on
    adds, by a head of its own. The network's outputs are those of the main task.

    The clock reads latent l from what block l adds, on 1024 samples of its own.
    """
    teacher = Teacher(rng, bits=MAIN_BITS, classes=CLASSES, hidden=24)
    pairs = np.stack([MAIN_BITS + rng.choice(BITS - MAIN_BITS, 2, replace=False) for _ in range(BLOCKS)])
    torch.manual_seed(seed)
    head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES))
    model = Stream(slice(0, BITS), [slice(0, BITS)] * BLOCKS, hidden=64, head=head)
    heads = nn.ModuleList(nn.Linear(WIDTH, 2) for _ in range(BLOCKS * sharing))

    def draw(rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = signs(rng, size, BITS)
        latents = x[:, pairs].prod(2)
        main = teacher(x[:, :MAIN_BITS])
        return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(main), torch.from_numpy(latents)

    checks, _, latents = draw(rng, CHECKS)
    *probe, asked = draw(rng, PROBE)

    def objective(rng: np.random.Generator, step: int) -> Losses:
        x, y, latents = draw(rng, BATCH)
        streams = model.streams(x)
        main = nn.functional.cross_entropy(model.head(streams[-1]), y)
        total = main
        for i in np.flatnonzero(begin <= step).tolist():
            for number, head in enumerate(heads[i::BLOCKS]):
                block = (i + number) % BLOCKS
                added = model.own[block].update(streams[block].detach(), x)
                total = total + weight[i] * nn.functional.cross_entropy(head(added), (latents[:, i] > 0).long())
        return Losses(total, {"main_loss": float(main.detach())})

    return Setting(
        model=model,
        optimizer=torch.optim.Adam([*model.parameters(), *heads.parameters()], lr=rate, fused=True),
        objective=objective,
        probe=(probe[0], probe[1]),
        clock=Clock(
            lambda: decodable(model, checks, latents.float()),
            lambda table: became_readable(table, {f"latent{i}": layer for i, layer in enumerate(LAYERS)}),
            planted=[int(np.ceil(step)) for step in np.sort(begin) if step > 0],
        ),
        steps=STEPS,
        every=EVERY,
        layers=LAYERS,
        concepts=named_latents(asked),
    )
