"""The stages of a study, in order. Each reads tables and runs from the study's folder and writes tables there."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from geophone import _open as opening
from geophone.detect.tables import run_tables
from geophone.errors import InputError
from geophone.point.study import targets, targets_of_run
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.study.across import across_runs
from geophone.study.file import DetectOptions, EvidenceOptions, TargetOptions
from geophone.study.phase1 import StudyNulls, read_series


def open_study(folder: Path | str) -> Study:
    """The study in `folder`. Raises InputError when it holds a single run."""
    found = opening.open(folder)
    if isinstance(found, Run):
        raise InputError(f"{folder} holds one run, not a study; a study keeps its runs in runs/.")
    return found


def detect_stage(
    study: Study, options: DetectOptions | None = None, *, on_run: Callable[[str], None] = lambda name: None
) -> dict[str, pd.DataFrame]:
    """Phase 1 of every run and dimension; writes `phenomena/*.parquet` and returns the tables by kind. Raises
    InputError when no run has a measurement."""
    options = options or DetectOptions()
    runs, series = read_series(study, on_run)
    if not runs:
        raise InputError(f"{study.folder} holds no run with a measurement.")
    nulls = StudyNulls(study, series, options)
    found: dict[str, list[pd.DataFrame]] = {}
    for run in runs:
        mine = series[run.name]
        tables = run_tables(
            mine,
            run=run.name,
            layers=run.layers,
            total_steps=run.total_steps,
            nulls={dimension: nulls.of(dimension, len(table)) for dimension, table in mine.items()},
        )
        for kind, table in tables.items():
            found.setdefault(kind, []).append(table)
    tables = {kind: _joined(parts) for kind, parts in found.items()}
    tables |= across_runs(runs, series, tables, options)
    for kind, table in tables.items():
        study.write(f"phenomena/{kind}", table)
    return tables


def target_stage(place: Study | Path | str, options: TargetOptions | None = None) -> pd.DataFrame:
    """Rank the targets of a study, or of one run, and return the table; writes `targets.parquet` of a study."""
    options = options or TargetOptions()
    study = place if isinstance(place, Study) else opening.open(place)
    if isinstance(study, Run):
        return targets_of_run(study, method=options.method, dimension=options.dimension)
    table = targets(study, dimension=options.dimension, method=options.method)
    study.write("targets", table)
    return table


def evidence_stage(study: Study, options: EvidenceOptions | None = None) -> dict:
    """Phase 3: writes `evidence.parquet`, `evidence.csv` and `statistics.json`, and returns the statistics."""
    from geophone.evidence import write_evidence

    options = options or EvidenceOptions()
    return write_evidence(study, seed=options.seed, draws=options.draws)


def report_stage(study: Study) -> Path:
    """Write `report/index.html` and return its path."""
    from geophone.report.page import write_page

    return write_page(study)


def paper_stage(study: Study) -> Path:
    """Write `paper/paper.pdf` and return its path."""
    from geophone.paper import write_paper

    return write_paper(study)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]
