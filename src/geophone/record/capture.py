"""Catching what modules put out, with hooks that are gone afterwards whatever happens."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

from geophone.errors import InputError


class ActivationCapture:
    """Context manager that keeps the outputs of chosen modules while it is open.

    with ActivationCapture(model, ["conv1", "blocks.*"]) as capture:
        model(x)
    capture["conv1"]            # the tensor, detached, on its own device

    `select` holds module paths, globs over paths, modules, or module types. A module called several times in one
    forward pass gives "name", "name@2", "name@3" in the order of the calls; `names` lists what was caught in
    order of execution. An output that is a tuple, mapping or dataclass counts as its first tensor; a module that
    puts out no tensor is left out. Raises InputError when `select` matches nothing. It does not detach the
    computation itself: gradients flow as before. What is caught is the module's own tensor: if a later module
    works in place on it, it changes too. `keep(name, tensor)` may return something else to keep, such as a copy
    or a part, or None to keep nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        select: Iterable[str | type | nn.Module],
        *,
        keep: Callable[[str, torch.Tensor], torch.Tensor | None] = lambda name, tensor: tensor,
    ) -> None:
        self._modules = select_modules(model, select)
        self._keep = keep
        self._hooks: list = []
        self._caught: dict[str, torch.Tensor | None] = {}

    def __enter__(self) -> "ActivationCapture":
        self._caught.clear()
        try:
            for name, module in self._modules.items():
                self._hooks.append(module.register_forward_hook(self._hook(name)))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *exc) -> None:
        self._remove()

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor = self._caught[name]
        if tensor is None:
            raise KeyError(name)
        return tensor

    def __contains__(self, name: str) -> bool:
        return self._caught.get(name) is not None

    @property
    def names(self) -> list[str]:
        return [name for name, kept in self._caught.items() if kept is not None]

    def clear(self) -> None:
        """Forget what was caught; the hooks stay."""
        self._caught.clear()

    def _hook(self, name: str):
        def catch(module, args, output):
            tensor = first_tensor(output)
            if tensor is None:
                return
            call, key = 1, name
            while key in self._caught:
                call += 1
                key = f"{name}@{call}"
            self._caught[key] = self._keep(key, tensor.detach())

        return catch

    def _remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def select_modules(model: nn.Module, select: Iterable[str | type | nn.Module]) -> dict[str, nn.Module]:
    """Modules of `model` by path, in the model's own order. Raises InputError for a selector that matches none."""
    named = {name: module for name, module in model.named_modules() if name}
    wanted: set[str] = set()
    for selector in [select] if isinstance(select, str | type | nn.Module) else select:
        hits = {name for name, module in named.items() if _matches(selector, name, module)}
        if not hits:
            label = selector if isinstance(selector, str) else getattr(selector, "__name__", type(selector).__name__)
            raise InputError(f"no module matches {label!r}; the model has {some(list(named))}.")
        wanted |= hits
    return {name: module for name, module in named.items() if name in wanted}


def _matches(selector: str | type | nn.Module, name: str, module: nn.Module) -> bool:
    if isinstance(selector, str):
        return name == selector or fnmatchcase(name, selector)
    if isinstance(selector, type):
        return isinstance(module, selector)
    return module is selector


def some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def first_tensor(output: object) -> torch.Tensor | None:
    """The first floating tensor of at least two axes in `output`, looked for in order, depth first."""
    if isinstance(output, torch.Tensor):
        return output if output.is_floating_point() and output.ndim >= 2 else None
    return next((t for t in map(first_tensor, _inside(output)) if t is not None), None)


def _inside(output: object) -> Iterable[object]:
    if isinstance(output, Mapping):
        return output.values()
    if isinstance(output, tuple | list):
        return output
    if is_dataclass(output):
        return [getattr(output, f.name) for f in fields(output)]
    return ()
