"""The networks of a source, one in memory at a time."""

from collections.abc import Sequence

import torch
from torch import nn

from geophone.errors import InputError, StoreError
from geophone.ingest.sources import Source


class Networks:
    """The networks of `source`; `failures` are the checkpoints that there are none of, each
    with the reason."""

    def __init__(self, source: Source, device: str | torch.device | None) -> None:
        self.failures = dict.fromkeys(source.left_out, "its name says no training step")
        self._load, self.device = source.load, device
        self._network: nn.Module | None = None

    def read(self, key: str) -> nn.Module | None:
        """The network of `key`; None where it cannot be read."""
        try:
            self._network = self._load(key, self._network)
        except StoreError as error:
            self.failures[key] = str(error)
            return None
        except InputError as error:
            # Asked for what no checkpoint has, or for what this one alone has not.
            if self._network is None:
                raise
            self.failures[key] = str(error)
            return None
        return self.network

    @property
    def network(self) -> nn.Module | None:
        """The network that was read last, in eval mode and on the device; None before there is one."""
        if self._network is None:
            return None
        network = self._network.eval()
        return network if self.device is None else network.to(self.device)

    def last(self, pairs: Sequence[tuple[int, str]], count: int) -> list[tuple[int, str]]:
        """The last `count` of `pairs` that can be read, in order."""
        found: list[tuple[int, str]] = []
        for pair in reversed(pairs):
            if len(found) < count and self.read(pair[1]) is not None:
                found.append(pair)
        return found[::-1]
