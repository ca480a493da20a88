"""The map of a training: layers by training step on a log axis, colour the dimension, the ranked transitions as
numbered flags; what the loop reported beneath, on the same axis."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from geophone.charts.theme import (
    ACCENT,
    FRACTIONS,
    GREY,
    OTHER,
    PRINT,
    AnyChart,
    Theme,
    colours,
    dashes,
    data,
    plain,
    shortened,
    styled,
    unit,
)

BINS = 160
LANE = 18  # pixels between two rows of flags
_SELECTED = "(span_from == null || (datum.stop >= span_from && datum.start <= span_to))"
_INSIDE = "datum.{} >= low && datum.{} <= high"
FRACTION = " || ".join(f"dimension == '{name}'" for name in FRACTIONS)
# The value that is shown of a cell: as it is, or as a share of what n and d allow, where it counts directions.
VALUE = f"({FRACTION}) || !share ? datum[dimension] : datum[dimension] / datum.cap"


@dataclass(frozen=True, slots=True)
class Look:
    """What of a map is to be chosen: colours of each layer on their own ("layer": what happened inside it shows) or
    of all together ("all": layers compare), and the size in pixels."""

    colour: str = "layer"
    width: int = 760
    row: int = 22
    strip: int = 74


def cells(series: pd.DataFrame, *, bins: int = BINS, name: str = "value") -> pd.DataFrame:
    """`series` (step x layer) as the cells of a map: layer, `start`, `stop`, `step` and the column `name`.

    Steps are gathered in up to `bins` bins evenly spaced in their logarithm; a cell is the geometric mean of its
    positive values (the mean where one of the series is not positive). A step 0 stands at half the next one.
    """
    places = log_places(series.index.to_numpy(float))
    edges = np.geomspace(places[0], places[-1] * (1 + 1e-9), bins + 1) if len(places) > bins else None
    at = np.arange(len(places)) if edges is None else np.clip(np.searchsorted(edges, places, "right") - 1, 0, bins - 1)
    positive = bool((series.to_numpy() > 0).all() or not (series.to_numpy() <= 0).any())
    means = np.exp(np.log(series).groupby(at).mean()) if positive else series.groupby(at).mean()
    stops = pd.Series(places).groupby(at).max().to_numpy()
    starts = np.concatenate([[_first(places)], stops[:-1]])
    steps = pd.Series(series.index.to_numpy()).groupby(at).max().to_numpy()
    frame = means.set_axis(pd.MultiIndex.from_arrays([starts, stops, steps], names=["start", "stop", "step"]))
    return frame.rename_axis(columns="layer").stack(future_stack=True).rename(name).reset_index()


def log_places(steps: np.ndarray) -> np.ndarray:
    """Where steps lie on a log axis: as they are, but 0 at half the first other one."""
    above = steps[steps > 0]
    return np.where(steps > 0, steps, (above[0] if len(above) else 1.0) / 2)


def _first(places: np.ndarray) -> float:
    """Where the first cell begins: as far before its end as the second's is behind, in the logarithm, at most half."""
    ratio = places[0] / places[1] if len(places) > 1 and places[1] > places[0] else 0.5
    return float(places[0] * max(ratio, 0.5))


def flags(transitions: pd.DataFrame, *, low: float, high: float) -> pd.DataFrame:
    """The columns of `transitions` that a map draws, and `lane`: flags nearer than a sixteenth of the axis stand above
    each other, the first of the ranking lowest."""
    rows = transitions.sort_values("rank")
    span = np.log(max(high, 2) / max(low, 0.5))
    taken: list[list[float]] = []
    lanes = []
    for peak in rows["peak"]:
        at = float(np.log(max(peak, low, 0.5))) / span
        lane = next((i for i, there in enumerate(taken) if all(abs(at - t) >= 1 / 16 for t in there)), len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append(at)
        lanes.append(lane)
    known = [c for c in ("rank", "kind", "start", "peak", "end", "label", "href") if c in rows]
    return rows[known].assign(lane=lanes, layers=[" → ".join(layers) for layers in rows["layers"]])


def members(transitions: pd.DataFrame) -> pd.DataFrame:
    """The layers that take part in each transition: rank, peak, layer, and their place in its order from 1."""
    rows = [
        {"rank": int(rank), "peak": float(peak), "layer": layer, "place": i + 1}
        for rank, peak, layers in zip(transitions["rank"], transitions["peak"], transitions["layers"], strict=True)
        for i, layer in enumerate(layers)
    ]
    return pd.DataFrame(rows, columns=["rank", "peak", "layer", "place"])


def steps_axis(field: str = "step:Q", *, named: bool = True) -> alt.X:
    """Training steps on a log axis between the parameters `low` and `high`; with words only where it is `named`."""
    scale = alt.Scale(type="log", domainMin=alt.ExprRef("low"), domainMax=alt.ExprRef("high"), nice=False)
    title = "training step (log)" if named else None
    axis = alt.Axis(title=title, grid=False, format="~s", tickCount=5, labelOverlap=True, labelSeparation=8)
    return alt.X(field, axis=axis, scale=scale)


def layer_axis(names: Sequence[str], *, width: int = 20) -> alt.Y:
    """Rows by layer, input at the top, with names of about `width` letters; the whole name is in the tip of a cell."""
    axis = alt.Axis(grid=False, labelExpr=label_words(names, width), labelLimit=0, domain=False, ticks=False)
    return alt.Y("layer:N", sort=list(names), scale=alt.Scale(domain=list(names)), title=None, axis=axis)


def label_words(names: Sequence[str], width: int = 20, value: str = "datum.value") -> str:
    """The expression that turns a layer's name into a name of about `width` letters."""
    short = shortened(names, width)
    texts = "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(word)}" for name, word in short.items()) + "}"
    return f"({texts})[{value}]" if any(name != word for name, word in short.items()) else value


def extent(names: Sequence[str]) -> int:
    """The width in pixels that the axis of `names` takes, and that charts beneath leave free."""
    return int(min(max(14 + 6.7 * max(map(len, shortened(names).values())), 52), 190))


def shades(
    source: alt.Data | alt.NamedData, names: Sequence[str], look: Look, *, named: bool = True, letters: int = 20
) -> alt.Chart:
    """The cells of a map. Reads the parameters `dimension` (the column drawn), `share`, `low` and `high` (the steps
    shown), `span_from` and `span_to` (those selected, or null): colours span what is selected, or else shown, so that a
    closer look has colours of its own."""
    base = (
        alt.Chart(source)
        .transform_calculate(value=f"datum[dimension] == null ? null : ({VALUE})")
        .transform_filter("datum.stop >= low && datum.start <= high")
        .transform_calculate(level=f"({FRACTION}) ? datum.value : (datum.value > 0 ? log(datum.value) : null)")
        .transform_calculate(seen=f"{_SELECTED} ? datum.level : null")
        .transform_joinaggregate(
            least="min(seen)", most="max(seen)", groupby=["layer"] if look.colour == "layer" else []
        )
        .transform_calculate(level="datum.level == null ? null : clamp(datum.level, datum.least, datum.most)")
    )
    if look.colour == "layer":
        shade = "datum.level == null ? null : datum.most > datum.least ? "
        base = base.transform_calculate(shade=shade + "(datum.level - datum.least) / (datum.most - datum.least) : 0.5")
        legend = alt.Legend(values=[0, 1], labelExpr="datum.value == 0 ? 'lowest' : 'highest of the layer'",
                            title=None, orient="bottom", direction="horizontal", gradientLength=190,
                            gradientThickness=8, offset=4)  # fmt: skip
        colour = alt.Color("shade:Q", scale=alt.Scale(scheme="viridis", domain=[0, 1]), legend=legend)
    else:
        label = f"format(({FRACTION}) ? datum.value : exp(datum.value), '.2~g')"
        legend = alt.Legend(labelExpr=label, title=None, orient="bottom", direction="horizontal", gradientLength=190,
                            gradientThickness=8, offset=4, tickCount=4)  # fmt: skip
        colour = alt.Color("level:Q", scale=alt.Scale(scheme="viridis"), legend=legend)
    return base.mark_rect(strokeWidth=0, clip=True).encode(
        x=steps_axis("start:Q", named=named),
        x2=alt.X2("stop:Q"),
        y=layer_axis(names, width=letters),
        color=colour,
        tooltip=["layer:N", "step:Q", alt.Tooltip("value:Q", format=".4~g")],
    )


def flagged(
    marks: alt.Data | alt.NamedData, dots: alt.Data | alt.NamedData, names: Sequence[str], *, stem: str = "white"
) -> list[alt.Chart]:
    """Numbered flags above a map with a line down to the layers that take part, and these layers. On the page a click
    opens the `href` that stands in the data."""
    base = alt.Chart(marks).transform_filter(_INSIDE.format("peak", "peak"))
    x = steps_axis("peak:Q")
    tips = [alt.Tooltip(f) for f in ("label:N", "kind:N", "start:Q", "peak:Q", "end:Q", "layers:N")]
    height = alt.YOffset("lane:Q", scale=alt.Scale(domain=[0, 1], range=[-LANE * 0.65, -LANE * 1.65]))
    here = base.encode(x=x, y=alt.value(0), yOffset=height, tooltip=tips)
    stems = base.mark_rule(color=stem, strokeWidth=1, strokeDash=[2, 2], opacity=0.9).encode(x=x)
    # Ink on the accent reads at 5 to 1, white at 4; a rank of more digits has a wider flag.
    wide = alt.ExprRef("datum.rank > 99 ? 430 : datum.rank > 9 ? 340 : 230")
    letters = alt.ExprRef("datum.rank > 99 ? 10 : 11")
    pins = here.mark_point(shape="circle", filled=True, size=wide, color=ACCENT, opacity=1, cursor="pointer")
    text = here.mark_text(color="black", fontSize=letters, fontWeight="bold", cursor="pointer", baseline="middle")
    where = alt.Chart(dots).transform_filter(_INSIDE.format("peak", "peak"))
    places = where.mark_point(filled=True, color="white", stroke=ACCENT, strokeWidth=2, size=46, opacity=1)
    order = alt.Tooltip("place:Q", title="place in its order")
    places = places.encode(x=x, y=layer_axis(names), tooltip=[alt.Tooltip("layer:N"), order])
    return [stems, places, pins, text.encode(text=alt.Text("rank:Q"))]


def strip(
    source: alt.Data | alt.NamedData, title: str, *, log: bool, height: int, named: bool,
    theirs: alt.NamedData | None = None,
) -> AnyChart:  # fmt: skip
    """A scalar by step beneath a map: each value (thin) and `smooth` of `scalar` (thick); the axis of steps has its
    words where it is `named`, which the lowest strip is. `theirs`: the same of another run, in its colour."""
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    x, axis = steps_axis("place:Q", named=named), alt.Axis(tickCount=3, format="~g", grid=False)
    single, mean = (alt.Y(f"{field}:Q", scale=scale, axis=axis, title=None) for field in ("value", "smooth"))
    tips = ["step:Q", alt.Tooltip("smooth:Q", title=title, format=".3~g")]

    def line(of: alt.Data | alt.NamedData, y: alt.Y, **look: Any) -> alt.Chart:
        inside = alt.Chart(of).transform_filter(_INSIDE.format("place", "place"))
        return inside.mark_line(**look).encode(x=x, y=y, tooltip=tips)

    raw = line(source, single, strokeWidth=0.5, opacity=0.4, color=GREY)
    smooth = line(source, mean, strokeWidth=1.8, color=GREY)
    other = [line(theirs, mean, strokeWidth=1.8, color=OTHER)] if theirs else []
    return alt.layer(raw, *other, smooth).properties(height=height, title=small(title))


def small(title: str) -> alt.TitleParams:
    """A title that names the axis below it; one beside the axis would move the chart from under the others."""
    return alt.TitleParams(title, anchor="start", fontSize=12, color=GREY, fontWeight="normal", offset=2)


def scalar(values: pd.Series, *, points: int = 1000) -> pd.DataFrame:
    """A scalar by step as a strip reads it: step, place, value, smooth; thinned to about `points` rows. What was given
    at every step is of a batch, and `smooth` is the mean of 25; what was measured now and then is left as it is."""
    frame = pd.DataFrame({"step": values.index, "place": log_places(values.index.to_numpy(float)), "value": values})
    window = 25 if len(frame) > 1 and float(np.median(np.diff(frame["step"]))) <= 1 else 1
    frame["smooth"] = frame["value"].rolling(window, min_periods=1, center=True).mean()
    return frame.iloc[:: max(1, len(frame) // points)].reset_index(drop=True)


def training_map(
    series: pd.DataFrame,
    *,
    dimension: str = "value",
    transitions: pd.DataFrame | None = None,
    scalars: Mapping[str, pd.Series] | None = None,
    look: Look | None = None,
    title: str = "",
) -> AnyChart:
    """The map of one training, ready to be shown.

    `series` (step x layer, in depth order) of one `dimension`; `transitions` with the columns rank, start, peak, end,
    layers (names in order) and, where there are, kind, label, href; `scalars` by name (loss, behaviour), each by step.
    """
    look = look or Look()
    strips = {name: values.dropna() for name, values in (scalars or {}).items() if values.notna().any()}
    names = [str(name) for name in series.columns]
    frame = cells(series.set_axis(names, axis=1), name=dimension)
    low, high = float(frame["start"].min()), float(frame["stop"].max())
    drawn = [shades(data(frame), names, look, named=not strips)]
    if transitions is not None and len(transitions):
        drawn += flagged(data(flags(transitions, low=low, high=high)), data(members(transitions)), names)
    caption = f"{plain(dimension)} ({unit(dimension)})"
    rows: list[AnyChart] = [alt.layer(*drawn).properties(width=look.width, height=look.row * len(names))]
    for name, values in strips.items():
        last, log = name == list(strips)[-1], bool(values.min() > 0)
        below = strip(data(scalar(values)), name, log=log, height=look.strip, named=last)
        rows.append(below.properties(width=look.width))
    chart = alt.vconcat(*rows, spacing=8).resolve_scale(color="independent")
    chart = chart.add_params(*parameters(dimension=dimension, share=False, **_ends(low, high)))
    described = f"Map of {len(names)} layers by training step; colour is the {caption}."
    title = title or f"The {plain(dimension)} of every layer"
    return styled(chart, title=title, description=described, extent=extent(names))


def _ends(low: float, high: float) -> dict[str, float | None]:
    return {"low": low, "high": high, "span_from": None, "span_to": None}


def parameters(**values: object) -> list[alt.Parameter]:
    """What a chart can be asked anew without being made again; the page sets them, elsewhere they are constants."""
    return [alt.param(name=name, value=value) for name, value in values.items()]


def overlay(series: Mapping[str, pd.Series], *, title: str = "", y: str = "value", band: bool = True) -> AnyChart:
    """Several runs or seeds of one series on one axis: a line per name and, for three or more on the same steps with
    `band`, the range between their quartiles with the median."""
    frame = pd.DataFrame({str(name): values for name, values in series.items()}).rename_axis("step")
    names = list(frame.columns)
    long = frame.reset_index().melt("step", var_name="name").dropna()
    long["place"] = log_places(long["step"].to_numpy(float))
    value = alt.Y("value:Q", title=y, scale=alt.Scale(zero=False))
    tips = ["name:N", "step:Q", alt.Tooltip("value:Q", format=".4~g")]
    colour, dash = (kind("name:N", scale=scale(names), title=None) for kind, scale in
                    ((alt.Color, colours), (alt.StrokeDash, dashes)))  # fmt: skip
    lines = (
        alt.Chart(data(long))
        .mark_line(strokeWidth=1.5)
        .encode(x=steps_axis("place:Q"), y=value, color=colour, strokeDash=dash, tooltip=tips)
    )
    layers = [lines]
    if band and len(names) >= 3 and frame.notna().all().all():
        spread = frame.quantile([0.25, 0.5, 0.75], axis=1).T.set_axis(["low", "middle", "high"], axis=1).reset_index()
        spread["place"] = log_places(spread["step"].to_numpy(float))
        area = (
            alt.Chart(data(spread))
            .mark_area(opacity=0.2, color=GREY)
            .encode(x=steps_axis("place:Q"), y=alt.Y("low:Q", title=y), y2="high:Q")
        )
        middle = alt.Chart(data(spread)).mark_line(strokeWidth=2.5, color=GREY)
        layers = [area, *layers, middle.encode(x=steps_axis("place:Q"), y="middle:Q")]
    ends = {"low": float(long["place"].min()), "high": float(long["place"].max())}
    chart = alt.layer(*layers).properties(width=640, height=240).add_params(*parameters(**ends))
    described = f"{y} of {len(names)} runs by training step."
    return styled(chart, title=title or f"The {y} of {len(names)} runs", description=described)


def map_grid(
    series: Mapping[str, pd.DataFrame],
    dimension: str,
    *,
    settled: pd.DataFrame | None = None,
    columns: int = 3,
    theme: Theme = PRINT,
) -> AnyChart:
    """A small map per run, colours of all together; white ticks where a layer settled (`settled`: run,
    layer, step)."""
    tables = {name: cells(table, bins=56, name=dimension) for name, table in series.items()}
    values = pd.concat([table[dimension] for table in tables.values()])
    positive = values[values > 0]
    ends = [float(np.log(positive.min())), float(np.log(positive.max()))]
    low, high = min(t["start"].min() for t in tables.values()), max(t["stop"].max() for t in tables.values())
    panels: list[AnyChart] = []
    for name, table in tables.items():
        layers = [str(layer) for layer in series[name].columns]
        # Cells overlap a little, so that no seam is taken for a mark.
        rows = data(table.assign(stop=table["stop"] * 1.03))
        legend = alt.Legend(title=[plain(dimension), f"({unit(dimension)})"], gradientLength=90, orient="right",
                            labelExpr="format(exp(datum.value), '.2~g')", values=_round(ends))  # fmt: skip
        scale = alt.Scale(scheme="viridis", domain=ends, nice=False)
        colour = alt.Color("level:Q", scale=scale, legend=legend)
        chart: AnyChart = shades(rows, layers, Look(colour="all"), letters=9).encode(color=colour)
        if settled is not None:
            mine = settled.loc[settled["run"] == name, ["layer", "step"]]
            ticks = alt.Chart(data(mine)).mark_tick(thickness=2.5, color="white", height=8)
            chart = alt.layer(chart, ticks.encode(x=steps_axis("step:Q"), y=layer_axis(layers, width=9)))
        panels.append(chart.properties(width=145, height=alt.Step(9), title=name))
    lines = [alt.hconcat(*panels[i : i + columns], spacing=14) for i in range(0, len(panels), columns)]
    grid = alt.vconcat(*lines, spacing=12).resolve_scale(color="shared")
    grid = grid.add_params(*parameters(dimension=dimension, share=False, **_ends(float(low), float(high))))
    return styled(grid, theme)


def _round(ends: Sequence[float]) -> list[float]:
    """Logarithms of round numbers that lie well inside `ends`, themselves logarithms."""
    numbers = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
    return [float(np.log(v)) for v in numbers if ends[0] - 0.01 <= np.log(v) <= ends[1] - 0.14]
