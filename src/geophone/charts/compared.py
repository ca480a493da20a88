"""Two trainings, or two seeds of one: the difference of their maps, and one layer of both on one axis."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from geophone.charts.maps import FRACTION, Look, cells, extent, layer_axis, parameters, steps_axis
from geophone.charts.theme import ACCENT, FRACTIONS, OTHER, AnyChart, data, plain, styled

HEIGHT = 200  # pixels of the chart of one layer


def difference_map(
    first: pd.DataFrame, second: pd.DataFrame, *, dimension: str, names: tuple[str, str], look: Look | None = None
) -> AnyChart:
    """How many times as great the `dimension` is in the `first` run as in the `second` (of a share: how much greater it
    is), over the layers and steps that both have; white: the same in both, orange: greater in the first.

    `first`, `second`: step x layer. `names`: the runs'. A ratio of 0 or below has no colour.
    """
    look = look or Look()
    layers = [str(name) for name in first.columns if name in second.columns]
    steps = first.index.intersection(second.index)
    a, b = first.loc[steps, layers], second.loc[steps, layers]
    ratio = dimension not in FRACTIONS
    apart = np.log2(a.where(a > 0) / b.where(b > 0)) if ratio else a - b
    # Means of logarithms: positive and negative cells alike, so that nothing of them is taken for a ratio.
    frame = cells(apart.astype(float).where(np.isfinite(apart)), name="apart")
    most = float(frame["apart"].abs().max()) or 1.0
    low, high = float(frame["start"].min()), float(frame["stop"].max())
    chart = difference(data(frame), layers).properties(width=look.width, height=look.row * len(layers))
    label = f"{plain(dimension)} of {names[0]} {'as a multiple of that' if ratio else 'less that'} of {names[1]}"
    described = f"Map of {len(layers)} layers by training step; colour is the {label}."
    made = chart.add_params(*parameters(dimension=dimension, most=most, low=low, high=high))
    return styled(made, title=f"The {label}", description=described, extent=extent(layers))


def difference(source: alt.Data | alt.NamedData, layers: Sequence[str]) -> alt.Chart:
    """Cells (layer, start, stop, step, `apart`: the difference of a share, else the binary logarithm of a ratio) in
    colours from -`most` to `most`. Reads the parameters `dimension`, `most`, `low` and `high` (the steps shown)."""
    words = f"({FRACTION}) ? format({{0}}, '+.3~g') : format(pow(2, {{0}}), '.3~g') + ' x'"
    legend = alt.Legend(labelExpr=words.format("datum.value"), title=None, orient="bottom", direction="horizontal",
                        gradientLength=190, gradientThickness=8, offset=4, tickCount=5)  # fmt: skip
    scale = alt.Scale(scheme="blueorange", domainMin=alt.ExprRef("-most"), domainMax=alt.ExprRef("most"), nice=False)
    rows = alt.Chart(source).transform_filter("datum.stop >= low && datum.start <= high")
    rows = rows.transform_calculate(value=f"datum.apart == null ? null : ({words.format('datum.apart')})")
    return rows.mark_rect(strokeWidth=0, clip=True).encode(
        x=steps_axis("start:Q"), x2=alt.X2("stop:Q"), y=layer_axis(layers),
        color=alt.Color("apart:Q", legend=legend, scale=scale),
        tooltip=["layer:N", "step:Q", alt.Tooltip("value:N", title="apart")],
    )  # fmt: skip


def beside(source: alt.Data | alt.NamedData, theirs: alt.Data | alt.NamedData) -> AnyChart:
    """One layer of two runs: a line per `run` (run, place, value), and at the foot a triangle where `theirs` (flags of
    the other run) lie. Reads the parameters `low` and `high`."""
    legend = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolSize=300, labelLimit=0, columns=1)
    colour = alt.Color("run:N", sort=None, scale=alt.Scale(range=[ACCENT, OTHER]), legend=legend)
    lines = alt.Chart(source).transform_filter("datum.place >= low && datum.place <= high")
    drawn = lines.mark_line(strokeWidth=1.8, clip=True).encode(
        x=steps_axis("place:Q"), y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)), color=colour,
        tooltip=["run:N", "step:Q", alt.Tooltip("value:Q", format=".4~g")],
    )  # fmt: skip
    peaks = alt.Chart(theirs).transform_filter("datum.peak >= low && datum.peak <= high")
    feet = peaks.mark_point(shape="triangle-up", filled=True, size=90, color=OTHER, opacity=1, cursor="pointer")
    tips = [alt.Tooltip("label:N"), alt.Tooltip("kind:N"), alt.Tooltip("peak:Q")]
    return alt.layer(drawn, feet.encode(x=steps_axis("peak:Q"), y=alt.value(HEIGHT - 6), tooltip=tips)).properties(
        height=HEIGHT
    )
