"""Tensors of a network that lie in one another's memory, and of which files often hold but one."""

from collections.abc import Mapping

import torch
from torch import nn

Weights = dict[str, torch.Tensor]


class SharedMemory:
    """Which entries of a network's state dict share memory."""

    def __init__(self, network: nn.Module) -> None:
        entries = network.state_dict(keep_vars=True).items()
        self._entries = {name: t.detach() for name, t in entries if isinstance(t, torch.Tensor)}
        self._memory = {name: place for name, t in self._entries.items() if (place := _memory(t)) is not None}

    def completed(self, weights: Mapping[str, torch.Tensor]) -> Weights:
        """`weights`, and of what they lack the entries whose memory lies within that of one that they have."""
        made = dict(weights)
        for name in (name for name in self._memory if name not in weights):
            wholes = (w for w in weights if w in self._memory and self._memory[w] == self._memory[name])
            views = (_same_view(weights[w], self._entries[w], self._entries[name]) for w in wholes)
            if (view := next((view for view in views if view is not None), None)) is not None:
                made[name] = view
        return made


def _memory(tensor: torch.Tensor) -> tuple[object, ...] | None:
    """What two tensors in the same memory have in common; None where there is none."""
    if tensor.numel() == 0 or tensor.is_meta or tensor.layout != torch.strided:
        return None
    return tensor.device, tensor.dtype, tensor.untyped_storage().data_ptr()


def _same_view(value: torch.Tensor, whole: torch.Tensor, part: torch.Tensor) -> torch.Tensor | None:
    """Of `value`, which is to be put into `whole`, what `part` will hold then; None where that is not known."""
    if value.shape != whole.shape:
        return None
    start = part.storage_offset() - whole.storage_offset()
    if (part.shape, part.stride(), start) == (whole.shape, whole.stride(), 0):
        return value
    last = start + sum((size - 1) * stride for size, stride in zip(part.shape, part.stride(), strict=True))
    if not whole.is_contiguous() or start < 0 or last >= whole.numel():
        return None
    return value.contiguous().as_strided(part.shape, part.stride(), start)
