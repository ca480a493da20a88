"""Norms of gradients, weights and the last update, of the network and of each recorded layer."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from geophone.signals import LAYER_NORMS, NORMS, grouped_norms, owners

# Of a larger tensor so many entries, evenly spaced, stand for the update of all.
_COMPARED = 2**18

Norms = dict[str, float]


class ParameterNorms:
    """Euclidean norms over the parameters, layer by layer (`geophone.signals.owners`) and over all.

    `remember` before an update, `read` after it. The update norm is that of the one update in between: NaN where
    nothing was remembered. Of a tensor of more than 2^18 entries every k-th one is kept and compared, and the sum of
    squares is scaled up by as much. Gradients are those that stand at `read`; where they were cleared or set to 0 the
    norm is NaN.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self._model, self._layers = model, list(layers)
        self._names: list[str] = []
        self._owners = np.zeros(0, dtype=np.intp)
        self._before: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def remember(self) -> None:
        """Copy what the coming update will be compared with."""
        self._before = {name: _part(p).clone() for name, p in self._model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def read(self) -> tuple[Norms, list[Norms]]:
        """The norms of all, by `NORMS`, and those of each layer, by `LAYER_NORMS`."""
        parameters = dict(self._model.named_parameters())
        if list(parameters) != self._names:
            self._names = list(parameters)
            self._owners = owners(self._names, self._layers)
        kinds = ([p.grad for p in parameters.values()], list(parameters.values()), self._updates(parameters))
        norms = [grouped_norms(tensors, self._owners, len(self._layers)) for tensors in kinds]
        if not norms[0][-1] > 0:
            norms[0][:] = np.nan
        self._before = {}
        whole = {name: float(values[-1]) for name, values in zip(NORMS, norms, strict=True)}
        each = [dict(zip(LAYER_NORMS, map(float, values), strict=True)) for values in zip(*norms, strict=True)]
        return whole, each[:-1]

    def _updates(self, parameters: dict[str, nn.Parameter]) -> list[torch.Tensor | None]:
        updates: list[torch.Tensor | None] = []
        for name, parameter in parameters.items():
            after, before = _part(parameter), self._before.get(name)
            if before is None or before.shape != after.shape or before.device != after.device:
                updates.append(None)
            elif after.numel() == parameter.numel():
                updates.append(after - before)
            else:
                updates.append((after - before) * (parameter.numel() / after.numel()) ** 0.5)
        return updates


def _part(parameter: torch.Tensor) -> torch.Tensor:
    values = parameter.detach()
    stride = -(-values.numel() // _COMPARED)
    return values if stride == 1 else values.reshape(-1)[::stride]
