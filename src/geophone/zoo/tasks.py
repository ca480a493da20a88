"""Tasks: where batches come from, what the loss is, and how well a network does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.zoo import data


class Task(Protocol):
    """What the training loop needs of a task. `chance` is the accuracy of the best answer that ignores the input."""

    name: str
    kind: str
    classes: int
    chance: float

    def batch(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """`size` training samples, decided by `rng` alone."""

    def loss(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean loss, a scalar."""

    def accuracy(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Share of right answers, a scalar."""

    def test(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The held-out test samples."""

    def probe(self, size: int, *, second: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """`size` held-out samples with all classes in equal shares, always the same; `second`: others, disjoint."""


@dataclass(frozen=True)
class Classification:
    """A fixed labelled data set, classified with cross-entropy."""

    name: str
    kind: str
    classes: int
    split: data.Split

    @property
    def chance(self) -> float:
        return float(torch.bincount(self.split.test_y).max()) / len(self.split.test_y)

    def batch(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.from_numpy(rng.choice(len(self.split.train_y), size, replace=False))
        return self.split.train_x[chosen], self.split.train_y[chosen]

    def loss(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(output, y)

    def accuracy(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (output.argmax(1) == y).float().mean()

    def test(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.split.test_x, self.split.test_y

    def probe(self, size: int, *, second: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        part = "test" if second else "probe"
        x, y = getattr(self.split, f"{part}_x"), getattr(self.split, f"{part}_y")
        if not 2 <= size <= len(y):
            raise InputError(
                f"{self.name} holds out {len(y)} samples for a probe; got size={size}, give 2 to {len(y)}."
            )
        chosen = interleaved(y)[:size]
        return x[chosen], y[chosen]


def interleaved(labels: torch.Tensor) -> torch.Tensor:
    """An order of the samples in which every class comes round once before any comes twice."""
    turn = torch.empty_like(labels)
    for label in labels.unique():
        members = labels == label
        turn[members] = torch.arange(int(members.sum()))
    return torch.from_numpy(np.lexsort((labels.numpy(), turn.numpy())))


_TASKS: dict[str, Callable[[], Task]] = {
    "mnist": lambda: Classification("mnist", "image", 10, data.mnist()),
}


@cache
def task(name: str) -> Task:
    """The task called `name`, made once. Raises InputError with the known names."""
    if name not in _TASKS:
        raise InputError(f"unknown task {name!r}; known are {', '.join(_TASKS)}.")
    return _TASKS[name]()
