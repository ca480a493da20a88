"""A run's manifest: what was recorded, of what, with which versions, and how it ended."""

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from geophone.errors import NewerFormatError, StoreError
from geophone.records import Layer
from geophone.store.documents import read_json
from geophone.store.tables import write_text

FORMAT = 1
FILE = "run.json"
_PART = re.compile(r"(series|scalars)/part-\d+\.parquet")
_ABOUT = {"experiment": str, "seed": int, "total_steps": int, "fork": dict}


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

    @field_validator("layers")
    @classmethod
    def _apart(cls, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        names = [layer.name for layer in layers]
        if len(set(names)) < len(names):
            raise ValueError("two layers have one name")
        return layers

    @field_validator("parts")
    @classmethod
    def _ours(cls, parts: dict[str, str]) -> dict[str, str]:
        for name in parts:
            if not _PART.fullmatch(name):
                raise ValueError(f"{name!r} is no part of a run")
        return parts

    @field_validator("about")
    @classmethod
    def _known(cls, about: dict[str, Any]) -> dict[str, Any]:
        for key, kind in _ABOUT.items():
            if about.get(key) is not None and not (isinstance(about[key], kind) and about[key] is not True):
                raise ValueError(f"{key} is {about[key]!r}")
        return about

    def write(self, folder: Path) -> None:
        write_text(folder / FILE, self.model_dump_json(indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the run in `folder`. Raises StoreError when it is missing or damaged, NewerFormatError
    when a later release wrote it."""
    path = folder / FILE
    if not path.exists():
        raise StoreError(f"{folder} holds no run: there is no {FILE} in it.")
    raw = read_json(path)
    found = raw.get("format") if isinstance(raw, dict) else None
    if not isinstance(found, int) or found < 1:
        raise StoreError(f"{path} is not a geophone manifest: it has no format number.")
    if found > FORMAT:
        versions = raw.get("versions")
        newer = versions.get("geophone", "a later release") if isinstance(versions, dict) else "a later release"
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
