"""What an atlas is made of: the tables of a study, read once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from geophone.dimensions import CATALOGUE
from geophone.report.names import file_names
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.store.tables import read_table

FIRST = "stable_rank"
NEEDED = ("stabilization", "order", "jumps", "critical")
BESIDE = ("detection", "order_tests", "types", "type_tests", "coordination", "coupling")


@dataclass(frozen=True)
class Dig:
    """A target that was dug: its row of the table of targets, its folder, and the name of its page's file."""

    target: dict[str, Any]
    folder: Path
    file: str

    @property
    def title(self) -> str:
        return f"{self.target['layer']} at step {self.target['step']}"


@dataclass(frozen=True)
class Sources:
    """A study as it is shown: runs that have measurements, `files` (run -> file name), `phenomena` by kind (only those
    on disk), `targets` (may be empty), `digs` in the order of rank, and `statistics` where evidence was gathered."""

    name: str
    folder: Path
    runs: list[Run]
    files: dict[str, str]
    phenomena: Mapping[str, pd.DataFrame]
    targets: pd.DataFrame
    digs: list[Dig]
    statistics: dict[str, Any] | None
    waiting: list[str] = field(default_factory=list)

    @property
    def first(self) -> str:
        """The dimension that is shown first: the stable rank, or the first that is recorded."""
        shown = self.dimensions
        return FIRST if FIRST in shown or not shown else shown[0]

    @property
    def dimensions(self) -> list[str]:
        recorded = {name for run in self.runs for name in run.dimensions}
        return [d.name for d in CATALOGUE if d.name in recorded]

    def of(self, kind: str, **where: str) -> pd.DataFrame:
        """The rows of a table of phase 1 in which every column of `where` has that value; empty without the table."""
        table = self.phenomena.get(kind)
        if table is None:
            return pd.DataFrame()
        for column, value in where.items():
            table = table[table[column] == value]
        return table


def read_sources(study: Study, *, partial: bool = False) -> Sources:
    """Read what the atlas of `study` shows. Raises StoreError when the phenomena or the targets are not there, unless
    `partial`: then a study that still trains is what it is so far."""
    phenomena = {kind: study.phenomena(kind) for kind in (*NEEDED, *BESIDE) if _wanted(study, kind, partial)}
    there = not partial or (study.folder / "targets.parquet").is_file()
    every = study.runs
    runs = [run for run in every if run.has_series]
    return Sources(
        name=study.folder.resolve().name,
        folder=study.folder,
        runs=runs,
        files=file_names(run.name for run in runs),
        phenomena=phenomena,
        targets=study.targets() if there else pd.DataFrame(),
        digs=_digs(study.folder, {run.name for run in runs}),
        statistics=_json(study.folder / "statistics.json"),
        waiting=[run.name for run in every if not run.has_series],
    )


def _wanted(study: Study, kind: str, partial: bool) -> bool:
    return (kind in NEEDED and not partial) or (study.folder / "phenomena" / f"{kind}.parquet").is_file()


def _digs(folder: Path, runs: set[str]) -> list[Dig]:
    found = [(_json(path)["target"], path.parent) for path in sorted((folder / "digs").glob("*/dig.json"))]
    known = sorted((dig for dig in found if dig[0]["run"] in runs), key=lambda dig: (dig[0]["rank"], dig[1].name))
    files = file_names(place.name for _, place in known)
    return [Dig(target, place, files[place.name]) for target, place in known]


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def rows_of(folder: Path, name: str) -> pd.DataFrame:
    """A table of a dig; empty where the dig has none."""
    path = folder / f"{name}.parquet"
    return read_table(path) if path.is_file() else pd.DataFrame()
