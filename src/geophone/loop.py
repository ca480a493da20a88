"""The training loop itself: one experiment, update by update, decided by its seed alone."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.probe import undisturbed
from geophone.signals.norms import total_norm
from geophone.zoo.catalogue import Experiment
from geophone.zoo.tasks import Task, task


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one update did: loss and accuracy of the batch, and the norm of the gradient, before the update."""

    loss: float
    accuracy: float
    gradient_norm: float


class Training:
    """One experiment in training: network, optimizer and data, ready for step t = 1, 2, ...

    The network is initialised from `seed`, and the batch of step t depends only on (seed, t), in a fork on (seed, t,
    fork); with the number of torch threads they decide every weight at every step. Not a framework: no schedules,
    no mixed precision.
    """

    def __init__(self, spec: Experiment, *, seed: int) -> None:
        self.spec, self.seed = spec, seed
        self.fork: int | None = None
        self.task: Task = task(spec.task)
        torch.manual_seed(seed)
        self.model: nn.Module = spec.build()
        self.model.train()
        self.optimizer = _optimizer(spec, self.model)
        self.done = 0

    def step(self, *, norms: bool = False) -> Outcome:
        """One update. `norms` asks for the gradient norm too (else NaN)."""
        order = [] if self.fork is None else [1 + self.fork]
        rng = np.random.default_rng([self.seed, self.done + 1, *order])
        x, y = self.task.batch(rng, self.spec.batch)
        self.optimizer.zero_grad(set_to_none=True)
        output = self.model(x)
        loss = self.task.loss(output, y)
        loss.backward()
        gradient = total_norm([p.grad for p in self.model.parameters() if p.grad is not None]) if norms else np.nan
        self.optimizer.step()
        self.done += 1
        with torch.no_grad():
            accuracy = float(self.task.accuracy(output, y))
        return Outcome(float(loss.detach()), accuracy, gradient)

    def test_accuracy(self) -> float:
        """Accuracy on the held-out test set, in eval mode; training is not disturbed."""
        x, y = self.task.test()
        with undisturbed(self.model), torch.no_grad():
            return float(self.task.accuracy(self.model(x), y))


def _optimizer(spec: Experiment, model: nn.Module) -> torch.optim.Optimizer:
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    if spec.optimizer not in kinds:
        raise InputError(f"{spec.name} asks for optimizer {spec.optimizer!r}; known are {', '.join(kinds)}.")
    return kinds[spec.optimizer](model.parameters(), lr=spec.lr, weight_decay=spec.weight_decay)


@contextmanager
def threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
