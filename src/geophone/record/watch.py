"""What happens at a measurement while the training runs: alarms, and the weights around them."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from geophone.detect.cusum import OnlineCusum
from geophone.dimensions import chosen
from geophone.errors import InputError

Weights = Mapping[str, torch.Tensor]
_LISTENED = "participation_ratio"


@dataclass(frozen=True, slots=True)
class Alarm:
    """The causal detector heard a change in `dimension` of `layer` at `step`; `score` is signed by its direction."""

    step: int
    layer: str
    dimension: str
    score: float


class Listener:
    """Feeds one dimension of all layers to the causal detector; without a dimension it hears nothing."""

    def __init__(self, layers: list[str], dimension: str | None) -> None:
        self._layers, self._dimension = layers, dimension
        self._detector = OnlineCusum(len(layers))

    def hear(self, step: int, rows: Sequence[Mapping[str, Any]]) -> list[Alarm]:
        """The alarms of the measurement at `step`, whose rows are the layers' in their order."""
        if self._dimension is None:
            return []
        scores = self._detector.update(np.array([row[self._dimension] for row in rows]))
        return [Alarm(step, self._layers[i], self._dimension, float(scores[i])) for i in np.flatnonzero(scores)]


@dataclass(frozen=True, slots=True)
class Snapshots:
    """How much is kept of the weights around alarms.

    A copy of the weights is taken every `every` measurements and kept in memory, the last `count` of them and at most
    `memory_mb`; when an alarm sounds, the oldest (before), the present one (during) and the one `count` measurements x
    `every` later (after) are written as checkpoints, until `disk_mb` is used up. Megabytes are 10^6 bytes. A
    network larger than `memory_mb` has only "during" and "after".
    """

    every: int = 1
    count: int = 10
    memory_mb: float = 256.0
    disk_mb: float = 1000.0

    def __post_init__(self) -> None:
        if min(self.every, self.count) < 1 or min(self.memory_mb, self.disk_mb) <= 0:
            raise InputError(f"snapshots want positive numbers; got {self}.")


# What is kept when nobody says: small beside what a training takes, and of a network over 64 MB only the weights at and
# after an alarm.
BY_DEFAULT = Snapshots(every=2, count=4, memory_mb=64.0, disk_mb=256.0)


@dataclass(frozen=True, slots=True)
class Watch:
    """What happens at a measurement besides that it is written; checked when it is made.

    `alarms`: the dimension that the causal detector listens to ("auto": the participation ratio if it is recorded;
    None: no alarms). `snapshots`: how much is kept of the weights around alarms (at most 64 MB in memory and 256 MB on
    disk unless other bounds are given; None: nothing). `on_record` is called
    with a flat dict per measurement, such as {"step": 5, "loss": 0.7, "stable_rank/conv1": 3.2}. `on_error`: a
    measurement or a callback that fails is told in a warning, once per kind, and the training goes on ("warn"), or it
    ends in the error ("raise").
    """

    alarms: str | None = "auto"
    snapshots: Snapshots | None = BY_DEFAULT
    on_record: Callable[[dict[str, float]], Any] | None = None
    on_error: str = "warn"

    def __post_init__(self) -> None:
        if self.alarms not in (None, "auto"):
            chosen([self.alarms])
        if self.snapshots is not None and not isinstance(self.snapshots, Snapshots):
            raise InputError(f"snapshots={self.snapshots!r}: give a geophone.Snapshots, or None.")
        if self.on_record is not None and not callable(self.on_record):
            raise InputError(f"on_record={self.on_record!r}: give a function of one dict, or None.")
        if self.on_error not in ("warn", "raise"):
            raise InputError(f"on_error={self.on_error!r}: give 'warn' or 'raise'.")

    def dimension(self, names: Sequence[str]) -> str | None:
        """What the detector listens to where `names` are recorded. Raises InputError for one that is not."""
        if self.alarms == "auto":
            return _LISTENED if _LISTENED in names else None
        if self.alarms is not None and self.alarms not in names:
            raise InputError(f"alarms={self.alarms!r} is not recorded; recorded are {', '.join(names)}.")
        return self.alarms


class SnapshotRing:
    """Recent weights in memory; `save(step, weights)` writes one set to disk and returns nothing."""

    def __init__(self, model: nn.Module, limits: Snapshots, save: Callable[[int, Weights], None]) -> None:
        self._model, self._limits, self._save = model, limits, save
        self._size = sum(t.numel() * t.element_size() for t in model.state_dict().values()) / 1e6
        fitting = int(limits.memory_mb / max(self._size, 1e-9))
        self._ring: deque[tuple[int, Weights]] = deque(maxlen=min(limits.count, fitting))
        self._left = limits.disk_mb
        self._written: set[int] = set()
        self._due: list[int] = []
        self._heard = 0

    def hear(self, step: int, alarms: list[Alarm]) -> None:
        """Take note of one measurement at `step` and of its alarms."""
        due_now = any(due <= self._heard for due in self._due)
        self._due = [due for due in self._due if due > self._heard]
        if alarms and self._ring:
            self._write(*self._ring[0])
        if alarms or due_now:
            self._write(step, self._weights())
        if alarms:
            self._due.append(self._heard + self._limits.count * self._limits.every)
        if self._ring.maxlen and self._heard % self._limits.every == 0:
            self._ring.append((step, self._weights()))
        self._heard += 1

    def _weights(self) -> Weights:
        return {name: tensor.detach().cpu().clone() for name, tensor in self._model.state_dict().items()}

    def _write(self, step: int, weights: Weights) -> None:
        if step not in self._written and self._size <= self._left:
            self._save(step, weights)
            self._written.add(step)
            self._left -= self._size
