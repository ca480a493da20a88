"""A study folder: runs, and the tables and documents that were made of them."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from geophone.errors import InputError, StoreError
from geophone.records import Target
from geophone.rows import CHOSEN, PHENOMENA, ChosenRow, EvidenceRow, Row, TargetRow, columns_of, frame, typed
from geophone.rows.windows import WindowRow
from geophone.store.dig import Dig
from geophone.store.documents import Statistics, read_document, read_text
from geophone.store.drawing import Drawer, Ranker, drawing
from geophone.store.inside import check_inside
from geophone.store.places import Places, check_folder, is_run
from geophone.store.run import Run
from geophone.store.tables import read_rows, write_table

_TABLES: dict[str, type[Row]] = {
    "targets": TargetRow, "evidence": EvidenceRow, "windows": WindowRow, CHOSEN: ChosenRow,
}  # fmt: skip

if TYPE_CHECKING:
    import altair as alt


class Study:
    """A folder with runs under `runs/` and what was made of them beside it; iterable over its runs, in order of name.

    Whatever is read is checked where it is read; `places` says where everything lies. Raises StoreError where there is
    no `runs/`, or where a link in the folder leads out of it.
    """

    def __init__(
        self, folder: Path | str, *, replay: Callable | None = None, drawer: Drawer = None, ranker: Ranker = None
    ) -> None:
        self.places = Places(Path(folder))
        self._replay = replay
        self._drawer, self._ranker = drawer, ranker
        if not self.places.runs.is_dir():
            raise StoreError(f"{self.folder} holds no study: there is no runs/ folder in it.")
        check_inside(self.folder)

    @property
    def folder(self) -> Path:
        return self.places.folder

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        return f"<Study {self.folder}: {len(self)} runs>"

    @property
    def runs(self) -> list[Run]:
        """Raises StoreError where two folders hold runs of one name, which no table could tell apart."""
        runs: dict[str, Run] = {}
        for place in sorted(p for p in self.places.runs.iterdir() if is_run(p)):
            run = Run(place, replay=self._replay, drawer=self._drawer, ranker=self._ranker)
            if run.name in runs:
                raise StoreError(
                    f"{runs[run.name].folder} and {place} both hold a run called {run.name!r}: record one of them "
                    "under another name=, or keep it in another study."
                )
            runs[run.name] = run
        return list(runs.values())

    def run(self, name: str) -> Run:
        """The run called `name`. Raises StoreError with the names there are when there is none."""
        for run in self.runs:
            if run.name == name:
                return run
        raise StoreError(f"{self.folder} has no run {name!r}; it has {', '.join(r.name for r in self.runs)}.")

    @property
    def forks(self) -> list[Run]:
        """The fork replicates of the study's runs."""
        return [Run(place) for place in sorted(self.places.forks.glob("*/*")) if is_run(place)]

    def phenomena(self, kind: str, *, optional: bool = False) -> pd.DataFrame:
        """One table of phenomena: stabilization, order, jumps, critical ... as `geophone detect` left it; where it is
        not there and `optional`, one without a row. Raises StoreError where it is not there."""
        path, row = self.places.phenomenon(kind), PHENOMENA.get(kind, Row)
        if path.is_file():
            return read_rows(path, row)
        if optional:
            return frame([], row)
        raise StoreError(f"{path} is not there: run geophone detect on {self.folder} first.")

    @property
    def kinds(self) -> list[str]:
        """The tables of phenomena that are there."""
        return list(self.places.phenomena)

    @property
    def is_ranked(self) -> bool:
        """Whether targets were ranked."""
        return self.places.targets.is_file()

    def targets(self) -> pd.DataFrame:
        """The ranked targets, best first, as `geophone targets` left them: a `rows.TargetRow` each. Raises StoreError
        where they are not there."""
        if not self.is_ranked:
            raise StoreError(f"{self.places.targets} is not there: run geophone targets on {self.folder} first.")
        return read_rows(self.places.targets, TargetRow)

    def ranked(self) -> list[Target]:
        """The same as `records.Target`."""
        return targets_in(self.targets())

    def target(self, rank: int) -> Target:
        """The target of that rank. Raises InputError when there is none."""
        targets = self.ranked()
        for target in targets:
            if target.rank == rank:
                return target
        raise InputError(f"there is no target {rank}; there are 1 to {len(targets)}.")

    def digs(self) -> list[Dig]:
        """The finished digs, best target first."""
        return sorted(map(Dig, self.places.finished_digs()), key=lambda dig: (dig.target.rank, dig.name))

    def dig(self, target: Target | str) -> Dig:
        """The finished dig of a target, or of that name. Raises StoreError when it is not there."""
        return Dig(self.places.dig(target if isinstance(target, str) else target.name))

    def evidence(self) -> pd.DataFrame:
        """`evidence.parquet`, as `geophone evidence` left it."""
        return read_rows(self.places.evidence, EvidenceRow)

    def statistics(self) -> Statistics:
        """`statistics.json`, as `geophone evidence` left it. Raises StoreError when it is missing or damaged."""
        return read_document(self.places.statistics, Statistics)

    def table(self, name: str) -> pd.DataFrame:
        """Any table of the study by its name, such as "evidence" or "phenomena/order"."""
        folder, _, kind = name.rpartition("/")
        return self.phenomena(kind) if folder == "phenomena" else read_rows(self.places.table(name), _row_of(name))

    def settings(self) -> dict[str, Any]:
        """The study file as it stands; empty where the study has none."""
        if not self.places.settings.is_file():
            return {}
        try:
            return tomllib.loads(read_text(self.places.settings))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise StoreError(f"{self.places.settings} is damaged: {error}.") from error

    def write(self, name: str, table: pd.DataFrame) -> None:
        """Write the table `name`, such as "targets" or "phenomena/jumps"."""
        write_table(self.places.table(name), typed(table, _row_of(name)))

    def plot(self, what: str | None = None, *, layer: str | None = None) -> "alt.TopLevelMixin":
        """A small map of every run of one dimension; with `layer` (its own name or the canonical one), that layer's
        series of all runs on one axis, with the band between their quartiles where they share their steps; of a scalar
        (such as "loss") its curves. An altair chart. Raises InputError for a name that no run has.
        """
        return drawing(self._drawer).plot_study(self, what, layer=layer)

    def _repr_html_(self) -> str | None:
        return self._drawer().study_html(self) if self._drawer else None


def targets_in(table: pd.DataFrame) -> list[Target]:
    """The targets in a table of them, in its order."""
    rows = (
        table[[column.name for column in columns_of(TargetRow)]]
        .astype(object)
        .where(table.notna(), None)
        .to_dict("records")
    )
    return [TargetRow.model_validate(row).target() for row in rows]


def _row_of(name: str) -> type[Row]:
    folder, _, kind = name.rpartition("/")
    return PHENOMENA.get(kind, Row) if folder == "phenomena" else _TABLES.get(name, Row)


def open_folder(
    folder: Path | str, *, replay: Callable | None = None, drawer: Drawer = None, ranker: Ranker = None
) -> Run | Study:
    """The run or study in `folder`. Raises StoreError when it holds neither."""
    folder = Path(folder)
    check_folder(folder)
    kind = Run if is_run(folder) else Study
    return kind(folder, replay=replay, drawer=drawer, ranker=ranker)
