"""Procedural colour images made of edges, curves, corners and textures, every factor of each known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geophone.errors import InputError

SIDE = 32
CLASSES = (
    "edge", "line", "arc", "disc", "corner", "junction", "square", "grating", "dots", "checks",
)  # fmt: skip
_BLUR = 0.6
_LINE = 1.3
_ARC = 1.2
_CONTRAST = 0.4


@dataclass(frozen=True, slots=True)
class Factors:
    """What N images are made of; every field has N rows.

    `label` indexes CLASSES. `x`, `y`: the centre in pixels from the image's centre (x to the right, y down).
    `orientation` in radians, from the x axis towards the y axis. `size`: radius of arcs and discs, half the
    side of squares, in pixels. `frequency` in cycles a pixel and `phase` in radians, of textures.
    `foreground`, `background`: (N, 3) colours in [0, 1]. A factor that a class does not use (frequency of a
    disc) is drawn all the same and has no effect.
    """

    label: np.ndarray
    x: np.ndarray
    y: np.ndarray
    orientation: np.ndarray
    size: np.ndarray
    frequency: np.ndarray
    phase: np.ndarray
    foreground: np.ndarray
    background: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


def draw_factors(rng: np.random.Generator, count: int) -> Factors:
    """Factors of `count` images, each drawn independently and uniformly over its range.

    The classes are equally likely; foreground and background differ by at least 0.4 in every channel.
    """
    background = rng.random((count, 3))
    step, sign = rng.uniform(_CONTRAST, 0.8, (count, 1)), rng.choice([-1, 1], (count, 3))
    fits = (background + sign * step >= 0) & (background + sign * step <= 1)
    towards_room = np.where(background < 0.5, 1, -1)
    foreground = np.clip(background + np.where(fits, sign, towards_room) * step, 0, 1)
    return Factors(
        label=rng.integers(len(CLASSES), size=count),
        x=rng.uniform(-6, 6, count),
        y=rng.uniform(-6, 6, count),
        orientation=rng.uniform(0, 2 * np.pi, count),
        size=rng.uniform(5, 10, count),
        frequency=rng.uniform(1 / 10, 1 / 5, count),
        phase=rng.uniform(0, 2 * np.pi, count),
        foreground=foreground,
        background=background,
    )


def render(factors: Factors, *, noise: float = 0.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """The images of `factors`: (N, 3, 32, 32) float32, background + mask (foreground - background).

    `mask`, in [0, 1], is the share of a pixel that the shape covers. With `noise` > 0, Gaussian noise of that
    deviation from `rng` is added and values may leave [0, 1]. Raises InputError for noise without `rng`.
    """
    if noise > 0 and rng is None:
        raise InputError(f"noise={noise} needs a generator; pass rng=numpy.random.default_rng(seed).")
    mask = masks(factors)[:, None]
    back = factors.background.astype(np.float32)[:, :, None, None]
    front = factors.foreground.astype(np.float32)[:, :, None, None]
    images = back + mask * (front - back)
    if rng is not None and noise > 0:
        images += np.float32(noise) * rng.standard_normal(images.shape, dtype=np.float32)
    return images


def masks(factors: Factors) -> np.ndarray:
    """How much of each pixel the shape covers: (N, 32, 32) float32 in [0, 1]."""
    out = np.empty((len(factors), SIDE, SIDE), np.float32)
    axis = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    for number, name in enumerate(CLASSES):
        members = np.flatnonzero(factors.label == number)
        if len(members):
            x, y, turn, size, frequency, phase = (
                getattr(factors, f)[members].astype(np.float32)[:, None, None]
                for f in ("x", "y", "orientation", "size", "frequency", "phase")
            )
            dx, dy = axis[None, None, :] - x, axis[None, :, None] - y
            u, v = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
            wave = 2 * np.pi * frequency
            inside = _INSIDE[name](u, v, size) if name in _INSIDE else _TEXTURE[name](wave * u + phase, wave * v)
            out[members] = 1 / (1 + np.exp(-inside / np.float32(_BLUR)))
    return out


def _arc(u: np.ndarray, v: np.ndarray, size: np.ndarray) -> np.ndarray:
    along = size * (_ARC - np.abs(np.arctan2(v, u)))
    return np.minimum(_LINE - np.abs(np.hypot(u, v) - size), along)


def _junction(u: np.ndarray, v: np.ndarray, size: np.ndarray) -> np.ndarray:
    stem = np.minimum(_LINE - np.abs(v), u)
    return np.maximum(_LINE - np.abs(u), stem)


# Signed distance to the outline in pixels, positive inside, in coordinates turned by the orientation.
_INSIDE: dict[str, Callable[..., np.ndarray]] = {
    "edge": lambda u, v, size: u,
    "line": lambda u, v, size: _LINE - np.abs(u),
    "arc": _arc,
    "disc": lambda u, v, size: size - np.hypot(u, v),
    "corner": lambda u, v, size: np.minimum(u, v),
    "junction": _junction,
    "square": lambda u, v, size: size - np.maximum(np.abs(u), np.abs(v)),
}
_TEXTURE: dict[str, Callable[..., np.ndarray]] = {
    "grating": lambda a, b: 2 * np.sin(a),
    "dots": lambda a, b: 2 * (np.cos(a) + np.cos(b) - 1),
    "checks": lambda a, b: 3 * np.sin(a) * np.sin(b),
}
