"""Small maps as pictures of a few hundred bytes, for a table of many runs and for the time before charts load."""

import base64
import io

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from geophone.charts.maps import cells
from geophone.charts.theme import VIRIDIS

_GAP = 95  # one shade after the last colour


def thumbnail(series: pd.DataFrame, *, columns: int = 96) -> str:
    """The map of `series` (step x layer) as a data address of a PNG: one row per layer, columns evenly spaced in the
    logarithm of the step, the colours of each layer from its own lowest value to its greatest, in the logarithm where
    values are positive; gaps are transparent."""
    table = cells(series.set_axis(range(series.shape[1]), axis=1))
    wide = table.pivot(index="stop", columns="layer", values="value")
    stops = np.log(wide.index.to_numpy(float))
    at = np.searchsorted(stops, np.linspace(np.log(table["start"].min()), stops[-1], columns + 1)[1:] - 1e-12)
    values = wide.to_numpy(float)[np.minimum(at, len(stops) - 1)].T
    picture = Image.fromarray(_shades(values), mode="P")
    picture.putpalette(_palette())
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True, transparency=_GAP)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _shades(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    shades = np.full(values.shape, _GAP, np.uint8)
    for row, shade in zip(values, shades, strict=True):
        there = np.isfinite(row)
        if there.any():
            level = np.log(row[there]) if (row[there] > 0).all() else row[there]
            shade[there] = np.rint((level - level.min()) / max(np.ptp(level), 1e-12) * (_GAP - 1))
    return shades


def _palette() -> list[int]:
    stops = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in VIRIDIS], float)
    at = np.linspace(0, len(stops) - 1, _GAP)
    levels = np.stack([np.interp(at, np.arange(len(stops)), stops[:, i]) for i in range(3)], axis=1)
    return [*np.rint(levels).astype(int).ravel().tolist(), 0, 0, 0]
