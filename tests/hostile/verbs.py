"""A small whole study, and the verbs that read its documents: report, paper, evidence."""

from collections.abc import Callable
from pathlib import Path

from atlas_study import write_dig
from readers import Reader
from small_study import write_evidence, write_run

from geophone.evidence.statistics import statistics
from geophone.evidence.synthetic import PlantedEffects
from geophone.evidence.table import evidence_table
from geophone.paper import write_paper
from geophone.report.page import write_page
from geophone.store.study import Study
from geophone.study.options import DetectOptions, TargetOptions
from geophone.study.stages import detect_stage, target_stage

FILES = ("dig.json", "statistics.json", "targets.parquet", "evidence.parquet")


def make_whole(root: Path) -> None:
    """Write the study to root/whole: two runs, phase 1, targets, a dig, evidence and statistics."""
    folder = root / "whole"
    for seed, architecture in enumerate(("cnn", "mlp")):
        write_run(folder / "runs" / f"{architecture}-{seed}", architecture=architecture, seed=seed)
    study = Study(folder)
    detect_stage(study, DetectOptions(surrogates=19))
    target_stage(study, TargetOptions(method="naive"))
    target = study.target(1)
    write_dig(study, target, [layer.name for layer in study.runs[0].layers]).rename(study.places.dig(target.name))
    write_evidence(study, PlantedEffects())


def verbs(root: Path) -> list[Reader]:
    """Each of `FILES` damaged, and each verb that follows; of the first four every file, of three every verb."""
    study = Study(root / "whole")
    (dig,) = study.places.finished_digs()
    places = {"dig.json": dig / "dig.json"} | {name: study.folder / name for name in FILES[1:]}
    kinds = {"json": "json", "parquet": "parquet"}
    ways = (("report", write_page), ("paper", write_paper), ("evidence", _evidence))
    return [
        Reader(f"{name}, {verb}", str(place.relative_to(root)), kinds[name.rpartition(".")[2]], _of(read))
        for turn in range(len(ways))
        for number, (name, place) in enumerate(places.items())
        for verb, read in [ways[(turn + number) % len(ways)]]
    ]


def _of(read: Callable[[Study], object]) -> Callable[[Path], object]:
    return lambda root: read(Study(root / "whole"))


def _evidence(study: Study) -> None:
    order, detection = (
        study.phenomena(kind).assign(architecture="unknown") for kind in ("order", "detection")
    )  # fmt: skip
    statistics(evidence_table(study), order=order, detection=detection, draws=19)
