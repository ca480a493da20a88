"""The runs of the proving ground: which testbeds there are, and training many of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from geophone.errors import GeophoneError, InputError
from geophone.workers import Outcome, Progress, Task, Workers

MAIN = ("deep_linear", "parity", "staircase", "induction", "markov")
OTHERS = ("modular", "superposition", "new_classes", "unfreeze")
NUISANCES = ("lr3", "batch4", "plain")
BEDS = (*MAIN, *OTHERS, *NUISANCES)
_PLANTED = ("new_classes", "unfreeze", *NUISANCES)
DONE = "events.parquet"
TOGETHER = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a testbed: which, and its seed."""

    bed: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.bed}-{self.seed:04d}"


def setting_of(trial: Trial):
    """The `Setting` of a trial. Raises InputError for an unknown testbed."""
    if trial.bed not in BEDS:
        raise InputError(f"unknown testbed {trial.bed!r}; known are {', '.join(BEDS)}.")
    if trial.bed in _PLANTED:
        return import_module("geophone.prove.testbeds.planted").setting(trial.seed, kind=trial.bed)
    return import_module(f"geophone.prove.testbeds.{trial.bed}").setting(trial.seed)


def run_trials(bed: str, seeds: Sequence[int], folder: str, *, tell: Callable[[int, int], None]) -> None:
    """Train and record the trials of `bed` with these seeds under `folder`, each anew unless it was finished."""
    import shutil

    import torch

    from geophone.prove.bed import record

    # One thread, whatever the machine: the runs are many and small, and their last bits depend on it.
    torch.set_num_threads(1)
    for number, trial in enumerate(Trial(bed, seed) for seed in seeds):
        out = Path(folder) / trial.name
        if not (out / DONE).is_file():
            shutil.rmtree(out, ignore_errors=True)
            record(setting_of(trial), out=out, name=bed, seed=trial.seed, tell=lambda done, of: None)
        tell(number + 1, len(seeds))


@dataclass(frozen=True, slots=True)
class Crew:
    """Who trains, as `workers.Workers`, and whom they tell."""

    workers: int = 2
    ray: str | None = None
    on_progress: Progress | None = None

    def do(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Run `tasks` to their ends."""
        return Workers(self.workers, self.ray).map(tasks, on_progress=self.on_progress or (lambda *news: None))


def train_all(trials: Sequence[Trial], out: Path, crew: Crew) -> list[Path]:
    """Train `trials`, each in its folder under out/runs, those that are finished left as they are; their folders.

    A process trains up to five seeds of one testbed, since starting it takes as long as a short run. Raises
    GeophoneError with the first sentence when one failed, after the others have ended.
    """
    runs = out / "runs"
    waiting = [trial for trial in trials if not (runs / trial.name / DONE).is_file()]
    tasks = []
    for bed in dict.fromkeys(trial.bed for trial in waiting):
        seeds = [trial.seed for trial in waiting if trial.bed == bed]
        for part in (seeds[i : i + TOGETHER] for i in range(0, len(seeds), TOGETHER)):
            tasks.append(Task(f"{bed} {part[0]}-{part[-1]}", run_trials, _arguments(bed, part, runs)))
    failed = [outcome for outcome in crew.do(tasks) if outcome.error]
    if failed:
        raise GeophoneError(
            f"{len(failed)} of {len(tasks)} tasks failed; the first, {failed[0].name}: {failed[0].error}"
        )
    return [runs / trial.name for trial in trials]


def _arguments(bed: str, seeds: list[int], runs: Path) -> dict:
    return {"bed": bed, "seeds": seeds, "folder": str(runs)}
