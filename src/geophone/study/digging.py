"""The digs of a study: which there are to be, and the task that makes one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from geophone._open import open as open_folder
from geophone.dig.run import dig, is_dug, ready
from geophone.dig.select import selected
from geophone.dig.subject import named_subject
from geophone.errors import InputError
from geophone.records import DigOptions, Target
from geophone.store.places import DIG
from geophone.store.study import Study, targets_in
from geophone.study.options import DigSettings
from geophone.study.work import check_outcomes
from geophone.workers import Ended, Job, Progress, Workers


def options_of(settings: DigSettings) -> DigOptions:
    """What of a study's settings decides one dig."""
    return DigOptions(**settings.model_dump(exclude={"every", "recovery_runs"}))


def dig_stage(
    study: Study,
    options: DigOptions,
    chosen: pd.DataFrame,
    *,
    workers: Workers,
    subject: Mapping[str, str] | None = None,
    on_progress: Progress = lambda *news: None,
    on_end: Ended = lambda outcome: None,
) -> list[Path]:
    """Dig at the targets in `chosen` (as `chosen_targets` gives them) that are not there yet, and return the digs'
    folders. `subject` names the functions of a run of the user's own loop ("model", "data", "score", "weights" ->
    "module:function"). Raises InputError, before any work, for what is missing there, and PartlyDone when some digs
    failed; the others are complete."""
    also = chosen["recovery"] if "recovery" in chosen else [False] * len(chosen)
    wanted = [
        (target, replace(options, recovery=options.recovery or bool(recovered)))
        for target, recovered in zip(targets_in(chosen), also, strict=True)
    ]
    ready(study, [target for target, _ in wanted], None if subject is None else named_subject(subject), options)
    outcomes = workers.map(dig_tasks(study, wanted, subject), on_progress=on_progress, on_end=on_end)
    check_outcomes(outcomes, "digs", len(wanted), logs=study.places.logs)
    return [study.places.dig(target.name) for target, _ in wanted]


def dig_tasks(
    study: Study, wanted: Sequence[tuple[Target, DigOptions]], subject: Mapping[str, str] | None = None
) -> list[Job]:
    """A task for each of the `wanted` that is not dug yet."""
    folder = study.folder.resolve()
    return [
        Job(t.name, ensure_dug, {"folder": folder, "target": t, "options": options, "subject": subject})
        for t, options in wanted
        if not is_dug(study, t, options)
    ]


def forget_digs(study: Study, chosen: pd.DataFrame) -> None:
    """Take away the mark that the digs at the targets in `chosen` are finished, so that they are made again."""
    for target in targets_in(chosen):
        (study.places.dig(target.name) / DIG).unlink(missing_ok=True)


def ensure_dug(
    folder: Path,
    target: Target,
    options: DigOptions,
    subject: Mapping[str, str] | None,
    *,
    tell: Callable[[int, int], None],
) -> None:
    """Leave the dig of `target` finished; nothing if it is there."""
    study = open_folder(folder)
    if not isinstance(study, Study):
        raise InputError(f"{folder} holds one run, not a study.")
    own = None if subject is None else named_subject(subject)
    dig(study, target, options=options, subject=own, on_moment=tell)


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
