"""Charts as Vega-Lite specifications: pure functions of tables. What is drawn can be read in the specification."""

from dataclasses import dataclass

import altair as alt

from geophone.report.tables import RunTables

# A specification serves every dimension and scale: the page puts what is shown in the place of these two texts.
VALUE_TITLE = "{value}"
DESCRIPTION = "{description}"
SCALES = ("value", "share", "own")
AXES = ("linear", "log")

# After Okabe & Ito (2008), told apart with any common colour vision; orange, sky and yellow are darkened or left out
# so that each has a contrast of at least 3 against white and against the dark page.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#B4679A", "#A67C00", "#6E7781")
STROKES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
MODE_COLOURS = ("#D55E00", "#0072B2", "#009E73")
NO_VALUE = "#8a8f98"
LINE = "#6E7781"


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the charts of one run share: their layers, the step axis and the room for labels at its left."""

    names: list[str]
    modes: list[str]
    low: int
    high: int
    axis: str

    @property
    def row(self) -> int:
        return max(14, min(30, 300 // len(self.names)))

    @property
    def extent(self) -> int:
        return min(220, max(60, 7 * max(len(name) for name in self.names) + 14))

    def x(self, field: str, *, labels: bool = True) -> alt.X:
        axis = alt.Axis(
            title=f"training step{', log scale' if self.axis == 'log' else ''}" if labels else None,
            labels=labels,
            grid=False,
            tickCount=8,
            labelFlush=True,
            format="~s" if self.high >= 100_000 else ",d",
        )
        scale = alt.Scale(type=self.axis, domain=[self.low, self.high], nice=False)
        return alt.X(f"{field}:Q", axis=axis, scale=scale)

    def y(self, *, title: str | None) -> alt.Y:
        axis = alt.Axis(grid=False, ticks=False, domain=False, labelLimit=self.extent)
        return alt.Y("layer:N", sort=self.names, scale=alt.Scale(domain=self.names), title=title, axis=axis)


def run_charts(run: RunTables, *, dimension: str, axis: str = "linear") -> dict[str, dict]:
    """The charts of a run by name: heatmap, series, loss (where there is one) and critical, as Vega-Lite.

    They read the data sets of `tables.data_sets` by name and have two parameters: `dimension`, and `scale`, one of
    `SCALES`: the value itself, its share of the most it could be, or each layer from its least to its most.
    All have the same width and step axis; `axis` is one of `AXES`, and step 0 is not on a log axis. The texts
    `VALUE_TITLE` and `DESCRIPTION` stand where the page names what is shown.
    """
    names = [layer.name for layer in run.layers]
    frame = _Frame(names, run.modes, 0 if axis == "linear" else max(1, run.first_step), run.last_step, axis)
    charts = {
        "heatmap": _heatmap(frame),
        "series": _series(frame, last=run.loss.empty),
        "loss": _loss(run, frame),
        "critical": _critical(frame),
    }
    return {name: _finished(chart, frame, dimension) for name, chart in charts.items() if chart is not None}


def _of(data: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(data))


def _chosen(data: str) -> alt.Chart:
    return _of(data).transform_filter("datum.dimension == dimension")


def _scaled(chart: alt.Chart, shown: str) -> alt.Chart:
    """Adds `value`: the expression `shown` on the chosen scale; null where there is no value or no such scale."""
    number = f"{shown} == null ? null : {shown}"
    share = "datum.cap ? datum.number / datum.cap : null"
    own = "datum.most > datum.least ? (datum.number - datum.least) / (datum.most - datum.least) : 0.5"
    return (
        chart.transform_calculate(key="datum.layer + '|' + dimension", number=number)
        .transform_lookup("key", from_=alt.LookupData(alt.NamedData("ranges"), "key", ["least", "most", "cap"]))
        .transform_calculate(
            value=f"datum.number == null ? null : scale == 'share' ? ({share}) : "
            f"scale == 'own' ? ({own}) : datum.number"
        )
    )


def _measured() -> alt.Chart:
    return _scaled(_of("measurements"), "datum[dimension]")


def _heatmap(frame: _Frame) -> alt.LayerChart:
    y = frame.y(title="layer, input at the top")
    cells = _measured().transform_filter(f"datum.stop > {frame.low}")
    cells = cells.transform_calculate(from_step=f"max(datum.start, {frame.low})")
    x, x2 = frame.x("from_step"), "stop:Q"
    legend = alt.Legend(title=VALUE_TITLE, orient="top", titleOrient="left", gradientLength=220, offset=8, tickCount=5)
    tooltip = [
        alt.Tooltip("layer:N"),
        alt.Tooltip("step:Q", format=",d"),
        alt.Tooltip("number:Q", title="value", format=".4~g"),
        alt.Tooltip("cap:Q", title="most it could be"),
    ]
    valued = (
        cells.transform_filter("datum.value != null")
        .mark_rect(strokeWidth=0)
        .encode(
            x=x, x2=x2, y=y, tooltip=tooltip,
            color=alt.Color("value:Q", scale=alt.Scale(scheme="viridis"), legend=legend),
        )
    )  # fmt: skip
    gaps = (
        cells.transform_filter("datum.number == null")
        .mark_rect(strokeWidth=0, color=NO_VALUE)
        .encode(x=x, x2=x2, y=y, tooltip=[*tooltip[:2], alt.Tooltip("status:N", title="no value")])
    )
    return alt.layer(valued, gaps, *_settled(frame, y), *_target_boxes(frame, y)).properties(
        height=frame.row * len(frame.names)
    )


def _settled(frame: _Frame, y: alt.Y) -> list[alt.Chart]:
    """A white tick where a layer settled by the seed rule, a white diamond by any other."""
    base = _chosen("stabilization").transform_filter(f"datum.step >= {frame.low}")
    tooltip = ["layer:N", "mode:N", alt.Tooltip("step:Q", title="settled at step", format=",d")]
    encoded = {"x": frame.x("step"), "y": y, "tooltip": tooltip}
    ticks = base.transform_filter("datum.mode == 'seed'").mark_tick(
        thickness=2, color="white", size=frame.row - 8, orient="vertical"
    )
    others = base.transform_filter("datum.mode != 'seed'").mark_point(
        shape="diamond", filled=True, size=60, color="white", opacity=1, stroke="black", strokeWidth=0.5
    )
    return [ticks.encode(**encoded), others.encode(**encoded)]


def _target_boxes(frame: _Frame, y: alt.Y) -> list[alt.Chart]:
    base = _chosen("targets").transform_filter(f"datum.after > {frame.low}")
    base = base.transform_calculate(from_step=f"max(datum.before, {frame.low})")
    tooltip = [alt.Tooltip("rank:Q", title="target"), "layer:N", "before:Q", "step:Q", "after:Q", "reason:N"]
    box = {"x": frame.x("from_step"), "x2": "after:Q", "y": y}
    under = base.mark_rect(filled=False, stroke="black", strokeWidth=3.5, opacity=0.75).encode(**box)
    over = base.mark_rect(filled=False, stroke="white", strokeWidth=1.5).encode(**box, tooltip=tooltip)
    text = base.mark_text(align="left", dx=4, color="white", fontWeight="bold", fontSize=11)
    return [under, over, text.encode(x=frame.x("after"), y=y, text="rank:Q")]


def _layer_styles(frame: _Frame) -> tuple[alt.Color, alt.StrokeDash]:
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolSize=300, offset=8, columns=8)
    several = legend if len(frame.names) > 1 else None
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(frame.names))]
    dashes = [STROKES[i // len(PALETTE) % len(STROKES)] for i in range(len(frame.names))]
    common = {"sort": frame.names, "legend": several}
    return (
        alt.Color("layer:N", scale=alt.Scale(domain=frame.names, range=colours), **common),
        alt.StrokeDash("layer:N", scale=alt.Scale(domain=frame.names, range=dashes), **common),
    )


def _series(frame: _Frame, *, last: bool) -> alt.LayerChart:
    colour, dash = _layer_styles(frame)
    picked = alt.selection_point(name="picked", fields=["layer"], bind="legend")
    faded = alt.when(picked).then(alt.value(1)).otherwise(alt.value(0.12))
    x = frame.x("step", labels=last)
    y = alt.Y("value:Q", title=VALUE_TITLE, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    lines = (
        _measured()
        .transform_filter(f"datum.step >= {frame.low}")
        .mark_line(strokeWidth=1.5, interpolate="linear")
        .encode(x=x, y=y, color=colour, strokeDash=dash, opacity=faded)
        .add_params(picked)
    )
    marks = (
        _scaled(_chosen("jumps"), "datum.value")
        .transform_filter(f"datum.step >= {frame.low}")
        .transform_calculate(way="datum.score > 0 ? 'up' : 'down'")
        .mark_point(size=26, strokeWidth=1.2)
        .encode(
            x=x, y=y, color=colour, opacity=faded,
            shape=alt.Shape(
                "way:N", scale=alt.Scale(domain=["up", "down"], range=["triangle-up", "triangle-down"]), legend=None
            ),
            fill=alt.when("datum.mode == 'seed'").then(alt.value("transparent")).otherwise(colour),
            tooltip=[
                "layer:N", "mode:N", alt.Tooltip("step:Q", format=",d"),
                alt.Tooltip("magnitude:Q", format="+.3~g"), alt.Tooltip("score:Q", format="+.1f"),
            ],
        )
    )  # fmt: skip
    return alt.layer(lines, marks).properties(height=250)


def _loss(run: RunTables, frame: _Frame) -> alt.LayerChart | None:
    if run.loss.empty:
        return None
    positive = float(run.loss.min()) > 0
    scale = alt.Scale(type="log", nice=False) if positive else alt.Scale()
    title = f"training loss{', log scale' if positive else ''}"
    y = alt.Y("loss:Q", title=title, scale=scale, axis=alt.Axis(tickCount=4, format="~g", grid=False))
    base = _of("loss").transform_filter(f"datum.step >= {frame.low}")
    raw = base.mark_line(strokeWidth=0.6, opacity=0.4, color=LINE).encode(x=frame.x("step"), y=y)
    smooth = base.mark_line(strokeWidth=1.6, color=LINE).encode(
        x=frame.x("step"), y=alt.Y("smooth:Q", scale=scale, title=title)
    )
    return alt.layer(raw, smooth).properties(height=110)


def _critical(frame: _Frame) -> alt.LayerChart:
    """A band a layer, and in it a band a mode: periods of fast change as bars, peaks of acceleration as ticks."""
    modes = frame.modes
    y = frame.y(title="layer, input at the top")
    offset = alt.YOffset("mode:N", sort=modes, scale=alt.Scale(domain=modes))
    legend = alt.Legend(title="mode", orient="top", titleOrient="left") if len(modes) > 1 else None
    colour = alt.Color("mode:N", scale=alt.Scale(domain=modes, range=list(MODE_COLOURS[: len(modes)])), legend=legend)
    band = 20 if len(frame.names) <= 12 else 14
    bars = (
        _chosen("critical")
        .transform_filter(f"datum.stop >= {frame.low}")
        .transform_calculate(from_step=f"max(datum.start, {frame.low})")
        .mark_bar(height=alt.RelativeBandSize(0.6), cornerRadius=0, minBandSize=1, stroke=None)
        .encode(
            x=frame.x("from_step"), x2="stop:Q", y=y, yOffset=offset, color=colour,
            tooltip=["layer:N", "mode:N", "start:Q", "stop:Q", alt.Tooltip("peak:Q", title="fastest at")],
        )
    )  # fmt: skip
    peaks = (
        _chosen("transitions")
        .transform_filter(f"datum.step >= {frame.low}")
        .mark_tick(thickness=1, size=5, orient="vertical", color=LINE, yOffset=band * 0.5 - 3)
        .encode(x=frame.x("step"), y=y, yOffset=offset)
    )
    return alt.layer(bars, peaks).properties(height=band * len(frame.names) * len(modes))


def _finished(chart: alt.LayerChart, frame: _Frame, dimension: str) -> dict:
    shown = alt.param(name="dimension", value=dimension), alt.param(name="scale", value=SCALES[0])
    specification = chart.add_params(*shown).properties(description=DESCRIPTION).to_dict(validate=True)
    specification.pop("datasets", None)
    axis = {"minExtent": frame.extent, "maxExtent": frame.extent}
    specification["config"] = {"view": {"stroke": None}, "axisY": axis}
    specification["autosize"] = {"type": "fit-x", "contains": "padding"}
    specification["width"] = "container"
    return specification
