"""Tensors inside of what a model takes and puts out: tuples, lists, mappings, dataclasses."""

import copy
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch

Value = TypeVar("Value")


def tensors_in(value: object) -> Iterator[torch.Tensor]:
    """Every tensor in `value`, in order, depth first."""
    if isinstance(value, torch.Tensor):
        yield value
    for inside in _inside(value):
        yield from tensors_in(inside)


def mapped(value: Value, change: Callable[[torch.Tensor], torch.Tensor]) -> Value:
    """`value` with every tensor changed; containers are made anew, and what holds no tensor is left as it is."""
    made: Any = value
    if isinstance(value, torch.Tensor):
        made = change(value)
    elif isinstance(value, dict):
        made = copy.copy(value)
        made.update({key: mapped(each, change) for key, each in value.items()})
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        made = type(value)(*(mapped(each, change) for each in value))
    elif isinstance(value, tuple | list):
        made = type(value)(mapped(each, change) for each in value)
    elif isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
        made = copy.copy(value)
        for key, each in _items(value):
            _put(made, key, mapped(each, change))
    return made


def copied(value: Value) -> Value:
    """`value` with a copy of every tensor in it, cut off from any graph."""
    return mapped(value, lambda tensor: tensor.detach().clone())


class Placed:
    """Index tensors, masks and answers, made and brought to each device once."""

    def __init__(self) -> None:
        self._there: dict[tuple[torch.device, Hashable], Any] = {}

    def on(self, device: torch.device, what: Hashable, make: Callable[[], Value]) -> Value:
        """What `make` gives, with its tensors on `device`; made at the first asking for `what` there."""
        if (device, what) not in self._there:
            self._there[device, what] = mapped(make(), lambda tensor: tensor.to(device))
        found: Value = self._there[device, what]
        return found


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, tuple | list):
        return value
    return [each for _, each in _items(value)]


def _items(value: object) -> Iterable[tuple[Any, object]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if is_dataclass(value) and not isinstance(value, type):
        return [(f.name, getattr(value, f.name)) for f in fields(value)]
    return ()


def _put(value: Any, key: Any, inside: object) -> None:
    if isinstance(value, Mapping):
        value[key] = inside  # type: ignore[index]  # mappings that tokenizers and graph libraries make take new values
    else:
        object.__setattr__(value, key, inside)
