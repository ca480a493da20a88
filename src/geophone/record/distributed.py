"""Training over several processes: who records, and who has to take part."""

import torch
from torch import nn

from geophone.errors import InputError


def rank() -> int:
    """This process's rank; 0 where there is only one."""
    return torch.distributed.get_rank() if _is_distributed() else 0


def is_sharded(model: nn.Module) -> bool:
    """Whether parameters of `model` lie in pieces on several processes (FSDP, FSDP2, tensor parallelism), so that a
    forward pass needs them all. Raises InputError for a model that DeepSpeed ZeRO-3 took apart: its pieces cannot be
    gathered by calling the model.
    """
    if not _is_distributed() or torch.distributed.get_world_size() == 1:
        return False
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    if any(hasattr(p, "ds_id") for p in model.parameters()):
        raise InputError(
            "the model's parameters were taken apart by DeepSpeed ZeRO-3, which only its own engine can run; record "
            "in band with probe='batch' on one process, or measure its checkpoints."
        )
    wrapped = any(isinstance(m, FullyShardedDataParallel) for m in model.modules())
    return wrapped or any(isinstance(p, DTensor) for p in model.parameters())


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
