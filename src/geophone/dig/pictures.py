"""Images on disk: tiles of pictures side by side, and heatmaps with their numbers in the file beside."""

from pathlib import Path

import numpy as np
from PIL import Image

from geophone.store.tables import replace_file

_GAP = 2
_RIM = 255
_FRAME = 170
# From white through blue to dark: lightness falls evenly, so that it reads in print and without colour vision.
_RAMP = np.array([[255, 255, 255], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]], float)


def contact_sheet(images: np.ndarray, *, columns: int, tile: int = 56) -> np.ndarray:
    """`images` (N, C, H, W) or (N, H, W), each stretched to its own range, in rows of `columns`: (h, w, 3) uint8.

    A tile is scaled up by a whole number to about `tile` pixels, so that its pixels stay pixels.
    """
    images = np.asarray(images, dtype=np.float64)
    if images.ndim == 3:
        images = images[:, None]
    if images.shape[1] not in (1, 3):
        images = images.mean(1, keepdims=True)
    low = images.min(axis=(1, 2, 3), keepdims=True)
    span = np.maximum(images.max(axis=(1, 2, 3), keepdims=True) - low, 1e-12)
    scaled = np.rint(255 * (images - low) / span).astype(np.uint8)
    scaled = np.moveaxis(scaled, 1, 3).repeat(3 // images.shape[1], axis=3)
    factor = max(1, round(tile / scaled.shape[2]))
    return _tiled(scaled.repeat(factor, 1).repeat(factor, 2), columns)


def heatmap(values: np.ndarray, *, cell: int = 12) -> np.ndarray:
    """`values` (rows, columns), each column over its greatest, as squares from white (0 or less) to dark; (h, w, 3)
    uint8."""
    values = np.nan_to_num(np.asarray(values, dtype=np.float64))
    return _coloured(values / np.maximum(values.max(0, keepdims=True), 1e-12)).repeat(cell, 0).repeat(cell, 1)


def patterns_sheet(patterns: np.ndarray, *, tile: int = 240) -> np.ndarray:
    """Attention `patterns` (moments, heads, T, T) as squares of about `tile` pixels, a row per moment and a column per
    head, queries downwards; from white (0) to dark (1); (h, w, 3) uint8."""
    moments, heads, length, _ = patterns.shape
    cell = max(1, round(tile / length))
    tiles = _coloured(np.nan_to_num(patterns.reshape(moments * heads, length, length)))
    # A frame, since most of a pattern is as white as the page.
    framed = np.pad(tiles.repeat(cell, 1).repeat(cell, 2), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=_FRAME)
    return _tiled(framed, heads)


def _coloured(share: np.ndarray) -> np.ndarray:
    """`share` (...), from 0 to 1, in the colours of the ramp: (..., 3) uint8."""
    place = np.clip(share, 0, 1) * (len(_RAMP) - 1)
    below = np.minimum(place.astype(int), len(_RAMP) - 2)
    part = (place - below)[..., None]
    return np.rint(_RAMP[below] * (1 - part) + _RAMP[below + 1] * part).astype(np.uint8)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write `pixels` (h, w, 3) uint8, whole or not at all."""
    replace_file(path, lambda temporary: Image.fromarray(pixels).save(temporary, format="PNG", optimize=True))


def _tiled(tiles: np.ndarray, columns: int) -> np.ndarray:
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), _RIM, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // columns * (height + _GAP), number % columns * (width + _GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet
