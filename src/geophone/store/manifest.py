"""A run's manifest: what was recorded, of what, with which versions, and how it ended."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from geophone.errors import NewerFormatError, StoreError
from geophone.records import Layer
from geophone.store.tables import write_text

FORMAT = 1
FILE = "run.json"


class Manifest(BaseModel):
    """`run.json`. Immutable; `model_copy(update=...)` makes the next one.

    `status` is "running" until the recorder ends it with "finished", "interrupted" (Ctrl-C) or "failed" (an
    exception inside the loop); `note` says why. `checkpoints` maps a step to the digest of its weights, `about`
    holds what the caller said of network, data and seed, `results` what came out (test accuracy, for one),
    `definitions` the version of each stored dimension. `parts` maps the files of series and scalars to the SHA-256 of
    their bytes; files that came after the manifest was last written are not in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    name: str
    status: str = "running"
    note: str = ""
    about: dict[str, Any] = {}
    schedule: dict[str, Any] = {}
    layers: tuple[Layer, ...]
    rows: int
    probe: dict[str, Any] = {}
    definitions: dict[str, int]
    versions: dict[str, str]
    threads: int
    steps: int = 0
    measurements: int = 0
    parts: dict[str, str] = {}
    checkpoints: dict[int, str] = {}
    results: dict[str, float] = {}
    created: str = ""
    ended: str = ""

    def write(self, folder: Path) -> None:
        write_text(folder / FILE, self.model_dump_json(indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the run in `folder`. Raises StoreError when it is missing or damaged, NewerFormatError
    when a later release wrote it."""
    path = folder / FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{folder} holds no run: there is no {FILE} in it.") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if not isinstance(found, int) or found < 1:
        raise StoreError(f"{path} is not a geophone manifest: it has no format number.")
    if found > FORMAT:
        newer = raw.get("versions", {}).get("geophone", "a later release")
        raise NewerFormatError(
            f"{path} has format {found}; this release reads up to {FORMAT}. It was written by geophone {newer}: "
            "update to read it."
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"{path} is damaged at {where}: {first['msg']}.") from error


def versions_here() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("geophone", "torch", "numpy", "scipy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
