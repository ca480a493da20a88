"""A residual network whose blocks each read what is theirs to read, so that it is known who learns what."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import median_filter
from torch import nn

from geophone.prove.bed import Curves
from geophone.prove.events import Event, rises

BLOCKS, WIDTH = 5, 48
LAYERS = tuple(f"blocks.{i}" for i in range(BLOCKS))
READABLE = 0.8
_PENALTY = 1e-3


class StreamBlock(nn.Module):
    """s + down(relu(up([s, x])))."""

    def __init__(self, reads: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH + reads, hidden)
        self.down = nn.Linear(hidden, WIDTH)

    def forward(self, stream: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return stream + self.update(stream, x)

    def update(self, stream: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """What the block adds to the stream."""
        return self.down(torch.relu(self.up(torch.cat([stream, x], 1))))


class Stream(nn.Module):
    """Five blocks on a stream of 48, and a head. `embedded` are the input's columns that the stream begins with, and
    `reads` those that each block reads beside the stream."""

    def __init__(self, embedded: slice, reads: Sequence[slice], *, hidden: int, head: nn.Module) -> None:
        super().__init__()
        self.embedded, self.reads = embedded, tuple(reads)
        self.embed = nn.Linear(embedded.stop - embedded.start, WIDTH)
        self.own = [StreamBlock(part.stop - part.start, hidden) for part in reads]
        self.blocks = nn.ModuleList(self.own)
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.streams(x)[-1])

    def streams(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The stream before the first block and after each."""
        streams = [self.embed(x[:, self.embedded])]
        for block, part in zip(self.blocks, self.reads, strict=True):
            streams.append(block(streams[-1], x[:, part]))
        return streams


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random -1 and 1."""
    return 2 * rng.integers(2, size=shape) - 1


class Teacher:
    """Classes that a random network of tanh units gives to vectors of `bits` signs: the greatest of its outputs, each
    standardised over inputs, so that no class is rare."""

    def __init__(self, rng: np.random.Generator, *, bits: int, classes: int, hidden: int) -> None:
        self._first = rng.normal(size=(bits, hidden)) / np.sqrt(bits) * 1.5
        self._second = rng.normal(size=(hidden, classes))
        outputs = self._outputs(signs(rng, 4000, bits))
        self._mean, self._deviation = outputs.mean(0), outputs.std(0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return ((self._outputs(x) - self._mean) / self._deviation).argmax(1)

    def _outputs(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x @ self._first) @ self._second


def ridge(x: torch.Tensor, y: torch.Tensor, held_out: torch.Tensor) -> torch.Tensor:
    """Ridge regression of y (n, k) on x (n, d), read on `held_out` (m, d): (m, k). Centred; the penalty is 1e-3 of the
    features' mean variance."""
    mean, level = x.mean(0), y.mean(0)
    x = x - mean
    gram = x.T @ x / len(x)
    gram += _PENALTY * (gram.trace() / len(gram)).clamp_min(1e-12) * torch.eye(len(gram))
    return (held_out - mean) @ torch.linalg.solve(gram, x.T @ (y - level) / len(x)) + level


def named_latents(latents: torch.Tensor | np.ndarray) -> dict[str, np.ndarray]:
    """The columns of latents (n, k), of signs, as labels 0 and 1 by name."""
    return {f"latent{i}": (np.asarray(column) > 0).astype(np.int64) for i, column in enumerate(latents.T)}


def decodable(net: Stream, x: torch.Tensor, latents: torch.Tensor) -> Curves:
    """How well a linear probe reads each latent (n, k), of signs, from what each block adds: held-out accuracy, by
    "NAME@LAYER", of a ridge fitted on the first half of x and read on the second."""
    streams, half = net.streams(x), len(x) // 2
    curves: dict[str, float] = {}
    for layer, before, after in zip(LAYERS, streams[:-1], streams[1:], strict=True):
        added = after - before
        right = (ridge(added[:half], latents[:half], added[half:]) > 0) == (latents[half:] > 0)
        curves |= {f"latent{i}@{layer}": float(value) for i, value in enumerate(right.float().mean(0))}
    return curves


def became_readable(table: pd.DataFrame, where: Mapping[str, str]) -> list[Event]:
    """The event of every latent of `where` (name: the layer that forms it) whose accuracy there comes to .8 or more:
    from .5 to the most it comes to, both by the running median of 5 measurements."""
    events = []
    for name, layer in where.items():
        curve = table[f"{name}@{layer}"]
        greatest = float(median_filter(curve.to_numpy(), 5, mode="nearest").max())
        if greatest >= READABLE:
            events += rises(curve.to_frame(name), start=0.5, end=greatest, layers={name: layer})
    return events
