"""The experts of a mixture, each read on the tokens that are routed to it."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from geophone.record.axes import Shape

# What the modules of transformers that hold all experts of a block in one tensor are called with.
_ROUTED = ("hidden_states", "top_k_index", "top_k_weights")


class Expert(nn.Module):
    """One expert of a module that holds `num_experts` of them in one tensor (transformers' Mixtral, OLMoE and others).

    It is no part of the model, has no parameters and is never called: it names what `put_out` computes.
    """

    def __init__(self, every: nn.Module, index: int) -> None:
        super().__init__()
        self.every, self.index = (every,), index  # in a tuple, so that it is not registered as a part

    @torch.no_grad()
    def put_out(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> torch.Tensor:
        """What this expert alone makes of the tokens that a call of the module with all of them routes to it, (m, d)
        for m tokens in order, before they are weighed."""
        given: dict[str, Any] = {**dict(zip(_ROUTED, args, strict=False)), **kwargs}
        hidden, chosen, weights = (given[name] for name in _ROUTED)
        mine = hidden.flatten(0, -2)[(chosen.flatten(0, -2) == self.index).any(-1)]
        if not len(mine):
            return mine
        alone = torch.full((len(mine), 1), self.index, dtype=chosen.dtype, device=chosen.device)
        # Its forward(), not a call: what is hooked to the whole is not to hear of it.
        return self.every[0].forward(mine, alone, weights.new_ones(len(mine), 1))


def experts_in(model: nn.Module) -> dict[str, nn.Module]:
    """Every single expert of the modules of `model` that hold several in one tensor, by "path.index"."""
    return {
        f"{path}.{index}": Expert(module, index)
        for path, module in model.named_modules()
        if path and isinstance(number := getattr(module, "num_experts", None), int) and _holds_experts(module)
        for index in range(number)
    }


def unheard(modules: Mapping[str, nn.Module], routed: Iterable[str], shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes of those `modules` that stand beside one that is `routed` and got nothing when `shapes` were seen."""
    beside = {name.rpartition(".")[0]: shapes[name] for name in routed}
    return {
        name: (0, *beside[name.rpartition(".")[0]][1:])
        for name in modules
        if name not in shapes and name.rpartition(".")[0] in beside
    }


def thinned(rows: torch.Tensor, most: int) -> torch.Tensor:
    """At most `most` of the rows, evenly: every one, every second, every fourth and so on."""
    stride = 1
    while -(-len(rows) // stride) > most:
        stride *= 2
    return rows[::stride]


def _holds_experts(module: nn.Module) -> bool:
    return tuple(inspect.signature(type(module).forward).parameters)[1:4] == _ROUTED
