"""Charts as Vega-Lite specifications: pure functions of tables. What is drawn can be read in the specification."""

import math
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from geophone.records import Layer

ROW = 30
# Stands in titles for the name and unit of the dimension that is shown; the page fills it in.
SHOWN = "{dimension}"
FRACTIONS = ("mean_fraction", "dead_fraction")
# Okabe & Ito (2008), told apart with any common colour vision; yellow and black left out for light and dark pages.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STROKES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])


@dataclass(frozen=True, slots=True)
class RunTables:
    """What the charts of one run show: `series` (step x layer) by dimension, `loss` by step (may be empty), and the
    run's rows of the phenomenon tables, mode "seed"."""

    name: str
    layers: tuple[Layer, ...]
    series: dict[str, pd.DataFrame]
    loss: pd.Series
    stabilization: pd.DataFrame
    jumps: pd.DataFrame
    critical: pd.DataFrame

    @property
    def last_step(self) -> int:
        return int(next(iter(self.series.values())).index[-1])


def measurements(run: RunTables) -> pd.DataFrame:
    """One row a layer and step: step, layer, depth, cap = min(n - 1, d), and a column a dimension, to 5 digits."""
    caps = {layer.name: min(layer.rows - 1, layer.features) for layer in run.layers}
    depths = {layer.name: layer.depth for layer in run.layers}
    long = pd.DataFrame({name: table.stack(future_stack=True) for name, table in run.series.items()})
    long = long.rename_axis(["step", "layer"]).reset_index()
    numbers = list(run.series)
    long[numbers] = long[numbers].map(_five_digits)
    return long.assign(cap=long["layer"].map(caps), depth=long["layer"].map(depths))


def _five_digits(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def run_charts(run: RunTables, *, dimension: str) -> dict[str, dict]:
    """The four charts of a run by name: heatmap, series, loss, critical.

    Each is a Vega-Lite specification that reads the named data sets of `run_data` and the parameters `dimension`
    (which dimension is shown) and `share` (as a share of the most it could be). Titles hold `SHOWN` where the
    dimension's name belongs. They have the same width and the same step axis.
    """
    charts = {
        "heatmap": _heatmap(run, dimension),
        "series": _series(run, dimension),
        "loss": _loss(run),
        "critical": _critical(run, dimension),
    }
    return {name: _finished(chart) for name, chart in charts.items() if chart is not None}


def run_data(run: RunTables) -> dict[str, list[dict]]:
    """The data sets that `run_charts` read, as rows."""
    heat = run.stabilization[["layer", "dimension", "index", "step", "status"]]
    jumps = run.jumps[["layer", "dimension", "step", "magnitude", "log_ratio", "score"]]
    loss = pd.DataFrame({"step": run.loss.index, "loss": run.loss.to_numpy()})
    if len(loss):
        loss["smooth"] = loss["loss"].rolling(25, min_periods=1, center=True).mean()
        loss = loss.iloc[:: max(1, len(loss) // 1000)]
    tables = {
        "measurements": measurements(run),
        "stabilization": heat[heat["status"] == "stable"],
        "jumps": jumps,
        "critical": run.critical[["layer", "dimension", "start", "stop", "peak"]],
        "loss": loss,
    }
    return {name: _records(table) for name, table in tables.items()}


def _records(table: pd.DataFrame) -> list[dict]:
    """Rows of plain JSON values; a missing value or NaN becomes null, which charts show as a gap."""
    plain = table.astype(object).where(table.notna(), None)
    return [{key: _plain(value) for key, value in row.items()} for row in plain.to_dict("records")]


def _plain(value):
    if isinstance(value, float | np.floating):
        return _five_digits(float(value))
    return int(value) if isinstance(value, np.integer) else value


def _params(dimension: str) -> list[alt.Parameter]:
    return [alt.param(name="dimension", value=dimension), alt.param(name="share", value=False)]


def _value(chart: alt.Chart) -> alt.Chart:
    """Adds `value`: the chosen dimension, as a share of min(n - 1, d) where that is asked for and has a meaning."""
    fractions = " || ".join(f"dimension == '{name}'" for name in FRACTIONS)
    shown = f"share && !({fractions}) ? datum[dimension] / datum.cap : datum[dimension]"
    return chart.transform_calculate(value=f"datum[dimension] == null ? null : ({shown})")


def _steps(run: RunTables, field: str = "step:Q") -> alt.X:
    axis = alt.Axis(title="training step", grid=False)
    return alt.X(field, axis=axis, scale=alt.Scale(domain=[0, run.last_step], nice=False))


def _layer_names(run: RunTables) -> list[str]:
    return [layer.name for layer in run.layers]


def _heatmap(run: RunTables, dimension: str) -> alt.Chart:
    table = next(iter(run.series.values()))
    gap = int(np.median(np.diff(table.index))) if len(table) > 1 else 1
    names = _layer_names(run)
    base = _value(alt.Chart(alt.NamedData("measurements")).add_params(*_params(dimension)))
    shades = (
        base.transform_calculate(from_step=f"datum.step - {gap}")
        .mark_rect(strokeWidth=0)
        .encode(
            x=_steps(run, "from_step:Q"),
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
        .transform_filter("datum.dimension == dimension")
        .mark_tick(thickness=3, color="white", size=ROW - 6)
        .encode(
            x=_steps(run),
            y=alt.Y("layer:N", sort=names),
            tooltip=["layer:N", alt.Tooltip("step:Q", title="settled at step")],
        )
    )
    return alt.layer(shades, settled).properties(
        height=ROW * len(names),
        description=f"Heatmap of {run.name}: layers by training step, colour is the dimension that was chosen.",
    )


def _series(run: RunTables, dimension: str) -> alt.Chart:
    names = _layer_names(run)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolSize=300, offset=14, columns=8)
    colour = alt.Color(
        "layer:N",
        sort=names,
        scale=alt.Scale(domain=names, range=[PALETTE[i % len(PALETTE)] for i in range(len(names))]),
        legend=legend,
    )
    dash = alt.StrokeDash(
        "layer:N",
        sort=names,
        scale=alt.Scale(domain=names, range=[STROKES[i // len(PALETTE) % len(STROKES)] for i in range(len(names))]),
        legend=legend,
    )
    lines = _value(alt.Chart(alt.NamedData("measurements")).add_params(*_params(dimension)))
    lines = lines.mark_line(strokeWidth=1.6).encode(
        x=_steps(run),
        y=alt.Y("value:Q", title=SHOWN, scale=alt.Scale(zero=False)),
        color=colour,
        strokeDash=dash,
    )
    joined = alt.Chart(alt.NamedData("jumps")).transform_filter("datum.dimension == dimension")
    marks = joined.mark_tick(orient="vertical", thickness=1.5, size=10, yOffset=6).encode(
        x=_steps(run),
        y=alt.value(0),
        color=colour,
        strokeDash=dash,
        tooltip=[
            "layer:N",
            "step:Q",
            alt.Tooltip("magnitude:Q", format="+.3~g"),
            alt.Tooltip("score:Q", title="z", format="+.1f"),
        ],
    )
    return alt.layer(lines, marks).properties(
        height=230,
        description=f"Series of {run.name}: one line a layer, the chosen dimension by training step; jumps are ticks "
        "along the top edge.",
    )


def _loss(run: RunTables) -> alt.Chart | None:
    if run.loss.empty:
        return None
    scale = alt.Scale(type="log") if float(run.loss.min()) > 0 else alt.Scale()
    axis = alt.Axis(tickCount=4, format="~g", grid=False)
    base = alt.Chart(alt.NamedData("loss"))
    raw = base.mark_line(strokeWidth=0.5, opacity=0.35, color="#888888").encode(
        x=_steps(run), y=alt.Y("loss:Q", title="training loss", scale=scale, axis=axis)
    )
    smooth = base.mark_line(strokeWidth=1.6, color="#888888").encode(
        x=_steps(run),
        y=alt.Y("smooth:Q", scale=scale),
        tooltip=["step:Q", alt.Tooltip("smooth:Q", format=".3~g")],
    )
    return alt.layer(raw, smooth).properties(
        height=110,
        description=f"Training loss of {run.name} by step, a batch at a time (thin) and the mean of 25 steps (thick).",
    )


def _critical(run: RunTables, dimension: str) -> alt.Chart:
    names = _layer_names(run)
    return (
        alt.Chart(alt.NamedData("critical"))
        .add_params(*_params(dimension))
        .transform_filter("datum.dimension == dimension")
        .mark_bar(height=ROW * 0.45, color="#D55E00", cornerRadius=1, minBandSize=1)
        .encode(
            x=_steps(run, "start:Q"),
            x2="stop:Q",
            y=alt.Y("layer:N", sort=names, scale=alt.Scale(domain=names), title="layer"),
            tooltip=["layer:N", "start:Q", "stop:Q", alt.Tooltip("peak:Q", title="fastest at")],
        )
        .properties(
            height=22 * len(names),
            description=f"Periods of fast change of {run.name}: bars by layer and training step.",
        )
    )


def order_plot(order: pd.DataFrame, families: dict[str, str]) -> dict:
    """The convergence order of every run of a study: Spearman's rho, a row a run, the seed form beside the robust one.

    `order` holds the rows of one dimension of the order table, `families` the family of each run. Runs whose order is
    undefined have a row without a mark. A specification on its own, readable on light and dark ground.
    """
    shown = order.assign(family=order["run"].map(families))
    first = shown[shown["mode"] == "seed"].sort_values(["family", "rho", "run"], na_position="last")
    names = [*dict.fromkeys([*first["run"], *shown["run"]])]
    # A plain grey for words and lines, since the drawing cannot know the ground it lies on.
    grey = "#808080"
    rows = alt.Data(values=_records(shown[["run", "family", "mode", "rho", "p"]]))
    title = "Spearman rho of depth with settling step (right: shallow layers first)"
    forms = alt.Scale(domain=["seed", "robust"], range=["circle", "diamond"])
    zones = alt.Chart(alt.Data(values=[{"rho": -0.6}, {"rho": 0.6}])).mark_rule(strokeDash=[4, 4], color=grey)
    marks = alt.Chart(rows).mark_point(size=60, filled=True, opacity=0.9)
    chart = zones.encode(x="rho:Q") + marks.encode(
        x=alt.X("rho:Q", title=title, scale=alt.Scale(domain=[-1, 1])),
        y=alt.Y("run:N", sort=names, title=None, axis=alt.Axis(labelLimit=260)),
        color=alt.Color("family:N", title="family", scale=alt.Scale(range=list(PALETTE))),
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
        .to_dict()
    )


def _finished(chart: alt.Chart) -> dict:
    specification = chart.to_dict(validate=True)
    specification.pop("datasets", None)
    specification["config"] = {"view": {"stroke": None}, "axisY": {"minExtent": 90, "maxExtent": 90}}
    specification["autosize"] = {"type": "fit-x", "contains": "padding"}
    specification["width"] = "container"
    return specification
