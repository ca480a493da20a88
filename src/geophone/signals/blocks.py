"""What a block adds to the stream that passes through it."""

from typing import TypeGuard

import torch


def is_updated(before: object, after: object) -> TypeGuard[torch.Tensor]:
    """Whether a block whose input is `before` and output `after` adds something to a stream: both are floating tensors
    of one shape, and it is not the identity. What it adds is output - input; on the stream itself a change drowns in
    what is already there."""
    if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor) or before is after:
        return False
    return before.shape == after.shape and before.is_floating_point() and after.is_floating_point()
