"""Charts as Vega-Lite specifications: pure functions of tables. What is drawn can be read in the specification."""

import copy

import altair as alt
import pandas as pd

from geophone.report.tables import RunTables, records

ROW = 30
# Stands in titles for the name and unit of the dimension that is shown; the page fills it in.
SHOWN = "{dimension}"
FRACTIONS = ("mean_fraction", "dead_fraction")
# Okabe & Ito (2008), told apart with any common colour vision; yellow and black left out for light and dark pages.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STROKES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
_CHOSEN = "datum.dimension == dimension && datum.mode == mode"
_INSIDE = "datum.step >= low && datum.step <= high"
_AXIS = {
    "axis": {"title": "training step", "grid": False},
    "scale": {"domainMin": {"expr": "low"}, "domainMax": {"expr": "high"}, "nice": False, "zero": False},
}
# What lies outside the selected steps is under a veil, with a rule at each end of the selection. Plain parts of a
# specification, since Altair takes longer to make them than everything else in a chart of a run.
_SIDES = {
    "data": {"values": [{"side": 0}, {"side": 1}]},
    "transform": [
        {"calculate": "datum.side == 0 ? low : (span_from == null ? high : span_to)", "as": "a"},
        {"calculate": "datum.side == 1 ? high : (span_from == null ? low : span_from)", "as": "b"},
        {"calculate": "datum.side == 0 ? datum.b : datum.a", "as": "end"},
    ],
}
_VEIL = [
    {
        **_SIDES,
        "mark": {"type": "rect", "opacity": 0.62, "color": {"expr": "ground"}, "clip": True},
        "encoding": {"x": {"field": "a", "type": "quantitative", **_AXIS}, "x2": {"field": "b"}},
    },
    {
        **_SIDES,
        "mark": {
            "type": "rule", "strokeWidth": 1.5, "color": PALETTE[1], "clip": True,
            "opacity": {"expr": "span_from == null ? 0 : 1"},
        },
        "encoding": {"x": {"field": "end", "type": "quantitative", **_AXIS}},
    },
]  # fmt: skip


def run_charts(run: RunTables, *, dimension: str) -> dict[str, dict]:
    """The charts of a run by name: heatmap, series, loss (where there is one) and critical.

    Each is a Vega-Lite specification that reads the named data sets of `run_data` and these parameters: `dimension`
    (which one is shown), `share` (as a share of the most it could be), `mode` (naive or calibrated),
    `low` and `high` (the
    steps shown), `span_from` and `span_to` (the steps selected, null for none; the rest lies under a veil of the colour
    `ground`). Titles hold `SHOWN` where the dimension's name belongs. All have the same width and the same step axis.
    """
    charts = {
        "heatmap": _heatmap(run),
        "series": _series(run),
        "loss": _loss(run),
        "critical": _critical(run),
    }
    return {name: _finished(chart, run, dimension) for name, chart in charts.items() if chart is not None}


def _params(run: RunTables, dimension: str) -> list[dict]:
    values = {
        "dimension": dimension, "share": False, "mode": "naive", "low": 0, "high": run.last_step,
        "span_from": None, "span_to": None, "ground": "white",
    }  # fmt: skip
    return [{"name": name, "value": value} for name, value in values.items()]


def _value(chart: alt.Chart) -> alt.Chart:
    """Adds `value`: the chosen dimension, as a share of min(n - 1, d) where that is asked for and has a meaning."""
    fractions = " || ".join(f"dimension == '{name}'" for name in FRACTIONS)
    shown = f"share && !({fractions}) ? datum[dimension] / datum.cap : datum[dimension]"
    return chart.transform_calculate(value=f"datum[dimension] == null ? null : ({shown})")


def _steps(field: str = "step:Q") -> alt.X:
    shown = alt.Scale(domainMin=alt.ExprRef("low"), domainMax=alt.ExprRef("high"), nice=False, zero=False)
    return alt.X(field, axis=alt.Axis(title="training step", grid=False), scale=shown)


def _layer_names(run: RunTables) -> list[str]:
    return [layer.name for layer in run.layers]


def _heatmap(run: RunTables) -> alt.Chart:
    names = _layer_names(run)
    shades = (
        _value(alt.Chart(alt.NamedData("measurements")))
        .mark_rect(strokeWidth=0, clip=True)
        .encode(
            x=_steps("since:Q"),
            x2="step:Q",
            y=alt.Y("layer:N", sort=names, title="layer, input at the top", axis=alt.Axis(grid=False)),
            color=alt.Color(
                "value:Q",
                scale=alt.Scale(scheme="viridis"),
                legend=alt.Legend(title=SHOWN, gradientLength=220, orient="top", titleOrient="left", offset=6),
            ),
            tooltip=[
                alt.Tooltip("layer:N"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("value:Q", title=SHOWN, format=".4~g"),
                alt.Tooltip("cap:Q", title="min(n - 1, d)"),
            ],
        )
    )
    settled = (
        alt.Chart(alt.NamedData("stabilization"))
        .transform_filter(_CHOSEN)
        .mark_tick(thickness=3, color="white", size=ROW - 6, clip=True)
        .encode(
            x=_steps(),
            y=alt.Y("layer:N", sort=names),
            tooltip=["layer:N", alt.Tooltip("step:Q", title="settled at step")],
        )
    )
    return alt.layer(shades, settled).properties(
        height=ROW * len(names),
        description=f"Heatmap of {run.name}: layers by training step, colour is the dimension that was chosen.",
    )


def _series(run: RunTables) -> alt.Chart:
    names = _layer_names(run)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolSize=300, offset=18, columns=8)
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(names))]
    dashes = [STROKES[i // len(PALETTE) % len(STROKES)] for i in range(len(names))]
    colour = alt.Color("layer:N", sort=names, scale=alt.Scale(domain=names, range=colours), legend=legend)
    dash = alt.StrokeDash("layer:N", sort=names, scale=alt.Scale(domain=names, range=dashes), legend=legend)
    lines = _value(alt.Chart(alt.NamedData("measurements")).transform_filter(_INSIDE))
    lines = lines.mark_line(strokeWidth=1.6).encode(
        x=_steps(),
        y=alt.Y("value:Q", title=SHOWN, scale=alt.Scale(zero=False)),
        color=colour,
        strokeDash=dash,
    )
    found = alt.Chart(alt.NamedData("jumps")).transform_filter(f"{_CHOSEN} && {_INSIDE}")
    marks = found.mark_point(shape="triangle-down", filled=True, size=46, yOffset=-7, opacity=0.85).encode(
        x=_steps(),
        y=alt.value(0),
        color=colour,
        tooltip=[
            "layer:N",
            "step:Q",
            alt.Tooltip("magnitude:Q", format="+.3~g"),
            alt.Tooltip("log_ratio:Q", title="log ratio", format="+.3~f"),
            alt.Tooltip("score:Q", title="z", format="+.1f"),
        ],
    )
    return alt.layer(lines, marks).properties(
        height=230,
        description=f"Series of {run.name}: one line a layer, the chosen dimension by training step; jumps are "
        "triangles along the top edge.",
    )


def _loss(run: RunTables) -> alt.Chart | None:
    if run.loss.empty:
        return None
    scale = alt.Scale(type="log") if float(run.loss.min()) > 0 else alt.Scale()
    axis = alt.Axis(tickCount=4, format="~g", grid=False)
    base = alt.Chart(alt.NamedData("loss")).transform_filter(_INSIDE)
    raw = base.mark_line(strokeWidth=0.5, opacity=0.35, color="#888888").encode(
        x=_steps(), y=alt.Y("loss:Q", title="training loss", scale=scale, axis=axis)
    )
    smooth = base.mark_line(strokeWidth=1.6, color="#888888").encode(
        x=_steps(),
        y=alt.Y("smooth:Q", scale=scale),
        tooltip=["step:Q", alt.Tooltip("smooth:Q", format=".3~g")],
    )
    return alt.layer(raw, smooth).properties(
        height=110,
        description=f"Training loss of {run.name} by step, a batch at a time (thin) and the mean of 25 steps (thick).",
    )


def _critical(run: RunTables) -> alt.Chart:
    names = _layer_names(run)
    bars = (
        alt.Chart(alt.NamedData("critical"))
        .transform_filter(_CHOSEN)
        .mark_bar(height=ROW * 0.45, color="#D55E00", cornerRadius=1, minBandSize=1, clip=True)
        .encode(
            x=_steps("start:Q"),
            x2="stop:Q",
            y=alt.Y("layer:N", sort=names, scale=alt.Scale(domain=names), title="layer"),
            tooltip=["layer:N", "start:Q", "stop:Q", alt.Tooltip("peak:Q", title="fastest at")],
        )
    )
    return alt.layer(bars).properties(
        height=22 * len(names),
        description=f"Periods of fast change of {run.name}: bars by layer and training step.",
    )


def order_plot(order: pd.DataFrame, architectures: dict[str, str]) -> dict:
    """The convergence order of every run of a study: Spearman's rho, a row a run, the naive form beside the
    calibrated one.

    `order` holds the rows of one dimension of the order table, `architectures` the architecture of each run. Runs
    whose order is undefined have a row without a mark. A specification on its own, readable on light and dark ground.
    """
    shown = order.assign(architecture=order["run"].map(architectures))
    first = shown[shown["mode"] == "naive"].sort_values(["architecture", "rho", "run"], na_position="last")
    names = [*dict.fromkeys([*first["run"], *shown["run"]])]
    # A plain grey for words and lines, since the drawing cannot know the ground it lies on.
    grey = "#808080"
    rows = alt.Data(values=records(shown[["run", "architecture", "mode", "rho", "p"]]))
    title = "Spearman rho of depth with settling step (right: shallow layers first)"
    forms = alt.Scale(domain=["naive", "calibrated"], range=["circle", "diamond"])
    zones = alt.Chart(alt.Data(values=[{"rho": -0.6}, {"rho": 0.6}])).mark_rule(strokeDash=[4, 4], color=grey)
    marks = alt.Chart(rows).mark_point(size=60, filled=True, opacity=0.9)
    chart = zones.encode(x="rho:Q") + marks.encode(
        x=alt.X("rho:Q", title=title, scale=alt.Scale(domain=[-1, 1])),
        y=alt.Y("run:N", sort=names, title=None, axis=alt.Axis(labelLimit=260)),
        color=alt.Color("architecture:N", title="architecture", scale=alt.Scale(range=list(PALETTE))),
        shape=alt.Shape("mode:N", title="form", scale=forms),
    )
    described = (
        "Convergence order, a row a run: Spearman's rho of layer depth with the step at which the layer settled."
    )
    chart = chart.properties(width=520, height=alt.Step(18), background="transparent", description=described)
    chart = chart.configure_axis(labelColor=grey, titleColor=grey, gridOpacity=0.25, tickColor=grey, domainColor=grey)
    return (
        chart.configure_legend(labelColor=grey, titleColor=grey, symbolBaseFillColor=grey)
        .configure_view(stroke=None)
        .to_dict(validate=False)
    )


def _finished(chart: alt.Chart, run: RunTables, dimension: str) -> dict:
    specification = chart.to_dict(validate=False)
    specification.pop("datasets", None)
    specification["params"] = _params(run, dimension)
    layers = specification["layer"]
    # Over everything but the jumps, which stay to be clicked.
    above = [layer for layer in layers if layer.get("data", {}).get("name") == "jumps"]
    specification["layer"] = [*(layer for layer in layers if layer not in above), *copy.deepcopy(_VEIL), *above]
    specification["config"] = {"view": {"stroke": None}, "axisY": {"minExtent": 90, "maxExtent": 90}}
    specification["autosize"] = {"type": "fit-x", "contains": "padding"}
    specification["width"] = "container"
    return specification
