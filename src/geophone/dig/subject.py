"""What is dug: a run's network at any moment, an untrained one like it, and what to show them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from geophone._train import replays
from geophone.dig.samples import PER_CLASS, Samples, balanced
from geophone.errors import InputError
from geophone.store.run import Run
from geophone.zoo.catalogue import experiment
from geophone.zoo.tasks import Task, task


@dataclass(frozen=True)
class Subject:
    """A run as the digging tools see it.

    `at(steps)` gives the network after each of `steps` updates, in eval mode; `untrained(number)` the number-th
    untrained network of the same shape; `layers` are the recorded ones in depth order. `task` has the
    loss and the accuracy.
    """

    name: str
    layers: tuple[str, ...]
    task: Task
    samples: Samples
    at: Callable[[list[int]], dict[int, nn.Module]]
    untrained: Callable[[int], nn.Module]


def subject_of(run: Run, *, rng: np.random.Generator, per_class: int = PER_CLASS) -> Subject:
    """The subject of a run that geophone trained. Raises InputError for one of the user's own loop, which has only
    checkpoints: build its Subject by hand and pass it on."""
    name = run.manifest.about.get("experiment")
    if name is None:
        raise InputError(
            f"{run.name} was not trained by geophone, so its network and data are not known here; pass "
            "subject=geophone.dig.subject.Subject(...) with both."
        )
    spec = experiment(name)
    kind = task(spec.task)
    seed = int(run.manifest.about["seed"])

    def untrained(number: int) -> nn.Module:
        state = torch.get_rng_state()
        try:
            # Seeds that no run of a study has.
            torch.manual_seed(2**31 + 1000 * seed + number)
            return spec.build().eval()
        finally:
            torch.set_rng_state(state)

    return Subject(
        name=run.name,
        layers=tuple(layer.name for layer in run.layers),
        task=kind,
        samples=balanced(kind, rng=rng, per_class=per_class),
        at=lambda steps: replays(run, steps),
        untrained=untrained,
    )
