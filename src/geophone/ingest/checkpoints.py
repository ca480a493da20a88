"""A series from checkpoints that were saved earlier: a folder of files, or revisions of a Hugging Face model."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geophone.errors import InputError, StoreError
from geophone.ingest.misplaced import misplaced, weight_rows
from geophone.ingest.networks import Networks
from geophone.ingest.several import in_stretches, joined, stretches
from geophone.ingest.sources import Source
from geophone.record.heads import HeadReader
from geophone.record.probe import Probe, as_probe, second_probe
from geophone.record.readers import ProbeReader, held_out, samples_of
from geophone.record.same import check_layers, check_same
from geophone.record.schedule import Pace, Schedule
from geophone.record.session import Desk, Session
from geophone.record.watch import Watch
from geophone.record.what import What
from geophone.store.check import nonfinite
from geophone.store.manifest import read_manifest
from geophone.store.places import is_run
from geophone.store.run import Run
from geophone.store.tables import parts
from geophone.store.writer import RunWriter, new_manifest
from geophone.workers import Workers, cores

# What a layer looked like is compared with up to so many measurements ago.
_REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """What `measure` did: the run's folder, the steps measured now, those that were there already, the checkpoints that
    could not be read, each with the reason, the steps whose weights are not their own, each with what was found, and
    the steps at which layers hold NaN or infinity, each with these layers."""

    folder: Path
    steps: tuple[int, ...]
    skipped: tuple[int, ...]
    failures: tuple[tuple[str, str], ...]
    misplaced: tuple[tuple[int, str], ...] = ()
    nonfinite: tuple[tuple[int, tuple[str, ...]], ...] = ()


def measure(
    source: Source,
    probe: Any,
    *,
    out: Path | str,
    layers: Sequence[str] | None = None,
    views: str | Mapping[str, str] | None = None,
    rows: int = 1024,
    what: What | None = None,
    device: str | torch.device | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    workers: Workers | None = None,
    before: Sequence[tuple[int, str]] = (),
    first: str | None = None,
) -> Measured:
    """Measure every network of `source` on `probe` into the run folder `out`.

    `layers`, `views` and `rows` are fields of `What`; `what` gives it whole, with labels and concepts. `device` is
    where the network is read (default: where it is loaded). One network is in memory at a time, and every checkpoint is
    on disk before the next is read. With `workers` several checkpoints are measured at a time, each process with a
    network of its own beside the one here; the tables are the same. `before` are checkpoints that come before those of
    `source`, in order, which its first ones are compared with, and `first` is the one that the network is built of
    (default: the first that can be read).

    Run again on the same folder it goes on where it stopped: steps that are there are not measured again, but those
    after one that is added now are, since the change of a layer is said against the measurements before. A
    checkpoint that cannot be read is left out, named in the result and in the manifest's note; the others are
    measured. One whose weights are not its own (`misplaced`) is measured and named in the result and in the manifest,
    and detection leaves it out. Raises InputError at the first checkpoint for a probe that the network cannot read, and
    for a folder that was measured with another probe or other labels, concepts or layers; StoreError when not one
    checkpoint can be read.
    """
    folder, batch = Path(out), as_probe(probe)
    what = what or What(layers=layers, views=views, rows=rows)
    networks = Networks(source, device)
    if is_run(folder):
        noise = None if what.noise is None else second_probe(what.noise, batch)
        check_same(read_manifest(folder), what, held_out(batch, noise, what), folder)
    kept, todo = _division(folder, source, networks)
    if kept and not todo:
        _check_named(folder, source, batch, what, kept)
    if first is not None:
        networks.read(first)
    asked = _Asked(source, networks, batch, folder, what, kept)
    if workers is not None and len(todo) > 1:
        steps = _several(workers, asked, todo, on_step)
    else:
        there = [pair for pair in source.keys if pair[0] in kept][-_REMEMBERED:]
        recalled = [*networks.last(before, _REMEMBERED - len(there)), *there] if todo else []
        steps = _in_order(asked, recalled, todo, on_step)
    if not steps and not kept and not (before and is_run(folder)):
        why = next(iter(networks.failures.values()))
        raise StoreError(f"not one of {len(todo)} checkpoint(s) could be measured; the first: {why}")
    out_of_place = tuple(read_manifest(folder).misplaced.items())
    failures, broken = tuple(networks.failures.items()), tuple(nonfinite(folder).items())
    return Measured(folder, tuple(steps), tuple(sorted(kept)), failures, out_of_place, broken)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What `measure` was asked for; the steps `kept` are in `folder` already."""

    source: Source
    networks: Networks
    probe: Probe
    folder: Path
    what: What
    kept: set[int]


def _in_order(
    asked: _Asked,
    recalled: Sequence[tuple[int, str]],
    todo: Sequence[tuple[int, str]],
    on_step: Callable[[int, int], None],
) -> list[int]:
    """Measure what is `todo`, one after the other, after the steps `recalled` were read again; the steps."""
    steps: list[int] = []
    work: _Work | None = None
    end, networks = "failed", asked.networks
    try:
        for number, (step, key) in enumerate((*recalled, *todo), start=1 - len(recalled)):
            if (network := networks.read(key)) is None:
                continue
            # A probe that the model cannot read is wrong for every checkpoint: it is said at the first.
            work = work or _begun(asked, network)
            if number <= 0:
                work.recall(step, network)
                continue
            work.measure(step, network)
            steps.append(step)
            on_step(number, len(todo))
        end = "incomplete" if networks.failures else "finished"
    except KeyboardInterrupt:
        end = "interrupted"
        raise
    finally:
        if work is not None:
            work.close(end, networks.failures)
    if work is None and asked.kept:
        _ended(asked.folder, asked.source, end, networks.failures)
    return steps


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """The session on a run, and what writes it."""

    session: Session
    writer: RunWriter
    heads: HeadReader

    def recall(self, step: int, network: nn.Module) -> None:
        """Read a step that is there already, which later ones are compared with."""
        self.session.recall(step)
        self.heads.rows(step, network)

    def measure(self, step: int, network: nn.Module) -> None:
        # Digests are written first, so that a step that is there has them.
        self.writer.add([], None, weights=weight_rows(step, network), heads=self.heads.rows(step, network))
        if self.heads.why and "heads" not in self.writer.manifest.left_out:
            self.writer.update(left_out={**self.writer.manifest.left_out, "heads": self.heads.why})
        self.session.measure(step, {})
        self.session.flush()

    def close(self, status: str, failures: Mapping[str, str]) -> None:
        """Say in the manifest what could not be measured, and which steps have weights that are not their own."""
        last = max(_steps_there(self.writer.folder), default=0)
        note = _judged(self.writer, failures)
        self.session.close(last, status, note, {})


def _several(
    workers: Workers, asked: _Asked, todo: Sequence[tuple[int, str]], on_step: Callable[[int, int], None]
) -> list[int]:
    """As `_in_order`, with a process for each stretch of what is `todo`."""
    if asked.what.noise is not None:
        raise InputError("noise= is read at every so many measurements of one process; leave workers away.")
    networks, folder = asked.networks, asked.folder
    first = next((key for _, key in asked.source.keys if networks.read(key) is not None), None)
    network = networks.network
    if first is None or network is None:
        return []
    # Begun here, so that a probe that cannot be read and a folder of another run are said at once.
    work = _begun(asked, network)
    aside = folder.parent / f".{folder.name}.stretches"
    there = [pair for pair in asked.source.keys if pair[0] in asked.kept]
    these = stretches(todo, there, count=workers.count or cores(), first=first, folder=aside)
    end = "failed"
    try:
        networks.failures |= in_stretches(
            workers, these, asked.source, asked.probe, asked.what, device=networks.device, on_step=on_step
        )
        steps = joined(work.writer, these)
        end = "incomplete" if networks.failures else "finished"
        shutil.rmtree(aside)
        return steps
    except KeyboardInterrupt:
        end = "interrupted"
        raise
    finally:
        work.close(end, networks.failures)


def _judged(writer: RunWriter, failures: Mapping[str, str]) -> str:
    """Put into the manifest which steps have weights that are not their own, and what could not be measured; the note
    about the latter."""
    found = misplaced(Run(writer.folder).weights()) if parts(writer.folder / "weights") else {}
    about = {key: value for key, value in writer.manifest.about.items() if key != "failed"}
    writer.update(misplaced=found, about=about | ({"failed": dict(failures)} if failures else {}))
    return "; ".join(f"{key}: {why}" for key, why in failures.items())[:2000]


def _ended(folder: Path, source: Source, status: str, failures: Mapping[str, str]) -> None:
    """Write the end of a run whose measurements were all there, where that has not been done, or says otherwise."""
    manifest = read_manifest(folder)
    if manifest.status == status and manifest.about.get("failed", {}) == failures:
        return
    steps = _steps_there(folder)
    writer = RunWriter.resume(folder, after=max(steps))
    note = _judged(writer, failures)
    writer.finish(status, note=note, schedule=_schedule(source).as_dict(), steps=max(steps), measurements=len(steps))


def _division(folder: Path, source: Source, networks: Networks) -> tuple[set[int], list[tuple[int, str]]]:
    """The steps of the run in `folder` that stay, and what of `source` is to be measured: what comes after the first
    one that is not there and can be read.

    Raises InputError where steps that are there would have to be measured again and `source` does not have them.
    """
    there = _steps_there(folder) if is_run(folder) else set()
    last = max(there, default=-1)
    missing = ((step, key) for step, key in source.keys if step not in there)
    first = next((step for step, key in missing if step > last or networks.read(key) is not None), None)
    if first is None:
        return there, []
    kept = {step for step in there if step < first}
    if lost := sorted(there - kept - {step for step, _ in source.keys}):
        raise InputError(
            f"{folder} holds step {lost[0]}, which lies after step {first} and is not among the checkpoints given "
            "now; give it too, or measure into a new folder."
        )
    return kept, [(step, key) for step, key in source.keys if step >= first]


def _steps_there(folder: Path) -> set[int]:
    run = Run(folder)
    return set(run.table(columns=["step"])["step"]) if run.has_series else set()


def _check_named(folder: Path, source: Source, batch: Probe, what: What, kept: set[int]) -> None:
    """Where nothing is to be measured any more: raises InputError for layers, views or rows that were asked for and are
    not those of the run. They are known of a network alone, so the first that can be read is."""
    manifest = read_manifest(folder)
    if (what.layers, what.views, what.updates, what.rows) == (None, None, None, manifest.rows):
        return
    networks = Networks(source, None)
    found = (networks.read(key) for step, key in source.keys if step in kept)
    if (network := next((each for each in found if each is not None), None)) is not None:
        plan = ProbeReader(network, batch, what).plan()
        if plan is not None:
            check_layers(manifest, plan, folder)


def _begun(asked: _Asked, network: nn.Module) -> _Work:
    """The work on a new run, or on the one that is there, of which the steps up to the last one kept stay."""
    source, folder, what = asked.source, asked.folder, asked.what
    reader = ProbeReader(network, asked.probe, what)
    plan = reader.plan()
    if plan is None:
        raise InputError("the network has no weights before its first forward pass; build it so that it has.")
    schedule = _schedule(source)
    # Where the weights of each step are, as they were given.
    places = {str(step): key for step, key in source.keys}
    if is_run(folder):
        check_layers(read_manifest(folder), plan, folder)
        writer = RunWriter.resume(folder, after=max(asked.kept, default=-1))
        about = writer.manifest.about
        writer.update(about={**about, "checkpoints": {**about.get("checkpoints", {}), **places}})
    else:
        manifest = new_manifest(
            folder.name,
            about={**source.about, "checkpoints": places},
            schedule=schedule.as_dict(),
            layers=plan.layers,
            rows=what.rows,
            probe=samples_of(reader, plan),
            definitions=what.definitions,
            threads=torch.get_num_threads(),
        )
        writer = RunWriter(folder, manifest)
    desk = Desk(network, what, Watch(alarms=False, on_error="raise", sync=True), Pace(schedule), reader, writer)
    return _Work(Session(desk, plan), writer, HeadReader(network, asked.probe))


def _schedule(source: Source) -> Schedule:
    return Schedule(steps=tuple(step for step, _ in source.keys))
