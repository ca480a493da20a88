"""Progress on stderr, while a stage or a whole study runs."""

import time
from typing import TYPE_CHECKING

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

from geophone.workers import Outcome

if TYPE_CHECKING:
    from geophone.study.runs import RunPlan


class StageProgress:
    """One bar on stderr, for work that counts its own steps; `quiet`: none."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True, quiet=quiet),
        )
        self._tasks: dict[str, TaskID] = {}

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

    On a terminal a bar shows the whole and the runs under way; elsewhere only the lines appear. `quiet`: what failed,
    and nothing else.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        # Names and errors may hold brackets, which are no markup here.
        self._console = Console(stderr=True, highlight=False, markup=False, quiet=quiet)
        self._errors = Console(stderr=True, highlight=False, markup=False)
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

    def training(self, plans: "list[RunPlan]", there: int) -> None:
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
            self._errors.print(f"{self._ended:>3}/{self._of} {name} failed: {outcome.error}", soft_wrap=True)
            return
        took = _span(time.monotonic() - self._began.get(name, self._start))
        self._console.print(f"{self._ended:>3}/{self._of} {name}, {took}{self._left()}", soft_wrap=True)

    def stage(self, name: str, *, skipped: bool) -> None:
        self._console.print(f"{name}: {'up to date' if skipped else 'working'}")

    def dug(self, outcome: Outcome) -> None:
        if outcome.error:
            self._errors.print(f"  {outcome.name} failed: {outcome.error}", soft_wrap=True)
        else:
            self._console.print(f"  dug {outcome.name}", soft_wrap=True)

    def _left(self) -> str:
        done, total = sum(self._done.values()), sum(self._steps.values())
        if done == 0 or done >= total:
            return ""
        return f"; about {_span((time.monotonic() - self._start) * (total - done) / done)} left"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
