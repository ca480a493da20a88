"""Small heatmaps as pictures of a few hundred bytes, for a table of many runs and for the time before charts load."""

import base64
import io

import numpy as np
import pandas as pd
from PIL import Image

# Nine colours of viridis (van der Walt & Smith 2015), the ones between them by linear interpolation.
_VIRIDIS = ("440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")
_GAP = 255


def thumbnail(series: pd.DataFrame, *, columns: int = 64) -> str:
    """`series` (step x layer) as a data address of a PNG: one row a layer, `columns` columns that average the
    measurements they cover, colour from the lowest value of the run to the greatest; gaps are transparent."""
    values = series.to_numpy(dtype=float).T
    cuts = np.array_split(np.arange(values.shape[1]), min(columns, values.shape[1]))
    means = np.stack([_mean(values[:, cut]) for cut in cuts], axis=1)
    picture = Image.fromarray(_shades(means), mode="P")
    picture.putpalette(_palette())
    held = io.BytesIO()
    picture.save(held, format="PNG", optimize=True, transparency=_GAP)
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()


def _mean(block: np.ndarray) -> np.ndarray:
    there = np.isfinite(block)
    count = there.sum(1)
    return np.where(count > 0, np.where(there, block, 0).sum(1) / np.maximum(count, 1), np.nan)


def _shades(values: np.ndarray) -> np.ndarray:
    there = np.isfinite(values)
    if not there.any():
        return np.full(values.shape, _GAP, np.uint8)
    low, high = values[there].min(), values[there].max()
    share = (np.where(there, values, low) - low) / max(high - low, 1e-12)
    return np.where(there, np.rint(share * (_GAP - 1)), _GAP).astype(np.uint8)


def _palette() -> list[int]:
    stops = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in _VIRIDIS], float)
    at = np.linspace(0, len(stops) - 1, _GAP)
    colours = np.stack([np.interp(at, np.arange(len(stops)), stops[:, i]) for i in range(3)], axis=1)
    return [*np.rint(colours).astype(int).ravel().tolist(), 0, 0, 0]
