"""A whole study from its file: every stage in order, each only when something it needs has changed."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from geophone.engine import Outcome, run_local, run_ray
from geophone.errors import InputError, PartlyDone
from geophone.store.locks import claim_empty, lock
from geophone.store.study import Study
from geophone.store.tables import write_text
from geophone.study.digging import chosen_targets, dig_stage, forget_digs, options_of
from geophone.study.file import STUDY_FILE, StudyFile
from geophone.study.memo import Memo, files_digest, forks_digest, series_digest, stage_key
from geophone.study.stages import detect_stage, evidence_stage, open_study, paper_stage, report_stage, target_stage
from geophone.study.training import RunPlan, check_plans, fork_plans, is_done, run_plans, train_tasks

STAGES = ("train", "detect", "target", "dig", "evidence", "report", "paper")


@dataclass(frozen=True, slots=True)
class Engine:
    """Where runs are trained: on `workers` local processes (default: cores / threads of a run), or on the Ray cluster
    at `ray`, with `gpus` GPUs a run."""

    workers: int | None = None
    ray: str | None = None
    gpus: float = 0.0


class Listener(Protocol):
    """Who is told what happens: the terminal, or nobody."""

    def training(self, plans: list[RunPlan], there: int) -> None: ...

    def progress(self, name: str, done: int, steps: int) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...

    def stage(self, name: str, *, skipped: bool) -> None: ...

    def dug(self, outcome: Outcome) -> None: ...


class Silent:
    def training(self, plans: list[RunPlan], there: int) -> None: ...

    def progress(self, name: str, done: int, steps: int) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...

    def stage(self, name: str, *, skipped: bool) -> None: ...

    def dug(self, outcome: Outcome) -> None: ...


def run_study(
    study: StudyFile,
    text: str,
    out: Path,
    *,
    until: str | None = None,
    only: str | None = None,
    engine: Engine | None = None,
    listener: Listener | None = None,
) -> Study:
    """Do the stages of `study` in the folder `out`, and return it. `text` is the study file as its author wrote it.

    Run again, finished runs are left alone, unfinished ones go on, damaged ones are made again, and a later stage is
    done only when its inputs, its options or its code have changed. `until` is the last stage to do; `only` does one
    stage, whatever it was made of before. Raises InputError for a stage that does not exist or a folder that holds
    something else, StoreError when another process holds it, PartlyDone when runs failed (the others are complete).
    """
    for stage in (until, only):
        if stage is not None and stage not in STAGES:
            raise InputError(f"there is no stage {stage!r}; there are {', '.join(STAGES)}.")
    listener = listener or Silent()
    check_plans([*run_plans(study, out), *fork_plans(study, out)])
    _claim(out)
    with lock(out):
        write_text(out / STUDY_FILE, text)
        wanted = [only] if only else list(STAGES[: 1 + STAGES.index(until)] if until else STAGES)
        if "train" in wanted:
            _train(study, out, engine or Engine(), listener)
        crew = _Crew(study, engine or Engine(), listener, force=only is not None)
        made = open_study(out)
        memo = Memo(out)
        for stage in wanted:
            if stage != "train":
                _do(stage, made, crew, memo)
    return made


def _claim(out: Path) -> None:
    if not (out / STUDY_FILE).is_file():
        claim_empty(out)
    (out / "runs").mkdir(exist_ok=True)


def _train(study: StudyFile, out: Path, engine: Engine, listener: Listener) -> None:
    for plans in (run_plans(study, out), fork_plans(study, out)):
        todo = [plan for plan in plans if not is_done(plan)]
        if plans:
            listener.training(todo, len(plans) - len(todo))
        outcomes = _work(todo, study, engine, listener)
        failed = [outcome for outcome in outcomes if outcome.error]
        for outcome in failed:
            if outcome.trace:
                write_text(out / "logs" / f"{outcome.name.replace('/', '-')}.txt", outcome.trace)
        if failed:
            more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
            log = " (logs/ has the trace)" if any(outcome.trace for outcome in failed) else ""
            raise PartlyDone(
                f"{len(failed)} of {len(plans)} runs failed; the others are complete, and running again goes on. "
                f"{failed[0].name}: {failed[0].error}{log}{more}"
            )


def _work(todo: list[RunPlan], study: StudyFile, engine: Engine, listener: Listener) -> list[Outcome]:
    if not todo:
        return []
    tasks, told = train_tasks(todo), {"on_progress": listener.progress, "on_end": listener.ended}
    if engine.ray is not None:
        return run_ray(tasks, address=engine.ray, threads=study.threads, gpus=engine.gpus, **told)
    workers = engine.workers or max(1, _cores() // study.threads)
    return run_local(tasks, workers=workers, threads=study.threads, **told)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class _Crew:
    """What a stage needs besides the study's folder: the settings, where to work, whom to tell, and whether to do it
    whatever it was made of before."""

    study: StudyFile
    engine: Engine
    listener: Listener
    force: bool


def _do(stage: str, made: Study, crew: _Crew, memo: Memo) -> None:
    work, rooms, inputs, outputs = _stage(stage, made, crew)
    key = stage_key(rooms=rooms, inputs=inputs())
    skipped = not crew.force and memo.holds(stage, key)
    crew.listener.stage(stage, skipped=skipped)
    if not skipped:
        work()
        memo.keep(stage, key, outputs())


def _dig(made: Study, crew: _Crew) -> None:
    chosen = chosen_targets(made, crew.study.dig)
    if chosen.empty:
        return
    made.write("digs/chosen", chosen)
    if crew.force:
        forget_digs(made, chosen)
    told = {"on_progress": lambda name, done, of: None, "on_end": crew.listener.dug}
    workers = crew.engine.workers or _cores()
    dig_stage(made, options_of(crew.study.dig), chosen, workers=workers, ray=crew.engine.ray, **told)


def _stage(
    stage: str, made: Study, crew: _Crew
) -> tuple[Callable[[], object], tuple[str, ...], Callable[[], dict], Callable[[], list[Path]]]:
    """What a stage does, the rooms whose code decides it, its inputs, and the files it leaves; the last two are read
    from disk when they are asked for."""
    folder, study = made.folder, crew.study
    tables = sorted((folder / "phenomena").glob("*.parquet"))
    ranked = [p for p in [folder / "targets.parquet"] if p.is_file()]
    dug = sorted((folder / "digs").glob("*/*.*"))
    tested = [p for p in [folder / "evidence.parquet", folder / "statistics.json"] if p.is_file()]

    def of(tables: list[Path], **more: object) -> dict:
        return {"series": series_digest(made), "tables": files_digest(tables), **more}

    stages = {
        "detect": (
            lambda: detect_stage(made, study.detect),
            ("detect", "stats", "study/stages", "study/phase1", "study/across"),
            lambda: of([], forks=forks_digest(made), options=study.detect.model_dump()),
            lambda: list((folder / "phenomena").glob("*.parquet")),
        ),
        "target": (
            lambda: target_stage(made, study.target),
            ("target", "study/stages"),
            lambda: of(tables, options=study.target.model_dump()),
            lambda: [folder / "targets.parquet"],
        ),
        "dig": (
            lambda: _dig(made, crew),
            ("dig", "study/digging"),
            lambda: of([*tables, *ranked], options=study.dig.model_dump()),
            lambda: list((folder / "digs").glob("*/*.*")),
        ),
        "evidence": (
            lambda: _evidence(made, study),
            ("evidence", "stats"),
            lambda: of([*tables, *ranked, *dug], options=study.evidence.model_dump()),
            lambda: [p for p in [folder / "evidence.parquet", folder / "statistics.json"] if p.is_file()],
        ),
        "report": (
            lambda: report_stage(made),
            ("report",),
            lambda: of([*tables, *ranked, *dug, *tested]),
            lambda: [folder / "report" / "index.html"],
        ),
        "paper": (
            lambda: _paper(made),
            ("paper", "evidence"),
            lambda: of([*tables, *ranked, *dug, *tested]),
            lambda: [p for p in [folder / "paper" / "paper.pdf"] if p.is_file()],
        ),
    }
    return stages[stage]


def _evidence(made: Study, study: StudyFile) -> None:
    if not made.targets().empty:
        evidence_stage(made, study.evidence)


def _paper(made: Study) -> None:
    """Written where there is something to write of: a study without a jump has no statistics."""
    if (made.folder / "statistics.json").is_file():
        paper_stage(made)
