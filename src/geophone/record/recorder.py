"""The recorder: a live model in, rows on disk out. The short call; the values behind it are What, Schedule, Watch."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.distributed import is_sharded, rank
from geophone.record.probe import is_lazy
from geophone.record.readers import BatchReader, ProbeReader, Reader, samples_of
from geophone.record.same import check_layers, check_same
from geophone.record.schedule import Pace, Schedule, whole
from geophone.record.session import (
    Desk,
    Ended,
    Following,
    Session,
    Silence,
    Waiting,
    Work,
)
from geophone.record.transit import plain_numbers
from geophone.record.watch import BY_DEFAULT, Alarm, Snapshots, Watch
from geophone.record.what import Selector, Texts, Views, What
from geophone.store.manifest import read_manifest
from geophone.store.writer import RunWriter, new_manifest

_Value = TypeVar("_Value", What, Watch)


class Recorder:
    """Records the dimensionality of a model's layers while it trains, in any loop.

    with Recorder(model, probe, every=5) as recorder:
        for x, y in loader:
            loss = train_step(x, y)
            recorder.step(loss=loss.item())

    `probe` is one held-out batch (tensor, tuple of arguments, or mapping of keywords), read in eval mode; or
    "batch": the training batch's own activations, in band, without a forward pass of ours. A layer with positions
    (images, sequences) draws rows/len(probe) of them per sample, the same at every step.

    What is read at a measurement: `layers` to `texts` are the fields of `What` (`noise_probe` is its `noise`). When:
    `every` is a number of steps or a `Schedule`. What happens then: `step` returns the alarms; `alarms` to
    `sync` are the fields of `Watch`. In the place of the short arguments the values themselves can be given:
    `what=What(...)`, `when=Schedule(...)`, `watch=Watch(...)`.

    `start` is the number of updates the model has had already; counting goes on from there, and where that step is due
    the model is measured at once (not with `at_start=False`). With `resume` the run in
    `out` is continued: what it holds of steps after `start` is dropped, and new rows follow the old ones. Another
    probe, or other layers, labels or concepts are refused.

    `out` is a new or empty folder; without it, one in runs/ named by the time (`recorder.folder`), so that a script can
    be run again. `name` defaults to the folder's name, `about` is kept in the manifest as it is. Hooks exist only while
    a measurement runs, and train flags, buffers and random state are put back: a training with a recorder ends in the
    same weights, bit for bit, as without. Under torch.distributed only rank 0 records: those of other ranks take
    every call and do nothing, but of a sharded model (FSDP, ZeRO-3) they take part in the forward pass over the probe.

    Raises InputError for a model or probe that cannot be recorded, for a short argument beside the value that holds
    it, and for an `out` that is not new or empty, before anything is written there.
    """

    def __init__(
        self,
        model: nn.Module,
        probe: Any,
        *,
        out: str | Path | None = None,
        every: int | Schedule = 5,
        layers: Selector | Iterable[Selector] | None = None,
        views: Views = None,
        rows: int = 1024,
        dimensions: Iterable[str] | None = None,
        noise_probe: Any = None,
        noise_every: int = 10,
        labels: Any = None,
        behaviour: Callable[[Any, Any], Any] | None = None,
        concepts: Mapping[str, Any] | None = None,
        updates: bool | None = None,
        signals: bool = True,
        batch: int | None = None,
        texts: Texts = None,
        alarms: bool = True,
        snapshots: Snapshots | None = BY_DEFAULT,
        on_record: Callable[[dict[str, float]], Any] | None = None,
        on_error: str = "warn",
        sync: bool | None = None,
        name: str | None = None,
        about: Mapping[str, Any] | None = None,
        start: int = 0,
        at_start: bool = True,
        resume: bool = False,
        what: What | None = None,
        when: Schedule | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._steps = whole("start", start, 0, "updates that the model has had")
        if out is None and resume:
            raise InputError("resume=True continues the run in a folder: say which with out=.")
        self._folder, self.resumed = _new_folder() if out is None else Path(out), resume
        self._at_start = at_start and not resume
        what = _value(
            What, what, "what", layers=layers, views=views, rows=rows, dimensions=dimensions, noise=noise_probe,
            noise_every=noise_every, labels=labels, behaviour=behaviour, concepts=concepts, updates=updates,
            signals=signals, batch=batch, texts=texts,
        )  # fmt: skip
        watch = _value(
            Watch, watch, "watch", alarms=alarms, snapshots=snapshots, on_record=on_record, on_error=on_error, sync=sync
        )
        schedule = _schedule(every, when)
        if schedule.overhead is not None and is_sharded(model):
            raise InputError("overhead=: every process must measure a sharded model at the same steps; name them.")
        identity = {"name": name or self._folder.name, "about": _plain(about or {})}
        self._work: Work = Silence()
        if rank() == 0:
            self._work = self._begin(model, _reader(model, probe, what), what, schedule, watch, identity)
        elif is_sharded(model):
            self._work = self._follow(model, _reader(model, probe, what), schedule)

    def _begin(
        self,
        model: nn.Module,
        reader: Reader,
        what: What,
        schedule: Schedule,
        watch: Watch,
        identity: Mapping[str, Any],
    ) -> Waiting | Session:
        plan = None if is_lazy(model) else reader.plan()
        if self.resumed:
            manifest = read_manifest(self._folder)
            check_same(manifest, what, reader.describe(), self._folder)
            if plan is not None:
                check_layers(manifest, plan, self._folder)
            writer = RunWriter.resume(self._folder, after=self._steps)
        else:
            manifest = new_manifest(
                **identity,
                schedule=schedule.as_dict(),
                layers=() if plan is None else plan.layers,
                rows=what.rows,
                probe=reader.describe() if plan is None else samples_of(reader, plan),
                definitions=what.definitions,
                threads=torch.get_num_threads(),
            )
            writer = RunWriter(self._folder, manifest)
        desk = Desk(model, what, watch, Pace(schedule), reader, writer)
        if plan is None:
            return Waiting(desk, self._steps + 1)
        session = Session(desk, plan)
        if not self._at_start or not desk.pace.grant(self._steps):
            session.expect(self._steps + 1)
        else:
            session.step(self._steps, {})
        return session

    def _follow(self, model: nn.Module, reader: Reader, schedule: Schedule) -> Silence:
        """Take part in what rank 0 does: the same passes at the same steps."""
        plan = None if is_lazy(model) else reader.plan()
        if plan is None:
            return Silence()
        return Following(reader, plan, Pace(schedule), self._steps, now=self._at_start)

    @property
    def due(self) -> bool:
        """Whether the step being trained now will be measured when `step` is called (an overhead limit aside)."""
        return self._work.due(self._steps + 1)

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return self._folder

    def step(self, **scalars: float | torch.Tensor | None) -> list[Alarm]:
        """Count one update of the model, measure it when it is due, keep `scalars` by name; the alarms it raised.

        A scalar may be a tensor of one number; one that is on an accelerator is not waited for. Raises InputError for a
        scalar that is not a number, and after `close`.
        """
        return self.steps(1, **scalars)

    def steps(self, updates: int, /, **scalars: float | torch.Tensor | None) -> list[Alarm]:
        """`step` where the loop made several updates since the last call: what was due at any of them is measured now.

        Raises InputError as `step` does, and for fewer than 1 update.
        """
        self._steps += whole("updates", updates, 1, "updates")
        self._work = self._work.known(self._steps)
        return self._work.step(self._steps, _numbers(scalars))

    def recall(self, step: int) -> None:
        """Read the model as it is, which was measured at `step` already, without writing anything: what is measured
        next is compared with it. For a run that is resumed, with the model as it was at its last 8 measurements."""
        self._work.recall(step)

    def checkpoint(self, optimizer: torch.optim.Optimizer | None = None) -> str | None:
        """Keep the weights of this moment, with the optimizer's state and the random state beside them.

        What was recorded is written first, so that a run can be resumed from any of its checkpoints. Returns the digest
        of the weights; None where nothing is recorded (under torch.distributed, on ranks other than 0). Raises
        InputError after `close`.
        """
        return self._work.checkpoint(self._steps, optimizer)

    def close(self, status: str = "finished", *, note: str = "", results: Mapping[str, float] | None = None) -> None:
        """Write what is still in memory and end the run; `results` go into the manifest. Twice does nothing."""
        work, self._work = self._work, Ended() if rank() == 0 else Silence()
        work.close(self._steps, status, note, plain_numbers(_numbers(results or {})))

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, KeyboardInterrupt):
            self.close("interrupted", note=f"stopped by hand after step {self._steps}")
        else:
            self.close("failed", note=f"{kind.__name__} after step {self._steps}: {error}"[:500])


def _value(kind: type[_Value], value: _Value | None, argument: str, **short: Any) -> _Value:
    """`value`, or one made of the `short` arguments. Raises InputError where both are given."""
    if value is None:
        return kind(**short)
    if not isinstance(value, kind):
        raise InputError(f"{argument}={value!r}: give a geophone.{kind.__name__}.")
    defaults = {field.name: field.default for field in fields(kind)}
    twice = [name for name, given in short.items() if not _is(given, defaults[name])]
    if twice:
        raise InputError(f"{argument}= says what {', '.join(twice)} would say again; give one of the two.")
    return value


def _is(given: Any, default: Any) -> bool:
    return given is default or (isinstance(given, int | str) and given == default)


def _new_folder() -> Path:
    """A folder in runs/ that is not there yet, named by the time."""
    name = f"{datetime.now():%Y-%m-%dT%H-%M-%S}"
    names = (name if i == 1 else f"{name}-{i}" for i in count(1))
    return next(folder for folder in (Path("runs") / each for each in names) if not folder.exists())


def _schedule(every: int | Schedule, when: Schedule | None) -> Schedule:
    if when is None:
        return every if isinstance(every, Schedule) else Schedule(every)
    if not isinstance(when, Schedule):
        raise InputError(f"when={when!r}: give a geophone.Schedule.")
    if not _is(every, Schedule().every):
        raise InputError("when= says what every would say again; give one of the two.")
    return when


def _reader(model: nn.Module, probe: Any, what: What) -> Reader:
    if isinstance(probe, str) and probe != "batch":
        raise InputError(f"probe={probe!r}: give a batch of inputs, or 'batch' for in-band recording.")
    return BatchReader(model, what) if isinstance(probe, str) else ProbeReader(model, probe, what)


def _plain(about: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(dict(about)))
    except (TypeError, ValueError) as error:
        raise InputError(f"about= goes into a JSON file: {error}.") from error


def _numbers(scalars: Mapping[str, Any]) -> dict[str, Any]:
    """`scalars` as floats; those that are on an accelerator as tensors, of which this moment's number is kept."""
    reserved = sorted({"index", "step"} & set(scalars))
    if reserved:
        raise InputError(f"scalars cannot be called {', '.join(reserved)}; the recorder counts those itself.")
    try:
        return {name: _number(value) for name, value in scalars.items() if value is not None}
    except (TypeError, ValueError, RuntimeError) as error:
        kinds = {name: type(value).__name__ for name, value in scalars.items()}
        raise InputError(f"every scalar must be one number; got {kinds}.") from error


def _number(value: Any) -> float | torch.Tensor:
    if not isinstance(value, torch.Tensor):
        return float(value)
    if value.device.type == "cpu" or value.is_complex():
        return float(value.detach())
    return value.detach().clone().reshape(())  # which raises where it is more than one
