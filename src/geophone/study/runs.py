"""The runs of a study: which there are to be, which of them are there, and the task that makes one."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from geophone._train import about, fork, probe_size, replay, train
from geophone.dimensions import chosen
from geophone.errors import InputError, NewerFormatError, ReplayError, StoreError
from geophone.store.check import damaged_files, good_until
from geophone.store.locks import LOCKS, is_held
from geophone.store.manifest import Manifest, read_manifest
from geophone.store.places import Places, is_run
from geophone.store.run import Run
from geophone.store.tables import clear_temporaries
from geophone.study.file import StudyFile, schedule_of
from geophone.study.work import StageWork, check_outcomes
from geophone.training import own_state
from geophone.workers import Job
from geophone.zoo.catalogue import experiment

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run that a study is to hold; `fork` is (step, index) where it is a fork of the run in `parent`."""

    folder: Path
    network: str
    seed: int
    steps: int
    study: StudyFile
    parent: Path | None = None
    fork: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return self.folder.name if self.fork is None else f"{self.folder.parent.name}/{self.folder.name}"


def run_plans(study: StudyFile, folder: Path) -> list[RunPlan]:
    """A plan for each network and seed."""
    plans = []
    for network in study.networks:
        spec = experiment(network)
        for seed in study.seeds:
            place = Places(folder).runs / f"{spec.name}-seed{seed}"
            plans.append(RunPlan(place, network, seed, study.steps or spec.steps, study))
    doubled = {plan.folder.name for plan in plans if [p.folder for p in plans].count(plan.folder) > 1}
    if doubled:
        raise InputError(f"two networks of the study would both be called {sorted(doubled)[0]}.")
    return plans


def fork_plans(study: StudyFile, folder: Path) -> list[RunPlan]:
    """A plan for each fork of each run that `study` wants forked; a step past a run's end is left out."""
    if study.forks is None:
        return []
    wanted = study.forks
    return [
        RunPlan(
            Places(folder).forks / plan.folder.name / f"step{at}-fork{index}",
            plan.network, plan.seed, at + wanted.steps, study, plan.folder, (at, index),
        )
        for plan in run_plans(study, folder)
        if any(fnmatchcase(plan.folder.name, pattern) for pattern in wanted.of)
        for at in wanted.at
        if at <= plan.steps
        for index in range(wanted.replicates)
    ]  # fmt: skip


def checked(plans: Sequence[RunPlan]) -> list[tuple[RunPlan, Manifest | None]]:
    """Each of `plans` with the manifest of the run that is there (None where there is none that can be read); reads
    manifests only. Raises InputError when another run is in a plan's place, NewerFormatError when a later release wrote
    it."""
    pairs = [(plan, _manifest(plan.folder)) for plan in plans]
    for plan, manifest in pairs:
        if manifest is not None:
            check_same(plan, manifest)
    return pairs


def is_done(plan: RunPlan, manifest: Manifest | None) -> bool:
    """Whether the run with that manifest is finished and undamaged."""
    return manifest is not None and manifest.status == "finished" and not damaged_files(plan.folder, manifest)


def check_same(plan: RunPlan, manifest: Manifest) -> None:
    """Raises InputError unless `manifest` is of the run that `plan` wants."""
    spec, made = experiment(plan.network), manifest.about
    asked = about(spec, name=plan.network, seed=plan.seed, steps=plan.steps)
    wanted: dict[str, tuple[object, object]] = {
        "network": (made.get("experiment"), plan.network),
        "seed": (made.get("seed"), plan.seed),
        "steps": (made.get("total_steps"), plan.steps),
        "schedule": (_plain(manifest.schedule), _plain(schedule_of(plan.study.schedule).as_dict())),
        "threads": (manifest.threads, plan.study.threads),
        "dimensions": (list(manifest.definitions), [d.name for d in chosen(plan.study.dimensions)]),
        **{name: (made.get(name), value) for name, value in asked.items()},
        "probe_samples": (manifest.probe.get("samples"), probe_size(spec, plan.study.probe_samples)),
    }
    if plan.fork is None:
        wanted["noise_every"] = (manifest.probe.get("noise_every"), plan.study.noise_every)
    else:
        wanted["fork"] = ((made.get("fork", {}).get("at"), made.get("fork", {}).get("index")), plan.fork)
    for what, (there, asked_for) in wanted.items():
        if there != asked_for:
            raise InputError(
                f"{plan.folder} was made with {what} {there}, the study says {asked_for}; nothing was touched. "
                "Give the changed study a folder with --out that is new or empty."
            )


def _plain(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """A schedule as JSON has it, without what was seen of it while recording."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in schedule.items() if k != "passed_over"}


def train_runs(work: StageWork) -> None:
    """Leave every run and every fork finished. Raises PartlyDone when some failed; the others are complete."""
    for plans in (work.runs, work.forks):
        todo = [plan for plan, manifest in plans if not is_done(plan, manifest)]
        if plans:
            work.listener.training(todo, len(plans) - len(todo))
        tasks = [Job(plan.name, ensure_run, {"plan": plan}) for plan in todo]
        outcomes = work.workers.map(
            tasks, threads=work.settings.threads, on_progress=work.listener.progress, on_end=work.listener.ended
        )
        check_outcomes(outcomes, "runs", len(plans), logs=work.study.places.logs)


def ensure_run(plan: RunPlan, *, tell: Callable[[int, int], None]) -> None:
    """Leave the run of `plan` finished: train it, go on with it, or mend it; nothing if it is there.

    An unfinished run goes on from its last good checkpoint. A finished one with a damaged file is trained again
    beside it, and takes its place only if the weights agree at every checkpoint that the old one knew. A folder whose
    manifest cannot be read is put into `damaged/`. Raises what `train` does.
    """
    _wait_for(plan.folder)
    manifest = _manifest(plan.folder)
    if is_done(plan, manifest):
        return
    with own_state(threads=plan.study.threads):
        if manifest is None:
            _put_aside(plan)
            _make(plan, plan.folder, resume=False, tell=tell)
        elif manifest.status == "finished":
            _mend(plan, manifest, tell)
        elif good_until(plan.folder, manifest) is None:
            shutil.rmtree(plan.folder)
            _make(plan, plan.folder, resume=False, tell=tell)
        else:
            _make(plan, plan.folder, resume=True, tell=tell)


def _make(plan: RunPlan, folder: Path, *, resume: bool, tell: Callable[[int, int], None]) -> Run:
    if plan.fork is not None and plan.parent is not None:
        at, index = plan.fork
        parent = Run(plan.parent, replay=replay)
        return fork(parent, at=at, index=index, steps=plan.steps - at, out=folder, resume=resume, on_step=tell)
    return train(
        plan.network,
        out=folder,
        seed=plan.seed,
        steps=plan.steps,
        every=schedule_of(plan.study.schedule),
        probe_samples=plan.study.probe_samples,
        dimensions=plan.study.dimensions,
        noise_every=plan.study.noise_every,
        resume=resume,
        on_step=tell,
    )


def _mend(plan: RunPlan, old: Manifest, tell: Callable[[int, int], None]) -> None:
    beside = _study_folder(plan) / "repairs" / plan.name.replace("/", "-")
    shutil.rmtree(beside, ignore_errors=True)
    made = _make(plan, beside, resume=False, tell=tell)
    other = [s for s, digest in old.checkpoints.items() if made.manifest.checkpoints.get(s) != digest]
    if other:
        raise ReplayError(
            f"{plan.folder} is damaged ({damaged_files(plan.folder, old)[0].name}), and training it again gave other "
            f"weights at step {min(other)}; it was left as it is, the new one is in {beside}."
        )
    damaged = beside.with_name(f"{beside.name}.damaged")
    plan.folder.rename(damaged)
    beside.rename(plan.folder)
    shutil.rmtree(damaged)


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder)
    except NewerFormatError:
        raise
    except StoreError:
        return None


def _put_aside(plan: RunPlan) -> None:
    """Make way for a new run: what a killed writer left is removed, what cannot be read is moved to `damaged/`."""
    folder = plan.folder
    if not folder.exists():
        return
    clear_temporaries(folder)
    if not is_run(folder) and not any(p.is_file() and p.name not in LOCKS for p in folder.rglob("*")):
        shutil.rmtree(folder)
        return
    shelf = _study_folder(plan) / "damaged"
    shelf.mkdir(exist_ok=True)
    folder.rename(next(p for p in _numbered(shelf / plan.name.replace("/", "-")) if not p.exists()))


def _numbered(path: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def _study_folder(plan: RunPlan) -> Path:
    return plan.folder.parents[1] if plan.fork is None else plan.folder.parents[2]


def _wait_for(folder: Path) -> None:
    """A worker whose study was killed a moment ago may still hold the folder until it notices."""
    until = time.monotonic() + _PATIENCE
    while is_held(folder) and time.monotonic() < until:
        time.sleep(0.1)
