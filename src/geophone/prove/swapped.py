"""Layers named by the swap test, at the ranker's own transitions, where weights were kept."""

import numpy as np
import numpy.typing as npt
import torch

from geophone.errors import InputError
from geophone.point.swap import Pair, Weights, parts_of, swap_test
from geophone.prove.events import ANY
from geophone.prove.ranker import in_order
from geophone.prove.recording import WEIGHTS
from geophone.prove.trials import TrialRun, setting_of
from geophone.records import Transition
from geophone.signals import class_probability


def layers_by_swap(run: TrialRun, k: int) -> tuple[str, ...]:
    """The layer that the swap test names for each of the ranker's first k moments of what was learned or lost: the
    weights kept last before the transition in those kept first after it, on the samples that it moved. ANY where the
    samples' behaviour does not differ enough; empty for a run whose events are hidden, that kept no weights, or whose
    probe has not one class per sample."""
    setting, path = setting_of(run.trial), run.folder / WEIGHTS
    (x, y), model = setting.probe, setting.model.eval()
    if run.trial.kind != "behaviour" or not path.is_file() or y.is_floating_point() or y.ndim != 1:
        return ()

    def answers(weights: Weights) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            output = torch.func.functional_call(model, dict(weights), (x,))
        answered: npt.NDArray[np.float32] = class_probability(output, y).numpy()
        return answered

    with np.load(path) as file:
        kept = {key: torch.from_numpy(file[key]) for key in file.files}
    steps = np.unique([int(key.partition(":")[0]) for key in kept])

    def at(step: int) -> Weights:
        return {key.partition(":")[2]: t for key, t in kept.items() if key.startswith(f"{step}:")}

    def named(transition: Transition) -> str:
        before = steps[steps <= transition.start]
        after = steps[steps >= transition.end]
        pair = Pair(at(before[-1] if len(before) else steps[0]), at(after[0] if len(after) else steps[-1]))
        own = transition.samples["sample"].to_numpy(dtype=np.intp)[: max(transition.own, 1)]
        try:
            return swap_test(pair, answers, parts_of(run.signals.layers, pair.after), own=own).named.part
        except InputError:  # too small a gain to take shares of
            return ANY

    return tuple(named(transition) for transition in in_order(run.signals, run.trial.kind)[:k])
