"""What a stage of a study is given: the study, its settings, who does the work and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from geophone.errors import PartlyDone
from geophone.store.manifest import Manifest
from geophone.store.study import Study
from geophone.store.tables import write_text
from geophone.study.file import StudyFile
from geophone.workers import Outcome, Workers

if TYPE_CHECKING:
    from geophone.study.runs import RunPlan


class StudyListener(Protocol):
    """Who is told what happens: the terminal, or nobody."""

    def training(self, plans: list[RunPlan], there: int) -> None: ...

    def progress(self, name: str, done: int, steps: int) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...

    def stage(self, name: str, *, skipped: bool) -> None: ...

    def dug(self, outcome: Outcome) -> None: ...


class Silent:
    """The listener that is nobody."""

    def training(self, plans: list[RunPlan], there: int) -> None: ...

    def progress(self, name: str, done: int, steps: int) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...

    def stage(self, name: str, *, skipped: bool) -> None: ...

    def dug(self, outcome: Outcome) -> None: ...


Planned = list[tuple["RunPlan", Manifest | None]]


@dataclass(frozen=True, slots=True)
class StageWork:
    """`runs` and `forks` are what the study is to hold, each with the manifest of what was there when the work began;
    `force`: whatever is asked for is done anew, also where nothing has changed."""

    study: Study
    settings: StudyFile
    runs: Planned
    forks: Planned
    workers: Workers
    listener: StudyListener
    force: bool


def check_outcomes(outcomes: Sequence[Outcome], what: str, of: int, *, logs: Path) -> None:
    """Raises PartlyDone when some failed; traces of defects go into the folder `logs`."""
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        if outcome.trace:
            write_text(logs / f"{outcome.name.replace('/', '-')}.txt", outcome.trace)
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        log = f" ({logs.name}/ has the trace)" if any(outcome.trace for outcome in failed) else ""
        raise PartlyDone(
            f"{len(failed)} of {of} {what} failed; the others are complete, and running again goes on. "
            f"{failed[0].name}: {failed[0].error}{log}{more}"
        )
