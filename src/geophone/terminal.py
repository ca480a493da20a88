"""What the command line says: progress while a stage runs, and results in words."""

import sys
import time
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from geophone.engine import Outcome
from geophone.measure import Measured
from geophone.store.study import Study
from geophone.study.training import RunPlan

_NOISE = "The seed rule |z| > 2 flags about 18 of 400 differences on noise alone."


class StageProgress:
    """One bar on stderr, for work that counts its own steps."""

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
            self._tasks[name] = self._progress.add_task(name, total=steps)
        self._progress.update(self._tasks[name], completed=done)


class StudyProgress:
    """What a running study says on stderr: a line a run and a line a stage, with an estimate of what remains.

    On a terminal a bar shows the whole and the runs under way; elsewhere only the lines appear.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn())
        self._bars = Progress(*columns, console=self._console, transient=True)
        self._began: dict[str, float] = {}
        self._ids: dict[str, TaskID] = {}
        self._steps: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._ended = self._of = 0

    def __enter__(self) -> "StudyProgress":
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *exc) -> None:
        if self._bars.live.is_started:
            self._bars.stop()

    def training(self, plans: list[RunPlan], there: int) -> None:
        self._steps = {plan.name: plan.steps - (plan.fork[0] if plan.fork else 0) for plan in plans}
        self._done, self._ended, self._of, self._start = {}, there, there + len(plans), time.monotonic()
        what = "forks" if plans and plans[0].fork else "runs"
        state = f"{there} of {self._of} {what} are there" if there else f"{self._of} {what}"
        self._console.print(f"train: {state}{', nothing to do' if not plans else ''}")

    def progress(self, name: str, done: int, steps: int) -> None:
        self._began.setdefault(name, time.monotonic())
        # A fork counts its steps on from its parent's.
        self._done[name] = done - (steps - self._steps[name])
        if self._console.is_terminal:
            if name not in self._ids:
                self._ids[name] = self._bars.add_task(f"  {name}", total=self._steps[name])
            self._bars.update(self._ids[name], completed=self._done[name])

    def ended(self, outcome: Outcome) -> None:
        name = outcome.name
        self._done[name] = self._steps[name]
        self._ended += 1
        if name in self._ids:
            self._bars.remove_task(self._ids.pop(name))
        if outcome.error:
            self._console.print(f"{self._ended:>3}/{self._of} {name} failed: {outcome.error}", soft_wrap=True)
            return
        took = _span(time.monotonic() - self._began.get(name, self._start))
        self._console.print(f"{self._ended:>3}/{self._of} {name}, {took}{self._left()}", soft_wrap=True)

    def stage(self, name: str, *, skipped: bool) -> None:
        self._console.print(f"{name}: {'nothing has changed' if skipped else 'working'}")

    def dug(self, outcome: Outcome) -> None:
        self._console.print(
            f"  dug {outcome.name}{f' failed: {outcome.error}' if outcome.error else ''}", soft_wrap=True
        )

    def _left(self) -> str:
        done, total = sum(self._done.values()), sum(self._steps.values())
        if done == 0 or done >= total:
            return ""
        return f"; about {_span((time.monotonic() - self._start) * (total - done) / done)} left"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def say_summary(study: Study) -> None:
    """What came out of a study, a line a run, and its first targets."""
    jumps = study.phenomena("jumps")
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
    say_targets(study.targets(), most=3)
    print(f"\nThe page: {study.folder / 'report' / 'index.html'}")


def say_targets(targets: pd.DataFrame, *, most: int) -> None:
    """The first `most` targets, a paragraph each."""
    if targets.empty:
        print("No targets: no jump was found in any layer.")
        return
    print(f"The first {min(most, len(targets))} of {len(targets)} targets:")
    for row in targets.head(most).itertuples():
        print(f"{row.rank:>3}. {row.run}, {row.layer}, step {row.step} (look at {row.before}, {row.step}, {row.after})")
        print(f"     {row.reason}")


def say_digs(folders: list[Path]) -> None:
    """Each dig's folder and its observation."""
    for folder in folders:
        print(folder)
        notes = (folder / "notes.md").read_text(encoding="utf-8")
        observed = next(line for line in notes.splitlines() if line.startswith("**Observation:**"))
        print(f"  {observed.removeprefix('**Observation:** ')}")


def say_measured(done: Measured) -> None:
    """What was measured, what was there, and on stderr what could not be read."""
    print(f"{done.folder}: {len(done.steps)} checkpoints measured, {len(done.skipped)} were there already")
    for key, why in done.failures:
        print(f"left out {key}: {why}", file=sys.stderr)


def say_phenomena(tables: dict[str, pd.DataFrame], *, dimension: str = "stable_rank") -> None:
    """Phase 1 of one dimension: a line a run and mode, then what all runs say together, each beside its null."""
    order, found = tables["order"], tables["detection"]
    order = order[order["dimension"] == dimension]
    for row in order.itertuples():
        mine = found[(found["run"] == row.run) & (found["dimension"] == dimension) & (found["mode"] == row.mode)]
        rho = "undefined" if pd.isna(row.rho) else f"{row.rho:+.2f} (p = {row.p:.3f})"
        print(
            f"{row.run} [{row.mode}]: order {row.verdict}, rho {rho}, {row.layers} layers; {mine['detected'].sum()} "
            f"jumps, {mine['expected_false'].sum():.1f} by chance alone"
        )
    print(f"\nAll runs, {dimension}:")
    totals = found[found["dimension"] == dimension].groupby("mode", sort=False)[["detected", "expected_false"]].sum()
    for mode, row in totals.iterrows():
        print(f"  jumps [{mode}]: {row['detected']:.0f}, where the null alone yields {row['expected_false']:.1f}")
    tests = tables["order_tests"]
    for row in tests[tests["dimension"] == dimension].itertuples():
        p = f"p = {row.p:.3f}" if row.status == "tested" else row.status
        bottom_up = int((order[order["mode"] == row.mode]["verdict"] == "bottom-up").sum())
        print(
            f"  order [{row.mode}]: {bottom_up} bottom-up, {row.expected_bottom_up:.1f} by chance; "
            f"differs by family: {p} ({row.runs} runs)"
        )
    types = tables["types"]
    for mode, mine in types[types["dimension"] == dimension].groupby("mode", sort=False):
        names = f": {', '.join(mine['name'])}" if len(mine) > 1 else ""
        print(f"  jump types [{mode}]: {mine['status'].iloc[0]}{names}")
    print(_NOISE)
