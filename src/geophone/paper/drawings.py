"""Charts of the case studies."""

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from geophone.paper.figures import finished

# Paul Tol's "muted" set with grey: ten fills told apart with any common colour vision; regions carry their
# class besides.
TEN = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#DDDDDD",
)  # fmt: skip
_SIDE = 190


def attention_maps(maps: Mapping[str, np.ndarray], steps: Mapping[str, int]) -> dict:
    """A panel a moment: query by token read, darker is more attention; one scale."""
    top = max(float(each.max()) for each in maps.values())
    panels: list[alt.Chart] = []
    for moment, pattern in maps.items():
        rows, columns = np.indices(pattern.shape)
        cells = pd.DataFrame(
            {"query": rows.ravel(), "key": columns.ravel(), "weight": pattern.ravel().astype(float).round(4)}
        )
        cells = cells[cells["weight"] > 0.002].assign(
            query2=lambda c: c["query"] + 1.12, key2=lambda c: c["key"] + 1.12
        )
        length = len(pattern)
        axis = alt.Axis(grid=False, tickCount=4)
        x = alt.X("key:Q", title="token read", scale=alt.Scale(domain=[0, length], nice=False), axis=axis)
        scale = alt.Scale(domain=[length, 0], nice=False)
        y = alt.Y("query:Q", title=None if panels else "query", scale=scale, axis=axis)
        colour = alt.Color("weight:Q", scale=alt.Scale(type="sqrt", scheme="blues", domain=[0, top]), title="attention")
        chart = alt.Chart(cells).mark_rect(strokeWidth=0).encode(x=x, x2="key2:Q", y=y, y2="query2:Q", color=colour)
        panels.append(chart.properties(width=_SIDE, height=_SIDE - 40, title=_title(moment, steps)))
    return finished(alt.hconcat(*panels, spacing=14))


def decision_planes(cells: pd.DataFrame, steps: Mapping[str, int]) -> dict:
    """A panel a moment: the class decided over the plane; dots are the three samples."""
    classes = sorted(int(c) for c in cells["class"].unique())
    line = np.sort(cells["x"].unique())
    half = float(line[1] - line[0]) / 2
    reach = 1.3 * half  # cells overlap a little, so that no seam shows
    corners = alt.Chart(pd.DataFrame({"x": [0, 1, 0], "y": [0, 0, 1]}))
    dots = corners.mark_point(filled=True, color="black", stroke="white", size=40, opacity=1).encode(x="x:Q", y="y:Q")
    domain = alt.Scale(domain=[float(line[0]) - half, float(line[-1]) + half], nice=False)
    panels: list[alt.Chart] = []
    for moment in steps:
        mine = cells[cells["moment"] == moment]
        edges = mine.assign(
            left=mine["x"] - half, right=mine["x"] + reach, low=mine["y"] - half, high=mine["y"] + reach
        )
        axis = alt.Axis(grid=False, tickCount=3)
        x = alt.X("left:Q", title="along the first side", scale=domain, axis=axis)
        y = alt.Y("low:Q", title=None if panels else "along the second side", scale=domain, axis=axis)
        scale = alt.Scale(domain=classes, range=[TEN[c % len(TEN)] for c in classes])
        colour = alt.Color("class:N", scale=scale, title="class decided", legend=alt.Legend(orient="right"))
        base = alt.Chart(edges[["left", "right", "low", "high", "class"]].round(4))
        shades = base.mark_rect(strokeWidth=0).encode(x=x, x2="right:Q", y=y, y2="high:Q", color=colour)
        names = alt.Chart(_middles(mine)).encode(x="x:Q", y="y:Q", text="class:N")
        halo = names.mark_text(
            fontSize=13, fontWeight="bold", color="white", stroke="white", strokeWidth=4, strokeJoin="round"
        )
        chart = shades + dots + halo + names.mark_text(fontSize=13, fontWeight="bold", color="black")
        panels.append(chart.properties(width=_SIDE - 20, height=_SIDE - 40, title=_title(moment, steps)))
    return finished(alt.hconcat(*panels, spacing=14))


def _middles(cells: pd.DataFrame) -> pd.DataFrame:
    """For each class of at least 4 % of the plane, its cell nearest to the middle of them all."""
    found = []
    for label, mine in cells.groupby("class"):
        if len(mine) >= 0.04 * len(cells):
            place = mine[["x", "y"]].to_numpy()
            nearest = place[np.argmin(((place - np.median(place, axis=0)) ** 2).sum(1))]
            found.append({"class": label, "x": float(nearest[0]) + 0.08, "y": float(nearest[1])})
    return pd.DataFrame(found, columns=["class", "x", "y"])


def _title(moment: str, steps: Mapping[str, int]) -> alt.Title:
    return alt.Title(f"{moment}, step {steps[moment]:,}", fontSize=10)
