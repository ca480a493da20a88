"""Multilayer perceptrons."""

from collections.abc import Sequence

import torch
from torch import nn


class Residual(nn.Module):
    """x + inner(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


class MLP(nn.Module):
    """layer1 ... layerN, each linear, then layer norm if `norm`, then `activation`; and a linear head.

    Inputs are flattened; with `symbols` they are tokens, written as one-hot vectors of that many entries. With
    `residual` a layer as wide as the one before it adds its output to its input, after the non-linearity, so that
    its output is the residual stream. Weights are initialised by torch's defaults.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        outputs: int,
        *,
        activation: type[nn.Module] = nn.ReLU,
        norm: bool = False,
        residual: bool = False,
        symbols: int | None = None,
    ) -> None:
        super().__init__()
        self.symbols = symbols
        sizes = [inputs * (symbols or 1), *widths]
        for number, (before, after) in enumerate(zip(sizes, widths, strict=False), start=1):
            normed = [nn.LayerNorm(after)] if norm else []
            layer = nn.Sequential(nn.Linear(before, after), *normed, activation())
            adds = residual and number > 1 and before == after
            self.add_module(f"layer{number}", Residual(layer) if adds else layer)
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.symbols is not None:
            x = nn.functional.one_hot(x, self.symbols).to(self.head.weight.dtype)
        x = x.flatten(1)
        for layer in self.children():
            x = layer(x)
        return x
