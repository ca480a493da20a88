"""Python state that a forward pass changes: counters, flags, queues. A pass of ours puts it back."""

import copy
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

_PLAIN = (bool, int, float, str, type(None))
_CONTAINERS = (list, dict, set, deque)
_KEPT_ELSEWHERE = ("training",)

Snapshot = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """One attribute of a module, by the module's path and its name."""

    path: str
    module: nn.Module
    name: str

    def __str__(self) -> str:
        return f"{self.path}.{self.name}".lstrip(".")


def changed_by(model: nn.Module, before: Snapshot) -> tuple[Attribute, ...]:
    """The attributes of `model` that are not what they were `before`; they are put back."""
    changed: list[Attribute] = []
    for path, module in model.named_modules():
        then = before.get(path, {})
        for name in sorted({*then, *_attributes(module)}):
            value = then.get(name, _absent)
            if not _same(value, module.__dict__.get(name, _absent)):
                changed.append(Attribute(path, module, name))
                _put_back(module, name, value)
    return tuple(changed)


def snapshot(model: nn.Module) -> Snapshot:
    """Plain attributes, containers and tensors that are no buffers, of every module by path and name."""
    return {
        path: {name: _copy(module.__dict__[name]) for name in _attributes(module)}
        for path, module in model.named_modules()
    }


def refill(tensor: torch.Tensor, content: torch.Tensor) -> None:
    """Give `tensor` its `content` back, without a change that autograd would notice where nothing had changed it."""
    if tensor.device.type != "cpu":
        tensor.data.copy_(content)  # to ask whether it differs would be to wait for the accelerator
    elif not torch.equal(tensor, content):
        tensor.detach().copy_(content)


@contextmanager
def restored(attributes: Iterable[Attribute]) -> Iterator[None]:
    """Leave `attributes` as they were found."""
    found = [(a, _copy(a.module.__dict__.get(a.name, _absent))) for a in attributes]
    try:
        yield
    finally:
        for attribute, value in found:
            _put_back(attribute.module, attribute.name, value)


class _Absent:
    """In the place of an attribute that is not there."""


_absent = _Absent()


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """A value that may be changed in place, and what was in it."""

    value: object
    content: object


def _attributes(module: nn.Module) -> list[str]:
    kinds = (*_PLAIN, *_CONTAINERS, torch.Tensor)
    return [
        name
        for name, value in module.__dict__.items()
        if isinstance(value, kinds) and name not in _KEPT_ELSEWHERE and name not in nn.Module.__annotations__
    ]


def _copy(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return _Copy(value, value.detach().clone())
    return _Copy(value, copy.copy(value)) if isinstance(value, _CONTAINERS) else value


def _same(before: object, now: object) -> bool:
    if not isinstance(before, _Copy):
        return before is now or (type(before) is type(now) and before == now)
    if before.value is not now:
        return False
    if isinstance(now, torch.Tensor) and isinstance(before.content, torch.Tensor):
        return now.shape == before.content.shape and torch.equal(now, before.content)
    return _ids(before.content) == _ids(now)


def _ids(container: object) -> list[int]:
    values = container.values() if isinstance(container, dict) else container
    return [id(value) for value in values] if isinstance(values, Iterable) else []


def _put_back(module: nn.Module, name: str, before: object) -> None:
    if isinstance(before, _Absent):
        module.__dict__.pop(name, None)
        return
    value = before.value if isinstance(before, _Copy) else before
    if isinstance(before, _Copy):
        _refill(value, before.content)
    module.__dict__[name] = value


def _refill(value: object, content: object) -> None:
    if isinstance(value, torch.Tensor) and isinstance(content, torch.Tensor):
        refill(value, content)
    elif isinstance(value, list) and isinstance(content, list):
        value[:] = content
    elif isinstance(value, dict | set) and isinstance(content, dict | set):
        value.clear()
        value.update(content)
    elif isinstance(value, deque) and isinstance(content, deque):
        value.clear()
        value.extend(content)
