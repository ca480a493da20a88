"""Tasks: where batches come from, what the loss is, and how well a network does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.zoo import data
from geophone.zoo.generated import UNSCORED, MarkovChains, Repeats, SparseParities, Windows
from geophone.zoo.shapes import CLASSES, draw_factors, render

Batch = tuple[torch.Tensor, torch.Tensor]
Draw = Callable[[np.random.Generator, int], Batch]

_HELD_OUT_SEED = 20261
_POOL = 1024
_TEXT_LENGTH = 48
SHAPES_NOISE = 0.1


class DataSource(Protocol):
    """Where a task's samples come from: endless training batches, and fixed held-out samples."""

    def batch(self, rng: np.random.Generator, size: int) -> Batch: ...

    def test(self) -> Batch: ...

    def pool(self, second: bool) -> Batch: ...


@dataclass(frozen=True)
class Task:
    """Classification, of a sample or of each of its positions, with cross-entropy.

    kind: "image" x (N, C, H, W), "vector" x (N, D), or "sequence" x (N, T) tokens. `chance` is the accuracy of the
    best answer that ignores the input. y is (N,), or (N, T) where every position has an answer.
    """

    name: str
    kind: str
    classes: int
    chance: float
    source: DataSource

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """`size` training samples, decided by `rng` alone."""
        return self.source.batch(rng, size)

    def loss(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy in nats over all answers that count, a scalar; `output` is y's shape plus (classes,)."""
        return nn.functional.cross_entropy(output.flatten(0, -2), y.flatten(), ignore_index=UNSCORED)

    def accuracy(self, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Share of right answers among those that count, a scalar."""
        return (output.argmax(-1) == y).sum() / (y != UNSCORED).sum()

    def test(self) -> Batch:
        """The held-out test samples; always the same."""
        return self.source.test()

    def probe(self, size: int, *, second: bool = False) -> Batch:
        """`size` held-out samples, always the same, and a smaller probe is the beginning of a larger one.

        Where a sample has one label, all classes have equal shares as far as the data go. `second` gives others,
        disjoint from the first: of stored data, samples of the test part. Raises InputError when there are not
        that many.
        """
        x, y = self.source.pool(second)
        if not 2 <= size <= len(y):
            raise InputError(
                f"{self.name} holds out {len(y)} samples for a probe; got size={size}, give 2 to {len(y)}."
            )
        chosen = interleaved(y)[:size] if y.ndim == 1 else torch.arange(size)
        return x[chosen], y[chosen]


@dataclass(frozen=True)
class Stored:
    """Samples of a fixed data set; a batch is drawn without replacement.

    Training images are moved by up to `shift` pixels each way, at random; what comes in at the rim is as dark as
    the darkest pixel. Held-out ones stay as they are.
    """

    split: data.Split
    shift: int = 0

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        count = len(self.split.train_y)
        if size > count:
            raise InputError(f"a batch of {size} from {count} training samples: give {count} or fewer.")
        chosen = torch.from_numpy(rng.choice(count, size, replace=False))
        x, y = self.split.train_x[chosen], self.split.train_y[chosen]
        return (self._shifted(x, rng) if self.shift else x), y

    @cached_property
    def _rim(self) -> float:
        return float(self.split.train_x.min())

    def _shifted(self, x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        height, width = x.shape[2:]
        wide = nn.functional.pad(x, [self.shift] * 4, value=self._rim).numpy()
        moves = rng.integers(2 * self.shift + 1, size=(2, len(x)))
        # One slice a sample: gathering all pixels by their numbers takes ten times as long.
        windows = [image[:, d : d + height, r : r + width] for image, d, r in zip(wide, *moves.tolist(), strict=True)]
        return torch.from_numpy(np.stack(windows))

    def test(self) -> Batch:
        return self.split.test_x, self.split.test_y

    def pool(self, second: bool) -> Batch:
        return self.test() if second else (self.split.probe_x, self.split.probe_y)


@dataclass(frozen=True)
class Generated:
    """Samples that `draw` makes; held-out ones are three fixed draws, independent of every training batch."""

    draw: Draw

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        return self.draw(rng, size)

    def test(self) -> Batch:
        return self._held_out(0)

    def pool(self, second: bool) -> Batch:
        return self._held_out(2 if second else 1)

    def _held_out(self, part: int) -> Batch:
        return self.draw(np.random.default_rng([_HELD_OUT_SEED, part]), _POOL)


@dataclass(frozen=True)
class TextWindows:
    """Windows of a text; held-out ones lie in blocks of it that no training window touches."""

    text: data.TextBlocks

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        return Windows(self.text.train, _TEXT_LENGTH)(rng, size)

    def test(self) -> Batch:
        return Windows(self.text.test, _TEXT_LENGTH).all(np.random.default_rng(_HELD_OUT_SEED))

    def pool(self, second: bool) -> Batch:
        if second:
            return self.test()
        return Windows(self.text.probe, _TEXT_LENGTH).all(np.random.default_rng(_HELD_OUT_SEED))


def interleaved(labels: torch.Tensor) -> torch.Tensor:
    """An order of the samples in which every class comes round once before any comes twice."""
    turn = torch.empty_like(labels)
    for label in labels.unique():
        members = labels == label
        turn[members] = torch.arange(int(members.sum()))
    return torch.from_numpy(np.lexsort((labels.numpy(), turn.numpy())))


def shape_images(rng: np.random.Generator, size: int) -> Batch:
    """`size` noisy images of shapes.py, shifted and scaled to about mean 0 and deviation 1, and their classes."""
    factors = draw_factors(rng, size)
    images = render(factors, noise=SHAPES_NOISE, rng=rng)
    return torch.from_numpy((images - 0.5) / 0.3), torch.from_numpy(factors.label)


def _commonest(y: torch.Tensor) -> float:
    counted = y[y != UNSCORED]
    return float(torch.bincount(counted).max()) / len(counted)


def _stored(name: str, kind: str, split: data.Split, *, shift: int = 0) -> Task:
    classes = int(split.train_y.max()) + 1
    return Task(name, kind, classes, _commonest(split.test_y), Stored(split, shift))


def _text() -> Task:
    reading = TextWindows(data.english())
    return Task("text", "sequence", len(reading.text.symbols), _commonest(reading.test()[1]), reading)


_TASKS: dict[str, Callable[[], Task]] = {
    "mnist": lambda: _stored("mnist", "image", data.mnist(), shift=2),
    "digits": lambda: _stored("digits", "image", data.digits()),
    "shapes": lambda: Task("shapes", "image", len(CLASSES), 1 / len(CLASSES), Generated(shape_images)),
    "text": _text,
    "repeats": lambda: Task("repeats", "sequence", 32, 1 / 32, Generated(Repeats())),
    "markov": lambda: Task("markov", "sequence", 3, 1 / 3, Generated(MarkovChains())),
    "modular": lambda: _stored("modular", "sequence", data.modular_sums()),
    "parity": lambda: Task("parity", "vector", 2, 1 / 2, Generated(SparseParities())),
}


def task_names() -> list[str]:
    """Names of all tasks."""
    return list(_TASKS)


def task(name: str | Task) -> Task:
    """The task called `name`, made once; a Task is itself. Raises InputError with the known names."""
    return name if isinstance(name, Task) else _made(name)


@cache
def _made(name: str) -> Task:
    if name not in _TASKS:
        raise InputError(f"unknown task {name!r}; known are {', '.join(_TASKS)}.")
    return _TASKS[name]()
