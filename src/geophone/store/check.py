"""Whether what a run's folder holds is what was once written there."""

import json
import os
from pathlib import Path

from geophone.errors import StoreError
from geophone.store.manifest import Manifest
from geophone.store.tables import file_digest, parts, read_parts, read_table

KINDS = ("scalars", "series")


def damaged_files(folder: Path, manifest: Manifest) -> list[Path]:
    """Files that are missing or changed: parts by their digest, checkpoints by the lengths in their own header. The
    state of an optimizer belongs to every checkpoint of a run that geophone trained; in a loop of one's own it lies
    beside those that were given one.

    A changed bit inside a checkpoint's tensors is not looked for here: replay finds it by the digest of the weights.
    """
    found = [folder / name for name, digest in manifest.parts.items() if not _is_whole(folder / name, digest)]
    trained = "experiment" in manifest.about
    for weights, state in (checkpoint_files(folder, step) for step in manifest.checkpoints):
        found += [
            path for path in (weights, state) if not is_sound(path) and (path == weights or trained or path.exists())
        ]
    return found


def nonfinite(folder: Path) -> dict[int, tuple[str, ...]]:
    """The steps at which layers held NaN or infinity, in order, each with these layers. Raises StoreError for a series
    that cannot be read."""
    series = parts(folder / "series")
    rows = read_parts(series, columns=["step", "depth", "layer", "status"]) if series else None
    if rows is None:
        return {}
    broken = rows[rows["status"] == "nonfinite"].sort_values(["step", "depth"], kind="stable")
    return {int(step): tuple(dict.fromkeys(names)) for step, names in broken.groupby("step")["layer"]}


def good_until(folder: Path, manifest: Manifest) -> int | None:
    """The last checkpointed step up to which rows, weights and state are all there; None when there is no such step."""
    limit = min(_covered(folder, kind, manifest) for kind in KINDS)
    for step in sorted(manifest.checkpoints, reverse=True):
        if step <= limit and all(is_sound(p) for p in checkpoint_files(folder, step)):
            return step
    return None


def is_sound(path: Path) -> bool:
    """Whether a safetensors file is there and as long as its header says."""
    try:
        with open(path, "rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            size = os.fstat(handle.fileno()).st_size
            if not 2 <= length <= size - 8:
                return False
            header = json.loads(handle.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return False


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step-{step:08d}.safetensors"


def state_path(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step-{step:08d}.state.safetensors"


def checkpoint_files(folder: Path, step: int) -> tuple[Path, Path]:
    return checkpoint_path(folder, step), state_path(folder, step)


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return file_digest(path) == digest
    except OSError:
        return False


def _covered(folder: Path, kind: str, manifest: Manifest) -> float:
    """The step up to which the parts of `kind` are good.

    A series that ends in a good part does not limit anything: its last measurement may lie before the last step.
    """
    there = {f"{kind}/{p.name}": p for p in parts(folder / kind)}
    last = 0
    for name in sorted({*there, *(n for n in manifest.parts if n.startswith(f"{kind}/"))}):
        digest = manifest.parts.get(name)
        if name not in there or (digest is not None and not _is_whole(there[name], digest)):
            return last
        try:
            last = int(read_table(there[name], columns=["step"])["step"].max())
        except StoreError:
            return last
    return last if kind == "scalars" else float("inf")
