"""What the command line says: progress while a stage runs, and results in words."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pandas as pd
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from geophone.measure import Measured
from geophone.store.study import Study

T = TypeVar("T")
_NOISE = "The seed rule |z| > 2 flags about 18 of 400 differences on noise alone."


class StageProgress:
    """A bar a stage on stderr; the training stage shows a bar a network."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> "StageProgress":
        return self

    def __exit__(self, *exc) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def training(self, name: str, done: int, steps: int) -> None:
        if name not in self._tasks:
            self._progress.start()
            self._tasks[name] = self._progress.add_task(f"train {name}", total=steps)
        self._progress.update(self._tasks[name], completed=done)

    def stage(self, name: str, work: Callable[[Callable], T], *, total: int = 1) -> T:
        """Run `work(tick)` under a bar of `total` ticks; the bar is full when the work is done."""
        self._progress.start()
        task = self._progress.add_task(name, total=total)
        result = work(lambda *_: self._progress.advance(task))
        self._progress.update(task, completed=total)
        return result


def say_summary(study: Study, *, jumps: pd.DataFrame, targets: pd.DataFrame, page: Path) -> None:
    print()
    for run in study:
        accuracy = run.manifest.results.get("test_accuracy")
        ended = "" if accuracy is None else f", test accuracy {100 * accuracy:.1f} %"
        mine = jumps[(jumps["run"] == run.name) & (jumps["dimension"] == "stable_rank") & (jumps["mode"] == "seed")]
        print(
            f"{run.name}: {len(run.layers)} layers x {run.manifest.measurements} measurements{ended}; "
            f"{len(mine)} seed jumps of the stable rank"
        )
    print(_NOISE)
    print()
    say_targets(targets, most=3)
    print(f"\nThe page: {page}")


def say_targets(targets: pd.DataFrame, *, most: int) -> None:
    """The first `most` targets, a paragraph each."""
    if targets.empty:
        print("No targets: no jump was found in any layer.")
        return
    print(f"The first {min(most, len(targets))} of {len(targets)} targets:")
    for row in targets.head(most).itertuples():
        print(f"{row.rank:>3}. {row.run}, {row.layer}, step {row.step} (look at {row.before}, {row.step}, {row.after})")
        print(f"     {row.reason}")


def say_measured(done: Measured) -> None:
    """What was measured, what was there, and on stderr what could not be read."""
    print(f"{done.folder}: {len(done.steps)} checkpoints measured, {len(done.skipped)} were there already")
    for key, why in done.failures:
        print(f"left out {key}: {why}", file=sys.stderr)


def say_phenomena(tables: dict[str, pd.DataFrame]) -> None:
    """Phase 1 of the stable rank in a few lines a run."""
    order, jumps = tables["order"], tables["jumps"]
    for row in order[order["dimension"] == "stable_rank"].itertuples():
        mine = jumps[(jumps["run"] == row.run) & (jumps["dimension"] == row.dimension) & (jumps["mode"] == row.mode)]
        rho = "undefined" if pd.isna(row.rho) else f"{row.rho:+.2f} (p = {row.p:.3f})"
        print(f"{row.run} [{row.mode}]: order {row.verdict}, rho {rho}, {row.layers} layers; {len(mine)} jumps")
    print(_NOISE)
