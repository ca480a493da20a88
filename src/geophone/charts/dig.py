"""Charts of what was dug up at one moment: the series around it, its units, who carries whom, what breaks without a
layer, what comes back. `title` is the finding; it is given, since a chart only draws."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from geophone.charts.theme import (
    ACCENT,
    BLANK,
    GREY,
    PALETTE,
    AnyChart,
    colours,
    dashes,
    data,
    styled,
)
from geophone.records import MOMENTS

RUNGS = {
    "naive_edges": "correlated (Pearson > 0.7)",
    "partial_edges": "correlated within class (> 0.7)",
    "effect_edges": "causal effect (5 % false discoveries)",
}
ARMS = {"ablated": PALETTE[1], "fresh": PALETTE[0], "sham": GREY}
_ARC = np.linspace(0, np.pi, 17)


Spans = Sequence[tuple[float, float]]


def around(
    series: pd.DataFrame, window: tuple[float, float, float], controls: Spans, layers: Sequence[str], *,
    measure: str, title: str, beneath: pd.DataFrame | None = None,
) -> AnyChart:  # fmt: skip
    """The series (step x layer) of one measure around a transition: its `layers` in colour, the others in grey; a band
    from start to end of `window` (start, peak, end), and one in grey over each of its `controls` (start, end).
    `beneath`, on the same steps: behaviour, of which the first column is in colour."""
    described = f"{measure} of every layer around the transition."
    chart: AnyChart = _near(series, window, controls, layers, measure=measure, height=220)
    if beneath is not None:
        below = _near(beneath, window, controls, list(beneath.columns[:1]), measure="behaviour", height=110)
        chart = alt.vconcat(chart, below, spacing=10).resolve_scale(x="shared", color="independent")
    return styled(chart, BLANK, title=title, description=described)


def _near(
    series: pd.DataFrame, window: tuple[float, float, float], controls: Spans, layers: Sequence[str], *,
    measure: str, height: int,
) -> AnyChart:  # fmt: skip
    ends = [*window, *(step for control in controls for step in control)]
    margin = max((max(ends) - min(ends)) / 2, 1)
    near = series.loc[max(min(ends) - margin, series.index[0]) : min(max(ends) + margin, series.index[-1])]
    rows = near.rename_axis("step").reset_index().melt("step", var_name="layer", value_name="value")
    named = [layer for layer in layers if layer in series.columns][: len(PALETTE)]
    rows["part"] = rows["layer"].isin(named)
    steps = alt.X("step:Q", title="training step", axis=alt.Axis(grid=False), scale=alt.Scale(nice=False, zero=False))
    value = alt.Y("value:Q", title=measure, scale=alt.Scale(zero=False))
    tips = [alt.Tooltip("layer:N"), alt.Tooltip("step:Q"), alt.Tooltip("value:Q", format=".4~g")]
    base = alt.Chart(data(rows)).encode(x=steps, y=value, tooltip=tips)
    others = base.transform_filter("!datum.part").mark_line(strokeWidth=1, color=GREY, opacity=0.4)
    legend = alt.Legend(orient="top", title=None, symbolType="stroke", labelLimit=200)
    palette = alt.Scale(domain=named, range=[ACCENT, *(c for c in PALETTE if c != ACCENT)][: len(named)])
    mine = base.transform_filter("datum.part").mark_line(strokeWidth=2.2)
    bands = [_band(window[0], window[2], "transition", ACCENT), *(_band(*c, "control", GREY) for c in controls)]
    peak = alt.Chart(data([{"step": window[1]}])).mark_rule(color=ACCENT, strokeDash=[4, 3]).encode(x=steps)
    return alt.layer(
        *(layer for band in bands for layer in band),
        peak,
        others.encode(detail=alt.Detail("layer:N")),
        mine.encode(color=alt.Color("layer:N", scale=palette, legend=legend)),
    ).properties(width=640, height=height)


def _band(start: float, stop: float, name: str, colour: str) -> list[alt.Chart]:
    base = alt.Chart(data([{"start": float(start), "stop": float(stop), "name": name}]))
    x = alt.X("start:Q", title="training step")
    label = base.mark_text(align="left", baseline="bottom", dx=1, dy=-3, fontSize=11, color=colour)
    band = base.mark_rect(opacity=0.14, color=colour).encode(x=x, x2=alt.X2("stop:Q"))
    return [band, label.encode(x=x, y=alt.value(0), text=alt.Text("name:N"))]


def units(table: pd.DataFrame, column: str, label: str, *, title: str) -> AnyChart:
    """A statistic of every unit before, during and after, a tick per unit with the median as a bar; target and
    control. Units without a value are left out."""
    rows = table[["role", "moment", column]].rename(columns={column: "value"}).dropna(subset="value")
    value = alt.X("value:Q", title=f"{label} of a unit", axis=alt.Axis(tickCount=5))
    place = alt.Y("moment:N", sort=list(MOMENTS), title=None)
    base = alt.Chart()  # rows of its own would stand in every panel
    ticks = base.mark_tick(thickness=1, size=14, opacity=0.45, color=PALETTE[0]).encode(x=value, y=place)
    middle = base.mark_tick(thickness=3, size=20, color=ACCENT).encode(x=alt.X("median(value):Q"), y=place)
    facet = alt.Column("role:N", sort=["target", "control"], title=None)
    chart = alt.layer(ticks, middle).properties(width=290, height=90).facet(column=facet, data=data(rows))
    described = f"{label} of every unit by moment, target and control."
    return styled(chart, BLANK, title=title, description=described)


def dependency(composition: pd.DataFrame, layers: Sequence[str], *, title: str) -> AnyChart:
    """Which layers carry which, as arcs from early to late; columns before, during, after, a row per rung of the
    ladder. The wider an arc, the greater the share of the two layers' unit pairs that are linked; the causal rung has
    arcs between neighbours only."""
    places = {name: i for i, name in enumerate(layers)}
    seen = in_order(composition["moment"])
    arcs = [
        {"moment": r.moment, "rung": r.rung, "pair": f"{r.early} to {r.late}", "share": float(r.share),
         "x": float(np.interp(-np.cos(a), [-1, 1], [places[r.early], places[r.late]])),
         "y": float(np.sin(a) * (places[r.late] - places[r.early]) / 2), "order": i}
        for r in _shares(composition).itertuples() if r.share > 0 for i, a in enumerate(_ARC)
    ]  # fmt: skip
    nodes = [
        {"moment": m, "rung": rung, "layer": name, "x": i, "y": 0}
        for m in seen for rung in RUNGS.values() for name, i in places.items()
    ]  # fmt: skip
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.5, len(layers) - 0.5]))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-0.35 * len(layers) / 2, len(layers) / 2]))
    width = alt.StrokeWidth("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.3, 12]), title="share of unit pairs")
    rows = data([*arcs, *nodes])
    base = alt.Chart()
    curves = base.transform_filter("isValid(datum.pair)").mark_line(opacity=0.6, color=PALETTE[0], strokeCap="round")
    tips = [alt.Tooltip("pair:N"), alt.Tooltip("share:Q", format=".1%", title="share of unit pairs")]
    there = base.transform_filter("isValid(datum.layer)")
    dots = there.mark_point(filled=True, size=45, color=GREY, opacity=1).encode(x=x, y=y)
    names = there.mark_text(dy=12, color=GREY, fontSize=9, angle=330, align="right")
    chart = alt.layer(
        curves.encode(x=x, y=y, detail="pair:N", order="order:Q", strokeWidth=width, tooltip=tips), dots,
        names.encode(x=x, y=y, text=alt.Text("layer:N")),
    ).properties(width=max(150, 42 * len(layers)), height=100)  # fmt: skip
    header = alt.Header(labelAngle=0, labelAlign="left", labelLimit=0)
    row = alt.Row("rung:N", sort=list(RUNGS.values()), title=None, header=header)
    grid = chart.facet(column=alt.Column("moment:N", sort=seen, title=None), row=row, data=rows)
    described = "Arcs from early to late layers, by moment and rung of the ladder."
    return styled(grid, BLANK, title=title, description=described)


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Per moment, pair of layers and rung: the share of unit pairs that are linked, 0 where it was not measured."""
    parts = [
        rows[["moment", "early", "late"]].assign(rung=name, share=(rows[column] / rows["pairs"]).fillna(0.0))
        for column, name in RUNGS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def ablation(lost: pd.DataFrame, layers: Sequence[str], *, title: str) -> AnyChart:
    """Accuracy lost without each layer by training step; a line per layer, a column per kind. `lost`: step, layer,
    kind, lost (percentage points)."""
    kinds = [k for k in ("zero", "mean", "resample") if k in set(lost["kind"])]
    words, names = "without layer", list(layers)
    chart = alt.Chart(data(lost)).mark_line(point=alt.OverlayMarkDef(size=45)).encode(
        x=alt.X("step:Q", title="training step", scale=alt.Scale(zero=False), axis=alt.Axis(labelOverlap=True)),
        y=alt.Y("lost:Q", title="accuracy lost (percentage points)"),
        color=alt.Color("layer:N", sort=names, scale=colours(names), title=words, legend=alt.Legend(labelLimit=0)),
        strokeDash=alt.StrokeDash("layer:N", sort=names, scale=dashes(names), title=words),
        tooltip=["layer:N", "step:Q", alt.Tooltip("lost:Q", format=".1f", title="points lost")],
    )  # fmt: skip
    grid = chart.properties(width=190, height=200).facet(column=alt.Column("kind:N", sort=kinds, title=None))
    described = "Accuracy lost without a layer, by training step and kind of ablation."
    return styled(grid, BLANK, title=title, description=described)


def recovery(bands: pd.DataFrame, *, title: str) -> AnyChart:
    """Accuracy after an ablation by steps since, a line per arm, a column per moment. `bands`: moment, arm, since,
    accuracy, low, high (missing: no band), runs."""
    arms = [a for a in ARMS if a in set(bands["arm"])]
    x = alt.X("since:Q", title="steps since the ablation")
    legend = alt.Legend(title="arm", symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=2.5)
    palette = alt.Scale(domain=arms, range=[ARMS[a] for a in arms])
    words = "accuracy on held-out samples"
    base = alt.Chart().encode(x=x, color=alt.Color("arm:N", sort=arms, scale=palette, legend=legend))
    tips = ["arm:N", "since:Q", alt.Tooltip("accuracy:Q", format=".3f"), alt.Tooltip("runs:Q")]
    spread = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.2)
    chart = alt.layer(
        spread.encode(y=alt.Y("low:Q", title=words), y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(
            y=alt.Y("accuracy:Q", title=words, scale=alt.Scale(zero=False)), tooltip=tips
        ),
    ).properties(width=230, height=180)
    facet = alt.Column("moment:N", sort=in_order(bands["moment"]), title=None)
    described = "Accuracy by steps since the ablation, a line per arm, a column per moment."
    return styled(chart.facet(column=facet, data=data(bands)), BLANK, title=title, description=described)


def in_order(moments: pd.Series) -> list[str]:
    """The moments there are: before, during, after, then what else there is."""
    return [*(m for m in MOMENTS if m in set(moments)), *sorted(set(moments) - set(MOMENTS))]
