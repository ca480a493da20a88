"""A small study on disk, made without training: four runs of noise, phase 1 of them, statistics of a known truth."""

from pathlib import Path

import numpy as np

from geophone.evidence import statistics
from geophone.evidence.synthetic import PlantedEffects, simulated
from geophone.records import Layer
from geophone.store.documents import Statistics, as_document, write_document
from geophone.store.manifest import Manifest
from geophone.store.study import Study
from geophone.store.writer import RunWriter
from geophone.study.options import DetectOptions
from geophone.study.stages import detect_stage

NASTY = r"a#b$c\d@e*f_g<h>[i]{j}~k//l`m`%n&o^p-- =q 1.5 |r| \"s\" ü"
LAYERS = tuple(Layer(name, i, "flat", 12, 40, (12,)) for i, name in enumerate(("in_1", "#2*", "out$")))


def write_run(folder: Path, *, architecture: str, seed: int, name: str | None = None) -> None:
    """60 measurements of three layers, one dimension: noise around levels that settle one after another."""
    rng = np.random.default_rng(seed)
    about = {"experiment": f"{architecture}_{seed}", "architecture": architecture, "task": "noise", "seed": seed,
    "total_steps": 300,
             "optimizer": "adam", "learning_rate": 0.001, "batch": 16}  # fmt: skip
    writer = RunWriter(
        folder,
        Manifest(name=name or folder.name, layers=LAYERS, rows=40, definitions={"stable_rank": 1}, versions={},
                 threads=1, schedule={"every": 5}, probe={"samples": 40}, about=about),
    )  # fmt: skip
    for index in range(60):
        rows = [
            {"index": index, "step": 5 * index + 5, "probe": "main", "layer": layer.name, "depth": layer.depth,
             "status": "ok", "stable_rank": 3 + np.exp(-index / (3 + 2 * layer.depth)) + 0.02 * rng.normal()}
            for layer in LAYERS
        ]  # fmt: skip
        writer.add(rows, {"index": index, "step": 5 * index + 5, "loss": 2.0 / (index + 1)})
    writer.finish("finished", steps=300, measurements=60, results={})


def make_study(folder: Path, truth: PlantedEffects | None = None, *, runs: int = 8) -> Study:
    """The study in `folder`, with everything a paper asks for."""
    for seed, architecture in enumerate(("cnn", "mlp", "transformer")):
        write_run(folder / "runs" / f"{architecture}-{seed}", architecture=architecture, seed=seed)
    write_run(folder / "runs" / "nasty", architecture="m$l_p#*", seed=9, name=NASTY)
    study = Study(folder)
    detect_stage(study, DetectOptions(surrogates=99))
    write_evidence(study, truth or PlantedEffects(), runs=runs)
    return study


def write_evidence(study: Study, truth: PlantedEffects, *, runs: int = 8) -> None:
    made = simulated(truth, rng=np.random.default_rng(5), runs=runs)
    found = statistics(made.table, order=made.order, detection=made.detection, draws=99)
    found["study"]["targets_found"] = 2 * found["study"]["targets_dug"]
    study.write("evidence", made.table)
    write_document(study.places.statistics, as_document(Statistics, found))
