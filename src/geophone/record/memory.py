"""Tensors one after another in one piece of memory."""

from collections.abc import Iterable
from typing import NamedTuple

import torch

_ALIGNED = 64


class Berth(NamedTuple):
    """Where a tensor lies: type, shape, first byte."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int


def berths(tensors: Iterable[torch.Tensor], start: int = 0) -> tuple[list[Berth], int]:
    """Where each tensor lies when they stand one after another from byte `start`, and where the last one ends."""
    found = []
    for tensor in tensors:
        found.append(Berth(tensor.dtype, tuple(tensor.shape), start))
        start += aligned(tensor.numel() * tensor.element_size())
    return found, start


def aligned(size: int) -> int:
    """`size` bytes with what is left free before the next tensor."""
    return -(-size // _ALIGNED) * _ALIGNED


def tensor_at(memory: torch.Tensor, berth: Berth) -> torch.Tensor:
    """The tensor that lies there in `memory` (bytes,), which it shares."""
    size = torch.Size(berth.shape).numel() * berth.dtype.itemsize
    return memory[berth.start : berth.start + size].view(berth.dtype).view(berth.shape)
