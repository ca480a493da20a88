"""Layers made by hand, so that what each unit answers to is known: filters of every kind, and noise."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

SIDE = 32
KERNEL = 11


@dataclass(frozen=True)
class HandBuilt:
    """A layer `model["0"]` of colour filters with a ReLU after it, and the `truth` of each unit."""

    model: nn.Sequential
    truth: np.ndarray


def filters(*, noise: int, rng: np.random.Generator) -> HandBuilt:
    """32 Gabors (8 orientations), 8 differences of Gaussians, 32 curves, 12 colour-opponent points, and noise."""
    made = {
        "orientation": [_gabor(a + 0.02 * rng.normal(), f, phase)
                        for a in np.arange(8) * np.pi / 8 for f in (0.11, 0.18) for phase in (0, np.pi / 2)],
        "centre-surround": [_spot(width, sign) for sign in (1, -1) for width in (0.8, 1.0, 1.2, 1.5)],
        "curvature": [_curve(a, radius) for a in np.arange(16) * np.pi / 8 for radius in (3.2, 4.2)],
        "colour": [_opponent(rng) for _ in range(12)],
        "untyped": [rng.normal(size=(3, KERNEL, KERNEL)) for _ in range(noise)],
    }  # fmt: skip
    every = [f for kind in made.values() for f in kind]
    return HandBuilt(layer_of(every), np.repeat(list(made), [len(kind) for kind in made.values()]))


def noise_layer(count: int, *, rng: np.random.Generator) -> nn.Sequential:
    """Filters of white noise alone: what an untrained layer is."""
    return layer_of([rng.normal(size=(3, KERNEL, KERNEL)) for _ in range(count)])


def layer_of(made: list[np.ndarray]) -> nn.Sequential:
    """One convolution with the filters `made` (C, k, k), each of length 1, and a ReLU."""
    weight = torch.tensor(np.stack([f / np.linalg.norm(f) for f in made]), dtype=torch.float32)
    count, channels, size, _ = weight.shape
    convolution = nn.Conv2d(channels, count, size, padding=size // 2, bias=False)
    convolution.weight.data.copy_(weight)
    return nn.Sequential(convolution, nn.ReLU())


def _axes(size: int = KERNEL) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size) - (size - 1) / 2
    return np.meshgrid(axis, axis)


def _grey(g: np.ndarray) -> np.ndarray:
    return np.repeat((g - g.mean())[None], 3, 0)


def _gabor(angle: float, frequency: float, phase: float, width: float = 2.4) -> np.ndarray:
    x, y = _axes()
    across = np.cos(angle) * y - np.sin(angle) * x
    return _grey(np.exp(-(x**2 + y**2) / (2 * width**2)) * np.cos(2 * np.pi * frequency * across + phase))


def _spot(width: float, sign: int) -> np.ndarray:
    x, y = _axes()
    square, wide = x**2 + y**2, 1.8 * width
    return _grey(sign * (np.exp(-square / 2 / width**2) / width**2 - np.exp(-square / 2 / wide**2) / wide**2))


def _curve(angle: float, radius: float) -> np.ndarray:
    x, y = _axes()
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    off, bearing = np.hypot(along + radius, across) - radius, np.arctan2(across, along + radius)
    ridge = np.exp(-(off**2) / 2) - 0.5 * np.exp(-((off + 2.5) ** 2) / 2) - 0.5 * np.exp(-((off - 2.5) ** 2) / 2)
    return _grey(ridge * (np.abs(bearing) < np.pi / 2.4))


def _opponent(rng: np.random.Generator) -> np.ndarray:
    """A colour at one point, without luminance; a 1x1 filter, padded."""
    colour = rng.normal(size=3)
    made = np.zeros((3, KERNEL, KERNEL))
    made[:, KERNEL // 2, KERNEL // 2] = colour - colour.mean()
    return made
