"""What the paper is made of, read once: the study, its numbers, its runs by architecture."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from geophone.paper.lookup import Numbers
from geophone.records import DigOptions
from geophone.store.dig import Dig
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
        return str(self.settings.get("name", self.study.name))

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
        return self.study.settings()

    @cached_property
    def digs(self) -> list[Dig]:
        """The finished digs, best target first."""
        return self.study.digs()

    @cached_property
    def options(self) -> list[DigOptions]:
        """The options of every dig, different ones once."""
        return sorted({dig.about.options for dig in self.digs}, key=repr)

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
