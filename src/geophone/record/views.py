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
class View:
    """Turns one layer's output into rows x features, the same way at every step.

    `kind` is one of `VIEWS`. `positions` is None where all rows are read, else (N, k): the k positions drawn for each
    sample, of `count`. Positions of one sample are not independent of one another; drawing few of them per sample keeps
    the rows spread over the probe. In a batch of shorter samples, positions past their end are counted from the start
    again.
    """

    kind: str
    positions: torch.Tensor | None = None
    count: int = 0

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        if self.kind == "flat":
            return output.flatten(1)
        if self.kind == "last":
            return output[:, -1]
        if self.kind == "mean":
            return output.mean(1)
        if self.kind == "pooled":
            return output.flatten(2).mean(2)
        if self.kind == "tokens":
            return self._tokens(output)
        return self._channels(output)

    def _tokens(self, output: torch.Tensor) -> torch.Tensor:
        every, count = output.flatten(0, 1), output.shape[1]
        if self.positions is None:
            return every
        return every.index_select(0, _rows(self._within(self.positions, count), count, output.device))

    def _channels(self, output: torch.Tensor) -> torch.Tensor:
        last = output.movedim(1, -1)
        if self.positions is None:
            return last.flatten(0, -2)
        count = last[0, ..., 0].numel()
        within = self._within(self.positions, count)
        if last.is_contiguous():
            # What convolutions put out on a CPU lies channels-last: its rows can be picked without a copy of it all.
            return last.flatten(0, -2).index_select(0, _rows(within, count, output.device))
        index = within.to(output.device).unsqueeze(1).expand(-1, output.shape[1], -1)
        return output.flatten(2).gather(2, index).transpose(1, 2).flatten(0, 1)

    def _within(self, positions: torch.Tensor, count: int) -> torch.Tensor:
        return positions if count >= self.count else positions % count


def _rows(positions: torch.Tensor, count: int, device: torch.device) -> torch.Tensor:
    """Which rows of all N x `count` stand at `positions` (N, k)."""
    first = torch.arange(0, len(positions) * count, count).unsqueeze(1)
    return (positions + first).flatten().to(device)


def view_of(kind: str, shape: tuple[int, ...], *, rows: int, rng: np.random.Generator) -> View:
    """The view of an output of `shape` (N, ...), drawing about `rows` rows in all where there are positions."""
    if kind not in ("channels", "tokens"):
        return View(kind)
    samples = shape[0]
    count = shape[1] if kind == "tokens" else int(np.prod(shape[2:]))
    per_sample = max(1, rows // samples)
    if per_sample >= count:
        return View(kind)
    drawn = rng.random((samples, count)).argsort(1)[:, :per_sample]
    return View(kind, torch.from_numpy(np.sort(drawn, axis=1)), count)
