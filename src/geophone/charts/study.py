"""Charts of many runs: orders, correlations, rates beside their nulls. In print unless another theme is given."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from geophone.charts.theme import FORMS, GREY, PALETTE, PRINT, AnyChart, Theme, colours, dashes, data, shapes, styled

_FEW = alt.Axis(tickCount=3)


def order_strip(order: pd.DataFrame, architectures: Mapping[str, str], theme: Theme = PRINT) -> AnyChart:
    """Spearman's rho of depth with settling step of every run, a row per architecture and form; dashed at ±0.6.

    `order` has run, mode, rho, p; runs without an order (NaN) have no mark.
    """
    rows = order.assign(architecture=order["run"].map(architectures)).dropna(subset="rho")
    rows = rows.assign(row=rows["architecture"] + ", " + rows["mode"])
    rows["shift"] = rows.groupby("row").cumcount() % 5 - 2
    kinds = sorted(set(architectures.values()))
    names = [f"{architecture}, {mode}" for architecture in kinds for mode in FORMS]
    zones = alt.Chart(data([{"rho": -0.6}, {"rho": 0.6}])).mark_rule(strokeDash=[3, 3], color=GREY).encode(x="rho:Q")
    marks = alt.Chart(data(rows[["run", "rho", "p", "row", "architecture", "mode", "shift"]]))
    forms = alt.Scale(domain=list(FORMS), range=list(FORMS.values()))
    points = marks.mark_point(filled=True, size=34, opacity=0.75).encode(
        x=alt.X("rho:Q", title="Spearman ρ of depth with settling step", scale=alt.Scale(domain=[-1, 1])),
        y=alt.Y("row:N", sort=names, scale=alt.Scale(domain=names), title=None, axis=alt.Axis(labelLimit=0)),
        yOffset=alt.YOffset("shift:O", scale=alt.Scale(domain=list(range(-4, 5)))),
        color=alt.Color("architecture:N", scale=colours(kinds), legend=None),
        shape=alt.Shape("mode:N", scale=forms, legend=None),
        tooltip=["run:N", "mode:N", alt.Tooltip("rho:Q", format="+.2f"), alt.Tooltip("p:Q", format=".3f")],
    )
    chart = alt.layer(zones, points).properties(width=225, height=28 * len(names))
    described = "Convergence order of every run: Spearman's rho of layer depth with the step at which it settled."
    return styled(chart, theme, description=described)


def scatter(pairs: pd.DataFrame, x: tuple[str, str], y: tuple[str, str], theme: Theme = PRINT) -> AnyChart:
    """A point per pair; `x` and `y` are (column, title)."""
    rows = pairs[["architecture", x[0], y[0]]].dropna()
    kinds = sorted(rows["architecture"].unique())
    points = alt.Chart(data(rows)).mark_point(size=36, filled=True, opacity=0.75).encode(
        x=alt.X(f"{x[0]}:Q", title=x[1]),
        y=alt.Y(f"{y[0]}:Q", title=y[1]),
        color=alt.Color("architecture:N", scale=colours(kinds), title=None),
        shape=alt.Shape("architecture:N", scale=shapes(kinds), title=None),
    )  # fmt: skip
    zero = alt.Chart(data([{"at": 0}])).mark_rule(color=GREY, strokeDash=[2, 2])
    chart = alt.layer(zero.encode(y="at:Q"), zero.encode(x="at:Q"), points).properties(width=250, height=150)
    return styled(chart, theme)


def rates(rows: pd.DataFrame, theme: Theme = PRINT) -> AnyChart:
    """Jumps per series by architecture, found and under the null alone; `rows`: architecture, mode, found, null."""
    long = rows.melt(["architecture", "mode"], ["found", "null"], var_name="what", value_name="jumps")
    what = ["found", "the null alone"]
    long["what"] = long["what"].map(dict(zip(("found", "null"), what, strict=True)))
    panels: list[alt.Chart] = []
    for mode in [m for m in FORMS if m in set(rows["mode"])]:
        chart = alt.Chart(data(long[long["mode"] == mode])).mark_point(size=46, strokeWidth=1.6).encode(
            x=alt.X("jumps:Q", title=f"jumps per series, {mode} rule", scale=alt.Scale(zero=True), axis=_FEW),
            y=alt.Y("architecture:N", title=None, axis=alt.Axis(labels=not panels, ticks=not panels)),
            color=alt.Color("what:N", scale=colours(what), title=None),
            shape=alt.Shape("what:N", scale=alt.Scale(domain=what, range=["circle", "cross"]), title=None),
        )  # fmt: skip
        panels.append(chart.properties(width=118, height=alt.Step(22)))
    return styled(alt.hconcat(*panels, spacing=12), theme)


def forest(rows: pd.DataFrame, title: str, *, bars: Sequence[float] = (), theme: Theme = PRINT) -> AnyChart:
    """Estimates with intervals, a row each; `rows`: label, value, low, high, passes. Rules at 0 and at `bars`."""
    y = alt.Y("label:N", sort=list(rows["label"]), title=None, axis=alt.Axis(labelLimit=0, grid=False))
    base = alt.Chart(data(rows))
    lines = base.mark_rule(strokeWidth=1.3, color=theme.ink).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y)
    fill = alt.condition("datum.passes", alt.value(PALETTE[1]), alt.value("white"))
    dots = base.mark_point(size=34, filled=True, stroke=theme.ink, strokeWidth=1).encode(x="value:Q", y=y, fill=fill)
    rules = [{"at": at, "dash": "bar" if at else "zero"} for at in (0.0, *bars)]
    dashed = alt.StrokeDash("dash:N", scale=alt.Scale(domain=["zero", "bar"], range=[[1, 0], [3, 3]]), legend=None)
    marks = alt.Chart(data(rules)).mark_rule(color=GREY).encode(x="at:Q", strokeDash=dashed)
    return styled(alt.layer(marks, lines, dots).properties(width=225, height=alt.Step(14)), theme)


def coupling(curves: pd.DataFrame, groups: Sequence[str], theme: Theme = PRINT) -> AnyChart:
    """How fast the loss falls around the peak of a critical period, a panel per group: own runs and swapped runs."""
    names = {"average": "own run", "expected": "swapped runs"}
    long = curves.melt(["group", "lag"], list(names), var_name="what", value_name="fall").replace({"what": names})
    what = list(names.values())
    panels: list[alt.Chart] = []
    for group in groups:
        chart = alt.Chart(data(long[long["group"] == group])).mark_line(strokeWidth=1.4).encode(
            x=alt.X("lag:Q", title="measurements from the peak", axis=_FEW),
            y=alt.Y("fall:Q", title=None if panels else "fall of the loss", axis=_FEW),
            color=alt.Color("what:N", scale=colours(what), title=None),
            strokeDash=alt.StrokeDash("what:N", scale=alt.Scale(domain=what, range=[[1, 0], [4, 2]]), title=None),
        )  # fmt: skip
        panels.append(chart.properties(width=int(600 / len(groups)) - 42, height=85, title=group))
    return styled(alt.hconcat(*panels, spacing=10), theme)


def dumbbells(rows: pd.DataFrame, theme: Theme = PRINT) -> AnyChart:
    """Recall with its interval by testbed and method: `rows` has bed, method, recall, low, high."""
    methods, beds = (list(dict.fromkeys(rows[column])) for column in ("method", "bed"))
    base = alt.Chart(data(rows)).encode(
        y=alt.Y("bed:N", sort=beds, title=None),
        yOffset=alt.YOffset("method:N", sort=methods),
        color=alt.Color("method:N", scale=colours(methods), title=None, legend=alt.Legend(columns=2, orient="top")),
    )
    title = "share of the events found (k = E), 95 % intervals"
    dots = base.mark_point(filled=True, size=30).encode(
        x=alt.X("recall:Q", title=title, scale=alt.Scale(domain=[0, 1])),
        shape=alt.Shape("method:N", scale=shapes(methods), title=None),
    )
    lines = base.mark_rule(strokeWidth=1).encode(x="low:Q", x2="high:Q")
    return styled(alt.layer(lines, dots).properties(width=225, height=300), theme)


def recall_curves(rows: pd.DataFrame, methods: Sequence[str], theme: Theme = PRINT) -> AnyChart:
    """Recall against the moments looked at per event, a panel per testbed; `rows`: bed, method, budget, recall."""
    legend = alt.Legend(orient="top", columns=3, symbolType="stroke", labelLimit=0)
    lines = alt.Chart(data(rows)).mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=1.6).encode(
        x=alt.X("budget:Q", title="moments looked at, per event", axis=alt.Axis(grid=False)),
        y=alt.Y("recall:Q", title="events found", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        color=alt.Color("method:N", title=None, scale=colours(methods), legend=legend),
        strokeDash=alt.StrokeDash("method:N", title=None, scale=dashes(methods)),
        tooltip=["method:N", "budget:Q", alt.Tooltip("recall:Q", format=".0%")],
    )  # fmt: skip
    facet = alt.Facet("bed:N", title=None, sort=list(dict.fromkeys(rows["bed"])))
    chart = lines.properties(width=190, height=150).facet(facet=facet, columns=3).resolve_scale(color="shared")
    described = "Share of events found by the number of moments looked at per event, a panel per testbed."
    return styled(chart, theme, description=described)


def known_events(examples: pd.DataFrame, bed: str, measure: str, theme: Theme = PRINT) -> AnyChart:
    """One run of the testbed `bed`: a measure of every layer by step, its events as bands from t10 to t90 with a line
    at t50, the moments pointed at as triangles above, the causal detector's alarms as ticks below.

    `examples`: bed, kind (series, event, moment, alarm), step, and what each kind has of layer, value, start, stop,
    name, rank.
    """
    mine = examples[examples["bed"] == bed]
    series, events, moments, alarms = (mine[mine["kind"] == k] for k in ("series", "event", "moment", "alarm"))
    layers = list(dict.fromkeys(series["layer"]))
    steps = alt.X("step:Q", title="training step", axis=alt.Axis(grid=False))
    bands = alt.Chart(data(events[["start", "stop", "step", "name"]]))
    lines = alt.Chart(data(series[["step", "layer", "value"]])).mark_line(strokeWidth=1.6)
    points = alt.Chart(data(moments[["step", "layer", "rank"]]))
    ticks = alt.Chart(data(alarms[["step", "layer"]])).mark_tick(orient="vertical", thickness=1.5, size=8, color=GREY)
    legend = alt.Legend(orient="top", symbolType="stroke")
    tips = [alt.Tooltip("name:N", title="event"), alt.Tooltip("step:Q", title="half there at", format=".0f")]
    chart = alt.layer(
        bands.mark_rect(opacity=0.12, color=GREY).encode(x="start:Q", x2="stop:Q", tooltip=tips),
        bands.mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=steps, tooltip=tips),
        lines.encode(x=steps, y=alt.Y("value:Q", title=measure, scale=alt.Scale(zero=False)),
                     color=alt.Color("layer:N", title=None, scale=colours(layers), legend=legend)),
        points.mark_point(shape="triangle-down", size=70, filled=True, color=PALETTE[1], yOffset=6).encode(
            x=steps, y=alt.value(0), tooltip=["rank:Q", "step:Q", "layer:N"]
        ),
        ticks.encode(x=steps, y=alt.value(175), tooltip=["step:Q", "layer:N"]),
    ).properties(width=620, height=180)  # fmt: skip
    described = f"A run of {bed}: {measure} of its layers by step; events as bands, moments as triangles, alarms below."
    return styled(chart, theme, description=described)
