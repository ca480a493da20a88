"""What the paper is made of, read once: the study, its numbers, its runs by architecture."""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from geophone.errors import StoreError
from geophone.paper.lookup import Numbers, read_notes
from geophone.store.run import Run
from geophone.store.study import Study

RUNS = "runs/*/run.json"


@dataclass(frozen=True)
class Source:
    """`study` and its `numbers`; `prove` is the folder of the proving ground's tables, where there is one."""

    study: Study
    numbers: Numbers
    prove: Path | None = None

    @property
    def name(self) -> str:
        """The study's name in study.toml, or its folder's."""
        return str(self.settings.get("name", self.study.folder.resolve().name))

    @property
    def dimension(self) -> str:
        return str(self.numbers.fact("study/dimension"))

    @cached_property
    def runs(self) -> list[Run]:
        return [run for run in self.study if run.has_series]

    def run(self, name: str) -> Run:
        """The run called `name`. Raises StoreError when there is none."""
        found = {run.name: run for run in self.runs}
        return found[name] if name in found else self.study.run(name)

    @cached_property
    def architectures(self) -> dict[str, str]:
        """Run -> architecture."""
        return {run.name: str(run.manifest.about.get("architecture", "unknown")) for run in self.runs}

    @cached_property
    def settings(self) -> dict:
        """study.toml as it stands; empty where the study has none."""
        return tomllib.loads(read_notes(self.study.folder / "study.toml"))

    @cached_property
    def digs(self) -> dict[str, Path]:
        """The finished digs by name."""
        return {path.parent.name: path.parent for path in sorted((self.study.folder / "digs").glob("*/dig.json"))}

    @cached_property
    def options(self) -> list[dict]:
        """The options of every dig, different ones once."""
        found = {json.dumps(about(path)["options"], sort_keys=True) for path in self.digs.values()}
        return [json.loads(text) for text in sorted(found)]

    def phenomena(self, kind: str, **wanted: str) -> pd.DataFrame:
        """Rows of a table of phase 1 in the study's dimension. Raises StoreError when the table is not there."""
        return where(self.numbers.table(f"phenomena/{kind}"), dimension=self.dimension, **wanted)

    def manifest_values(self, *keys: str) -> list:
        """The different values of `about` (one key) over the runs, in order of first sight."""
        return list(
            dict.fromkeys(
                value for key in keys for run in self.runs if (value := run.manifest.about.get(key)) is not None
            )
        )


def about(folder: Path) -> dict:
    """dig.json of a dig. Raises StoreError when it is damaged."""
    try:
        return json.loads((folder / "dig.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder / 'dig.json'} is damaged: {error}.") from error


def where(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """The rows of `table` in which every column of `wanted` has that value."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def listed(words: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"; "none" for nothing."""
    words = list(words)
    if not words:
        return "none"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
