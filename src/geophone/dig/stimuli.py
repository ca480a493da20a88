"""The stimulus bank: drawn images that vary one thing at a time, to find out what a unit answers to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from geophone.errors import InputError

ORIENTATIONS = 12
DIRECTIONS = 24
VARIANTS = 4
LEAST_SIDE = 8
_BLANK = "blank"
_FREQUENCIES = (0.06, 0.11, 0.18, 0.28)
_RADII = (0.1, 0.16, 0.24)
_HUES = {"red-green": (1.0, -1.0, 0.0), "blue-yellow": (-0.5, -0.5, 1.0), "purple-green": (0.5, -1.0, 0.5)}
_CONTRAST = 2.0


@dataclass(frozen=True)
class Stimuli:
    """`images` (S, C, H, W) float32, mean grey 0 and at most 2 from it, and `table`, a row an image.

    Columns: kind; angle (radians: the direction along a grating's or line's bars from x to y, of an edge's or
    curve's normal), scale (frequency in cycles a pixel, or a radius in pixels), colour (a name, or "grey"), variant
    (0 to 3: the phase of a grating, the place of a shape, the draw of a noise) and half (variant modulo 2).
    """

    images: np.ndarray
    table: pd.DataFrame


def bank(channels: int, side: int, *, rng: np.random.Generator) -> Stimuli:
    """The bank for images of `channels` (1 or 3) x `side` x `side`; `rng` draws the noise textures alone.

    Gratings in 12 orientations x 4 frequencies x 4 phases, edges and corners, junctions and curves (3 radii) in 24
    directions, lines in 12, discs and rings of 4 radii (curves, junctions, lines, discs and rings light and dark);
    grids of dots, checks and filtered noise, each also with its Fourier phases scrambled; with 3 channels gratings
    and patches of equal luminance in three opponent pairs of colours. Raises InputError for another number of
    channels or sides below 8.
    """
    if channels not in (1, 3) or side < LEAST_SIDE:
        raise InputError(f"no stimuli for {channels} channels of side {side}: 1 or 3 channels of side 8 or more.")
    grid = _Grid(side)
    rows: list[dict] = [{"kind": _BLANK, "angle": 0.0, "scale": 0.0, "variant": v} for v in range(VARIANTS)]
    masks: list[np.ndarray] = [np.zeros((side, side))] * VARIANTS
    for row, mask in (*_straight(grid), *_shapes(grid), *_textures(grid, rng)):
        rows.append(row)
        masks.append(mask)
    images = np.stack(masks)[:, None].repeat(channels, 1)
    table = pd.DataFrame(rows).assign(colour="grey")
    if channels == 3:
        coloured, more = _coloured(grid)
        images, table = np.concatenate([images, coloured]), pd.concat([table, more], ignore_index=True)
    table["half"] = table["variant"] % 2
    return Stimuli((_CONTRAST * np.clip(images, -1, 1)).astype(np.float32), table)


class _Grid:
    """Pixel coordinates from the image's centre, and the places at which shapes are drawn."""

    def __init__(self, side: int) -> None:
        axis = np.arange(side) - (side - 1) / 2
        self.side = side
        self.x, self.y = np.meshgrid(axis, axis)
        off = side / 14
        self.places = ((0.0, 0.0), (off, off), (-off, off), (off, -off))

    def at(self, variant: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates along and across `angle`, around the place of `variant`."""
        dx, dy = self.x - self.places[variant][0], self.y - self.places[variant][1]
        return np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx


def _row(kind: str, angle: float, scale: float, variant: int) -> dict:
    return {"kind": kind, "angle": angle, "scale": scale, "variant": variant}


def _straight(grid: _Grid) -> Iterable[tuple[dict, np.ndarray]]:
    for angle, frequency, v in product(_turns(ORIENTATIONS, np.pi), _FREQUENCIES, range(VARIANTS)):
        _, across = grid.at(0, angle)
        wave = np.cos(2 * np.pi * frequency * across + np.pi * v / 2)
        yield _row("grating", angle, frequency, v), wave
    for angle, v in product(_turns(DIRECTIONS, 2 * np.pi), range(VARIANTS)):
        along, _ = grid.at(v, angle)
        yield _row("edge", angle, 0.0, v), np.tanh(along)
    for angle, width, sign, v in product(_turns(ORIENTATIONS, np.pi), (1.0, 2.0), (1, -1), range(VARIANTS)):
        _, across = grid.at(v, angle)
        yield _row("line", angle, width * sign, v), sign * _ridge(across, width)


def _shapes(grid: _Grid) -> Iterable[tuple[dict, np.ndarray]]:
    for angle, share, sign, v in product(_turns(DIRECTIONS, 2 * np.pi), _RADII, (1, -1), range(2)):
        radius = share * grid.side
        along, across = grid.at(v, angle)
        # A third of a circle whose middle lies at the place, bulging towards `angle`.
        distance, bearing = np.hypot(along + radius, across), np.arctan2(across, along + radius)
        arc = _ridge(distance - radius, 1.0) * _inside(np.pi / 3 - np.abs(bearing), 0.1)
        yield _row("curve", angle, sign * radius, v), sign * arc
    for angle, v in product(_turns(DIRECTIONS, 2 * np.pi), range(2)):
        along, across = grid.at(v, angle)
        wing = np.abs(across) - along
        yield _row("corner", angle, 0.0, v), np.tanh(-wing / np.sqrt(2))
        stem = _ridge(across, 1.0) * _inside(along, 0.5)
        for sign in (1, -1):
            yield _row("junction", angle, float(sign), v), sign * np.maximum(stem, _ridge(along, 1.0))
    for share, sign, v in product((0.05, 0.09, 0.14, 0.2), (1, -1), range(VARIANTS)):
        radius, (along, across) = share * grid.side, grid.at(v, 0.0)
        distance = np.hypot(along, across)
        yield _row("disc", 0.0, sign * radius, v), sign * _inside(radius - distance, 0.5)
        yield _row("ring", 0.0, sign * radius, v), sign * _ridge(distance - radius, 1.0)
    for sign, v in product((1, -1), range(VARIANTS)):
        yield _row("uniform", 0.0, float(sign), v), np.full_like(grid.x, sign * 1.0)


def _textures(grid: _Grid, rng: np.random.Generator) -> Iterable[tuple[dict, np.ndarray]]:
    """Each texture, and the same with its Fourier phases scrambled: power without form."""
    for number, make in enumerate(_TEXTURES):
        for v in range(VARIANTS):
            image = _levelled(make(grid, v, rng))
            yield _row("texture", 0.0, float(number), v), image
            yield _row("scrambled", 0.0, float(number), v), _levelled(_scrambled(image, rng))


def _dots(period: float) -> Callable:
    def make(grid: _Grid, variant: int, rng: np.random.Generator) -> np.ndarray:
        u, v = grid.at(variant, 0.0)
        return np.exp(-((_wrapped(u, period) ** 2 + _wrapped(v, period) ** 2) / 2))

    return make


def _checks(period: float) -> Callable:
    def make(grid: _Grid, variant: int, rng: np.random.Generator) -> np.ndarray:
        u, v = grid.at(variant, 0.0)
        return np.tanh(2 * np.sin(2 * np.pi * u / period) * np.sin(2 * np.pi * v / period))

    return make


def _noise(low: float, high: float) -> Callable:
    def make(grid: _Grid, variant: int, rng: np.random.Generator) -> np.ndarray:
        spectrum = np.fft.fft2(rng.standard_normal((grid.side, grid.side)))
        return np.fft.ifft2(spectrum * _band(grid.side, low, high)).real

    return make


_TEXTURES = (_dots(5.0), _dots(8.0), _checks(6.0), _checks(10.0), _noise(0.02, 0.1), _noise(0.1, 0.2), _noise(0.2, 0.4))


def _coloured(grid: _Grid) -> tuple[np.ndarray, pd.DataFrame]:
    images, rows = [], []
    for (name, pair), angle, frequency, v in product(
        _HUES.items(), _turns(6, np.pi), _FREQUENCIES[:2], range(VARIANTS)
    ):
        _, across = grid.at(0, angle)
        wave = np.cos(2 * np.pi * frequency * across + np.pi * v / 2)
        images.append(_level_luminance(pair)[:, None, None] * wave)
        rows.append({**_row("colour grating", angle, frequency, v), "colour": name})
    for (name, pair), sign, v in product(_HUES.items(), (1, -1), range(VARIANTS)):
        along, across = grid.at(v, 0.0)
        patch = sign * _inside(0.2 * grid.side - np.hypot(along, across), 1.0)
        images.append(_level_luminance(pair)[:, None, None] * patch)
        rows.append({**_row("colour patch", 0.0, float(sign), v), "colour": name})
    return np.stack(images), pd.DataFrame(rows)


def _level_luminance(pair: tuple[float, ...]) -> np.ndarray:
    """An opponent direction without luminance (the plain mean of the channels), of the same length as white's."""
    direction = np.array(pair) - np.mean(pair)
    return direction * np.sqrt(3) / np.linalg.norm(direction)


def _turns(count: int, full: float) -> np.ndarray:
    return np.arange(count) * full / count


def _ridge(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-((distance / width) ** 2) / 2)


def _inside(depth: np.ndarray, softness: float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(depth / softness, -50, 50)))


def _wrapped(u: np.ndarray, period: float) -> np.ndarray:
    return (u + period / 2) % period - period / 2


def _band(side: int, low: float, high: float) -> np.ndarray:
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    return ((frequency >= low) & (frequency < high)).astype(float)


def _scrambled(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image's amplitudes with the phases of white noise, which are those of a real image."""
    noise = np.fft.fft2(rng.standard_normal(image.shape))
    return np.fft.ifft2(np.abs(np.fft.fft2(image)) * noise / np.abs(noise)).real


def _levelled(image: np.ndarray) -> np.ndarray:
    centred = image - image.mean()
    return centred / max(2 * centred.std(), 1e-12)
