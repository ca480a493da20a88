"""Multilayer perceptrons."""

from collections.abc import Sequence

import torch
from torch import nn


class MLP(nn.Module):
    """layer1 ... layerN, each linear and then `activation`, and a linear head; inputs are flattened."""

    def __init__(
        self, inputs: int, widths: Sequence[int], outputs: int, *, activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        for number, (before, after) in enumerate(zip([inputs, *widths], widths, strict=False), start=1):
            self.add_module(f"layer{number}", nn.Sequential(nn.Linear(before, after), activation()))
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for layer in self.children():
            x = layer(x)
        return x
