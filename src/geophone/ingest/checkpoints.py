"""A series from checkpoints that were saved earlier: a folder of files, or revisions of a Hugging Face model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geophone.errors import InputError, StoreError
from geophone.ingest.misplaced import misplaced, weight_rows
from geophone.ingest.sources import Source
from geophone.record.heads import HeadReader
from geophone.record.probe import Probe, as_probe
from geophone.record.readers import ProbeReader, check_layers, check_same, samples_of
from geophone.record.schedule import Pace, Schedule
from geophone.record.session import Desk, Session
from geophone.record.watch import Watch
from geophone.record.what import What
from geophone.store.manifest import read_manifest
from geophone.store.places import is_run
from geophone.store.run import Run
from geophone.store.tables import parts
from geophone.store.writer import RunWriter, new_manifest

# What a layer looked like is compared with up to so many measurements ago.
_REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """What `measure` did: the run's folder, the steps measured now, those that were there already, the checkpoints that
    could not be read, each with the reason, and the steps whose weights are not their own, each with what was found."""

    folder: Path
    steps: tuple[int, ...]
    skipped: tuple[int, ...]
    failures: tuple[tuple[str, str], ...]
    misplaced: tuple[tuple[int, str], ...] = ()


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
) -> Measured:
    """Measure every network of `source` on `probe` into the run folder `out`.

    `layers`, `views` and `rows` are fields of `What`; `what` gives it whole, with labels and concepts. `device` is
    where the network is read (default: where it is loaded). One network is in memory at a time, and every checkpoint is
    on disk before the next is read.

    Run again on the same folder it goes on where it stopped: steps that are there are not measured again, but those
    after one that is added now are, since the change of a layer is said against the measurements before. A
    checkpoint that cannot be read is left out, named in the result and in the manifest's note; the others are
    measured. One whose weights are not its own (`misplaced`) is measured and named in the result and in the manifest,
    and detection leaves it out. Raises InputError at the first checkpoint for a probe that the network cannot read, and
    for a folder that was measured with another probe or other layers; StoreError when not one checkpoint can be read.
    """
    folder, batch = Path(out), as_probe(probe)
    what = what or What(layers=layers, views=views, rows=rows)
    kept, todo = _division(folder, source)
    failures = [(name, "its name says no training step") for name in source.left_out]
    steps: list[int] = []
    network: nn.Module | None = None
    work: _Work | None = None
    recalled = [pair for pair in source.keys if pair[0] in kept][-_REMEMBERED:] if todo else []
    try:
        for number, (step, key) in enumerate((*recalled, *todo), start=1 - len(recalled)):
            try:
                network = source.load(key, network)
            except StoreError as error:
                failures.append((key, str(error)))
                continue
            network = network.eval() if device is None else network.eval().to(device)
            # A probe that the model cannot read is wrong for every checkpoint: it is said at the first.
            work = work or _begun(folder, network, batch, what, source, after=max(kept, default=None))
            if number <= 0:
                work.recall(step, network)
                continue
            work.measure(step, network)
            steps.append(step)
            on_step(number, len(todo))
    finally:
        if work is not None:
            work.judge()
            note = "; ".join(f"{key}: {why}" for key, why in failures)[:2000]
            work.session.close(max([*kept, *steps]), "incomplete" if failures else "finished", note, {})
    if not steps and not kept:
        raise StoreError(f"not one of {len(todo)} checkpoint(s) could be measured; the first: {failures[-1][1]}")
    out_of_place = tuple(read_manifest(folder).misplaced.items())
    return Measured(folder, tuple(steps), tuple(sorted(kept)), tuple(failures), out_of_place)


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
        self.session.measure(step, {})
        self.session.flush()

    def judge(self) -> None:
        """Say in the manifest which steps have weights that are not their own, and why heads have no scores."""
        if self.heads.why:
            self.writer.update(left_out={**self.writer.manifest.left_out, "heads": self.heads.why})
        if parts(self.writer.folder / "weights"):
            self.writer.update(misplaced=misplaced(Run(self.writer.folder).weights()))


def _division(folder: Path, source: Source) -> tuple[set[int], list[tuple[int, str]]]:
    """The steps of the run in `folder` that stay, and what of `source` is to be measured.

    Raises InputError where steps that are there would have to be measured again and `source` does not have them.
    """
    there = _steps_there(folder) if is_run(folder) else set()
    missing = [step for step, _ in source.keys if step not in there]
    if not missing:
        return there, []
    kept = {step for step in there if step < missing[0]}
    if lost := sorted(there - kept - {step for step, _ in source.keys}):
        raise InputError(
            f"{folder} holds step {lost[0]}, which lies after step {missing[0]} and is not among the checkpoints given "
            "now; give it too, or measure into a new folder."
        )
    return kept, [pair for pair in source.keys if pair[0] not in kept]


def _steps_there(folder: Path) -> set[int]:
    run = Run(folder)
    return set(run.table(columns=["step"])["step"]) if run.has_series else set()


def _begun(folder: Path, network: nn.Module, probe: Probe, what: What, source: Source, *, after: int | None) -> _Work:
    """The work on a new run, or on the one in `folder` of which the steps up to `after` stay."""
    reader = ProbeReader(network, probe, what)
    plan = reader.plan()
    if plan is None:
        raise InputError("the network has no weights before its first forward pass; build it so that it has.")
    steps = tuple(step for step, _ in source.keys)
    # Where the weights of each step are, as they were given.
    places = {str(step): key for step, key in source.keys}
    if is_run(folder):
        manifest = read_manifest(folder)
        check_same(manifest, what, reader, folder)
        check_layers(manifest, plan, folder)
        writer = RunWriter.resume(folder, after=-1 if after is None else after)
        about = writer.manifest.about
        writer.update(about={**about, "checkpoints": {**about.get("checkpoints", {}), **places}})
    else:
        manifest = new_manifest(
            folder.name,
            about={**source.about, "checkpoints": places},
            schedule={"steps": steps},
            layers=plan.layers,
            rows=what.rows,
            probe=samples_of(reader, plan),
            definitions=what.definitions,
            threads=torch.get_num_threads(),
        )
        writer = RunWriter(folder, manifest)
    desk = Desk(
        network, what, Watch(alarms=False, on_error="raise", sync=True), Pace(Schedule(steps=steps)), reader, writer
    )
    return _Work(Session(desk, plan), writer, HeadReader(network, probe))
