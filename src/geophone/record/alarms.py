"""What happens while a run is still running: alarms, and the weights around them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from geophone.detect.cusum import OnlineCusum
from geophone.errors import InputError


@dataclass(frozen=True, slots=True)
class Alarm:
    """The causal detector heard a change in `dimension` of `layer` at `step`; `score` is signed by its direction."""

    step: int
    layer: str
    dimension: str
    score: float


class Listener:
    """Feeds one dimension of all layers to the causal detector."""

    def __init__(self, layers: list[str], dimension: str) -> None:
        self._layers, self._dimension = layers, dimension
        self._detector = OnlineCusum(len(layers))

    def hear(self, step: int, values: dict[str, float]) -> list[Alarm]:
        """The alarms of this measurement; `values` by layer."""
        scores = self._detector.update(np.array([values.get(layer, np.nan) for layer in self._layers]))
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


class SnapshotRing:
    """Recent weights in memory; `save(step, weights)` writes one set to disk and returns nothing."""

    def __init__(self, model: nn.Module, limits: Snapshots, save: Callable[[int, dict], None]) -> None:
        self._model, self._limits, self._save = model, limits, save
        self._size = sum(t.numel() * t.element_size() for t in model.state_dict().values()) / 1e6
        fitting = int(limits.memory_mb / max(self._size, 1e-9))
        self._ring: deque[tuple[int, dict[str, torch.Tensor]]] = deque(maxlen=min(limits.count, fitting))
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

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().cpu().clone() for name, tensor in self._model.state_dict().items()}

    def _write(self, step: int, weights: dict[str, torch.Tensor]) -> None:
        if step not in self._written and self._size <= self._left:
            self._save(step, weights)
            self._written.add(step)
            self._left -= self._size
