"""Convolutional networks."""

from collections.abc import Sequence

import torch
from torch import nn

from geophone.zoo.mlp import Residual


class CNN(nn.Module):
    """conv1 ... convN, each a convolution, batch norm if `norm`, and `activation`; and a linear head.

    `halving` numbers the layers (from 1) that halve the image: by stride 2 (Springenberg et al. 2015), or with
    `pool` by max pooling after the non-linearity, in the same module. The head reads the flattened maps. With
    `residual` a layer that changes neither the number of channels nor the size adds its output to its input,
    after the non-linearity, so that its output is the residual stream.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        outputs: int,
        *,
        size: int,
        halving: Sequence[int],
        kernel: int = 3,
        activation: type[nn.Module] = nn.ReLU,
        norm: bool = False,
        pool: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        for number, (before, after) in enumerate(zip([channels, *widths], widths, strict=False), start=1):
            halves = number in halving
            stride = 2 if halves and not pool else 1
            if halves:
                size = size // 2 if pool else -(-size // 2)
            layer = nn.Sequential(
                nn.Conv2d(before, after, kernel, padding=kernel // 2, stride=stride),
                *([nn.BatchNorm2d(after)] if norm else []),
                activation(),
                *([nn.MaxPool2d(2)] if halves and pool else []),
            )
            adds = residual and before == after and not halves
            self.add_module(f"conv{number}", Residual(layer) if adds else layer)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * size * size, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = layer(x)
        return x
