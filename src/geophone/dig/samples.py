"""What a layer is dug with: inputs in equal numbers of each class, and each unit's answer to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.capture import ActivationCapture
from geophone.record.probe import undisturbed
from geophone.zoo.tasks import Stored, Task

PER_CLASS = 200
_SEQUENCES = 256
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs x (N, ...) with labels y (N,), or (N, T) where every position has an answer.

    `per_class` is how many of each class there are (0 for sequences), `held_out` how many of all N the network
    was never trained on.
    """

    x: torch.Tensor
    y: torch.Tensor
    per_class: int
    held_out: int

    @property
    def classes(self) -> int:
        return int(self.y.max()) + 1


def balanced(task: Task, *, rng: np.random.Generator, per_class: int = PER_CLASS) -> Samples:
    """`per_class` samples of each class of `task`, held-out ones first, then training ones.

    Of a generated task all are fresh draws. Where the data have fewer of a class, every class has that many. A task
    with an answer at every position gives 256 held-out sequences instead. Raises InputError for fewer than 2 a class.
    """
    if per_class < 2:
        raise InputError(f"per_class={per_class}: give 2 or more.")
    held = [task.source.pool(False), task.test()]
    x, y = (torch.cat([part[i] for part in held]) for i in (0, 1))
    if y.ndim > 1:
        return Samples(x[:_SEQUENCES], y[:_SEQUENCES], 0, min(len(y), _SEQUENCES))
    held_out = len(y)
    if isinstance(task.source, Stored):
        more = (task.source.split.train_x, task.source.split.train_y)
    else:
        more = task.batch(rng, 2 * per_class * task.classes)
        held_out += len(more[1])
    x, y = torch.cat([x, more[0]]), torch.cat([y, more[1]])
    count = min(per_class, int(torch.bincount(y, minlength=task.classes).min()))
    if count < 2:
        raise InputError(f"{task.name} has a class with {count} samples; selectivity needs 2 or more of each.")
    chosen = torch.cat([torch.nonzero(y == label)[:count, 0] for label in range(task.classes)])
    # Interleaved, so that any beginning of the samples is about balanced too.
    chosen = chosen.view(task.classes, count).T.flatten()
    return Samples(x[chosen], y[chosen], count, int((chosen < held_out).sum()))


@dataclass(frozen=True)
class ForwardPass:
    """One pass over inputs: `answers` (N, units) float32 of each layer, and the network's `output` (N, ...)."""

    answers: dict[str, np.ndarray]
    output: torch.Tensor


def read(model: nn.Module, layers: Sequence[str], x: torch.Tensor, *, reduce: str = "mean") -> ForwardPass:
    """Each unit's answer to each input, and the output, in eval mode; nothing of the model is changed.

    A unit is a channel of an image layer, a feature of a token, or an entry of a vector. `reduce` is "mean" over an
    image's positions, or "centre", the greatest in the middle half of them (padding makes edges at the rim); "tokens"
    keeps each token of a sequence as a row of its own (N*T, units); a sequence is otherwise averaged over its tokens.
    """
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    outputs = []
    with undisturbed(model), torch.no_grad():
        for chunk in x.split(_CHUNK):
            with ActivationCapture(model, layers) as capture:
                outputs.append(model(chunk))
            for name in layers:
                parts[name].append(_reduced(capture[name], reduce))
    return ForwardPass(
        {name: torch.cat(found).float().cpu().numpy() for name, found in parts.items()}, torch.cat(outputs)
    )


def answers(model: nn.Module, layers: Sequence[str], x: torch.Tensor, *, reduce: str = "mean") -> dict[str, np.ndarray]:
    """The answers of `read` alone."""
    return read(model, layers, x, reduce=reduce).answers


def _reduced(output: torch.Tensor, reduce: str) -> torch.Tensor:
    if output.ndim == 4:
        if reduce != "centre":
            return output.mean((2, 3))
        rims = [size // 4 for size in output.shape[2:]]
        return output[:, :, rims[0] : output.shape[2] - rims[0], rims[1] : output.shape[3] - rims[1]].amax((2, 3))
    if output.ndim == 3:
        return output.flatten(0, 1) if reduce == "tokens" else output.mean(1)
    return output.flatten(1)
