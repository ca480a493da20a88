"""The census of a study's runs: which there are to be, and the task that makes one."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

from geophone.dig.census import census, census_steps
from geophone.errors import StoreError
from geophone.rows.windows import CensusRow
from geophone.store.code import code_digest
from geophone.store.documents import CensusDocument, read_document, write_document
from geophone.store.folders import replace_folder
from geophone.store.places import CENSUS, Places
from geophone.store.run import Run
from geophone.store.tables import read_rows, write_rows
from geophone.study.options import CensusOptions
from geophone.study.work import StageWork, check_outcomes
from geophone.workers import Job


def census_stage(work: StageWork) -> None:
    """Leave the census of every run that geophone trained; those that are there, made alike, are left alone. What runs
    are no longer there of, and everything where no moments are asked for, is taken away. Raises PartlyDone when some
    failed; the others are complete."""
    study, options = work.study, work.settings.census
    runs = {run.name: run for run in study if run.manifest.about.get("experiment") and run.has_series}
    wanted = runs if options.moments else {}
    for folder in study.places.censuses.glob("[!.]*"):
        if folder.name not in wanted or work.force:
            shutil.rmtree(folder)
    todo = [run for run in wanted.values() if _there(study.places, run.name) != _about(run, options)]
    jobs = [Job(run.name, ensure_census, {"folder": study.folder.resolve(), "run": run.name, "options": options})
            for run in todo]  # fmt: skip
    outcomes = work.workers.map(jobs, threads=work.settings.threads, on_end=work.listener.dug)
    check_outcomes(outcomes, "censuses", len(wanted), logs=study.places.logs)


def ensure_census(folder: Path, run: str, options: CensusOptions, *, tell: Callable[[int, int], None]) -> None:
    """Leave the census of `run` in the study at `folder`."""
    places = Places(folder)
    there = Run(places.runs / run)
    about = _about(there, options)
    table = census(there, about.steps, deep=options.deep, per_class=options.per_class, seed=options.seed)
    with replace_folder(places.censuses / run) as made:
        write_rows(made / "census.parquet", table, CensusRow)
        write_document(made / CENSUS, about)


def _there(places: Places, run: str) -> CensusDocument | None:
    """What says how the census of `run` was made; None where there is none that is whole."""
    try:
        read_rows(places.censuses / run / "census.parquet", CensusRow)
        return read_document(places.censuses / run / CENSUS, CensusDocument)
    except StoreError:
        return None


def _about(run: Run, options: CensusOptions) -> CensusDocument:
    measured = sorted(set(run.table(columns=["step"])["step"]))
    checkpoints = run.manifest.checkpoints
    return CensusDocument(
        steps=census_steps(measured, checkpoints, options.moments), deep=options.deep, per_class=options.per_class,
        seed=options.seed, code=_code(), weights=checkpoints[max(checkpoints)] if checkpoints else "",
    )  # fmt: skip


@cache
def _code() -> str:
    return code_digest("geophone.dig.census")
