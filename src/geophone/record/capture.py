"""Catching what modules put out, with hooks that are gone afterwards whatever happens."""

from collections.abc import Callable, Collection, Iterable

import torch
from torch import nn

from geophone.record.experts import Expert
from geophone.record.nested import tensors_in
from geophone.record.selection import select_modules
from geophone.signals import ADDED, is_updated

_Hook = Callable[[nn.Module, tuple[object, ...], dict[str, object], object], None]


class _Enough(BaseException):
    """Ends a forward pass; a model that outlives exceptions of its own does not catch it."""


class ActivationCapture:
    """Context manager that keeps the outputs of chosen modules while it is open.

    with ActivationCapture(model, ["conv1", "blocks.*"]) as capture:
        model(x)
    capture["conv1"]            # the tensor, detached, on its own device

    `select` holds module paths, globs over paths, modules, or module types. A module called several times in one
    forward pass gives "name", "name@2", "name@3" in the order of the calls (of a recurrent cell the last call);
    `names` lists what was caught in order of execution. An output that is a tuple, mapping or dataclass counts as its
    first tensor; a module that puts out no tensor is left out and stands in `silent`. Raises InputError when `select`
    matches nothing. It does not detach the computation itself: gradients flow as before. What is caught is the module's
    own tensor: if a later module works in place on it, it changes too. `keep(name, tensor)` may return something else
    to keep, such as a copy or a part, or None to keep nothing. Of the modules called `added`, what they add to their
    input is caught besides, as "name+", where output and input have one shape; there `keep` is asked of the output and
    of the input, and must be linear. Once all of `enough` are caught the forward pass is ended, and what the `with`
    block still had to do is left out.
    """

    def __init__(
        self,
        model: nn.Module,
        select: Iterable[str | type | nn.Module],
        *,
        keep: Callable[[str, torch.Tensor], torch.Tensor | None] = lambda name, tensor: tensor,
        added: Collection[str] = (),
        enough: Collection[str] = (),
    ) -> None:
        self._modules = select_modules(model, select)
        self.silent: set[str] = set()
        self._keep, self._added, self._enough = keep, frozenset(added), frozenset(enough)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._caught: dict[str, torch.Tensor | None] = {}
        self._aside = False

    def __enter__(self) -> "ActivationCapture":
        self._caught.clear()
        try:
            for name, module in self._modules.items():
                hook, heard = self._hook(name), module
                if isinstance(module, Expert):
                    hook, heard = self._alone(module, hook), module.every[0]
                self._hooks.append(heard.register_forward_hook(hook, with_kwargs=True))
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *exc: object) -> bool | None:
        self._remove()
        return kind is _Enough

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

    def _alone(self, expert: Expert, hook: _Hook) -> _Hook:
        """A hook for the module that holds `expert`, by which `hook` hears what that one alone puts out."""

        def catch(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], output: object) -> None:
            self._aside = True  # what the parts put out once more is no part of the pass
            try:
                output = expert.put_out(args, kwargs)
            finally:
                self._aside = False
            if len(output):
                hook(module, args, kwargs, output)

        return catch

    def _hook(self, name: str) -> _Hook:
        def catch(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], output: object) -> None:
            if self._aside:
                return
            tensor = first_tensor(output)
            if tensor is None:
                self.silent.add(name)
                return
            call, key = 1, name
            while key in self._caught and not isinstance(module, nn.RNNCellBase):
                call += 1
                key = f"{name}@{call}"
            self._caught[key] = self._keep(key, tensor.detach())
            if name in self._added:
                self._caught[key + ADDED] = self._update(key + ADDED, first_tensor((args, kwargs)), tensor)
            if self._enough and self._enough <= self._caught.keys():
                raise _Enough

        return catch

    def _update(self, key: str, before: torch.Tensor | None, after: torch.Tensor) -> torch.Tensor | None:
        """What is kept of after - before: the difference of what is kept of them, which is mostly far less."""
        if not is_updated(before, after):
            return None
        end, start = self._keep(key, after.detach()), self._keep(key, before.detach())
        return None if end is None or start is None else end - start

    def _remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def first_tensor(output: object) -> torch.Tensor | None:
    """The first floating tensor of at least two axes in `output`, looked for in order, depth first."""
    return next((t for t in tensors_in(output) if t.is_floating_point() and t.ndim >= 2), None)
