"""The charts of a run as the page shows them: named data, and one selection of steps in all of them."""

import copy
from collections.abc import Sequence
from functools import lru_cache

import altair as alt

from geophone.charts.compared import beside, difference
from geophone.charts.maps import (
    VALUE,
    Look,
    extent,
    flagged,
    label_words,
    layer_axis,
    parameters,
    shades,
    small,
    steps_axis,
    strip,
)
from geophone.charts.theme import ACCENT, GREY, PAGE, PALETTE, AnyChart, Row, colours, dashes, specification, styled

# Stands in titles for the name and unit of the dimension that is shown; the page fills it in.
SHOWN = "{dimension}"
_CHOSEN = "datum.dimension == dimension && datum.mode == mode"
_AXIS: Row = {
    "axis": {"title": "training step (log)", "grid": False},
    "scale": {"type": "log", "domainMin": {"expr": "low"}, "domainMax": {"expr": "high"}, "nice": False},
}
# What lies outside the selected steps is under a veil, with a rule at each end of the selection.
_SIDES: Row = {
    "data": {"values": [{"side": 0}, {"side": 1}]},
    "transform": [
        {"calculate": "datum.side == 0 ? low : (span_from == null ? high : max(span_to, low))", "as": "a"},
        {"calculate": "datum.side == 1 ? high : (span_from == null ? low : max(span_from, low))", "as": "b"},
        {"calculate": "datum.side == 0 ? datum.b : datum.a", "as": "end"},
    ],
}
_VEIL: list[Row] = [
    {
        **_SIDES,
        "mark": {"type": "rect", "opacity": 0.62, "color": {"expr": "ground"}, "clip": True},
        "encoding": {"x": {"field": "a", "type": "quantitative", **_AXIS}, "x2": {"field": "b"}},
    },
    {
        **_SIDES,
        "mark": {
            "type": "rule", "strokeWidth": 1.5, "color": ACCENT, "clip": True,
            "opacity": {"expr": "span_from == null ? 0 : 1"},
        },
        "encoding": {"x": {"field": "end", "type": "quantitative", **_AXIS}},
    },
]  # fmt: skip


def run_charts(
    names: Sequence[str], scalars: Sequence[str], *, low: float, high: float, dimension: str, log: Sequence[str] = ()
) -> Row:
    """The specifications of a run's charts by name: "map" (colours of each layer), "map_all" (of all together),
    "series", "apart" (the difference of two maps), "beside" (one layer of two runs), "marks", and one per scalar.

    They read the data sets `cells` (layer, start, stop, step, cap, a column per dimension), `flags` and `members` (of
    `geophone.charts.maps`), `marks` (layer, dimension, mode, what, start, stop) and those of the scalars (step, place,
    value, smooth); of another run beside it `apart` and `pair` (of `geophone.charts.compared`), `other_flags`, and
    `other_` with the name of a scalar, empty where there is none; and the parameters `dimension`, `share`, `mode`,
    `low` and `high` (the steps shown), `span_from` and `span_to` (the steps selected, null for none), `most` (the end
    of the colours of `apart`), `ground` (the page's colour), `columns` (of a legend). All have the same step axis;
    scalars in `log` have a logarithmic one of values.
    """
    given = {"low": low, "high": high, "dimension": dimension}
    made = _charts(tuple(names), tuple(scalars), tuple(log))
    return {name: chart | {"params": [_given(each, given) for each in chart["params"]]} for name, chart in made.items()}


def _given(parameter: Row, values: Row) -> Row:
    return parameter | {"value": values[parameter["name"]]} if parameter["name"] in values else parameter


@lru_cache(64)
def _charts(names: tuple[str, ...], scalars: tuple[str, ...], log: tuple[str, ...]) -> Row:
    """`run_charts`, which differ from run to run of one network in a few values. Shared, and not to be changed."""
    layers = list(names)
    cells = alt.NamedData("cells")
    marked = flagged(alt.NamedData("flags"), alt.NamedData("members"), layers)
    maps = {
        name: alt.layer(shades(cells, layers, Look(colour=colour), named=not scalars), *marked).properties(
            height=max(12, min(26, 420 // len(layers))) * len(layers),
            description="Map of the training: layers by step, colour is the dimension that was chosen.",
        )
        for name, colour in (("map", "layer"), ("map_all", "all"))
    }
    charts: dict[str, AnyChart] = maps | {"series": _series(layers), "marks": _marks(layers)}
    charts["apart"] = alt.layer(difference(alt.NamedData("apart"), layers)).properties(
        height=maps["map"].height, description="The difference of two maps: this run's and that of the run beside it."
    )
    charts["beside"] = beside(alt.NamedData("pair"), alt.NamedData("other_flags")).properties(
        title=small(SHOWN), description="One layer of two runs, the chosen dimension by step."
    )
    for name in scalars:
        last = name == scalars[-1]
        theirs = alt.NamedData(f"other_{name}")
        chart = strip(alt.NamedData(name), name, log=name in log, height=74, named=last, theirs=theirs)
        charts[name] = chart.properties(description=f"{name} by step, each value (thin) and the mean of 25 (thick).")
    values = {"dimension": "", "share": False, "mode": "calibrated", "most": 1.0, "low": 1.0, "high": 1.0,
              "span_from": None, "span_to": None, "ground": "white", "columns": 8}  # fmt: skip
    return {name: _finished(chart, layers, values) for name, chart in charts.items()}


def _series(names: Sequence[str]) -> AnyChart:
    legend = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolSize=300, labelLimit=0, symbolLimit=0,
                        columns=alt.ExprRef("columns"), labelExpr=label_words(names))  # fmt: skip
    lines = alt.Chart(alt.NamedData("cells")).transform_filter("datum.stop >= low && datum.start <= high")
    lines = lines.transform_calculate(value=f"datum[dimension] == null ? null : ({VALUE})").mark_line(
        strokeWidth=1.6, clip=True
    )
    drawn = lines.encode(
        x=steps_axis("stop:Q"),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
        color=alt.Color("layer:N", sort=list(names), scale=colours(names), legend=legend),
        strokeDash=alt.StrokeDash("layer:N", sort=list(names), scale=dashes(names), legend=legend),
    )
    stems, _, *pins = flagged(alt.NamedData("flags"), alt.NamedData("members"), names, stem=GREY)
    return alt.layer(drawn, stems, *pins).properties(
        height=240,
        title=small(SHOWN),
        description="Series: one line per layer, the chosen dimension by step; numbered flags above.",
    )


def _marks(names: Sequence[str]) -> AnyChart:
    base = alt.Chart(alt.NamedData("marks")).transform_filter(_CHOSEN)
    y = layer_axis(names)
    tips = [alt.Tooltip("layer:N"), alt.Tooltip("what:N"), alt.Tooltip("start:Q"), alt.Tooltip("stop:Q")]
    bars = base.transform_filter("datum.what == 'fast change'").mark_bar(height=7, color=PALETTE[1], opacity=0.55)
    jumps = base.transform_filter("datum.what == 'jump'").mark_tick(thickness=1.5, height=14, color=PALETTE[0])
    ends = base.transform_filter("datum.what == 'settled'").mark_point(shape="diamond", filled=True, size=60)
    x = steps_axis("start:Q")
    return alt.layer(
        bars.encode(x=x, x2=alt.X2("stop:Q"), y=y, tooltip=tips),
        jumps.encode(x=x, y=y, tooltip=tips),
        ends.encode(x=x, y=y, tooltip=tips, color=alt.value(PALETTE[2])),
    ).properties(height=20 * len(names), description="What the detectors marked: bars, ticks and diamonds by layer.")


def _finished(chart: AnyChart, names: Sequence[str], values: Row) -> Row:
    plain = specification(styled(chart.add_params(*parameters(**values)), PAGE))
    plain.pop("datasets", None)
    layers = plain["layer"]
    above = [layer for layer in layers if layer.get("data", {}).get("name") in ("flags", "members")]
    plain["layer"] = [*(layer for layer in layers if layer not in above), *copy.deepcopy(_VEIL), *above]
    wide = extent(names)
    plain["config"] = {
        "view": {"stroke": None},
        "axisY": {"minExtent": wide, "maxExtent": wide},
        "padding": 4,
        "title": {"anchor": "start"},
    }
    return plain | {"autosize": {"type": "fit-x", "contains": "padding"}, "width": "container"}
