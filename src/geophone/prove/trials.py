"""The runs of the proving ground: which testbeds there are, training many of them, and reading what they left."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from geophone.errors import GeophoneError, InputError, StoreError
from geophone.point.reading import mean_since_last
from geophone.point.signals import Behaviour, RunSignals
from geophone.prove.bed import Setting
from geophone.prove.recording import record
from geophone.prove.truth import TRUTH, Truth, read_truth
from geophone.signals import NORMS
from geophone.store.run import Run as Stored
from geophone.workers import Job, Outcome, Progress, Workers

_HOMES = {
    "v_classes": "planted.drawn", "v_layer": "private.layered", "v_parity": "parity.drawn",
    "v_deep": "deep_linear.drawn", "v_stair": "staircase.drawn", "v_heads": "induction.drawn",
    "switch": "attached.switch", "weights": "attached.weights", "uncovered": "private.uncovered",
    "grok": "grok.setting",
    "deep_linear": "deep_linear.setting", "parity": "parity.setting", "staircase": "staircase.setting",
    "induction": "induction.setting", "markov": "markov.setting", "modular": "modular.setting",
    "superposition": "superposition.setting", "new_classes": "planted.new_classes",
    "lr3": "planted.lr3", "batch4": "planted.batch4", "plain": "planted.plain", "v_language": "language.drawn",
}  # fmt: skip
GROUPS = {
    "drawn": ("v_classes", "v_layer", "v_parity"),
    "moved": ("v_deep", "v_stair", "v_heads"),
    "hidden": ("switch", "weights", "uncovered"),
    "usual course": (
        "deep_linear", "parity", "staircase", "induction", "markov", "modular", "superposition", "new_classes",
    ),
}  # fmt: skip
PRIMARY = ("v_classes", "v_layer", "v_parity", "v_deep", "v_stair", *GROUPS["hidden"])
BEHAVIOUR = (*GROUPS["usual course"], *GROUPS["moved"], *GROUPS["drawn"])
HIDDEN = (*GROUPS["hidden"], "grok")
NUISANCES = ("lr3", "batch4", "plain")
# Needs transformers, and was made after the protocol: looked at by benchmarks/more_beds.py.
LANGUAGE = "v_language"
BEDS = tuple(bed for bed in _HOMES if bed != LANGUAGE)
TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a testbed: which, and its seed."""

    bed: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.bed}-{self.seed:04d}"

    @property
    def kind(self) -> str:
        """What its events are: "behaviour" (clocked by what the network answers) or "hidden" (by a probe)."""
        return "hidden" if self.bed in HIDDEN else "behaviour"


@dataclass(frozen=True, slots=True, eq=False)
class TrialRun:
    """A finished trial: the `signals` that a method may look at and, apart from them, the `truth`."""

    trial: Trial
    signals: RunSignals
    truth: Truth
    folder: Path

    @property
    def bed(self) -> str:
        return self.trial.bed

    @property
    def seed(self) -> int:
        return self.trial.seed


def setting_of(trial: Trial) -> Setting:
    """The `Setting` of a trial. Raises InputError for an unknown testbed."""
    if trial.bed not in _HOMES:
        raise InputError(f"unknown testbed {trial.bed!r}; known are {', '.join(BEDS)}.")
    module, _, function = _HOMES[trial.bed].partition(".")
    setting: Setting = getattr(import_module(f"geophone.prove.testbeds.{module}"), function)(trial.seed)
    return setting


def trials(counts: Mapping[str, int], *, first: int) -> list[Trial]:
    """So many seeds of each testbed, counted from `first`."""
    return [Trial(bed, seed) for bed, count in counts.items() for seed in range(first, first + count)]


def run_trials(bed: str, seeds: Sequence[int], folder: str, *, tell: Callable[[int, int], None]) -> None:
    """Train and record the trials of `bed` with these seeds under `folder`, each anew unless it was finished."""
    # One thread, whatever the machine: the runs are many and small, and their last bits depend on it.
    torch.set_num_threads(1)
    for number, trial in enumerate(Trial(bed, seed) for seed in seeds):
        out = Path(folder) / trial.name
        if not (out / TRUTH).is_file():
            shutil.rmtree(out, ignore_errors=True)
            record(setting_of(trial), out, name=bed, seed=trial.seed)
        tell(number + 1, len(seeds))


@dataclass(frozen=True, slots=True)
class Crew:
    """Who trains, as `workers.Workers`, and whom they tell."""

    workers: int = 2
    ray: str | None = None
    on_progress: Progress | None = None

    def do(self, tasks: Sequence[Job]) -> list[Outcome]:
        """Run `tasks` to their ends."""
        return Workers(self.workers, self.ray).map(tasks, on_progress=self.on_progress or (lambda *news: None))


def train_all(wanted: Sequence[Trial], out: Path, crew: Crew) -> list[TrialRun]:
    """Train `wanted`, each in its folder under out/runs, those that are finished left as they are; and read them.

    A process trains up to four seeds of one testbed, since starting it takes as long as a short run. Raises
    GeophoneError with the first sentence when one failed, after the others have ended.
    """
    runs = out / "runs"
    waiting = [trial for trial in wanted if not (runs / trial.name / TRUTH).is_file()]
    tasks = []
    for bed in dict.fromkeys(trial.bed for trial in waiting):
        seeds = [trial.seed for trial in waiting if trial.bed == bed]
        for part in (seeds[i : i + TOGETHER] for i in range(0, len(seeds), TOGETHER)):
            arguments = {"bed": bed, "seeds": part, "folder": str(runs)}
            tasks.append(Job(f"{bed} {part[0]}-{part[-1]}", run_trials, arguments))
    failed = [outcome for outcome in crew.do(tasks) if outcome.error]
    if failed:
        raise GeophoneError(
            f"{len(failed)} of {len(tasks)} tasks failed; the first, {failed[0].name}: {failed[0].error}"
        )
    return [read_run(runs / trial.name) for trial in wanted]


def read_run(folder: Path) -> TrialRun:
    """The finished trial in `folder`. Raises StoreError when it is not there."""
    if not (folder / TRUTH).is_file():
        raise StoreError(f"{folder} is not a finished run of a testbed: it has no {TRUTH}.")
    run = Stored(folder)
    about = run.manifest.about
    signals = signals_of(run)
    return TrialRun(
        Trial(str(about["testbed"]), int(about["seed"])), signals, read_truth(folder, signals.steps), folder
    )


def signals_of(run: Stored) -> RunSignals:
    """What a recorded run shows; the losses are means over the steps since the measurement before."""
    scalars, series = run.scalars(), {**run.all_series(), **run.signals()}
    behaviour = run.behaviour()
    steps = behaviour.index.to_numpy(dtype=np.float64)
    measured = scalars.reindex(behaviour.index)
    return RunSignals(
        name=run.name,
        steps=steps,
        layers=tuple(layer.name for layer in run.layers),
        scalars={name: measured[name].to_numpy(dtype=np.float64) for name in NORMS}
        | {name: mean_since_last(scalars[name], steps) for name in ("loss", "main_loss")},
        series={name: table.reindex(behaviour.index).to_numpy() for name, table in series.items()},
        behaviour=Behaviour(behaviour.to_numpy(dtype=np.float64), bool(run.manifest.behaviour["falling"])),
        outputs=run.outputs().to_numpy(dtype=np.float64),
    )
