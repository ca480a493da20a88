"""Multitask sparse parity: skills that are acquired one after another (Michaud et al. 2023)."""

import numpy as np
import torch
from torch import nn

from geophone.prove.bed import Setting
from geophone.prove.events import rises
from geophone.zoo.generated import SparseParities
from geophone.zoo.mlp import MLP

WIDTH = 128
EXPONENT = 0.6
BATCH = 512
CHECKS = 128
PROBE = 256


def setting(seed: int) -> Setting:
    """8 parities of 3 of 32 bits, asked for at frequencies that fall as (i + 1)^-1.6, an MLP of width 128, Adam 3e-3.

    The clock is the accuracy on each parity, on 128 held-out samples of it: from chance to all right.
    """
    task = SparseParities(exponent=EXPONENT, seed=1000 + seed)
    rng = np.random.default_rng([2, seed])
    torch.manual_seed(seed)
    model = MLP(task.tasks + task.bits, [WIDTH], 2)
    checks, answers = _checks(task, rng)
    draw = Draw(task)

    def accuracies(net: nn.Module) -> dict[str, float]:
        right = (net(checks).argmax(1) == answers).float().view(task.tasks, CHECKS).mean(1)
        return {f"task{i}": float(value) for i, value in enumerate(right)}

    return Setting(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3, fused=True),
        batch=lambda rng: draw(rng, BATCH),
        loss=nn.functional.cross_entropy,
        probe=draw(rng, PROBE),
        steps=4800,
        every=12,
        curves=accuracies,
        events=lambda table: rises(table, start=0.5, end=1.0),
        layers=("layer1", "layer1.0"),
    )


class Draw:
    """Samples of `task`, as it draws them but faster: what is the same in every batch is made once."""

    def __init__(self, task: SparseParities) -> None:
        weight = np.arange(1, task.tasks + 1) ** -(1 + task.exponent)
        self._upto = (weight / weight.sum()).cumsum()
        self._hot, self._subsets = np.eye(task.tasks, dtype=np.float32), task.subsets
        self._bits = task.bits

    def __call__(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        asked = np.searchsorted(self._upto[:-1], rng.random(size), side="right")
        bits = np.unpackbits(rng.integers(256, size=(size, self._bits // 8), dtype=np.uint8), axis=1)
        y = np.take_along_axis(bits, self._subsets[asked], axis=1).sum(1, dtype=np.int64) % 2
        x = np.concatenate([self._hot[asked], bits.astype(np.float32)], axis=1)
        return torch.from_numpy(x), torch.from_numpy(y)


def _checks(task: SparseParities, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(tasks * CHECKS, tasks + bits) samples, the same number of every task, in the order of the tasks."""
    bits = rng.integers(2, size=(task.tasks, CHECKS, task.bits))
    which = np.broadcast_to(np.eye(task.tasks)[:, None], (task.tasks, CHECKS, task.tasks))
    y = np.stack([part[:, subset].sum(1) % 2 for part, subset in zip(bits, task.subsets, strict=True)])
    x = np.concatenate([which, bits], axis=2).reshape(-1, task.tasks + task.bits)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.reshape(-1))
