"""What happens at a measurement while the training runs: alarms, and the weights around them."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from geophone import former
from geophone.errors import InputError
from geophone.point.causal import CausalRanker

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Alarm:
    """At `step` a transition seems to be under way, by what has been measured so far: its `kind` ("learned", "lost" or
    "hidden"), the `layer` that stands out most ("" where none is compared), and how many of the run's own robust
    `deviations` it makes. Not a target: the list of a finished run is `run.transitions()`."""

    step: int
    kind: str
    layer: str
    deviations: float


class Listener:
    """Feeds what is measured to the causal form of the ranker. `falling`: lower behaviour is better."""

    def __init__(self, *, falling: bool) -> None:
        self._ranker, self._sign = CausalRanker(), -1.0 if falling else 1.0

    def hear(self, step: int, rows: Sequence[Mapping[str, Any]], lists: Mapping[str, Mapping[str, Any]]) -> list[Alarm]:
        """The alarms of the measurement at `step`: its layers' rows, and its lists ("behaviour" of every sample, the
        sketch of the "outputs") where there are any."""
        behaviour, outputs = (lists[kind][kind] if kind in lists else None for kind in ("behaviour", "outputs"))
        skill = None if behaviour is None else self._sign * np.asarray(behaviour, dtype=np.float64)
        gains = {row["layer"]: row["readable_gain"] for row in rows if "readable_gain" in row}
        losses = {row["layer"]: row["readable_change"] - row["readable_gain"] for row in rows if row["layer"] in gains}
        heard = self._ranker.update(skill, gains, losses, outputs=outputs)
        return [Alarm(step, each.kind, each.layer, float(each.deviations)) for each in heard]


@dataclass(frozen=True, slots=True)
class Snapshots:
    """How much is kept of the weights around alarms.

    A copy of the weights is taken every `every` measurements and kept in memory, the last `count` of them and at most
    `memory_mb`; when an alarm sounds, the oldest (before), the present one (during) and the one `count` measurements x
    `every` later (after) are written as checkpoints. Where `disk_mb` is used up, those of the weakest alarm make room
    for a stronger one. Copies in memory are on the device of the weights. Megabytes are 10^6 bytes. A network larger
    than `memory_mb` has only "during" and "after".
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

    `alarms`: whether the causal form of the ranker listens (to behaviour and to the changes of layers; without
    either there is nothing to hear). `snapshots`: how much is kept of the weights around alarms (at most 64 MB in
    memory and 256 MB on disk unless other bounds are given; None: nothing). `on_record` is called
    with a flat dict per measurement, such as {"step": 5, "loss": 0.7, "stable_rank/conv1": 3.2}. `on_error`: a
    measurement or a callback that fails is told in a warning, once per kind, and the training goes on ("warn"), or it
    ends in the error ("raise").

    `sync`: whether the training waits for every measurement (True), or only for what is read to be copied, while
    another process makes numbers of it (False): alarms and `on_record` then come with a later step, and name their own.
    None: behind the training where that leaves a core free, once measuring has taken some seconds. What is recorded is
    the same.
    """

    alarms: bool = True
    snapshots: Snapshots | None = BY_DEFAULT
    on_record: Callable[[dict[str, float]], Any] | None = None
    on_error: str = "warn"
    sync: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.alarms, str):  # the dimension that 0.1 listened to
            former.warn(f"alarms={self.alarms!r}", "alarms=True, which follows what is learned and what layers change")
        object.__setattr__(self, "alarms", bool(self.alarms))
        if self.snapshots is not None and not isinstance(self.snapshots, Snapshots):
            raise InputError(f"snapshots={self.snapshots!r}: give a geophone.Snapshots, or None.")
        if self.on_record is not None and not callable(self.on_record):
            raise InputError(f"on_record={self.on_record!r}: give a function of one dict, or None.")
        if self.sync not in (True, False, None):
            raise InputError(f"sync={self.sync!r}: give True, False, or None.")
        if self.on_error not in ("warn", "raise"):
            raise InputError(f"on_error={self.on_error!r}: give 'warn' or 'raise'.")


class SnapshotRing:
    """Recent weights in memory; `save(step, weights)` writes one set to disk, `forget(step)` takes it away again."""

    def __init__(
        self, model: nn.Module, limits: Snapshots, save: Callable[[int, Weights], None], forget: Callable[[int], None]
    ) -> None:
        self._model, self._limits, self._save, self._forget = model, limits, save, forget
        self._size = sum(t.numel() * t.element_size() for t in model.state_dict().values()) / 1e6
        fitting = int(limits.memory_mb / max(self._size, 1e-9))
        self._ring: deque[tuple[int, Weights]] = deque(maxlen=min(limits.count, fitting))
        self._kept: dict[int, float] = {}  # the deviations of the strongest alarm that a written step belongs to
        self._due: list[tuple[int, float]] = []
        self._heard = 0

    def copy(self) -> Weights:
        """The weights as they are, on their own device: on the way to another one the training would have to wait."""
        weights = self._model.state_dict()
        copies = [torch.empty_like(tensor) for tensor in weights.values()]
        torch._foreach_copy_(copies, list(weights.values()))
        return dict(zip(weights, copies, strict=True))

    def holds(self, more: int) -> bool:
        """Whether `more` copies fit into memory beside those that are kept."""
        return (self._limits.count + more) * self._size <= self._limits.memory_mb

    def hear(self, step: int, alarms: Sequence[Alarm], moment: Callable[[], tuple[int, Weights]] | None = None) -> None:
        """Take note of the measurement at `step` and of its alarms. `moment` gives the weights of that step where the
        training has gone on, or where those are gone the ones of a later step, which it names."""
        moment = moment or (lambda: (step, self.copy()))
        strength = max((alarm.deviations for alarm in alarms), default=0.0)
        after = max((each for due, each in self._due if due <= self._heard), default=0.0)
        self._due = [due for due in self._due if due[0] > self._heard]
        if alarms and self._ring:
            self._write(*self._ring[0], strength)
        if alarms or after:
            self._write(*moment(), max(strength, after))
        if alarms:
            self._due.append((self._heard + self._limits.count * self._limits.every, strength))
        if self._ring.maxlen and self._heard % self._limits.every == 0:
            self._ring.append(moment())
        self._heard += 1

    def _write(self, step: int, weights: Weights, strength: float) -> None:
        if step in self._kept:
            self._kept[step] = max(self._kept[step], strength)
            return
        room = int(self._limits.disk_mb / max(self._size, 1e-9))
        weaker = sorted((each, kept) for kept, each in self._kept.items() if each < strength)
        over = len(self._kept) + 1 - room
        if over > len(weaker) or not room:
            return
        for _, kept in weaker[: max(over, 0)]:
            self._forget(kept)
            del self._kept[kept]
        self._save(step, weights)
        self._kept[step] = strength
