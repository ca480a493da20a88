"""Ablate a layer in the middle of training, train on, and see what comes back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone._train import trained_to
from geophone.dig.ablation import zero_weights
from geophone.errors import InputError, ReplayError
from geophone.record.checkpoints import weights_digest
from geophone.record.probe import Probe
from geophone.store.run import Run
from geophone.training import Training, own_state
from geophone.zoo.catalogue import Experiment, experiment
from geophone.zoo.tasks import Batch, Task, task

PLATEAU = "plateau"
ARMS = ("ablated", "sham", "fresh")
RECOVERED = 0.9  # of the sham's accuracy
_TEST_SAMPLES = 512
_COLUMNS = ("moment", "arm", "horizon", "start", "step", "accuracy", "loss", "deficit",
            "total_step", "total_accuracy", "total_deficit", "recovery_steps", "recovered")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plateau:
    """When a course counts as flat: the mean accuracy of the last `evaluations` is no more than `tolerance` above that
    of as many before them; looked for every `every` steps, up to `limit` steps after the ablation."""

    every: int = 20
    evaluations: int = 5
    tolerance: float = 0.002
    limit: int = 2000

    def reached(self, accuracies: Sequence[float]) -> bool:
        n = self.evaluations
        if len(accuracies) < 2 * n:
            return False
        return float(np.mean(accuracies[-n:]) - np.mean(accuracies[-2 * n : -n])) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Recovery:
    """`table`: one row per (moment, arm, horizon), see `recover`. `curves`: all that was evaluated, one row per
    (moment, arm, step): moment, arm, step, since (steps after the ablation), accuracy, loss. `digests`: the weights'
    digests of the sham at the run's own checkpoints, each equal to the run's."""

    table: pd.DataFrame
    curves: pd.DataFrame
    digests: dict[int, str]


@dataclass(slots=True)
class _Course:
    """One network in training, and its (accuracy, loss) on held-out samples by step."""

    training: Training
    data: Task
    held_out: Batch
    found: dict[int, tuple[float, float]] = field(default_factory=dict)
    rng: torch.Tensor | None = None

    def to(self, step: int, *, evaluate: Callable[[int], bool]) -> None:
        """Train up to `step`, evaluating where it is asked for; courses that take turns keep their own random state."""
        if self.rng is not None:
            torch.set_rng_state(self.rng)
        while True:
            done = self.training.done
            if evaluate(done) and done not in self.found:
                self.found[done] = self._scores()
            if done >= step:
                break
            self.training.step()
        self.rng = torch.get_rng_state()

    def _scores(self) -> tuple[float, float]:
        x, y = self.held_out
        output = Probe(x).forward(self.training.model)
        return float(self.data.accuracy(output, y)), float(self.data.loss(output, y))


def recover(
    run: Run,
    *,
    layer: str,
    moments: Mapping[str, int],
    rng: np.random.Generator,
    horizons: Sequence[int | str] = (100, 500, PLATEAU),
    plateau: Plateau | None = None,
    bias: bool = False,
) -> Recovery:
    """Three arms from each moment (name -> step), with the run's own optimizer, its state, and its order of
    minibatches.

    "ablated": the weights of `layer` are set to 0 (`zero_weights`; biases stay unless `bias`). "fresh": they are drawn
    anew as at an initialisation, with `rng`, which takes the same knowledge away without leaving zeros. "sham":
    nothing is done, so that it is the run itself; its weights must come out as the run's own at every checkpoint it
    passes, up to the first one after all horizons. The optimizer's state is the run's, also for the layer that was
    ablated.

    Horizons are steps after the ablation. "plateau" is one number for all arms and moments, the most that any of them
    takes to be flat (see `Plateau`), so that arms are always compared after equally many steps. Columns: `start` (the
    moment), `step` = start + horizon, `accuracy` and `loss` there on the task's test samples (at most 512), `deficit`
    = the sham's accuracy at that step minus the arm's. `total_step` = the last moment + horizon, the same for all
    moments: `total_accuracy` and `total_deficit` compare them after equally many steps in all. `recovery_steps`: steps
    until the accuracy first is 90 % of the sham's at the same step, looked at every `plateau.every` steps; `recovered`
    False where that did not happen up to the plateau (censored there). Raises InputError for a run that geophone did
    not train, a moment outside it or a layer without weights; ReplayError when the sham takes another course than the
    run.
    """
    flat, steps = plateau or Plateau(), _checked(run, moments, horizons)
    data = task(_spec_of(run).task)
    with own_state(threads=run.manifest.threads):
        x, y = data.test()
        held_out = x[:_TEST_SAMPLES], y[:_TEST_SAMPLES]
        courses: dict[tuple[str, str], _Course] = {}
        for moment, start in moments.items():
            for arm in ("ablated", "fresh"):
                course = _Course(trained_to(run, start), data, held_out)
                if arm == "fresh":
                    _draw_anew(course.training.model, _spec_of(run), layer, seed=int(rng.integers(2**31)))
                else:
                    zero_weights(course.training.model, layer, bias=bias)
                course.rng = torch.get_rng_state()
                courses[moment, arm] = course
        common = {max(moments.values()) + n for n in steps}
        last = max(steps, default=0)
        if PLATEAU in horizons:
            ends = (_flat_after(course, moments[key[0]], flat, steps, common) for key, course in courses.items())
            last = max(ends)
        counts = {h: last if h == PLATEAU else int(h) for h in horizons}
        common.add(max(moments.values()) + last)
        for (moment, _), course in courses.items():
            wanted = _wanted(moments[moment], [*counts.values(), last], flat.every, last) | common
            course.to(max(wanted), evaluate=wanted.__contains__)
        sham = _Course(trained_to(run, min(moments.values())), data, held_out)
        digests = _sham(run, sham, courses)
    return Recovery(_table(courses, sham, moments, counts, last), _curves(courses, sham, moments), digests)


def _checked(run: Run, moments: Mapping[str, int], horizons: Sequence[int | str]) -> list[int]:
    """The horizons that are numbers. Raises InputError for what cannot be done."""
    if run.manifest.about.get("experiment") is None:
        raise InputError(f"{run.name} was not trained by geophone, which therefore cannot train it on.")
    first = run.manifest.about.get("fork", {}).get("at", 0)
    if not moments or any(not first <= step <= run.total_steps for step in moments.values()):
        raise InputError(f"{run.name} ran from step {first} to {run.total_steps}; got moments {dict(moments)}.")
    steps = [h for h in horizons if h != PLATEAU]
    if not horizons or any(isinstance(h, str) or h < 1 for h in steps):
        raise InputError(f"horizons {tuple(horizons)}: give steps of 1 or more, or {PLATEAU!r}.")
    return [int(h) for h in steps]


def _spec_of(run: Run) -> Experiment:
    return experiment(run.manifest.about["experiment"])


def _draw_anew(model: nn.Module, spec: Experiment, layer: str, *, seed: int) -> None:
    """Give `layer` parameters and buffers as at an initialisation; the random state stays as it was."""
    with own_state():
        torch.default_generator.manual_seed(seed)
        other = spec.build()
    model.get_submodule(layer).load_state_dict(other.get_submodule(layer).state_dict())


def _flat_after(course: _Course, start: int, flat: Plateau, steps: Sequence[int], common: set[int]) -> int:
    """Steps after `start` at which the course is flat and all horizons are past; it is trained to there."""
    accuracies: list[float] = []
    for since in range(0, flat.limit + 1, flat.every):
        course.to(start + since, evaluate=(_wanted(start, steps, flat.every, since) | common).__contains__)
        accuracies.append(course.found[start + since][0])
        if since >= max(steps, default=0) and flat.reached(accuracies):
            return since
    return max([flat.limit // flat.every * flat.every, *steps])


def _wanted(start: int, horizons: Sequence[int], every: int, last: int) -> set[int]:
    """The steps at which a course that began at `start` is evaluated."""
    return {start + since for since in (*range(0, last + 1, every), *horizons)}


def _sham(run: Run, course: _Course, courses: Mapping[tuple[str, str], _Course]) -> dict[int, str]:
    """Train the run itself, `course`, evaluated wherever an arm was; its digests at the run's own checkpoints."""
    first, digests = course.training.done, {}
    wanted = set().union(*(course.found for course in courses.values()))
    kept = run.manifest.checkpoints
    beyond = [s for s in kept if s >= max(wanted)]
    stops = sorted({s for s in kept if first <= s < max(wanted)} | ({min(beyond)} if beyond else {max(wanted)}))
    for stop in stops:
        course.to(stop, evaluate=wanted.__contains__)
        if stop not in kept:
            continue
        digests[stop] = weights_digest(course.training.model)
        if digests[stop] != kept[stop]:
            raise ReplayError(f"{run.name}: the sham came to step {stop} with other weights than the run; see run.at.")
    return digests


def _table(courses, sham: _Course, moments: Mapping[str, int], counts: Mapping, last: int) -> pd.DataFrame:
    rows = []
    for moment, start in moments.items():
        for arm in ARMS:
            found = sham.found if arm == "sham" else courses[moment, arm].found
            when = [s for s in sorted(found) if start <= s <= start + last and s in sham.found]
            back = [s - start for s in when if found[s][0] >= RECOVERED * sham.found[s][0]]
            for horizon, steps in counts.items():
                step, total = start + steps, max(moments.values()) + steps
                rows.append(
                    (
                        moment, arm, str(horizon), start, step, *found[step], sham.found[step][0] - found[step][0],
                        total, found[total][0], sham.found[total][0] - found[total][0],
                        back[0] if back else last, bool(back),
                    )
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _curves(courses, sham: _Course, moments: Mapping[str, int]) -> pd.DataFrame:
    rows = []
    for moment, start in moments.items():
        for arm in ARMS:
            found = sham.found if arm == "sham" else courses[moment, arm].found
            shown = [s for s in sorted(courses[moment, "ablated"].found) if s in found]
            rows += [(moment, arm, s, s - start, *found[s]) for s in shown]
    return pd.DataFrame(rows, columns=["moment", "arm", "step", "since", "accuracy", "loss"])
