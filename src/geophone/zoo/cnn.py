"""Convolutional networks."""

from collections.abc import Sequence

import torch
from torch import nn


class CNN(nn.Module):
    """conv1 ... convN, each a 3x3 convolution and a ReLU, and a linear head on the flattened maps.

    Layers numbered in `halving` have stride 2 and halve the image (Springenberg et al. 2015: no pooling needed).
    """

    def __init__(
        self, channels: int, widths: Sequence[int], outputs: int, *, size: int, halving: Sequence[int]
    ) -> None:
        super().__init__()
        for number, (before, after) in enumerate(zip([channels, *widths], widths, strict=False), start=1):
            stride = 2 if number in halving else 1
            size = -(-size // stride)
            convolution = nn.Conv2d(before, after, 3, padding=1, stride=stride)
            self.add_module(f"conv{number}", nn.Sequential(convolution, nn.ReLU()))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * size * size, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = layer(x)
        return x
