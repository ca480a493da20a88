"""A run's manifest: what was recorded, of what, with which versions, and how it ended."""

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, field_validator

from geophone.errors import StoreError
from geophone.records import REVISIONS, Layer
from geophone.store.documents import Document, read_document, write_document
from geophone.store.formats import manifest_of_format_1
from geophone.store.places import RUN

_PART = re.compile(r"(series|scalars|behaviour|outputs|concepts|weights|heads)/part-\d+\.parquet")
_ABOUT = {"experiment": str, "seed": int, "total_steps": int, "fork": dict, "failed": dict}


class Manifest(Document):
    """`run.json`. Immutable; `model_copy(update=...)` makes the next one.

    `status` is "running" until the recorder ends it with "finished", "interrupted" (Ctrl-C) or "failed" (an
    exception inside the loop); `note` says why. `checkpoints` maps a step to the digest of its weights, `about`
    holds what the caller said of network, data and seed, `results` what came out (test accuracy, for one),
    `definitions` the version of each stored dimension, `signals` what else the series holds of every layer, `behaviour`
    how samples were scored (nothing where they were not), `left_out` the layers that could not be read, each with the
    reason, `misplaced` the steps whose weights are not their own, each with what was found: detection does not look at
    them. `threads` is 0 where it is not known. `parts` maps the files of series and scalars to the SHA-256 of
    their bytes; files that came after the manifest was last written are not in it.
    """

    model_config = ConfigDict(strict=False)

    name: str
    status: str = "running"
    note: str = ""
    about: dict[str, Any] = Field(default_factory=dict)
    schedule: dict[str, Any] = Field(default_factory=dict)
    layers: tuple[Layer, ...]
    rows: int
    probe: dict[str, Any] = Field(default_factory=dict)
    definitions: dict[str, int]
    signals: tuple[str, ...] = ()
    behaviour: dict[str, Any] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)
    misplaced: dict[int, str] = Field(default_factory=dict)
    versions: dict[str, str]
    threads: int = Field(ge=0, le=1024)
    steps: int = 0
    measurements: int = 0
    parts: dict[str, str] = Field(default_factory=dict)
    checkpoints: dict[int, str] = Field(default_factory=dict)
    results: dict[str, float] = Field(default_factory=dict)
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
            if kind is int and (about.get(key) or 0) < 0:
                raise ValueError(f"{key} is {about[key]}, less than 0")
        return about

    @property
    def of_revisions(self) -> bool:
        """Whether it is of revisions of a language model whose tokens were scored: network and data are known then."""
        scored = self.behaviour.get("kind") == "position"
        return self.about.get("source") == REVISIONS and self.about.get("task") == "causal-lm" and scored

    @classmethod
    def former(cls, raw: dict[str, Any]) -> dict[str, Any]:
        return manifest_of_format_1(raw)

    def write(self, folder: Path) -> None:
        write_document(folder / RUN, self)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the run in `folder`. Raises StoreError when it is missing or damaged, NewerFormatError when a
    later release wrote it."""
    if not (folder / RUN).exists():
        raise StoreError(f"{folder} holds no run: there is no {RUN} in it.")
    return read_document(folder / RUN, Manifest)


def versions_here() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("geophone", "torch", "numpy", "scipy")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
