"""What an atlas is made of: the tables of a study, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from geophone.dimensions import CATALOGUE
from geophone.records import Target
from geophone.report.names import file_names
from geophone.rows import TargetRow, frame
from geophone.store.dig import Dig as Dug
from geophone.store.run import Run
from geophone.store.study import Study

FIRST = "stable_rank"
NEEDED = ("stabilization", "order", "jumps", "critical")
BESIDE = ("detection", "order_tests", "types", "type_tests", "coordination", "coupling")


@dataclass(frozen=True)
class Dig:
    """A dig that is shown: what is on disk, and the name of its page's file."""

    on_disk: Dug
    file: str

    @property
    def target(self) -> dict[str, Any]:
        """The target as the page shows it, its moments laid out flat."""
        return shown_target(self.on_disk.target)

    @property
    def folder(self) -> Path:
        return self.on_disk.folder

    @property
    def title(self) -> str:
        return f"{self.on_disk.target.layer} at step {self.on_disk.target.window.step}"


def shown_target(target: Target) -> dict[str, Any]:
    """A target as one row: its place and its moments, those of its control under `control_*`."""
    row: dict[str, Any] = {name: getattr(target, name) for name in ("rank", "run", "layer", "depth", "dimension")}
    row |= {"score": target.score, "reason": target.reason}
    for prefix, window in (("", target.window), ("control_", target.control)):
        row |= {f"{prefix}{end}": window and getattr(window, end) for end in ("before", "step", "after")}
    return row


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
    there = not partial or study.is_ranked
    every = study.runs
    runs = [run for run in every if run.has_series]
    return Sources(
        name=study.name,
        folder=study.folder,
        runs=runs,
        files=file_names(run.name for run in runs),
        phenomena=phenomena,
        targets=study.targets() if there else frame([], TargetRow),
        digs=_digs(study, {run.name for run in runs}),
        statistics=study.statistics().plain if study.places.statistics.is_file() else None,
        waiting=[run.name for run in every if not run.has_series],
    )


def _wanted(study: Study, kind: str, partial: bool) -> bool:
    return (kind in NEEDED and not partial) or kind in study.kinds


def _digs(study: Study, runs: set[str]) -> list[Dig]:
    known = [dig for dig in study.digs() if dig.target.run in runs]
    files = file_names(dig.name for dig in known)
    return [Dig(dig, files[dig.name]) for dig in known]
