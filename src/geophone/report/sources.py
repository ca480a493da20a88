"""What an atlas is made of: the tables of a study, read once, and the file of each page."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from geophone.dimensions import CATALOGUE
from geophone.findings import Finding, study_findings
from geophone.plots import FIRST, beneath, detailed, first_dimension, transitions
from geophone.point.study import TRANSIENT, run_listing
from geophone.point.words import sentence
from geophone.records import target_name
from geophone.report.names import file_names
from geophone.rows import TargetRow, frame
from geophone.store.dig import Dig
from geophone.store.places import Places
from geophone.store.run import Run
from geophone.store.study import Study

NEEDED = ("stabilization", "order", "jumps", "critical")
SHOWN = 12  # transitions of a run that have a flag and a page, besides those that were dug


@dataclass(frozen=True)
class RunTables:
    """A run and what is on disk of it, read once: `series` (step x layer) by dimension, `scalars` by name, and the
    `transitions` that have a page, with all that the ranker knows of them; `apart` says what is known of the initial
    transient where it has no rank."""

    run: Run
    series: Mapping[str, pd.DataFrame]
    scalars: Mapping[str, pd.Series]
    transitions: pd.DataFrame
    apart: str = ""

    @classmethod
    def of(cls, run: Run, transitions: pd.DataFrame) -> "RunTables":
        read = run, run.all_series(), beneath(run)
        if (transitions["kind"] == "jump").all():
            return cls(*read, detailed(run, transitions))
        signals, listing = run_listing(run)
        apart = () if TRANSIENT in set(transitions["kind"]) else listing.of(TRANSIENT)
        said = " ".join(sentence(there, signals) for there in apart)
        return cls(*read, detailed(run, transitions, listing), apart=said)

    def transition(self, rank: int) -> dict[Hashable, Any]:
        """The transition of that rank."""
        return dict(self.transitions[self.transitions["rank"] == rank].to_dict("records")[0])

    @property
    def first(self) -> str:
        """The dimension that is shown first."""
        return first_dimension(self.run)


@dataclass(frozen=True)
class Sources:
    """A study as it is shown: runs that have measurements, `files` (run -> file name), `phenomena` by kind (only those
    on disk), the ranked `transitions` (as `geophone.plots` has them, with `file`, the name of the page, "" for none),
    `digs` by rank, and what the study says."""

    name: str
    places: Places
    runs: Sequence[Run]
    files: Mapping[str, str]
    phenomena: Mapping[str, pd.DataFrame]
    transitions: pd.DataFrame
    digs: Mapping[int, Dig]
    findings: Mapping[str, Finding]
    ranked: bool
    waiting: Sequence[str] = field(default_factory=list)

    @property
    def dimensions(self) -> list[str]:
        recorded = {name for run in self.runs for name in run.dimensions}
        return [d.name for d in CATALOGUE if d.name in recorded]

    @property
    def first(self) -> str:
        """The dimension that is shown first: the stable rank, or the first that is recorded."""
        return FIRST if FIRST in self.dimensions or not self.dimensions else self.dimensions[0]

    @property
    def shown(self) -> pd.DataFrame:
        """The transitions that have a page."""
        return self.transitions[self.transitions["file"] != ""]

    def of_run(self, name: str) -> pd.DataFrame:
        """The transitions of a run that have a page, best first, with the `href` of it from the atlas's top."""
        rows = self.shown[self.shown["run"] == name]
        return rows.assign(href=[f"targets/{file}.html" for file in rows["file"]])

    def of(self, kind: str, **where: str) -> pd.DataFrame:
        """The rows of a table of phenomena in which every column of `where` has that value; empty without the table."""
        table = self.phenomena.get(kind, pd.DataFrame(columns=list(where)))
        if "run" in where and len(table):
            table = self._by_run[kind].get(where.pop("run"), table.iloc[:0])
        for column, value in where.items():
            table = table[table[column] == value]
        return table

    @cached_property
    def _by_run(self) -> dict[str, dict[Hashable, pd.DataFrame]]:
        """The rows of each run: looked for in the whole table, pages would take longer the more runs there are."""
        return {kind: dict(list(table.groupby("run"))) for kind, table in self.phenomena.items() if "run" in table}


def read_sources(study: Study, *, partial: bool = False) -> Sources:
    """Read what the atlas of `study` shows. Raises StoreError when something of it is damaged, and when the phenomena
    or the targets are not there, unless `partial`: then a study that still trains is what it is so far."""
    every = study.runs
    runs = [run for run in every if run.has_series]
    wanted = set(study.kinds) | (set() if partial else set(NEEDED))
    ranked = not partial or study.is_ranked
    table = transitions(study.targets() if ranked else frame([], TargetRow))
    digs = {dig.target.rank: dig for dig in study.digs()}
    return Sources(
        name=study.name,
        places=study.places,
        runs=runs,
        files=file_names(run.name for run in runs),
        phenomena={kind: study.phenomena(kind) for kind in sorted(wanted)},
        transitions=_with_pages(table, {run.name for run in runs}, digs),
        digs=digs,
        findings=study_findings(study),
        ranked=ranked,
        waiting=[run.name for run in every if not run.has_series],
    )


def _with_pages(table: pd.DataFrame, runs: set[str], digs: Mapping[int, Dig]) -> pd.DataFrame:
    """The first transitions of every run that is shown, and those that were dug, have a page each."""
    place = table.groupby("run").cumcount()
    paged = table["run"].isin(runs) & ((place < SHOWN) | table["rank"].isin(list(digs)))
    rows = table[["run", "layers", "peak", "rank"]].to_dict("records")
    names = [f"{target_name(row['run'], row['layers'][0], row['peak'])}.{row['rank']}" for row in rows]
    files = file_names(name for name, is_paged in zip(names, paged, strict=True) if is_paged)
    return table.assign(file=[files.get(name, "") for name in names])
