"""Parities that one known block alone can compute, asked for one at a time, or never by the probe."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from geophone.prove.bed import Batch, Clock, Curves, Setting, log_uniform
from geophone.prove.events import rises
from geophone.prove.testbeds.parity import onsets
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
)
from geophone.training import Losses, supervised

CHECKS, PROBE = 128, 256
BATCH = 128
MAIN_BITS = 12
SHARE = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Private:
    """Bits (N, blocks, bits) of which block l alone reads row l; parity l is the product of two of them."""

    pairs: np.ndarray
    bits: int

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, bits: int) -> "Private":
        """Two different bits of each block's, at random."""
        return cls(np.stack([rng.choice(bits, 2, replace=False) for _ in range(BLOCKS)]), bits)

    def parities(self, private: np.ndarray) -> np.ndarray:
        """(N, blocks) of -1 and 1."""
        return np.take_along_axis(private, self.pairs[None], axis=2).prod(2)

    def network(self, shared: int) -> Stream:
        """The stream begins with the first `shared` columns of the input, the private bits follow row by row."""
        reads = [slice(shared + i * self.bits, shared + (i + 1) * self.bits) for i in range(BLOCKS)]
        head = nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, 2))
        return Stream(slice(0, shared), reads, hidden=48, head=head)


def _batch(*columns: np.ndarray, y: np.ndarray) -> Batch:
    x = np.concatenate([part.reshape(len(part), -1) for part in columns], axis=1)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64))


def layered(seed: int) -> Setting:
    """Five tasks, task l the parity of 2 of the 8 private bits of block l, named by a one-hot code; each asked for from
    a step of its own on, uniform in [0, 1150] of 1600, one from the start; Adam at a rate log-uniform in [1e-3, 3e-3].

    The clock is the accuracy on each task; its layer is known.
    """
    rng = np.random.default_rng([106, seed])
    begin = onsets(rng, BLOCKS, last=1150)
    private = Private.drawn(rng, bits=8)
    rate = float(log_uniform(rng, 1e-3, 3e-3))
    torch.manual_seed(seed)
    model = private.network(BLOCKS)
    hot = np.eye(BLOCKS)

    def draw(rng: np.random.Generator, size: int, frequency: np.ndarray) -> Batch:
        asked = rng.choice(BLOCKS, size, p=frequency / frequency.sum())
        bits = signs(rng, size, BLOCKS, private.bits)
        y = private.parities(bits)[np.arange(size), asked] > 0
        return _batch(hot[asked], bits, y=y)

    each = [draw(rng, CHECKS, hot[task]) for task in range(BLOCKS)]
    checks, answers = torch.cat([x for x, _ in each]), torch.cat([y for _, y in each])
    probe = draw(rng, PROBE, np.ones(BLOCKS))
    which = probe[0][:, :BLOCKS].argmax(1).numpy()
    layers = {f"task{i}": layer for i, layer in enumerate(LAYERS)}

    def accuracies() -> Curves:
        right = (model(checks).argmax(1) == answers).float().view(BLOCKS, CHECKS).mean(1)
        return {f"task{i}": float(value) for i, value in enumerate(right)}

    return Setting(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=rate, fused=True),
        objective=supervised(
            model, lambda rng, step: draw(rng, BATCH, 1.0 * (begin <= step)), nn.functional.cross_entropy
        ),
        probe=probe,
        clock=Clock(
            accuracies,
            lambda table: rises(table, start=0.5, end=1.0, layers=layers),
            samples={name: which == i for i, name in enumerate(layers)},
            planted=[int(np.ceil(step)) for step in np.sort(begin[begin > 0])],
        ),
        steps=1600,
        every=5,
        layers=LAYERS,
    )


def uncovered(seed: int) -> Setting:
    """Six tasks named by a one-hot code. Task 0 (35 % of the samples): which of 2 classes a random teacher gives to 12
    bits. Task l = 1 ... 5: the parity of 2 of the 5 private bits of block l, at frequencies log-uniform over a factor
    8; Adam at a rate log-uniform in [1.2e-3, 3.5e-3].

    The probe and the clock's samples ask task 0 alone, so behaviour cannot show the parities. The clock reads parity l
    from what block l adds.
    """
    rng = np.random.default_rng([203, seed])
    teacher = Teacher(rng, bits=MAIN_BITS, classes=2, hidden=12)
    private = Private.drawn(rng, bits=5)
    rate = float(log_uniform(rng, 1.2e-3, 3.5e-3))
    weight = log_uniform(rng, 1, 8, BLOCKS)
    frequency = np.concatenate([[SHARE], (1 - SHARE) * weight / weight.sum()])
    torch.manual_seed(seed)
    tasks = BLOCKS + 1
    model = private.network(tasks + MAIN_BITS)
    hot = np.eye(tasks)

    def draw(rng: np.random.Generator, size: int, frequency: np.ndarray) -> tuple[Batch, np.ndarray]:
        asked = rng.choice(tasks, size, p=frequency)
        main, bits = signs(rng, size, MAIN_BITS), signs(rng, size, BLOCKS, private.bits)
        latents = private.parities(bits)
        answers = np.concatenate([teacher(main)[:, None], latents > 0], axis=1)
        return _batch(hot[asked], main, bits, y=answers[np.arange(size), asked]), latents

    (checks, _), latents = draw(rng, 1024, hot[0])
    labels = torch.from_numpy(latents.astype(np.float32))

    def objective(rng: np.random.Generator, step: int) -> Losses:
        x, y = draw(rng, BATCH, frequency)[0]
        each = nn.functional.cross_entropy(model(x), y, reduction="none")
        return Losses(each.mean(), {"main_loss": float(each.detach()[x[:, 0] == 1].mean())})

    probe, parities = draw(rng, PROBE, hot[0])
    return Setting(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=rate, fused=True),
        objective=objective,
        probe=probe,
        clock=Clock(
            lambda: decodable(model, checks, labels),
            lambda table: became_readable(table, {f"latent{i}": layer for i, layer in enumerate(LAYERS)}),
        ),
        steps=1400,
        every=7,
        layers=LAYERS,
        concepts=named_latents(parities),
    )
