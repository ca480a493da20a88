"""Weights on disk as safetensors, with the optimizer's and the random state beside them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from geophone.errors import StoreError
from geophone.store.check import checkpoint_path, state_path
from geophone.store.tables import replace_file

_RNG = "rng.torch"
# Tensors inside of lists and settings, such as those of L-BFGS, have names that begin so; the JSON says where.
_NESTED = "nested."


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names and bytes of the state dict; the first 16 hexadecimal digits."""
    return _digest(model.state_dict())


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 over the bytes of one tensor; the first 16 hexadecimal digits."""
    return hashlib.sha256(_bytes(tensor)).hexdigest()[:16]


def _digest(weights: Mapping[str, torch.Tensor]) -> str:
    total = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        total.update(name.encode())
        total.update(_bytes(tensor))
    return total.hexdigest()[:16]


def _bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor; those of one on the CPU are not copied."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def save_checkpoint(
    folder: Path, step: int, *, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> str:
    """Write weights (and the state needed to train on) and return the digest of the weights."""
    if optimizer is not None:
        tensors, plain = _optimizer_tensors(optimizer)
        tensors[_RNG] = torch.get_rng_state()
        # One entry only: safetensors writes several in any order, and equal states are to be equal files.
        metadata = {"optimizer": json.dumps(plain)}
        replace_file(state_path(folder, step), lambda path: save_file(tensors, path, metadata=metadata))
    return save_weights(folder, step, model.state_dict())


def save_weights(folder: Path, step: int, weights: Mapping[str, torch.Tensor]) -> str:
    """Write one state dict and return its digest."""
    digest = _digest(weights)
    # Cloning gives tied weights a place each; loading copies both back into the one that they share.
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in weights.items()}
    metadata = {"digest": digest}
    replace_file(checkpoint_path(folder, step), lambda path: save_file(tensors, path, metadata=metadata))
    return digest


def load_weights(path: Path, model: nn.Module) -> None:
    """Put the weights of a checkpoint into `model`. Raises StoreError when the file or its shapes do not fit."""
    weights = _load(path)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise StoreError(f"{path} does not fit the model: {str(error).splitlines()[-1].strip()}") from error


def load_state(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Put the optimizer's state and torch's random state back as they were at a checkpoint."""
    tensors = _load(path)
    try:
        with safe_open(path, framework="pt") as handle:
            plain = json.loads(handle.metadata()["optimizer"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error
    torch.set_rng_state(tensors.pop(_RNG))
    plain = _with_tensors(plain, tensors)
    for key, tensor in tensors.items():
        if key.startswith(_NESTED):
            continue
        parameter, _, field = key.partition(".")
        plain["state"].setdefault(parameter, {})[field] = tensor
    state = {int(parameter): fields for parameter, fields in plain["state"].items()}
    optimizer.load_state_dict({"state": state, "param_groups": plain["param_groups"]})


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict]:
    """The optimizer's state as tensors by "parameter.field", and the rest of it as plain JSON values."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    plain: dict = {"param_groups": _without_tensors(state["param_groups"], tensors), "state": {}}
    for parameter, entries in state["state"].items():
        for field, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{parameter}.{field}"] = value.detach().cpu().contiguous().clone()
            else:
                plain["state"].setdefault(str(parameter), {})[field] = _without_tensors(value, tensors)
    return tensors, plain


def _without_tensors(value, tensors: dict[str, torch.Tensor]):
    """`value` with the name of a tensor for each, which goes into `tensors`."""
    if isinstance(value, torch.Tensor):
        name = f"{_NESTED}{len(tensors)}"
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_NESTED: name}
    if isinstance(value, dict):
        return {key: _without_tensors(each, tensors) for key, each in value.items()}
    return [_without_tensors(each, tensors) for each in value] if isinstance(value, list | tuple) else value


def _with_tensors(value, tensors: Mapping[str, torch.Tensor]):
    if isinstance(value, dict):
        inside = {key: _with_tensors(each, tensors) for key, each in value.items()}
        return tensors[value[_NESTED]] if set(value) == {_NESTED} else inside
    return [_with_tensors(each, tensors) for each in value] if isinstance(value, list) else value


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise StoreError(f"{path} is not there.") from error
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error
