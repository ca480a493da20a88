"""A testbed: a network in training whose events are clocked as it goes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.prove.events import Event
from geophone.training import Objective

Batch = tuple[torch.Tensor, torch.Tensor]
Curves = Mapping[str, float]


def _nothing(step: int) -> None:
    return None


def _unclocked(curves: pd.DataFrame) -> list[Event]:
    return []


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """When things happen in a testbed, by readings that no method sees.

    `curves()` are the readings of the network as it is, by name; `events(table)` turns their table (index step) into
    events. `samples` says which scored samples of the probe belong to an event's task (a boolean array by event name),
    where there is a task; `planted` are the steps at which data, objective or optimizer were changed."""

    curves: Callable[[], Curves]
    events: Callable[[pd.DataFrame], Sequence[Event]] = _unclocked
    samples: Mapping[str, np.ndarray] = field(default_factory=dict)
    planted: Sequence[int] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """One training of a testbed, ready for step 1.

    `objective` is what `training.Training` takes; its scalar "main_loss", where it gives one, is the part of the loss
    that belongs to the task which the probe asks. `probe` is a held-out batch with answers (integers: classes or next
    tokens; else numbers); `layers` are the modules that are recorded. `before_step(step)` is where a testbed intervenes
    otherwise than by its data; `optimizer` may be changed there. `concepts` are the latents of the probe's samples that
    its answers do not show, labels by name."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    objective: Objective
    probe: Batch
    clock: Clock
    steps: int
    every: int
    layers: Sequence[str]
    before_step: Callable[[int], None] = _nothing
    concepts: Mapping[str, np.ndarray] = field(default_factory=dict)


def log_uniform(rng: np.random.Generator, low: float, high: float, size: int | None = None):
    """Numbers between `low` and `high` whose logarithms are uniform."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))
