"""A series from checkpoints that were saved earlier: a folder of files, or revisions of a Hugging Face model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geophone.dimensions import VERSIONS, read
from geophone.errors import InputError, StoreError
from geophone.ingest.sources import Source
from geophone.record.layers import Plan, plan
from geophone.record.probe import Probe, as_probe
from geophone.record.what import What
from geophone.store.manifest import read_manifest
from geophone.store.run import Run, is_run
from geophone.store.writer import RunWriter, new_manifest, series_row


@dataclass(frozen=True, slots=True)
class Measured:
    """What `measure` did: the run's folder, the steps measured now, those that were there already, and the
    checkpoints that could not be read, each with the reason."""

    folder: Path
    steps: tuple[int, ...]
    skipped: tuple[int, ...]
    failures: tuple[tuple[str, str], ...]


def measure(
    source: Source,
    probe: Any,
    *,
    out: Path | str,
    layers: Sequence[str] | None = None,
    views: str | Mapping[str, str] | None = None,
    rows: int = 1024,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Measured:
    """Measure every network of `source` on `probe` into the run folder `out`.

    Run again on the same folder it goes on where it stopped: steps that are there are not measured again. A
    checkpoint that cannot be read is left out, named in the result and in the manifest's note; the others are
    measured. Every checkpoint is on disk before the next is read. Raises InputError at the first checkpoint for a probe
    that the network cannot read, and for a folder that was measured with another probe or other layers; StoreError
    when not one checkpoint can be read.
    """
    folder, batch, what = Path(out), as_probe(probe), What(layers=layers, views=views, rows=rows)
    resume = is_run(folder)
    there = _steps_there(folder, batch) if resume else set()
    todo = [(step, key) for step, key in source.keys if step not in there]
    failures = [(name, "its name says no training step") for name in source.left_out]
    steps: list[int] = []
    writer: RunWriter | None = None
    made: Plan | None = None
    try:
        for number, (step, key) in enumerate(todo, start=1):
            try:
                model = source.load(key).eval()
                # A probe that the model cannot read is wrong for every checkpoint: it is said at the first.
                made = made or plan(model, batch, what)
                readings = _rows(model, batch, made, index=len(there) + len(steps), step=step)
            except StoreError as error:
                failures.append((key, str(error)))
            else:
                writer = writer or _writer(folder, made, batch, source, resume=resume, rows=rows)
                writer.add(readings, {"index": len(there) + len(steps), "step": step})
                writer.flush()
                steps.append(step)
            on_step(number, len(todo))
    finally:
        if writer is not None:
            note = "; ".join(f"{key}: {why}" for key, why in failures)
            last = max([*there, *steps])
            counts = {"steps": last, "measurements": len(there) + len(steps)}
            writer.finish("finished" if not failures else "incomplete", note=note[:2000], **counts)
    if not steps and not there:
        raise StoreError(f"not one of {len(todo)} checkpoint(s) could be measured; the first: {failures[-1][1]}")
    return Measured(folder, tuple(steps), tuple(sorted(there)), tuple(failures))


def _steps_there(folder: Path, probe: Probe) -> set[int]:
    manifest = read_manifest(folder)
    if manifest.probe.get("digest") != probe.digest():
        raise InputError(f"{folder} was measured on another probe; measure into a new folder.")
    run = Run(folder)
    return set() if not manifest.measurements and not run.has_series else set(run.table(columns=["step"])["step"])


def _rows(model: nn.Module, probe: Probe, made: Plan, *, index: int, step: int) -> list[dict[str, Any]]:
    with made.capture(model) as capture:
        probe.forward(model)
    rows = []
    for layer in made.layers:
        if layer.name not in capture:
            raise StoreError(f"layer {layer.name} did not run, or on another number of samples.")
        reading = read(capture[layer.name])
        rows.append(series_row(index, step, layer, reading.status, reading.values))
    return rows


def _writer(folder: Path, made: Plan, probe: Probe, source: Source, *, resume: bool, rows: int) -> RunWriter:
    if not resume:
        manifest = new_manifest(
            folder.name,
            about={**source.about, "checkpoints": _places(source)},
            schedule={"steps": [step for step, _ in source.keys]},
            layers=made.layers,
            rows=rows,
            probe={"kind": "held out", "samples": probe.samples, "digest": probe.digest()},
            definitions=VERSIONS,
            threads=torch.get_num_threads(),
        )
        return RunWriter(folder, manifest)
    writer = RunWriter.resume(folder)
    if writer.manifest.layers != made.layers:
        writer.finish(writer.manifest.status)
        raise InputError(f"{folder} was measured with other layers, views or rows; measure into a new folder.")
    about = writer.manifest.about
    known = {**about, "checkpoints": {**about.get("checkpoints", {}), **_places(source)}}
    writer.manifest = writer.manifest.model_copy(update={"about": known})
    return writer


def _places(source: Source) -> dict[str, str]:
    """Where the weights of each step are, as they were given."""
    return {str(step): key for step, key in source.keys}
