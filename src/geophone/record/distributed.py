"""Training over several processes: who records, and who has to take part."""

import torch
from torch import nn

_TAKEN_APART = "ds_shape"
"""What DeepSpeed ZeRO-3 writes at a parameter that it left empty: its whole shape."""


def rank() -> int:
    """This process's rank; 0 where there is only one."""
    return torch.distributed.get_rank() if _is_distributed() else 0


def is_sharded(model: nn.Module) -> bool:
    """Whether parameters of `model` lie in pieces on several processes (FSDP, FSDP2, DeepSpeed ZeRO-3, tensor
    parallelism), so that a forward pass needs them all."""
    if any(hasattr(p, _TAKEN_APART) for p in model.parameters()):
        return True  # also on one process, where they are put away between the passes
    if not _is_distributed() or torch.distributed.get_world_size() == 1:
        return False
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    wrapped = any(isinstance(m, FullyShardedDataParallel) for m in model.modules())
    return wrapped or any(isinstance(p, DTensor) for p in model.parameters())


def whole_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    """The shape of a parameter as the model has it, also where this process holds none of it (ZeRO-3)."""
    return tuple(getattr(parameter, _TAKEN_APART, parameter.shape))


def is_engine(module: nn.Module) -> bool:
    """Whether `module` is the engine that DeepSpeed wraps around a model; known by name, since it may not be there."""
    return any(c.__name__ == "DeepSpeedEngine" and c.__module__.startswith("deepspeed.") for c in type(module).__mro__)


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
