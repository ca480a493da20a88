"""Every reader of files, as a function of the corpus: what is damaged, and what then reads it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import corpus

from geophone._open import open as opened
from geophone._train import resume
from geophone.dig.run import is_dug
from geophone.dig.select import selected
from geophone.evidence.table import evidence_table
from geophone.findings.lines import evidence_lines
from geophone.ingest.checkpoints import measure
from geophone.ingest.probes import read_probe
from geophone.ingest.sources import checkpoint_files, revisions
from geophone.ingest.tables import import_series
from geophone.store.check import damaged_files, good_until
from geophone.store.dig import Dig
from geophone.store.study import Study
from geophone.study.digging import options_of
from geophone.study.file import read_study_file
from geophone.study.memo import Memo
from geophone.study.options import DigSettings
from geophone.study.runs import checked, fork_plans, run_plans
from geophone.study.stages import STAGES, target_stage


@dataclass(frozen=True)
class Reader:
    """`read(root)` reads root/`file`, which is of `kind`."""

    name: str
    file: str
    kind: str
    read: Callable[[Path], object]


def readers(root: Path, *, guests: bool) -> list[Reader]:
    run = f"study/runs/{corpus.RUN}"
    dig = next((root / "study/digs").iterdir()).relative_to(root)
    found = [
        Reader("study file", "study/study.toml", "text", _study_file),
        Reader("manifest", f"{run}/run.json", "json", _run),
        Reader("series part", f"{run}/series/part-00000.parquet", "parquet", _run),
        Reader("scalars part", f"{run}/scalars/part-00000.parquet", "parquet", _run),
        Reader("checkpoint", f"{run}/checkpoints/step-00000060.safetensors", "safetensors", _run),
        Reader("state", f"{run}/checkpoints/step-00000060.state.safetensors", "safetensors", _state),
        Reader("targets", "study/targets.parquet", "parquet", _targets),
        Reader("jumps", "study/phenomena/jumps.parquet", "parquet", _ranked),
        Reader("critical periods", "study/phenomena/critical.parquet", "parquet", _ranked),
        Reader("jump types", "study/phenomena/type_members.parquet", "parquet", _chosen),
        Reader("dig.json", f"{dig}/dig.json", "json", _dug),
        Reader("field notes", f"{dig}/notes.md", "text", _dug),
        Reader("dig's table", f"{dig}/moments.parquet", "parquet", _evidence),
        Reader("statistics.json", "study/statistics.json", "json", _statistics),
        Reader("stages.json", "study/stages.json", "json", _memo),
        Reader("their safetensors", "theirs/step-100.safetensors", "safetensors", _weights("step-100.safetensors")),
        Reader("their .pt", "theirs/step-200.pt", "zip", _weights("step-200.pt")),
        Reader("their old .pth", "theirs/step-300.pth", "pickle", _weights("step-300.pth")),
        Reader("probe .npy", "theirs/probe.npy", "npy", lambda root: read_probe(str(root / "theirs/probe.npy"))),
        Reader("probe .npz", "theirs/probe.npz", "zip", lambda root: read_probe(str(root / "theirs/probe.npz"))),
        Reader("wide CSV", "theirs/wide.csv", "text", _import("wide.csv")),
        Reader("long CSV", "theirs/long.csv", "text", _import("long.csv")),
        Reader("their parquet", "theirs/wide.parquet", "parquet", _import("wide.parquet")),
    ]
    if guests:
        model = "theirs/model/step10"
        found += [
            Reader("Hugging Face config", f"{model}/config.json", "json", _revision),
            Reader("Hugging Face weights", f"{model}/model.safetensors", "safetensors", _revision),
        ]
    return found


def _memo(root: Path) -> None:
    memo = Memo(Study(root / "study"))
    _each(lambda: [memo.holds(stage, "abc") for stage in STAGES])


def _study_file(root: Path) -> None:
    study, _ = read_study_file(root / "study/study.toml")
    checked([*run_plans(study, root / "study"), *fork_plans(study, root / "study")])


def _run(root: Path) -> None:
    run = opened(root / "study/runs" / corpus.RUN)
    damaged_files(run.folder, run.manifest)
    good_until(run.folder, run.manifest)
    for reading in (
        lambda: repr(run), lambda: run.total_steps, lambda: run.all_series(), run.noise, run.scalars,
        lambda: run.at(60),
    ):  # fmt: skip
        _each(reading)


def _state(root: Path) -> None:
    resume(opened(root / "study/runs" / corpus.RUN), 60)


def _targets(root: Path) -> None:
    study, options = Study(root / "study"), options_of(DigSettings())
    _each(lambda: selected(study))
    _each(lambda: [is_dug(study, target, options) for target in study.ranked()])
    _each(lambda: evidence_table(study))


def _ranked(root: Path) -> None:
    target_stage(Study(root / "study"))


def _chosen(root: Path) -> None:
    selected(Study(root / "study"))


def _evidence(root: Path) -> None:
    evidence_table(Study(root / "study"))


def _dug(root: Path) -> None:
    folder = next((root / "study/digs").iterdir())
    _each(lambda: Dig(folder).about)
    _each(lambda: Dig(folder).notes)
    study = Study(root / "study")
    is_dug(study, study.target(1), options_of(DigSettings()))


def _statistics(root: Path) -> None:
    evidence_lines(Study(root / "study").statistics().plain)


def _weights(name: str) -> Callable[[Path], object]:
    def read(root: Path) -> None:
        probe = read_probe(str(root / "theirs/probe.npy"))
        out = root / "out"
        shutil.rmtree(out, ignore_errors=True)
        measure(checkpoint_files([root / "theirs" / name], corpus.build), probe, out=out)

    return read


def _import(name: str) -> Callable[[Path], object]:
    def read(root: Path) -> None:
        out = root / "out"
        shutil.rmtree(out, ignore_errors=True)
        dimension = "stable_rank" if name.startswith("wide") else None
        import_series(root / "theirs" / name, out=out, dimension=dimension).series("stable_rank")

    return read


def _revision(root: Path) -> None:
    revisions(str(root / "theirs/model"), ["step10"]).load("step10")


def _each(reading: Callable[[], object]) -> None:
    """Readings that are made one after another, though the one before was refused."""
    from geophone.errors import GeophoneError

    try:
        reading()
    except GeophoneError as error:
        check_said(error)


def check_said(error: Exception) -> None:
    """What a refusal must be: one sentence that a terminal can show. Raises RuntimeError when it is not."""
    said = str(error)
    if not said.strip() or "\n" in said or len(said) > 1_500 or any(ord(c) < 32 for c in said):
        raise RuntimeError(f"not one plain sentence ({len(said)} characters): {said[:300]!r}")
