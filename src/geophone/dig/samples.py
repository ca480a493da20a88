"""What a layer is dug with: inputs in equal numbers of each class, and each unit's answer to them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.capture import ActivationCapture
from geophone.record.probe import undisturbed
from geophone.zoo.tasks import Stored, Task

PER_CLASS = 200
_SEQUENCES = 256
# Samples at a time: what a convolution makes of more leaves the processor's caches.
CHUNK = 128
_GROUPS = 4


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Inputs x (N, ...) with labels y (N,), or (N, T) where every position has an answer.

    `per_class` is how many of each class there are (0 for sequences), `held_out` how many of all N the network
    was never trained on. Where the right answers are no labels, y are groups of them, and `values` are the answers
    themselves. `rows` are their places in the data that they were taken from, where that is somebody's own.
    """

    x: torch.Tensor
    y: torch.Tensor
    per_class: int
    held_out: int
    values: torch.Tensor | None = None
    rows: torch.Tensor | None = None

    @property
    def classes(self) -> int:
        return int(self.y.max()) + 1

    @property
    def labelled(self) -> bool:
        """Whether y are the answers themselves: labels of two classes or more, or tokens."""
        return self.values is None and self.classes > 1

    @property
    def answers(self) -> torch.Tensor:
        """What the network is to answer."""
        return self.y if self.values is None else self.values


def balanced(task: Task, *, rng: np.random.Generator, per_class: int = PER_CLASS) -> SampleSet:
    """`per_class` samples of each class of `task`, held-out ones first, then training ones.

    Of a generated task all are fresh draws. Where the data have fewer of a class, every class has that many. A task
    with an answer at every position gives 256 held-out sequences instead. Raises InputError for fewer than 2 a class.
    """
    if per_class < 2:
        raise InputError(f"per_class={per_class}: give 2 or more.")
    held = [task.source.pool(False), task.test()]
    x, y = (torch.cat([part[i] for part in held]) for i in (0, 1))
    if y.ndim > 1:
        return SampleSet(x[:_SEQUENCES], y[:_SEQUENCES], 0, min(len(y), _SEQUENCES))
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
    return SampleSet(x[chosen], y[chosen], count, int((chosen < held_out).sum()))


def samples_of(x: torch.Tensor, y: torch.Tensor | None, *, per_class: int = PER_CLASS) -> SampleSet:
    """The first `per_class` samples of each class of data x (N, ...) with labels y (N,), as many of each as the rarest
    has; the first 256 sequences where y is (N, T). Real answers (N, ...) are cut into four equal groups by their first
    number; without answers all are one group. All count as held out. Raises InputError where x and y do not fit, or a
    class has fewer than 2 samples."""
    if not isinstance(x, torch.Tensor) or x.ndim < 2 or len(x) < 2 or (y is not None and len(y) != len(x)):
        raise InputError("data= gives (x, y): a tensor of two samples or more, and one answer for each, or None.")
    if y is not None and not y.is_floating_point() and y.ndim == 2:
        return SampleSet(x[:_SEQUENCES], y[:_SEQUENCES].long(), 0, min(len(y), _SEQUENCES))
    if y is None or y.is_floating_point():
        count = min(len(x), _GROUPS * per_class)
        groups = torch.zeros(count, dtype=torch.long)
        if y is not None:
            groups = y[:count].reshape(count, -1)[:, 0].argsort().argsort() * _GROUPS // count
        return SampleSet(x[:count], groups, count // _GROUPS, count, None if y is None else y[:count])
    if y.ndim != 1 or int(y.min()) < 0:
        raise InputError(f"labels of shape {tuple(y.shape)} from {int(y.min())}: give (N,), or (N, T), from 0.")
    labels, codes = torch.unique(y, return_inverse=True)
    count = min(per_class, int(torch.bincount(codes).min()))
    if count < 2 or len(labels) < 2:
        raise InputError(f"{len(labels)} classes, the rarest with {count} samples: give 2 or more of each.")
    chosen = torch.cat([torch.nonzero(codes == code)[:count, 0] for code in range(len(labels))])
    chosen = chosen.view(len(labels), count).T.flatten()
    return SampleSet(x[chosen], y[chosen].long(), count, len(chosen), rows=chosen)


@dataclass(frozen=True)
class ForwardPass:
    """One pass over inputs: `answers` (N, units) float32 of each layer, and the network's `output` on all of them."""

    answers: dict[str, np.ndarray]
    output: Any


def read(model: nn.Module, layers: Sequence[str], x: torch.Tensor, *, reduce: str = "mean") -> ForwardPass:
    """Each unit's answer to each input, and the output, in eval mode; nothing of the model is changed.

    A unit is a channel of an image layer, a feature of a token, or an entry of a vector. `reduce` is "mean" over an
    image's positions, or "centre", the greatest in the middle half of them (padding makes edges at the rim); "tokens"
    keeps each token of a sequence as a row of its own (N*T, units); a sequence is otherwise averaged over its tokens.
    """
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    outputs = []
    with undisturbed(model), torch.no_grad():
        for capture, output in passes(model, layers, x):
            outputs.append(output)
            for name in layers:
                parts[name].append(_reduced(capture[name], reduce))
    matrices = {name: torch.cat(chunks).float().cpu().numpy() for name, chunks in parts.items()}
    return ForwardPass(matrices, joined(outputs))


def passes(
    model: nn.Module, select: Sequence[str | nn.Module], x: torch.Tensor
) -> Iterator[tuple[ActivationCapture, Any]]:
    """Forward, some inputs at a time: what the modules that are `select`ed put out, and the network's output."""
    for some in x.split(CHUNK):
        with ActivationCapture(model, select) as capture:
            output = model(some)
        yield capture, output


def joined(outputs: Sequence[Any]) -> Any:
    """Outputs of several batches as one: their tensors in a row, wherever they are."""
    first = outputs[0]
    if len(outputs) == 1 or isinstance(first, torch.Tensor):
        return first if len(outputs) == 1 else torch.cat(list(outputs))
    if isinstance(first, Mapping):
        return type(first)(**{key: joined([output[key] for output in outputs]) for key in first})
    return tuple(map(joined, zip(*outputs, strict=True))) if isinstance(first, tuple | list) else first


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
