"""A series from checkpoints that were saved earlier: a folder of files, or revisions of a Hugging Face model."""

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from geophone.dimensions import VERSIONS, read
from geophone.errors import GeophoneError, InputError, StoreError
from geophone.record.capture import ActivationCapture
from geophone.record.layers import Plan, plan
from geophone.record.probe import Probe
from geophone.record.what import What
from geophone.store.documents import read_json
from geophone.store.inside import is_inside
from geophone.store.manifest import read_manifest
from geophone.store.run import Run, is_run
from geophone.store.writer import RunWriter, new_manifest, series_row
from geophone.zoo.named import imported

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_PREFIXES = ("module.", "_orig_mod.")
_NESTS = ("state_dict", "model_state_dict", "model")
_MOST = 2_000
_UNPACKED, _UNPACKED_FREE = 20, 2**28


@dataclass(frozen=True, slots=True)
class Measured:
    """What `measure` did: the run's folder, the steps measured now, those that were there already, and the
    checkpoints that could not be read, each with the reason."""

    folder: Path
    steps: tuple[int, ...]
    skipped: tuple[int, ...]
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Networks to measure: `load(key)` gives the one of a checkpoint; `keys` are (step, key) in order of step."""

    keys: tuple[tuple[int, str], ...]
    load: Callable[[str], nn.Module]
    about: Mapping[str, Any]


def measure(
    source: Source,
    probe,
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
    measured. Every checkpoint is on disk before the next is read. Raises InputError for a folder that was measured
    with another probe or other layers, StoreError when not one checkpoint can be read.
    """
    folder, batch, what = Path(out), Probe(probe), What(layers=layers, views=views, rows=rows)
    resume = is_run(folder)
    there = _steps_there(folder, batch) if resume else set()
    todo = [(step, key) for step, key in source.keys if step not in there]
    failures: list[tuple[str, str]] = []
    steps: list[int] = []
    writer: RunWriter | None = None
    made: Plan | None = None
    try:
        for number, (step, key) in enumerate(todo, start=1):
            try:
                model = source.load(key).eval()
                made = made or plan(model, batch, what)
                found = _rows(model, batch, made, index=len(there) + len(steps), step=step)
            except GeophoneError as error:
                failures.append((key, str(error)))
            else:
                writer = writer or _writer(folder, made, batch, source, resume=resume, rows=rows)
                writer.add(found, {"index": len(there) + len(steps), "step": step})
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
        raise StoreError(f"not one of {len(todo)} checkpoint(s) could be measured; the first: {failures[0][1]}")
    return Measured(folder, tuple(steps), tuple(sorted(there)), tuple(failures))


def checkpoint_files(paths: Sequence[Path | str], model: str | Callable[[], nn.Module]) -> Source:
    """Checkpoint files (or folders of them) of one network that `model` builds, "module:function" or a callable.

    `.safetensors`, `.pt`, `.pth` and `.bin`; the last three are read with `weights_only=True`, so that a pickle
    cannot run code. A state dict may lie under "state_dict", "model_state_dict" or "model", and its names may begin
    with "module." or "_orig_mod.". The step is the last whole number in a file's name. Raises InputError when a file
    has none, when two have the same, or when there is no file.
    """
    files: dict[int, str] = {}
    for path in _expanded(paths):
        numbers = re.findall(r"\d+", path.stem)
        if not numbers:
            raise InputError(f"{path.name}: a checkpoint's name must hold its training step, such as step-400.pt.")
        step = int(numbers[-1])
        if step in files:
            raise InputError(f"{path} and {files[step]} both say step {step}; keep one of them.")
        files[step] = str(path)
    if not files:
        raise InputError(f"no checkpoint ({', '.join(SUFFIXES)}) among {', '.join(map(str, paths))}.")
    build = imported(model) if isinstance(model, str) else model

    def load(key: str) -> nn.Module:
        network = build()
        if not isinstance(network, nn.Module):
            raise InputError(f"{model} must return a torch.nn.Module; it returned {type(network).__name__}.")
        weights = read_weights(Path(key))
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise StoreError(f"{key} does not fit the model: {' '.join(str(error).split())[:300]}") from error
        return network

    return Source(tuple(sorted(files.items())), load, {"model": str(model), "source": "checkpoint files"})


def revisions(model: str, names: Sequence[str]) -> Source:
    """Revisions of a Hugging Face model: of a hub id (from the local cache where there is no network), or of a local
    folder with a sub-folder a revision. The step is the last whole number in a revision's name. Raises InputError where
    transformers is missing, for a name without a step of its own, and for one that leads out of the folder."""
    try:
        from transformers import AutoModel
    except ModuleNotFoundError as error:
        raise InputError("revisions need transformers: pip install 'geophone[hf]'.") from error
    steps: dict[int, str] = {}
    for name in names:
        numbers = re.findall(r"\d+", name)
        if not numbers or int(numbers[-1]) in steps:
            raise InputError(f"revision {name!r}: every revision's name must hold a training step of its own.")
        if Path(model).is_dir() and not is_inside(Path(model) / name, model):
            raise InputError(f"revision {name!r} lies outside {model}.")
        steps[int(numbers[-1])] = name

    def load(name: str) -> nn.Module:
        local = Path(model) / name
        where = (str(local), {}) if Path(model).is_dir() else (model, {"revision": name})
        try:
            _check_plausible(where[0], **where[1])
            return AutoModel.from_pretrained(where[0], use_safetensors=True, trust_remote_code=False, **where[1])
        except Exception as error:  # a damaged configuration makes transformers raise whatever it trips over
            raise StoreError(f"revision {name} of {model} cannot be read: {_first_line(error)}") from error

    return Source(tuple(sorted(steps.items())), load, {"model": model, "source": "Hugging Face revisions"})


def _check_plausible(model: str, **revision: str) -> None:
    """Raises StoreError for a configuration of so many layers or labels that building it would not end."""
    from transformers.utils import cached_file

    for key, value in read_json(Path(cached_file(model, "config.json", **revision))).items():
        if re.search(r"layer|labels", key) and isinstance(value, int | float) and value > _MOST:
            raise StoreError(f"{key} is {value}; more than {_MOST} are not believed")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file, without executing anything in it. Raises StoreError when it cannot be had."""
    raw = _loaded(path)
    while isinstance(raw, dict) and (nest := next((n for n in _NESTS if isinstance(raw.get(n), dict)), None)):
        raw = raw[nest]
    if not isinstance(raw, dict) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in raw.items()):
        raise StoreError(f"{path} holds no state dict (a mapping from names to tensors).")
    for prefix in _PREFIXES:
        if raw and all(name.startswith(prefix) for name in raw):
            raw = {name.removeprefix(prefix): tensor for name, tensor in raw.items()}
    return raw


def read_probe(given: str) -> Any:
    """A probe from a file (.npy, .npz, .pt, .safetensors; the last three may hold several named arguments), or what
    "module:function" returns. Raises InputError or StoreError when it cannot be had."""
    path = Path(given)
    if path.suffix not in (".npy", ".npz", ".safetensors", ".pt", ".pth"):
        return imported(given)()
    try:
        found = _loaded(path)
    except StoreError as error:
        raise StoreError(f"the probe cannot be read: {error}") from error
    return _alone(found) if path.suffix in (".npz", ".safetensors") else found


def _loaded(path: Path) -> Any:
    """What is in a file of arrays or tensors, by its suffix. Raises StoreError when it cannot be had."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_inflated(path)
        if path.suffix == ".npy":
            return torch.from_numpy(np.load(path, allow_pickle=False))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        return torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError as error:
        raise StoreError(f"{path} is not there.") from error
    except Exception as error:  # these readers raise whatever a damaged file makes them trip over
        raise StoreError(f"{path} is damaged, or holds more than tensors: {_first_line(error)}") from error


def _check_inflated(path: Path) -> None:
    """Raises StoreError for an archive that would unpack to far more than it is."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            full = sum(member.file_size for member in archive.infolist())
        if full > _UNPACKED * path.stat().st_size + _UNPACKED_FREE:
            raise StoreError(f"it would unpack to {full} bytes, from {path.stat().st_size}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _alone(named: dict[str, torch.Tensor]) -> torch.Tensor | dict[str, torch.Tensor]:
    return next(iter(named.values())) if len(named) == 1 else named


def _expanded(paths: Sequence[Path | str]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix in SUFFIXES and ".state." not in p.name)
        elif path.is_file():
            yield path
        else:
            raise InputError(f"{path} is neither a file nor a folder.")


def _steps_there(folder: Path, probe: Probe) -> set[int]:
    manifest = read_manifest(folder)
    if manifest.probe.get("digest") != probe.digest():
        raise InputError(f"{folder} was measured on another probe; measure into a new folder.")
    run = Run(folder)
    return set() if not manifest.measurements and not run.has_series else set(run.table(columns=["step"])["step"])


def _rows(model: nn.Module, probe: Probe, made: Plan, *, index: int, step: int) -> list[dict[str, Any]]:
    with ActivationCapture(model, made.select, keep=made.keep) as capture:
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
            about=source.about,
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
    return writer
