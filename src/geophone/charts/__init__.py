"""Charts: pure functions from tables to altair charts, one per figure, in one theme for notebook, page and print."""

from geophone.charts.maps import Look, map_grid, overlay, training_map
from geophone.charts.theme import BLANK, PAGE, PALETTE, PRINT, Theme, specification, styled

__all__ = [
    "BLANK", "PAGE", "PALETTE", "PRINT", "Look", "Theme", "map_grid", "overlay", "specification", "styled",
    "training_map",
]  # fmt: skip
