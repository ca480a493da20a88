"""A whole study from its file: every stage in order, each only when something it needs has changed."""

from pathlib import Path

from geophone.errors import InputError
from geophone.store.locks import claim_empty, lock
from geophone.store.places import Places
from geophone.store.study import Study
from geophone.store.tables import write_text
from geophone.study.file import StudyFile
from geophone.study.memo import Memo, stage_key
from geophone.study.runs import checked, fork_plans, run_plans
from geophone.study.stages import STAGES, Stage, open_study
from geophone.study.work import Silent, StageWork, StudyListener
from geophone.workers import Workers


def run_study(
    study: StudyFile,
    text: str,
    out: Path,
    *,
    until: str | None = None,
    only: str | None = None,
    workers: Workers | None = None,
    listener: StudyListener | None = None,
) -> Study:
    """Do the stages of `study` in the folder `out`, and return it. `text` is the study file as its author wrote it.

    Run again, finished runs are left alone, unfinished ones go on, damaged ones are made again, and a later stage is
    done only when its inputs, its options or its code have changed. `until` is the last stage to do; `only` does one
    stage, whatever it was made of before. Raises InputError for a stage that does not exist or a folder that holds
    something else, StoreError when another process holds it, PartlyDone when runs failed (the others are complete).
    """
    names = [stage.name for stage in STAGES]
    for name in (until, only):
        if name is not None and name not in names:
            raise InputError(f"there is no stage {name!r}; there are {', '.join(names)}.")
    wanted = [only] if only else names[: 1 + names.index(until)] if until else names
    # Before anything is written: a folder that holds other runs is left as it is.
    runs, forks = (checked(plans(study, out)) for plans in (run_plans, fork_plans))
    places = Places(out)
    if not places.settings.is_file():
        claim_empty(out)
    places.runs.mkdir(exist_ok=True)
    with lock(out):
        write_text(places.settings, text)
        made = open_study(out)
        work = StageWork(made, study, runs, forks, workers or Workers(), listener or Silent(), force=only is not None)
        memo = Memo(made)
        for stage in STAGES:
            if stage.name in wanted:
                _do(stage, work, memo)
    return made


def _do(stage: Stage, work: StageWork, memo: Memo) -> None:
    if not stage.makes:
        stage.run(work)
        return
    options = getattr(work.settings, stage.options) if stage.options else None
    key = stage_key(stage, work.study, options and options.model_dump())
    skipped = not work.force and memo.holds(stage, key)
    work.listener.stage(stage.name, skipped=skipped)
    if skipped:
        return
    if stage.when(work.study):
        given = [work] if stage.crew else [work.study] if options is None else [work.study, options]
        stage.run(*given)
    memo.keep(stage, key)
