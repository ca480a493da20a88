"""Weights out of the files that trainings leave behind, without running anything that is in them."""

import argparse
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from geophone.errors import InputError, StoreError
from geophone.store.documents import read_json

Weights = dict[str, torch.Tensor]

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE = ("model.safetensors", "pytorch_model.bin", "diffusion_pytorch_model.safetensors")
# What torch.distributed.checkpoint writes beside its files, and where Transformers puts both.
METADATA, FSDP = ".metadata", "pytorch_model_fsdp_0"
_METADATA_HOLDS = {
    "torch": ("Size", *(name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype))),
    "torch.serialization": ("_get_layout",),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "torch.distributed.checkpoint.metadata": (
        "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata", "TensorProperties",
        "MetadataIndex", "StorageMeta", "_MEM_FORMAT_ENCODING",
    ),
    "pathlib": ("PosixPath", "PurePosixPath"), "pathlib._local": ("PosixPath", "PurePosixPath"),
}  # fmt: skip
# Where trainers put the weights; the first that is there counts when several fit the network.
_NESTS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
# Wrappers write their own name between those of modules, wherever they were put around one.
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_DEEPEST = 4
_UNPACKED, _UNPACKED_FREE = 20, 2**28
# What commonly lies beside weights and cannot do anything: settings of a command line, and NumPy's numbers.
_HARMLESS: list[Any] = [
    argparse.Namespace, np.dtype, np.ndarray, np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0],
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
]  # fmt: skip


def read_weights(
    path: Path,
    *,
    key: str | None = None,
    shapes: Mapping[str, torch.Size] | None = None,
    complete: Callable[[Weights], Weights] = lambda weights: weights,
) -> Weights:
    """The state dict in a checkpoint: a file, or a folder as Transformers (whole, or in shards) or torch.distributed
    .checkpoint writes it.

    `key` says under which key of the file the weights lie ("ema", or "callbacks.ema" for one inside another); without
    it they are looked for. `shapes`, of the network that they are for, decides between several, and takes wrappers off
    the names: those of DDP, FSDP, torch.compile and activation checkpointing anywhere in a name, and what stands before
    all names; `complete` puts in what a file need not hold of it. Pickles are read with `weights_only=True`. Raises
    StoreError where no weights can be had, InputError for a `key` that is not there, or where several sets of weights
    would do; both say what the file holds.
    """
    content = _in_folder(path) if path.is_dir() else load_tensors(path)
    candidates = dict(_state_dicts(content))
    fitted = lambda state: complete(_fitted(state, shapes))  # noqa: E731
    if key is not None:
        if key not in candidates:
            raise InputError(f"{path} has no weights under {key!r}; it holds {_listed(content, candidates)}.")
        return fitted(candidates[key])
    if not candidates:
        raise StoreError(f"{path} holds no state dict (a mapping from names to tensors); it holds {_listed(content)}.")
    fitting = [name for name, state in candidates.items() if shapes is None or _fits(fitted(state), shapes)]
    return fitted(candidates[_choice(path, candidates, fitting)])


def _choice(path: Path, candidates: Mapping[str, Weights], fitting: list[str]) -> str:
    names = fitting or list(candidates)
    for known in ("", *_NESTS):
        if hits := [name for name in names if name.rpartition(".")[2] == known]:
            return hits[0]
    if len(names) > 1 and fitting:
        raise InputError(f"{path} holds several sets of weights; say which with --key: {', '.join(names)}.")
    return names[0]


def _state_dicts(value: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Weights]]:
    """Every mapping from names to tensors in `value`, by the dotted keys that lead to it ("" for itself)."""
    if not isinstance(value, Mapping) or depth > _DEEPEST:
        return
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    # Numbers beside tensors (an "_extra_state", a counter) do not make it something else; an optimizer's state, whose
    # keys are numbers, is none.
    if tensors and len(tensors) >= len(value) / 2:
        yield place, tensors
        return
    for name, inner in value.items():
        if isinstance(name, str):
            yield from _state_dicts(inner, f"{place}.{name}".lstrip("."), depth + 1)


def _fitted(state: Weights, shapes: Mapping[str, torch.Size] | None) -> Weights:
    """`state` under the names of the network that has `shapes`; where none is given, without wrappers."""
    variants = [state, *_stripped(state, only=None if shapes else "module")]
    if shapes is None:
        return variants[-1]
    return max(variants, key=lambda variant: len(variant.keys() & shapes.keys()))


def _stripped(state: Weights, *, only: str | None) -> Iterator[Weights]:
    """`state` without the names of wrappers, then without what stands before all names, piece by piece."""
    bare = {".".join(part for part in name.split(".") if part not in _WRAPPERS): t for name, t in state.items()}
    yield bare
    while len(heads := {name.partition(".")[0] for name in bare}) == 1 and all("." in name for name in bare):
        if only is not None and heads != {only}:
            return
        bare = {name.partition(".")[2]: tensor for name, tensor in bare.items()}
        yield bare


def _fits(state: Weights, shapes: Mapping[str, torch.Size]) -> bool:
    return state.keys() == shapes.keys() and all(state[name].shape == shape for name, shape in shapes.items())


def _listed(content: Any, candidates: Mapping[str, Weights] | None = None) -> str:
    if candidates:
        return ", ".join(f"{name or 'weights at the top'} ({len(state)} tensors)" for name, state in candidates.items())
    if isinstance(content, Mapping):
        return ", ".join(f"{k!r} ({type(v).__name__})" for k, v in list(content.items())[:8]) or "an empty mapping"
    return f"a {type(content).__name__}"


def _in_folder(folder: Path) -> Any:
    """What the files of a checkpoint's folder hold."""
    for place in (folder, folder / FSDP):
        if (place / METADATA).is_file():
            return _distributed(place)
    for name in INDEXES:
        if (folder / name).is_file():
            return _shards(folder, read_json(folder / name), name)
    for name in SINGLE:
        if (folder / name).is_file():
            return load_tensors(folder / name)
    files = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES)
    if len(files) == 1:
        return load_tensors(files[0])
    raise StoreError(f"{folder} holds no weights under the names that are known: {', '.join((*INDEXES, *SINGLE))}.")


def _shards(folder: Path, index: Any, name: str) -> Weights:
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(p, str) and Path(p).name == p for p in places.values()):
        raise StoreError(f"{folder / name} is damaged: it has no weight_map of names to files beside it.")
    weights: Weights = {}
    for shard in sorted(set(places.values())):
        part = load_tensors(folder / shard)
        weights |= {tensor: part[tensor] for tensor, place in places.items() if place == shard and tensor in part}
    if missing := sorted(places.keys() - weights.keys()):
        raise StoreError(f"{folder}: {missing[0]} is not in {places[missing[0]]}, where the index has it.")
    return weights


class _Metadata(pickle.Unpickler):
    """Reads what torch.distributed.checkpoint says of its files, and nothing that does anything."""

    def find_class(self, module: str, name: str) -> Any:
        if name not in _METADATA_HOLDS.get(module, ()):
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return super().find_class(module, name)


def _distributed(folder: Path) -> dict[str, Any]:
    """The tensors of a folder of torch.distributed.checkpoint, nested as they were saved, without an optimizer's."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

    class Reader(checkpoint.FileSystemReader):
        def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
            return about

    try:
        with open(folder / METADATA, "rb") as file:
            about: Metadata = _Metadata(file).load()
        paths = {
            name: about.planner_data[name] if about.planner_data else (name,) for name in about.state_dict_metadata
        }
        flat = {
            name: torch.empty(entry.size, dtype=entry.properties.dtype, device="meta")
            for name, entry in about.state_dict_metadata.items()
            if isinstance(entry, TensorStorageMetadata) and not str(paths[name][0]).startswith("optim")
        }
        files = {folder / info.relative_path for info in about.storage_data.values()}
        if any(path.parent != folder for path in files):
            raise StoreError(f"{folder} names files that lie outside of it.")
        if sum(tensor.nbytes for tensor in flat.values()) > sum(path.stat().st_size for path in files):
            raise StoreError(f"{folder} says that its tensors are larger than its files.")
        flat = {name: torch.empty_like(tensor, device="cpu") for name, tensor in flat.items()}
        checkpoint.load(flat, storage_reader=Reader(folder), no_dist=True)
    except StoreError:
        raise
    except (Exception, checkpoint.CheckpointException) as error:  # the second is none of the first, and wraps it
        failures = getattr(error, "failures", {})
        inner = next((failed[0] for failed in failures.values()), error)
        raise StoreError(f"{folder} {_why(inner)}.") from error
    nested: dict[str, Any] = {}
    for name, tensor in flat.items():
        inner = nested
        for part in paths[name][:-1]:
            inner = inner.setdefault(str(part), {})
        inner[str(paths[name][-1])] = tensor
    return nested


def load_tensors(path: Path) -> Any:
    """What is in a file of arrays or tensors, by its suffix; large files are mapped into memory, not read.

    Raises StoreError when it cannot be had without running what is in it.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_inflated(path)
        if path.suffix == ".npy":
            return torch.from_numpy(np.load(path, allow_pickle=False))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, "cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError as error:
        raise StoreError(f"{path} is not there.") from error
    except Exception as error:  # these readers raise whatever a damaged file makes them trip over
        raise StoreError(f"{path} {_why(error)}.") from error


def _why(error: BaseException) -> str:
    text = re.sub(r"\x1b\[[\d;]*m", "", str(error))
    if match := re.search(r"(?:GLOBAL|global:?|class) `?([\w.]+\.[\w.]+)`?", text):
        return (
            f"holds an object of {match[1]} beside its tensors, and what a checkpoint holds is never run; save the "
            "weights alone, with torch.save(model.state_dict(), ...)"
        )
    return (
        f"is damaged, or holds more than tensors: {(text.splitlines() or [type(error).__name__])[0][:200].rstrip('.')}"
    )


def _check_inflated(path: Path) -> None:
    """Raises StoreError for an archive that would unpack to far more than it is."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            full = sum(member.file_size for member in archive.infolist())
        if full > _UNPACKED * path.stat().st_size + _UNPACKED_FREE:
            raise StoreError(f"would unpack to {full} bytes, from {path.stat().st_size}")
