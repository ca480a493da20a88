"""Multitask sparse parity: skills that are acquired one after another (Michaud et al. 2023)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from geophone.prove.bed import Batch, Clock, Curves, Setting, log_uniform
from geophone.prove.events import rises
from geophone.training import supervised
from geophone.zoo.generated import SparseParities
from geophone.zoo.mlp import MLP

WIDTH = 128
EXPONENT = 0.6
CHECKS = 128
PROBE = 256
Weights = Callable[[int], np.ndarray]


@dataclass(frozen=True, slots=True)
class Course:
    """How a training goes: `weights(step)` are the tasks' frequencies, up to a factor."""

    weights: Weights
    rate: float
    batch: int
    steps: int
    every: int


def setting(seed: int) -> Setting:
    """8 parities of 3 of 32 bits, asked for at frequencies that fall as (i + 1)^-1.6, an MLP of width 128, Adam 3e-3.

    The clock is the accuracy on each parity, on 128 held-out samples of it: from chance to all right.
    """
    task = SparseParities(exponent=EXPONENT, seed=1000 + seed)
    falling = np.arange(1, task.tasks + 1) ** -(1 + EXPONENT)
    course = Course(lambda step: falling, rate=3e-3, batch=512, steps=4800, every=12)
    return _setting(task, course, seed=seed, rng=np.random.default_rng([2, seed]), asked=falling)


def drawn(seed: int) -> Setting:
    """6 parities, each asked for from a step of its own on, uniform in [0, 1700] of 2600 (one from the start), at a
    frequency log-uniform over a factor 4; Adam at a rate log-uniform in [2.5e-3, 6e-3]. The probe has all equally."""
    rng = np.random.default_rng([102, seed])
    task = SparseParities(tasks=6, exponent=EXPONENT, seed=5000 + seed)
    begin = onsets(rng, task.tasks, last=1700)
    frequency = log_uniform(rng, 1, 4, task.tasks)
    course = Course(
        lambda step: frequency * (begin <= step),
        rate=float(log_uniform(rng, 2.5e-3, 6e-3)),
        batch=320,
        steps=2600,
        every=8,
    )
    return _setting(task, course, seed=seed, rng=rng, asked=np.ones(task.tasks), planted=begin[begin > 0])


def onsets(rng: np.random.Generator, tasks: int, *, last: float) -> np.ndarray:
    """A step for each task from which it is asked for, uniform in [0, last], in a drawn order; one begins at 0."""
    begin = np.sort(rng.uniform(0, last, tasks))
    begin[0] = 0
    return rng.permutation(begin)


def _setting(
    task: SparseParities,
    course: Course,
    *,
    seed: int,
    rng: np.random.Generator,
    asked: np.ndarray,
    planted: np.ndarray | None = None,
) -> Setting:
    torch.manual_seed(seed)
    model = MLP(task.tasks + task.bits, [WIDTH], 2)
    checks, answers = _checks(task, rng)
    draw = Draw(task)
    probe = draw(rng, PROBE, asked)
    which = probe[0][:, : task.tasks].argmax(1).numpy()

    def accuracies() -> Curves:
        right = (model(checks).argmax(1) == answers).float().view(task.tasks, CHECKS).mean(1)
        return {f"task{i}": float(value) for i, value in enumerate(right)}

    return Setting(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=course.rate, fused=True),
        objective=supervised(
            model, lambda rng, step: draw(rng, course.batch, course.weights(step)), nn.functional.cross_entropy
        ),
        probe=probe,
        clock=Clock(
            accuracies,
            lambda table: rises(table, start=0.5, end=1.0),
            samples={f"task{i}": which == i for i in range(task.tasks)},
            planted=() if planted is None else [int(np.ceil(step)) for step in np.sort(planted)],
        ),
        steps=course.steps,
        every=course.every,
        layers=("layer1", "layer1.0"),
    )


class Draw:
    """Samples of `task` at any frequencies, faster than it draws them itself: the tables are made once."""

    def __init__(self, task: SparseParities) -> None:
        self._hot, self._subsets = np.eye(task.tasks, dtype=np.float32), task.subsets
        self._bits = task.bits

    def __call__(self, rng: np.random.Generator, size: int, frequency: np.ndarray) -> Batch:
        asked = rng.choice(len(frequency), size, p=frequency / frequency.sum())
        bits = np.unpackbits(rng.integers(256, size=(size, self._bits // 8), dtype=np.uint8), axis=1)
        y = np.take_along_axis(bits, self._subsets[asked], axis=1).sum(1, dtype=np.int64) % 2
        x = np.concatenate([self._hot[asked], bits.astype(np.float32)], axis=1)
        return torch.from_numpy(x), torch.from_numpy(y)


def _checks(task: SparseParities, rng: np.random.Generator) -> Batch:
    """(tasks * CHECKS, tasks + bits) samples, the same number of every task, in the order of the tasks."""
    bits = rng.integers(2, size=(task.tasks, CHECKS, task.bits))
    which = np.broadcast_to(np.eye(task.tasks)[:, None], (task.tasks, CHECKS, task.tasks))
    y = np.stack([part[:, subset].sum(1) % 2 for part, subset in zip(bits, task.subsets, strict=True)])
    x = np.concatenate([which, bits], axis=2).reshape(-1, task.tasks + task.bits)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.reshape(-1))
