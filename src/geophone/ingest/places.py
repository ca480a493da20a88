"""Where checkpoints lie among files and folders, and which name says the step of each."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from geophone.errors import InputError
from geophone.ingest.steps import without_suffix
from geophone.ingest.weights import FSDP, INDEXES, METADATA, SINGLE, SUFFIXES

# What trainers call the file of weights in every checkpoint's folder.
_SHARED_NAMES = {name.partition(".")[0] for name in (*INDEXES, *SINGLE)} | {
    "weights", "checkpoint", "mp_rank_00_model_states",
}  # fmt: skip
# How the same weights in another precision, or their average, are called beside them.
_VARIANT = re.compile(r"\.(?:fp16|bf16|fp32|ema|non_ema)$")


def places_in(paths: Iterable[Path | str]) -> Iterator[Path]:
    """The checkpoints that `paths` mean: files, folders that are one checkpoint, and what lies in other folders.

    Raises InputError for a path that is not there.
    """
    for path in map(Path, paths):
        if path.is_file():
            yield path
        elif not path.is_dir():
            raise InputError(f"{path} is neither a file nor a folder.")
        elif is_checkpoint(path):
            yield path
        else:
            inside = sorted(path.iterdir())
            yield from (p for p in inside if p.suffix in SUFFIXES and p.is_file() and ".state." not in p.name)
            yield from (p for p in inside if p.is_dir() and is_checkpoint(p))


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is one checkpoint: what Transformers, diffusers or torch.distributed.checkpoint write."""
    return any((folder / name).is_file() for name in (*INDEXES, *SINGLE, METADATA, f"{FSDP}/{METADATA}"))


def named_by(place: Path) -> str:
    """The name that says the step of a checkpoint: its own, or its folder's where its file is called as in every
    checkpoint's folder (`pytorch_model.bin`, `model.fp16.safetensors`; not `model.100.pt`)."""
    stem = _VARIANT.sub("", without_suffix(place.name))
    return place.parent.name if stem in _SHARED_NAMES and place.is_file() else place.name
