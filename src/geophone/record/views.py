"""Reading a layer's output as a matrix of samples x features."""

from dataclasses import dataclass

import numpy as np
import torch

from geophone.errors import InputError

VIEWS = ("channels", "pooled", "flat", "tokens", "last", "mean")
_FOR_IMAGES = ("channels", "pooled", "flat")
_FOR_SEQUENCES = ("tokens", "last", "mean", "flat")


def default_view(shape: tuple[int, ...], *, channels_first: bool = False) -> str:
    """The view of an output of `shape` (with the batch axis): images by channel, sequences by token, vectors flat.

    A three-axis output is a sequence (N, T, D) unless `channels_first` says that it is (N, C, L).
    """
    if len(shape) == 2:
        return "flat"
    if len(shape) == 3 and not channels_first:
        return "tokens"
    return "channels"


def check_view(view: str, shape: tuple[int, ...], layer: str) -> str:
    """`view` if an output of `shape` can be read so. Raises InputError with what would do."""
    fitting = {2: ("flat",), 3: (*_FOR_SEQUENCES, "channels", "pooled")}.get(len(shape), _FOR_IMAGES)
    if view not in fitting:
        raise InputError(
            f"layer {layer!r} has output of shape {shape}, which cannot be read as view {view!r}; "
            f"use one of {', '.join(fitting)}."
        )
    return view


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns one layer's output into rows x features, the same way at every step.

    `positions` is None where all rows are read, else (N, k): the k positions drawn for each sample, of `count`.
    Positions of one sample are not independent of one another; drawing few of them per sample keeps the rows spread
    over the probe. In a batch of shorter samples, positions past their end are counted from the start again.
    """

    view: str
    positions: torch.Tensor | None = None
    count: int = 0

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        if self.view == "flat":
            return output.flatten(1)
        if self.view == "last":
            return output[:, -1]
        if self.view == "mean":
            return output.mean(1)
        if self.view == "pooled":
            return output.flatten(2).mean(2)
        if self.view == "tokens":
            return self._tokens(output)
        return self._channels(output)

    def _tokens(self, output: torch.Tensor) -> torch.Tensor:
        every = output.flatten(0, 1)
        return every if self.positions is None else every.index_select(0, self._rows(output.shape[1], output.device))

    def _channels(self, output: torch.Tensor) -> torch.Tensor:
        last = output.movedim(1, -1)
        if self.positions is None:
            return last.flatten(0, -2)
        count = last[0, ..., 0].numel()
        if last.is_contiguous():
            # What convolutions put out on a CPU lies channels-last: its rows can be picked without a copy of it all.
            return last.flatten(0, -2).index_select(0, self._rows(count, output.device))
        index = self._within(count).to(output.device).unsqueeze(1).expand(-1, output.shape[1], -1)
        return output.flatten(2).gather(2, index).transpose(1, 2).flatten(0, 1)

    def _within(self, count: int) -> torch.Tensor:
        return self.positions if count >= self.count else self.positions % count

    def _rows(self, count: int, device: torch.device) -> torch.Tensor:
        """Which rows of all N x `count` are read."""
        first = torch.arange(0, len(self.positions) * count, count).unsqueeze(1)
        return (self._within(count) + first).flatten().to(device)


def reader(view: str, shape: tuple[int, ...], *, rows: int, rng: np.random.Generator) -> Reader:
    """The reader of an output of `shape` (N, ...), drawing about `rows` rows in all where there are positions."""
    if view not in ("channels", "tokens"):
        return Reader(view)
    samples = shape[0]
    count = shape[1] if view == "tokens" else int(np.prod(shape[2:]))
    per_sample = max(1, rows // samples)
    if per_sample >= count:
        return Reader(view)
    drawn = rng.random((samples, count)).argsort(1)[:, :per_sample]
    return Reader(view, torch.from_numpy(np.sort(drawn, axis=1)), count)
