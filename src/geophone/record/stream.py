"""Which blocks hand their output on to the next one as it is, so that it is the network's stream."""

import weakref
from collections.abc import Callable

import torch
from torch import nn

from geophone.record.capture import first_tensor


class Chain:
    """Follows the stream from block to block."""

    def __init__(self) -> None:
        self._last: tuple[str, weakref.ref[torch.Tensor]] | None = None
        self._called: list[str] = []
        self._handed_on: set[str] = set()

    def hook(self, name: str) -> Callable[..., None]:
        parent = _parent(name)

        def follow(module: nn.Module, args: object, kwargs: object, output: object) -> None:
            given, made = first_tensor((args, kwargs)), first_tensor(output)
            before = self._last
            if before is not None and given is not None and before[1]() is given and _parent(before[0]) == parent:
                self._handed_on.add(before[0])
            self._last = None if made is None else (name, weakref.ref(made))
            self._called.append(name)

        return follow

    def streams(self) -> set[str]:
        """The blocks of those lists in which most blocks hand their output on as it is."""
        parents = {name: _parent(name) for name in self._called}
        streams: set[str] = set()
        for parent in set(parents.values()):
            blocks = [name for name in parents if parents[name] == parent]
            if len(blocks) > 1 and 2 * len(self._handed_on & set(blocks)) >= len(blocks) - 1:
                streams |= set(blocks)
        return streams


def _parent(name: str) -> str:
    return name.rpartition(".")[0]
