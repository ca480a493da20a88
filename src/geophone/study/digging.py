"""The digs of a study: which there are to be, and the task that makes one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from geophone._open import open as open_folder
from geophone.dig.run import DONE, DigOptions, dig, dig_folder, is_dug, target_of
from geophone.dig.select import selected
from geophone.engine import Ended, Outcome, Progress, Task, run_local, run_ray
from geophone.errors import PartlyDone
from geophone.records import Target, target_name
from geophone.store.study import Study
from geophone.study.file import DigSettings


def options_of(settings: DigSettings) -> DigOptions:
    return DigOptions(**settings.model_dump(exclude={"every", "recovery_runs"}))


def dig_stage(
    study: Study,
    options: DigOptions,
    chosen: pd.DataFrame,
    *,
    workers: int = 1,
    ray: str | None = None,
    on_progress: Progress = lambda name, done, of: None,
    on_end: Ended = lambda outcome: None,
) -> list[Path]:
    """Dig at the targets in `chosen` (as `chosen_targets` gives them) that are not there yet, `workers` at a time or on
    the Ray cluster at `ray`, and return the digs' folders. Raises PartlyDone when some failed; the others are
    complete."""
    rows = chosen.to_dict("records")
    recovered = [options.recovery or bool(row.get("recovery", False)) for row in rows]
    wanted = [(target_of(row), replace(options, recovery=also)) for row, also in zip(rows, recovered, strict=True)]
    tasks = dig_tasks(study, wanted)
    told = {"on_progress": on_progress, "on_end": on_end}
    if ray is not None and tasks:
        outcomes = run_ray(tasks, address=ray, **told)
    else:
        outcomes = run_local(tasks, workers=workers, **told) if tasks else []
    _check(outcomes, len(wanted))
    return [dig_folder(study, t) for t, _ in wanted]


def forget_digs(study: Study, chosen: pd.DataFrame) -> None:
    """Take away the mark that the digs at the targets in `chosen` are finished, so that they are made again."""
    for row in chosen.to_dict("records"):
        (dig_folder(study, target_of(row)) / DONE).unlink(missing_ok=True)


def dig_tasks(study: Study, wanted: Sequence[tuple[Target, DigOptions]]) -> list[Task]:
    """A task for each of the `wanted` that is not dug yet."""
    return [
        Task(
            target_name(t.run, t.layer, t.step),
            ensure_dug,
            {"folder": study.folder.resolve(), "target": asdict(t), "options": asdict(options)},
        )
        for t, options in wanted
        if not is_dug(study, t, options)
    ]


def ensure_dug(folder: Path, target: dict, options: dict, *, tell: Callable[[int, int], None]) -> None:
    """Leave the dig of `target` finished; nothing if it is there."""
    dig(open_folder(folder), Target(**target), options=DigOptions(**options), on_moment=tell)


def chosen_targets(study: Study, settings: DigSettings) -> pd.DataFrame:
    """What a study's settings select, with a column `recovery`; empty when no jump was found anywhere."""
    table = study.targets()
    if table.empty:
        return table
    chosen = selected(study, every=settings.every)
    return chosen.assign(recovery=_recovered(study, chosen, settings.recovery_runs))


def _recovered(study: Study, chosen: pd.DataFrame, runs: int) -> pd.Series:
    """True at the first target of `runs` runs: the best-ranked run of each architecture, then the second of each."""
    first = chosen.loc[chosen.groupby("run")["rank"].idxmin()].sort_values("rank")
    architectures = {run.name: str(run.manifest.about.get("architecture", "")) for run in study}
    turn = first.groupby(first["run"].map(architectures)).cumcount()
    taken = first.assign(turn=turn).sort_values(["turn", "rank"])["rank"].head(runs)
    return chosen["rank"].isin(taken)


def _check(outcomes: list[Outcome], of: int) -> None:
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        raise PartlyDone(
            f"{len(failed)} of {of} digs failed; the others are complete, and running again goes on. "
            f"{failed[0].name}: {failed[0].error}"
        )
