"""The difference of two maps: two trainings, or two seeds of one, layer by layer and step by step."""

import altair as alt
import numpy as np
import pandas as pd

from geophone.charts.maps import Look, cells, extent, layer_axis, parameters, steps_axis
from geophone.charts.theme import FRACTIONS, AnyChart, data, plain, styled


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
    words = "format(pow(2, datum.value), '.2~g') + ' x'" if ratio else "format(datum.value, '+.2~g')"
    legend = alt.Legend(labelExpr=words, title=None, orient="bottom", direction="horizontal", gradientLength=190,
                        gradientThickness=8, offset=4, tickCount=5)  # fmt: skip
    colour = alt.Color("apart:Q", legend=legend, scale=alt.Scale(scheme="blueorange", domain=[-most, most]))
    shown = "datum.apart == null ? null : " + ("pow(2, datum.apart)" if ratio else "datum.apart")
    rows = alt.Chart(data(frame)).transform_calculate(value=shown)
    chart = rows.mark_rect(strokeWidth=0, clip=True).encode(
        x=steps_axis("start:Q"), x2=alt.X2("stop:Q"), y=layer_axis(layers), color=colour,
        tooltip=["layer:N", "step:Q", alt.Tooltip("value:Q", format=".3~g", title="times" if ratio else "more")],
    )  # fmt: skip
    chart = chart.properties(width=look.width, height=look.row * len(layers))
    label = f"{plain(dimension)} of {names[0]} {'as a multiple of that' if ratio else 'less that'} of {names[1]}"
    described = f"Map of {len(layers)} layers by training step; colour is the {label}."
    made = chart.add_params(*parameters(low=low, high=high))
    return styled(made, title=f"The {label}", description=described, extent=extent(layers))
