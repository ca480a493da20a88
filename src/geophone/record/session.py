"""A recorder at work: before its layers are known, and from then on."""

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.behind import MOST
from geophone.record.checkpoints import save_checkpoint, save_weights
from geophone.record.distributed import is_sharded
from geophone.record.faults import Faults
from geophone.record.layers import Plan
from geophone.record.measurement import Measurer
from geophone.record.norms import ParameterNorms
from geophone.record.probe import bare
from geophone.record.processing import Measurement, Processed, Processing
from geophone.record.readers import Reader, samples_of
from geophone.record.rooms import Rooms
from geophone.record.same import check_layers
from geophone.record.schedule import Pace
from geophone.record.scoring import labelled
from geophone.record.transit import plain_numbers
from geophone.record.watch import Alarm, Listener, SnapshotRing, Watch, Weights
from geophone.record.what import What
from geophone.signals import LAYER_NORMS
from geophone.store.writer import RunWriter

Call = Callable[..., None]


class Work(Protocol):
    """What a recorder hands its calls to. `step` counts the updates that the model has had."""

    def known(self, step: int) -> "Work":
        """The work from here on, the update of `step` done."""

    def due(self, step: int) -> bool: ...

    def recall(self, step: int) -> None: ...

    def step(self, step: int, scalars: Mapping[str, Any]) -> list[Alarm]: ...

    def checkpoint(self, step: int, optimizer: torch.optim.Optimizer | None) -> str | None: ...

    def close(self, step: int, status: str, note: str, results: Mapping[str, float]) -> None: ...


class Silence:
    """The work of a recorder that records nothing: that of every rank but 0."""

    def known(self, step: int) -> "Silence":
        return self

    def due(self, step: int) -> bool:
        return False

    def recall(self, step: int) -> None:
        """Nothing is remembered."""

    def step(self, step: int, scalars: Mapping[str, Any]) -> list[Alarm]:
        return []

    def checkpoint(self, step: int, optimizer: torch.optim.Optimizer | None) -> str | None:
        return None

    def close(self, step: int, status: str, note: str, results: Mapping[str, float]) -> None:
        """Nothing is open."""


class Following(Silence):
    """The work of ranks other than 0 where a forward pass needs them all: they take part in it and record nothing."""

    def __init__(self, reader: Reader, plan: Plan, pace: Pace, step: int, *, now: bool) -> None:
        self._pace, self._read, self._measured = pace, reader.reading(plan), 0
        if now and pace.grant(step):
            self.step(step, {})
        pace.grant(step + 1)

    def due(self, step: int) -> bool:
        return self._pace.due(step)

    def step(self, step: int, scalars: Mapping[str, Any]) -> list[Alarm]:
        if self._pace.take(step):
            self._read(self._measured)
            self._measured += 1
        self._pace.grant(step + 1)
        return []


class Ended(Silence):
    """The work of a closed recorder: none, and whoever asks for more is told."""

    def step(self, step: int, scalars: Mapping[str, Any]) -> list[Alarm]:
        raise InputError("this recorder is closed; open a new one on a new folder.")

    def checkpoint(self, step: int, optimizer: torch.optim.Optimizer | None) -> str | None:
        raise InputError("this recorder is closed; keep a checkpoint before that.")


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """What a recorder works with, whether or not its layers are known."""

    model: nn.Module
    what: What
    watch: Watch
    pace: Pace
    reader: Reader
    writer: RunWriter

    def expect(self, step: int) -> bool:
        """Get ready for `step`, which comes next; whether it will be measured."""
        granted = self.pace.grant(step)
        if granted:
            self.reader.prepare()
        return granted

    def checkpoint(self, step: int, optimizer: torch.optim.Optimizer | None, writer: Call) -> str:
        """Everything recorded is on disk first, so that a run can be resumed from any of its checkpoints. `writer`
        calls the writer's methods, wherever it is."""
        if is_sharded(bare(self.model)):
            raise InputError("the weights of a sharded model lie on several processes; let the trainer save them.")
        writer("flush")
        digest = save_checkpoint(self.writer.folder, step, model=bare(self.model), optimizer=optimizer)
        writer("checkpoint", step, digest)
        return digest

    def close(self, status: str, note: str, results: Mapping[str, float], writer: Call, **counts: int) -> None:
        self.reader.close()
        writer("finish", status, note=note, results=dict(results), schedule=self.pace.as_dict(), **counts)


class Waiting:
    """The work until the layers are known: in band before the first batch, and for a lazily built model. `step` is the
    one that comes next.

    It listens at every step, not only at those that are measured: once the layers are known no output is held whole.
    """

    def __init__(self, desk: Desk, step: int) -> None:
        self._desk = desk
        self._listen(step)

    def _listen(self, step: int) -> None:
        self._desk.reader.prepare(measured=self._desk.expect(step))

    def known(self, step: int) -> "Waiting | Session":
        plan = self._desk.reader.plan()
        if plan is None:
            return self
        if not self._desk.pace.granted(step):
            self._desk.reader.close()
        return Session(self._desk, plan)

    def due(self, step: int) -> bool:
        return self._desk.pace.due(step)

    def recall(self, step: int) -> None:
        """Nothing is known yet that could be remembered."""

    def step(self, step: int, scalars: Mapping[str, Any]) -> list[Alarm]:
        self._desk.pace.take(step)
        self._desk.reader.close()
        if scalars:
            self._desk.writer.add([], {"index": math.nan, "step": step, **plain_numbers(scalars)})
        self._listen(step + 1)
        return []

    def checkpoint(self, step: int, optimizer: torch.optim.Optimizer | None) -> str:
        return self._desk.checkpoint(step, optimizer, self._write)

    def close(self, step: int, status: str, note: str, results: Mapping[str, float]) -> None:
        self._desk.close(status, note, results, self._write, steps=step)

    def _write(self, name: str, *args: Any, **fields: Any) -> None:
        getattr(self._desk.writer, name)(*args, **fields)


class Session:
    """The work on layers that are known: measures, tells, and writes.

    Raises InputError when the folder holds a run of other layers.
    """

    def __init__(self, desk: Desk, plan: Plan) -> None:
        self._desk, self._plan = desk, plan
        if not desk.writer.manifest.layers:
            desk.writer.update(layers=plan.layers, probe=samples_of(desk.reader, plan))
        check_layers(desk.writer.manifest, plan, desk.writer.folder)
        self._index = desk.writer.measured
        self._read = desk.reader.reading(plan)
        measurer = Measurer(plan, desk.what, steady=desk.reader.steady)
        names = [layer.name for layer in plan.layers]
        sharded = is_sharded(bare(desk.model))
        self._norms = ParameterNorms(bare(desk.model), names) if desk.what.signals and not sharded else None
        falling = plan.scorer is not None and plan.scorer.falling
        listener = Listener(falling=falling) if desk.watch.alarms else None
        flat = () if desk.watch.on_record is None else desk.what.names
        self._room = Rooms(Processing(measurer, desk.writer, listener, flat=flat), desk.model, desk.watch.sync)
        limits = None if listener is None or sharded else desk.watch.snapshots
        self._ring = None if limits is None else SnapshotRing(bare(desk.model), limits, self._keep, self._forget)
        self._held: dict[int, Weights] = {}
        self._unregistered: dict[int, str] = {}
        self._step, self._checkpoints, self._snapshots = 0, set(desk.writer.manifest.checkpoints), set[int]()
        self._faults = Faults(desk.watch.on_error)
        self._describe(plan, measurer)

    def _describe(self, plan: Plan, measurer: Measurer) -> None:
        """Put into the manifest what the layers decide."""
        signals = (*measurer.signals, *(LAYER_NORMS if self._norms else ()))
        behaviour = {} if plan.scorer is None else plan.scorer.describe()
        manifest = self._desk.writer.manifest
        if (manifest.signals, manifest.behaviour, manifest.left_out) != (signals, behaviour, plan.left_out):
            self._desk.writer.update(signals=signals, behaviour=behaviour, left_out=plan.left_out)
        if plan.scorer is not None and behaviour:
            labels = labelled(self._desk.what, plan.concepts, plan.scorer.samples["sample"])
            self._desk.writer.samples({**plan.scorer.samples, **labels}, plan.scorer.tokens)

    def known(self, step: int) -> "Session":
        return self

    def due(self, step: int) -> bool:
        return self._desk.pace.due(step)

    def step(self, step: int, scalars: Mapping[str, Any]) -> list[Alarm]:
        """Measure if `step` was granted, and write what there is; the alarms."""
        alarms: list[Alarm] = []
        self._step = step
        if self._desk.pace.take(step):
            with self._desk.pace.measuring():
                alarms = self.measure(step, scalars)
        else:
            if scalars:
                self._room.scalars({"index": math.nan, "step": step, **scalars})
            if self._room.is_behind:
                alarms = self._collected()
        self.expect(step + 1)
        return alarms

    def measure(self, step: int, scalars: Mapping[str, Any]) -> list[Alarm]:
        """Measure now, and write it as the measurement of `step`; the alarms of what has been finished by now."""
        start, self._step = time.perf_counter(), step
        it = self._caught(step, scalars)
        if self._ring is not None and self._room.is_behind and self._ring.holds(MOST):
            self._held[step] = self._ring.copy()
        self._index += 1
        self._room.measured(it)
        alarms = self._collected()
        self._room.settle(it, time.perf_counter() - start)
        return alarms

    def recall(self, step: int) -> None:
        """Read what `step`, which is written already, looked like: the next measurements are compared with it."""
        self._room.recall(Measurement(self._index, step, self._read(self._index), None, {}))

    def flush(self) -> None:
        """Write everything that was measured."""
        self._room.writer("flush")

    def expect(self, step: int) -> None:
        """Get ready for `step`, which comes next."""
        if self._desk.expect(step) and self._norms is not None:
            self._norms.remember()

    def checkpoint(self, step: int, optimizer: torch.optim.Optimizer | None) -> str:
        self._snapshots.discard(step)
        self._checkpoints.add(step)
        self._unregistered.pop(step, None)
        return self._desk.checkpoint(step, optimizer, self._room.writer)

    def close(self, step: int, status: str, note: str, results: Mapping[str, float]) -> None:
        try:
            self._collected(wait=True)
            self._desk.close(status, note, results, self._room.writer, steps=step)
        finally:
            self._room.end()

    def _caught(self, step: int, scalars: Mapping[str, Any]) -> Measurement:
        """What the measurement of `step` reads of the model; nothing where that fails."""
        with self._faults.outlived("a measurement"):
            norms = None if self._norms is None else self._norms.read()
            return Measurement(self._index, step, self._read(self._index), norms, scalars)
        return Measurement(self._index, step, None, None, scalars)

    def _collected(self, *, wait: bool = False) -> list[Alarm]:
        """The alarms of what has been finished; whatever else came of it is told, kept and handed on."""
        alarms: list[Alarm] = []
        for outcome in self._room.collect(wait=wait):
            for what, error in outcome.faults:
                self._faults.tell(what, error)
            for message in outcome.told:
                warnings.warn(message, stacklevel=2)
            alarms += outcome.alarms
            with self._faults.outlived("what watches the measurements"):
                self._tell(outcome)
            self._held.pop(outcome.step, None)
        with self._faults.outlived("what watches the measurements"):
            self._register(wait=wait)
        return alarms

    def _tell(self, outcome: Processed) -> None:
        if self._ring is not None:
            self._ring.hear(outcome.step, outcome.alarms, partial(self._moment, outcome.step))
        if self._desk.watch.on_record is not None and outcome.record is not None:
            self._desk.watch.on_record(outcome.record)

    def _moment(self, step: int) -> tuple[int, Weights]:
        """The weights of `step` where they are held, else of the step that the training has come to."""
        if step in self._held:
            return step, self._held[step]
        assert self._ring is not None
        return self._step, self._ring.copy()

    def _keep(self, step: int, weights: Weights) -> None:
        if step not in self._checkpoints:
            self._unregistered[step] = save_weights(self._desk.writer.folder, step, weights)
            self._checkpoints.add(step)
            self._snapshots.add(step)

    def _register(self, *, wait: bool) -> None:
        """Put the weights that alarms kept into the manifest, as soon as nobody waits for it, or now: with a large
        network whatever is behind the training may take seconds."""
        while self._unregistered and (wait or self._room.idle):
            step, digest = next(iter(self._unregistered.items()))
            self._room.writer("checkpoint", step, digest)
            del self._unregistered[step]

    def _forget(self, step: int) -> None:
        """A checkpoint that somebody asked for stays."""
        if step in self._snapshots:
            self._unregistered.pop(step, None)
            self._snapshots.discard(step)
            self._checkpoints.discard(step)
            self._room.writer("forget", step)
