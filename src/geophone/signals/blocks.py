"""What a block adds to the stream that passes through it."""

import torch


def block_update(before: object, after: object) -> torch.Tensor | None:
    """output - input of a block, where both are floating tensors of one shape; None where they are not, and where the
    block is the identity. On the stream itself a change drowns in what is already there."""
    if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor):
        return None
    if before.shape != after.shape or not (before.is_floating_point() and after.is_floating_point()):
        return None
    return None if before is after else after.detach() - before.detach()
