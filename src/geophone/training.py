"""Training itself: update after update, each decided by the random seed and its number alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.probe import undisturbed
from geophone.signals.norms import NORMS, grouped_norms, owners, total_norm
from geophone.zoo.catalogue import Experiment
from geophone.zoo.tasks import Batch, Task, task

Tensors = Sequence[torch.Tensor | None]


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What an objective says of one batch: `total`, a scalar, is what is trained on; `scalars` are further numbers of
    the same batch, by name, such as its accuracy."""

    total: torch.Tensor
    scalars: Mapping[str, float]


Objective = Callable[[np.random.Generator, int], Losses]


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What one update did.

    `scalars`: "loss" (of the batch, before the update) and what the objective said besides. Where norms were asked for
    also "gradient_norm" (before the update), "weight_norm" (after it) and "update_norm" (of the change of the weights),
    Euclidean over all parameters; `layer_norms` are the same three of each of the training's `layers`, (layers,).
    """

    scalars: Mapping[str, float]
    layer_norms: Mapping[str, npt.NDArray[np.float64]]

    @property
    def loss(self) -> float:
        return self.scalars["loss"]


@dataclass(slots=True, eq=False)
class Training:
    """A network in training, ready for update `done` + 1.

    `objective(rng, step)` draws the batch of update `step` and gives its losses. Its `rng` is decided by (seed, step)
    alone, in a fork by (seed, step, fork); with the initial weights and the number of torch threads that decides every
    weight at every step. `layers` (module paths, "NAME+" for what a block adds) are those whose norms are taken besides
    the network's. `optimizer` and `objective` may be changed between updates. Not a framework: no schedules of the
    learning rate, no mixed precision.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    seed: int
    layers: Sequence[str] = ()
    fork: int | None = None
    done: int = 0

    def step(self, *, norms: bool = False) -> Update:
        """One update; `norms` asks for norms too."""
        parameters = list(self.model.parameters()) if norms else []
        before = [p.detach().clone() for p in parameters]
        order = [] if self.fork is None else [1 + self.fork]
        losses = self.objective(np.random.default_rng([self.seed, self.done + 1, *order]), self.done + 1)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        scalars = {"loss": float(losses.total.detach()), **losses.scalars}
        gradients = self._norms([p.grad for p in parameters]) if norms else None
        self.optimizer.step()
        self.done += 1
        if gradients is None:
            return Update(scalars, {})
        weights = [p.detach() for p in parameters]
        each = (gradients, self._norms(weights), self._norms(torch._foreach_sub(weights, before)))
        scalars |= {name: whole for name, (whole, _) in zip(NORMS, each, strict=True)}
        return Update(scalars, {name: parts for name, (_, parts) in zip(NORMS, each, strict=True)})

    def _norms(self, tensors: Tensors) -> tuple[float, npt.NDArray[np.float64]]:
        """Of all `tensors`, one for each parameter, and of each layer's."""
        whole = total_norm([tensor for tensor in tensors if tensor is not None])
        if not self.layers:
            return whole, np.empty(0)
        groups = owners([name for name, _ in self.model.named_parameters()], self.layers)
        return whole, grouped_norms(tensors, groups, len(self.layers))[:-1]


def supervised(
    model: nn.Module,
    batch: Callable[[np.random.Generator, int], Batch],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    accuracy: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> Objective:
    """The objective of learning answers: `batch(rng, step)` gives x and y, `loss(model(x), y)` is trained on.

    `accuracy(output, y)`, where it is given, is the scalar "accuracy".
    """

    def objective(rng: np.random.Generator, step: int) -> Losses:
        x, y = batch(rng, step)
        output = model(x)
        scalars = {} if accuracy is None else {"accuracy": float(accuracy(output.detach(), y))}
        return Losses(loss(output, y), scalars)

    return objective


def training_of(spec: Experiment, *, seed: int) -> Training:
    """`spec` before its first update, initialised from `seed`, which is left in torch's global random state (of the
    CPU; see `own_state`). Raises InputError for an optimizer that is not known."""
    torch.default_generator.manual_seed(seed)
    model = spec.build()
    model.train()
    return Training(model, _optimizer(spec, model), objective_of(spec, model, task(spec.task)), seed)


def objective_of(spec: Experiment, model: nn.Module, data: Task) -> Objective:
    """What `spec` trains on, with the batches and the loss of `data`."""
    return supervised(model, lambda rng, step: data.batch(rng, spec.batch), data.loss, accuracy=data.accuracy)


def held_out_accuracy(model: nn.Module, data: Task) -> float:
    """Accuracy on the test samples of `data`, in eval mode; training is not disturbed."""
    x, y = data.test()
    with undisturbed(model), torch.no_grad():
        return float(data.accuracy(model(x), y))


def _optimizer(spec: Experiment, model: nn.Module) -> torch.optim.Optimizer:
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    if spec.optimizer not in kinds:
        raise InputError(f"{spec.name} asks for optimizer {spec.optimizer!r}; known are {', '.join(kinds)}.")
    return kinds[spec.optimizer](model.parameters(), lr=spec.lr, weight_decay=spec.weight_decay)


@contextmanager
def own_state(threads: int | None = None) -> Iterator[None]:
    """Lend torch's random state (of the CPU) and its number of threads, set to `threads` where it is known, to what is
    done inside; the caller has both back as they were, also after an exception."""
    state, count = torch.get_rng_state(), torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(count)
        torch.set_rng_state(state)
