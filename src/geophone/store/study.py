"""A study folder: runs, and the tables that were made of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from geophone.errors import StoreError
from geophone.store.columns import PHENOMENA, TARGETS, checked
from geophone.store.documents import read_statistics
from geophone.store.drawing import Drawer, drawing
from geophone.store.inside import check_inside
from geophone.store.run import Run, is_run
from geophone.store.tables import read_table, write_table

if TYPE_CHECKING:
    import altair as alt


class Study:
    """A folder with runs under `runs/` and tables beside them; iterable over its runs, in order of name.

    Raises StoreError where there is no `runs/`, or where a link in the folder leads out of it.
    """

    def __init__(self, folder: Path | str, *, replay: Callable | None = None, drawer: Drawer = None) -> None:
        self.folder = Path(folder)
        self._replay = replay
        self._drawer = drawer
        if not (self.folder / "runs").is_dir():
            raise StoreError(f"{self.folder} holds no study: there is no runs/ folder in it.")
        check_inside(self.folder)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        return f"<Study {self.folder}: {len(self)} runs>"

    @property
    def runs(self) -> list[Run]:
        """Raises StoreError where two folders hold runs of one name, which no table could tell apart."""
        found: dict[str, Run] = {}
        for place in sorted(p for p in (self.folder / "runs").iterdir() if is_run(p)):
            run = Run(place, replay=self._replay, drawer=self._drawer)
            if run.name in found:
                raise StoreError(
                    f"{found[run.name].folder} and {place} both hold a run called {run.name!r}: record one of them "
                    "under another name=, or keep it in another study."
                )
            found[run.name] = run
        return list(found.values())

    def run(self, name: str) -> Run:
        """The run called `name`. Raises StoreError with the names there are when there is none."""
        for run in self.runs:
            if run.name == name:
                return run
        raise StoreError(f"{self.folder} has no run {name!r}; it has {', '.join(r.name for r in self.runs)}.")

    def phenomena(self, kind: str) -> pd.DataFrame:
        """One table of phase 1: stabilization, order, jumps, critical, transitions ... as `geophone detect` left it."""
        path = self.folder / "phenomena" / f"{kind}.parquet"
        return checked(read_table(path), PHENOMENA.get(kind, {}), path)

    def targets(self) -> pd.DataFrame:
        """The ranked targets, best first, as `geophone targets` left them."""
        path = self.folder / "targets.parquet"
        return checked(read_table(path), TARGETS, path)

    def statistics(self) -> dict[str, Any]:
        """`statistics.json`, as `geophone evidence` left it. Raises StoreError when it is missing or damaged."""
        return read_statistics(self.folder)

    def write(self, name: str, frame: pd.DataFrame) -> None:
        """Write the table `name`, such as "targets" or "phenomena/jumps"."""
        write_table(self.folder / f"{name}.parquet", frame)

    def plot(self, what: str | None = None, *, layer: str | None = None) -> "alt.TopLevelMixin":
        """A small map of every run of one dimension; with `layer`, that layer's series of all runs on one axis, with
        the band between their quartiles where they share their steps; of a scalar (such as "loss") its curves. An
        altair chart. Raises InputError for a name that no run has.
        """
        return drawing(self._drawer).plot_study(self, what, layer=layer)

    def _repr_html_(self) -> str | None:
        return self._drawer().study_html(self) if self._drawer else None


def open_folder(folder: Path | str, *, replay: Callable | None = None, drawer: Drawer = None) -> Run | Study:
    """The run or study in `folder`. Raises StoreError when it holds neither."""
    folder = Path(folder)
    if not folder.is_dir():
        raise StoreError(f"{folder} is not a folder.")
    if is_run(folder):
        return Run(folder, replay=replay, drawer=drawer)
    if (folder / "runs").is_dir():
        return Study(folder, replay=replay, drawer=drawer)
    raise StoreError(f"{folder} holds neither a run (run.json) nor a study (runs/).")
