"""Norms of gradients, weights and the last update, of the network and of each recorded layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from geophone.signals import LAYER_NORMS, NORMS, by_group, each_norm, owners

# Of a larger tensor so many entries, evenly spaced, stand for the update of all; fewer where those of all tensors
# would be more than 16 MB together.
_COMPARED, _FEWER, _TOGETHER = 2**18, 2**16, 2**22

Norms = dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class TensorNorms:
    """The norms of the gradient, weights and last update of every parameter that has them, on the device where it is.

    `values` (m,) are norms, None on the way elsewhere; `places` (m,) says where each stands among gradients, weights
    and updates of all parameters, one after another, and `parts` (m,) of how large a part of its tensor it was taken;
    `owners` (parameters,) which of `layers` each parameter belongs to, -1 for none. What is made of them can be made
    anywhere.
    """

    values: torch.Tensor | None
    places: npt.NDArray[np.intp]
    parts: npt.NDArray[np.float64]
    owners: npt.NDArray[np.intp]
    layers: int

    def norms(self) -> tuple[Norms, list[Norms]]:
        """The norms of all, by `NORMS`, and those of each layer, by `LAYER_NORMS`."""
        assert self.values is not None
        squares = np.full(len(NORMS) * len(self.owners), -1.0)
        squares[self.places] = np.square(self.values.cpu().numpy()) / self.parts
        norms = [by_group(kind, self.owners, self.layers) for kind in squares.reshape(len(NORMS), -1)]
        if not norms[0][-1] > 0:
            norms[0][:] = np.nan
        whole = {name: float(values[-1]) for name, values in zip(NORMS, norms, strict=True)}
        each = zip(*(kind.tolist() for kind in norms), strict=True)
        return whole, [dict(zip(LAYER_NORMS, values, strict=True)) for values in each][:-1]


class ParameterNorms:
    """Euclidean norms over the parameters, layer by layer (`geophone.signals.owners`) and over all.

    `remember` before an update, `read` after it. The update norm is that of the one update in between: NaN where
    nothing was remembered. Of a tensor of more than 2^18 entries (2^16 in networks of which that would keep more than
    2^22) every k-th one is kept and compared, and the sum of squares is scaled up by as much. Gradients are those that
    stand at `read`; where they were cleared or set to 0 the norm is NaN.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self._model, self._layers = model, list(layers)
        self._names: list[str] = []
        self._owners = np.zeros(0, dtype=np.intp)
        self._before: dict[str, torch.Tensor] = {}
        self._most, self._remembered = _COMPARED, False

    @torch.no_grad()
    def remember(self) -> None:
        """Copy what the coming update will be compared with."""
        weights = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        parts = {name: _part(p, self._most) for name, p in weights.items()}
        before = self._before
        if parts.keys() != before.keys() or not all(_alike(part, before[name]) for name, part in parts.items()):
            together = sum(min(p.numel(), _COMPARED) for p in weights.values())
            self._most = _COMPARED if together <= _TOGETHER else _FEWER
            parts = {name: _part(p, self._most) for name, p in weights.items()}
            self._before = before = {name: torch.empty_like(part) for name, part in parts.items()}
        if parts:
            torch._foreach_copy_([before[name] for name in parts], list(parts.values()))
        self._remembered = True

    @torch.no_grad()
    def read(self) -> TensorNorms:
        """The norms as they are now."""
        parameters = dict(self._model.named_parameters())
        if list(parameters) != self._names:
            self._names = list(parameters)
            self._owners = owners(self._names, self._layers)
        weights = list(parameters.values())
        tensors = [*(p.grad for p in weights), *weights, *self._updates(parameters)]
        there = {place: tensor for place, tensor in enumerate(tensors) if tensor is not None}
        sizes = [p.numel() for p in weights]
        # Of an empty tensor all of it was taken.
        parts = [t.numel() / sizes[place % len(sizes)] if t.numel() else 1.0 for place, t in there.items()]
        self._remembered = False
        return TensorNorms(
            each_norm(list(there.values())), np.array(list(there), dtype=np.intp), np.array(parts), self._owners,
            len(self._layers),
        )  # fmt: skip

    def _updates(self, parameters: dict[str, nn.Parameter]) -> list[torch.Tensor | None]:
        """The update of each parameter, or of the part that was kept, less its sign: in the place of what was kept."""
        kept = [name for name in self._before if name in parameters and self._remembered]
        after = {name: _part(parameters[name], self._most) for name in kept}
        same = [name for name, part in after.items() if _alike(part, self._before[name])]
        updates = {name: self._before[name] for name in same}
        if same:
            torch._foreach_sub_(list(updates.values()), [after[name] for name in same])
        return [updates.get(name) for name in parameters]


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device


def _part(parameter: torch.Tensor, most: int) -> torch.Tensor:
    values = parameter.detach()
    return values if values.numel() <= most else values.reshape(-1)[:: -(-values.numel() // most)]
