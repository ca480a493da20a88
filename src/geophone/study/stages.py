"""What is done to a study, in order: the list of its stages, and each as a function of the study.

What a stage runs is imported inside of its function: opening a study needs nothing of what digs, and `code_digest`
reads from there what code decides a stage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geophone.errors import InputError
from geophone.store.places import check_study
from geophone.store.study import Study
from geophone.study.options import DetectOptions, EvidenceOptions, TargetOptions

if TYPE_CHECKING:
    import pandas as pd

    from geophone.study.work import StageWork
    from geophone.workers import Progress


def open_study(folder: Path | str) -> Study:
    """The study in `folder`. Raises InputError when it holds a single run."""
    from geophone._open import open as open_folder

    check_study(Path(folder))
    study = open_folder(folder)
    if not isinstance(study, Study):
        raise InputError(f"{folder} was a study a moment ago, and holds one run now.")
    return study


def train(work: "StageWork") -> None:
    """Train every run and every fork that is not there."""
    from geophone.study.runs import train_runs

    train_runs(work)


def detect_stage(
    study: Study, options: DetectOptions | None = None, *, on_progress: "Progress" = lambda *news: None
) -> "dict[str, pd.DataFrame]":
    """The phenomena of every run and dimension; writes `phenomena/*.parquet` and returns the tables by kind. Raises
    InputError when no run has a measurement."""
    from geophone.study.detection import write_phenomena

    return write_phenomena(study, options or DetectOptions(), on_progress=on_progress)


def target_stage(place: Study | Path | str, options: TargetOptions | None = None) -> "pd.DataFrame":
    """Rank the targets of a study, or of one run, and return the table; writes `targets.parquet` of a study."""
    from geophone._open import open as open_folder
    from geophone.point.study import targets, targets_of_run
    from geophone.store.run import Run

    options = options or TargetOptions()
    study = place if isinstance(place, Study) else open_folder(place)
    if isinstance(study, Run):
        return targets_of_run(study, method=options.method, dimension=options.dimension)
    if not study.runs:
        raise InputError(f"{study.folder} has no runs: {study.places.runs.name}/ is empty.")
    table = targets(study, dimension=options.dimension, method=options.method)
    study.write("targets", table)
    return table


def census(work: "StageWork") -> None:
    """Measure every layer of every run at moments over its whole training; nothing where the settings ask for none."""
    from geophone.study.census import census_stage

    census_stage(work)


def dig(work: "StageWork") -> None:
    """Dig at the targets that the settings select."""
    from geophone.study.digging import chosen_targets, dig_stage, forget_digs, options_of

    settings = work.settings.dig
    chosen = chosen_targets(work.study, settings)
    if chosen.empty:
        return
    work.study.write("digs/chosen", chosen)
    if work.force:
        forget_digs(work.study, chosen)
    dig_stage(work.study, options_of(settings), chosen, workers=work.workers, on_end=work.listener.dug)


def evidence_stage(study: Study, options: EvidenceOptions | None = None) -> dict[str, Any]:
    """Test what was dug; writes `evidence.parquet`, `evidence.csv` and `statistics.json`, and returns the last."""
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


def _has_targets(study: Study) -> bool:
    return not study.targets().empty


def _has_statistics(study: Study) -> bool:
    """A study without a jump has none, and nothing to write of."""
    return study.places.statistics.is_file()


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that is done to a study.

    `needs` and `makes` are the files that it is made of and that it leaves, as patterns in the study's folder; it is
    done again when one of them, its `options` (a section of the study file) or its code has changed. One that makes
    nothing here, as `train`, sees for itself what is there. `run` is given the study and the options, with `crew` the
    whole `StageWork`; `when` says whether the study has what it is about.
    """

    name: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    run: Callable[..., object]
    options: str | None = None
    crew: bool = False
    when: Callable[[Study], bool] = lambda study: True


_SERIES = ("runs/*/series/part-*.parquet", "runs/*/scalars/part-*.parquet")
_SIGNALS = ("runs/*/*/part-*.parquet",)
_FORKS = ("forks/*/*/series/part-*.parquet", "forks/*/*/scalars/part-*.parquet")
_PHENOMENA = ("phenomena/[!.]*.parquet",)
_TARGETS = ("targets.parquet",)
_CENSUS = ("census/[!.]*/*.*",)
_DIGS = ("digs/[!.]*/*.*",)
_EVIDENCE = ("evidence.parquet", "windows.parquet", "statistics.json")
_DUG = (*_SIGNALS, *_PHENOMENA, *_TARGETS, *_CENSUS, *_DIGS)
_ALL = (*_DUG, *_EVIDENCE)

STAGES = (
    Stage("train", (), (), train, crew=True),
    Stage("detect", (*_SERIES, *_FORKS), _PHENOMENA, detect_stage, "detect"),
    Stage("target", (*_SIGNALS, *_PHENOMENA), _TARGETS, target_stage, "target"),
    Stage("census", _SIGNALS, _CENSUS, census, "census", crew=True),
    Stage("dig", (*_SIGNALS, *_PHENOMENA, *_TARGETS), _DIGS, dig, "dig", crew=True),
    Stage("evidence", _DUG, _EVIDENCE, evidence_stage, "evidence", when=_has_targets),
    Stage("report", _ALL, ("report/index.html",), report_stage),
    Stage("paper", _ALL, ("paper/paper.pdf",), paper_stage, when=_has_statistics),
)
