"""Single units of a dig, each with its pictures and numbers before, during and after."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from geophone.records import MOMENTS
from geophone.rows.measures import label
from geophone.store.dig import PREFERRED_COLUMNS, Dig

_NUMBERS = ("selectivity", "d_prime", "mutual_information", "sparsity", "own_correlation")


def shown_units(dug: Dig, units: Sequence[int], folder: str) -> list[dict[str, Any]]:
    """Each of `units` (those that the dig's pictures show, in their order) at the three moments: what it answers to,
    its numbers, and its piece of every picture as CSS. `folder` is where the page finds the pictures."""
    table = dug.get("units")
    if table.empty or not units:
        return []
    mine = table[(table["role"] == "target") & table["unit"].isin(units)].set_index(["unit", "moment"])
    return [
        {"unit": unit, "moments": [
            {"moment": moment, "says": _says(mine.loc[(unit, moment)]),
             "pieces": [piece for kind in ("preferred", "top")
                        if (piece := _piece(dug, kind, moment, place, len(units), folder))]}
            for moment in MOMENTS if (unit, moment) in mine.index
        ]}
        for place, unit in enumerate(units)
    ]  # fmt: skip


def _says(row: pd.Series) -> str:
    """What a unit answers to and its numbers, those that there are."""
    kind = "dead" if row.get("dead", False) else str(row["type"])
    numbers = [f"{label(name)} {row[name]:.2f}" for name in _NUMBERS if name in row and np.isfinite(row[name])]
    liked = row.get("preferred", np.nan)
    most = [f"most to class {liked:.0f}"] if np.isfinite(liked) else []
    return ", ".join([kind, *most, *numbers])


def _piece(dug: Dig, kind: str, moment: str, place: int, count: int, folder: str) -> Mapping[str, str] | None:
    """The tile ("preferred") or row ("top") of the unit at `place` out of a dig's picture, as a style; None where there
    is no such picture."""
    path = dug.image(f"{kind}-{moment}")
    if not path.is_file():
        return None
    columns = min(PREFERRED_COLUMNS, count) if kind == "preferred" else 1
    rows = -(-count // columns)
    with Image.open(path) as picture:
        ratio = (picture.width / columns) / (picture.height / rows)
    x, y = (100 * at / (of - 1) if of > 1 else 0 for at, of in ((place % columns, columns), (place // columns, rows)))
    style = (
        f"background-image: url('{folder}/{path.name}'); background-size: {100 * columns}% {100 * rows}%; "
        f"background-position: {x:.4g}% {y:.4g}%; aspect-ratio: {ratio:.4g}"
    )
    return {"kind": kind, "style": style}
