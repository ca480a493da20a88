"""The recorder: a live model in, rows on disk out. A thin shell around probe, capture and dimensions."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geophone.dimensions import chosen, read_each
from geophone.errors import InputError
from geophone.record.alarms import Alarm, Listener, SnapshotRing, Snapshots
from geophone.record.arguments import floats, is_batch, is_lazy, listened, plain, second_probe, several
from geophone.record.capture import ActivationCapture
from geophone.record.checkpoints import save_checkpoint, save_weights
from geophone.record.inband import InBand
from geophone.record.layers import Plan, Reading, plan
from geophone.record.probe import Probe, bare, model_device
from geophone.record.schedule import Pace, Schedule
from geophone.store.manifest import Manifest, read_manifest, versions_here
from geophone.store.writer import RunWriter


class Recorder:
    """Records the dimensionality of a model's layers while it trains, in any loop.

    with Recorder(model, probe, out="runs/mine", every=5) as recorder:
        for x, y in loader:
            loss = train_step(x, y)
            recorder.step(loss=loss.item())

    What is read: `probe` is one held-out batch (tensor, tuple of arguments, or mapping of keywords), read whole, in
    eval mode; or "batch": the training batch's own activations, in band, without a forward pass of ours. A layer
    with positions (images, sequences) draws rows/len(probe) of them per sample, the same at every step. `layers`
    holds module paths, globs, modules or types (default: blocks, and weight layers outside them); `views` one view for
    all, or a mapping from path or glob to view; `dimensions` names from the catalogue (default: all). `noise_probe` is
    a second batch of as many other samples, read at every `noise_every`-th measurement: how far its values lie
    from the probe's is the measurement noise.

    When: `every` is a number of steps or a `Schedule`. What happens then: `step` returns the alarms of a causal
    detector on the dimension `alarms` ("auto": the participation ratio if it is recorded; None: no alarms);
    `snapshots` keeps the weights around them; `on_record` is called with a flat dict a measurement, such as
    {"step": 5, "stable_rank/conv1": 3.2}, which `wandb.log` and its like accept as it is.

    `start` is the number of updates the model has had already; counting goes on from there. With `resume` the run in
    `out` is gone on with: what it holds of steps after `start` is dropped, and new rows follow the old ones.

    `name` defaults to the folder's name, `about` is kept in the manifest as it is. Hooks exist only while a measurement
    runs, and train flags, buffers and random state are put back: a training with a recorder ends in the same
    weights, bit for bit, as without. Under torch.distributed only rank 0 records, and nobody waits for it.

    Raises InputError for a model or probe that cannot be recorded and for an `out` that is not new or empty,
    before anything is written there.
    """

    def __init__(
        self,
        model: nn.Module,
        probe,
        *,
        out: str | Path,
        every: int | Schedule = 5,
        layers: Iterable[str | type | nn.Module] | None = None,
        views: str | Mapping[str, str] | None = None,
        rows: int = 1024,
        dimensions: Sequence[str] | None = None,
        noise_probe=None,
        noise_every: int = 10,
        alarms: str | None = "auto",
        snapshots: Snapshots | None = None,
        on_record: Callable[[dict[str, float]], Any] | None = None,
        name: str | None = None,
        about: Mapping[str, Any] | None = None,
        start: int = 0,
        resume: bool = False,
    ) -> None:
        self._muted = _rank() != 0
        self._open = not self._muted
        if not isinstance(start, int) or start < 0:
            raise InputError(f"start={start!r}: give the number of updates the model has had, 0 or more.")
        self._steps, self._index = start, 0
        self._schedule = every if isinstance(every, Schedule) else Schedule(every)
        if self._muted:
            return
        self._model = model
        self._names = tuple(d.name for d in chosen(dimensions))
        self._listened = listened(alarms, self._names)
        self._how, self._layers = Reading(views, rows), None if layers is None else list(several(layers))
        self._on_record = on_record
        self._inband = InBand(model, self._layers, self._how) if is_batch(probe) else None
        self._probe = None if self._inband else Probe(probe).to(model_device(model))
        self._noise = second_probe(noise_probe, self._probe)
        if not isinstance(noise_every, int) or noise_every < 1:
            raise InputError(f"noise_every={noise_every!r}: give a whole number of measurements, 1 or more.")
        self._noise_every = noise_every
        self._identity = {"name": name or Path(out).name, "about": plain(about or {})}
        self._plan: Plan | None = None
        self._capture: ActivationCapture | None = None
        deferred = self._inband is not None or is_lazy(model)
        if not deferred:
            self._plan = self._make_plan()
        if resume:
            self._check(read_manifest(Path(out)), Path(out))
        self._writer = RunWriter(Path(out), resume=resume, after=start if resume else None)
        self._listener: Listener | None = None
        self._ring = SnapshotRing(bare(model), snapshots, self._keep_snapshot) if snapshots else None
        self._pace = Pace(self._schedule.overhead)
        self.resumed = resume
        if resume:
            self._go_on()
        elif not deferred:
            self._begin()
            if self._schedule.due(start):
                self._record({}, due=True)
        self._arm()

    @property
    def due(self) -> bool:
        """Whether the step being trained now will be measured when `step` is called (an overhead limit aside)."""
        return self._open and self._schedule.due(self._steps + 1)

    @property
    def folder(self) -> Path:
        return self._writer.folder

    def step(self, **scalars: float) -> list[Alarm]:
        """Count one update of the model, measure it when it is due, keep `scalars` by name; the alarms it raised.

        Raises InputError for a scalar that is not a number, and after `close`.
        """
        self._steps += 1
        if self._muted:
            return []
        if not self._open:
            raise InputError("this recorder is closed; open a new one on a new folder.")
        due = self._schedule.due(self._steps)
        # In band the pace was asked before the step, when there was something to listen for.
        if due and not (self._inband.armed if self._inband else self._pace.allows()):
            self._pace.passed_over += 1
            due = False
        alarms = self._record(floats(scalars), due=due)
        self._arm()
        return alarms

    def checkpoint(self, optimizer: torch.optim.Optimizer | None = None) -> str | None:
        """Keep the weights of this moment, with the optimizer's state and the random state beside them.

        What was recorded is written first, so that a run can go on from any of its checkpoints. Returns the digest of
        the weights; None where nothing is recorded (under torch.distributed, on ranks other than 0).
        """
        if self._muted:
            return None
        self._writer.flush()
        digest = save_checkpoint(self.folder, self._steps, model=bare(self._model), optimizer=optimizer)
        self._writer.checkpoint(self._steps, digest)
        return digest

    def close(self, status: str = "finished", *, note: str = "", results: Mapping[str, float] | None = None) -> None:
        """Write what is still in memory and end the run; `results` go into the manifest. Twice does nothing."""
        if not self._open:
            return
        self._open = False
        if self._inband:
            self._inband.disarm()
        if self._writer.manifest is None:
            self._begin()
        schedule = self._schedule.as_dict()
        if self._schedule.overhead is not None:
            schedule["passed_over"] = self._pace.passed_over
        counts = {"steps": self._steps, "measurements": self._index, "schedule": schedule}
        self._writer.finish(status, note=note, results=floats(results or {}), **counts)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind, error, _) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, KeyboardInterrupt):
            self.close("interrupted", note=f"stopped by hand after step {self._steps}")
        else:
            self.close("failed", note=f"{kind.__name__} after step {self._steps}: {error}"[:500])

    def _make_plan(self) -> Plan:
        return plan(self._model, self._probe, layers=self._layers, views=self._how.views, rows=self._how.rows)

    def _begin(self) -> None:
        """Write the first manifest, and listen to the layers that are now known."""
        layers = self._plan.layers if self._plan else ()
        probe = {"kind": "batch"} if self._inband else {"kind": "held out", "digest": self._probe.digest()}
        if self._plan:
            probe["samples"] = self._plan.samples
        if self._noise:
            probe |= {"noise_digest": self._noise.digest(), "noise_every": self._noise_every}
        self._writer.begin(
            Manifest(
                **self._identity,
                schedule=self._schedule.as_dict(),
                layers=layers,
                rows=self._how.rows,
                probe=probe,
                definitions={d.name: d.version for d in chosen(self._names)},
                versions=versions_here(),
                threads=torch.get_num_threads(),
            )
        )
        if self._listened and layers:
            self._listener = Listener([layer.name for layer in layers], self._listened)

    def _go_on(self) -> None:
        """Take up the run that is in the folder, where its series ends."""
        there = self._writer.manifest
        self._index = self._writer.measured
        if self._listened and there.layers:
            self._listener = Listener([layer.name for layer in there.layers], self._listened)

    def _check(self, there: Manifest, folder: Path) -> None:
        """Raises InputError where the run that is to be gone on with is another one; nothing has been touched yet."""
        names = {d.name: d.version for d in chosen(self._names)}
        if there.definitions != names or (self._plan and there.layers != self._plan.layers):
            raise InputError(
                f"{folder} holds a run of other layers or dimensions ({len(there.layers)} layers, "
                f"{len(there.definitions)} dimensions); go on with the same model and settings, or give a new folder."
            )
        for what, probe in (("digest", self._probe), ("noise_digest", self._noise)):
            if there.probe.get(what) != (probe and probe.digest()):
                raise InputError(
                    f"{folder} was read on another {'probe' if what == 'digest' else 'noise probe'}; values of "
                    "different samples do not compare. Go on with the same one, or give a new folder."
                )

    def _arm(self) -> None:
        if self._inband and self._schedule.due(self._steps + 1) and self._pace.allows():
            self._inband.arm()

    def _record(self, scalars: dict[str, float], *, due: bool) -> list[Alarm]:
        rows: list[dict[str, Any]] = []
        if due:
            with self._pace.measuring():
                rows = self._measure()
        measured = bool(rows)
        row = {"index": self._index if measured else math.nan, "step": self._steps} | scalars
        self._writer.add(rows, row if scalars or measured else None)
        if not measured:
            return []
        self._index += 1
        return self._tell(rows, scalars)

    def _measure(self) -> list[dict[str, Any]]:
        heard = self._inband.take() if self._inband else None
        if self._plan is None:
            self._plan = self._inband.plan if self._inband else self._make_plan()
            if self._plan is None:
                return []
            if self._writer.manifest is None:
                self._begin()
            else:
                self._check(self._writer.manifest, self.folder)
                self._go_on()
        rows = self._rows("main", self._heard(self._probe) if heard is None else heard)
        if self._noise and self._index % self._noise_every == 0:
            rows += self._rows("noise", self._heard(self._noise))
        return rows

    def _heard(self, probe: Probe) -> Mapping[str, torch.Tensor]:
        if self._capture is None:
            self._capture = ActivationCapture(bare(self._model), self._plan.select, keep=self._plan.keep)
        with self._capture as capture:
            probe.to(model_device(self._model)).forward(self._model)
            heard = {name: capture[name] for name in capture.names}
            capture.clear()
        return heard

    def _rows(self, probe: str, heard: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
        """A row a layer; a layer that did not run, or on another number of samples, is "absent"."""
        rows = []
        readings = read_each(heard, names=self._names)
        for layer in self._plan.layers:
            where = {"index": self._index, "step": self._steps, "probe": probe}
            where |= {"layer": layer.name, "depth": layer.depth}
            if layer.name in readings:
                reading = readings[layer.name]
                rows.append({**where, "status": reading.status, **reading.values})
            else:
                rows.append({**where, "status": "absent", **dict.fromkeys(self._names, math.nan)})
        return rows

    def _tell(self, rows: list[dict[str, Any]], scalars: Mapping[str, float]) -> list[Alarm]:
        main = [row for row in rows if row["probe"] == "main"]
        alarms: list[Alarm] = []
        if self._listener:
            alarms = self._listener.hear(self._steps, {row["layer"]: row[self._listened] for row in main})
        if self._ring:
            self._ring.hear(self._steps, alarms)
        if self._on_record:
            flat = {f"{name}/{row['layer']}": row[name] for row in main for name in self._names}
            self._on_record({"step": self._steps, **scalars, **flat})
        return alarms

    def _keep_snapshot(self, step: int, weights: Mapping[str, torch.Tensor]) -> None:
        self._writer.checkpoint(step, save_weights(self.folder, step, weights))


def _rank() -> int:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if ready else 0
