"""The paper's charts as Vega-Lite specifications, and how they become vector files. Titles stand in the captions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from geophone.store.run import Run
from geophone.store.tables import replace_file

COLUMN, WIDE = 330, 690  # pixels; a column is set at 0.73 points a pixel, which makes 10-pixel words 7.3 points
# Okabe & Ito (2008); shapes differ too, so that nothing hangs on colour alone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
BINS = 56
_INK = "#222222"
_MODES = {"naive": "circle", "calibrated": "diamond"}


def save(specification: dict, folder: Path, name: str) -> str:
    """Write `name`.svg and `name`.pdf under `folder`; returns `name`."""
    replace_file(folder / f"{name}.svg", lambda p: p.write_text(vl_convert.vegalite_to_svg(specification), "utf-8"))
    replace_file(folder / f"{name}.pdf", lambda p: p.write_bytes(vl_convert.vegalite_to_pdf(specification)))
    return name


def heatmaps(runs: Sequence[Run], dimension: str, settled: pd.DataFrame, *, columns: int = 3) -> dict:
    """A panel a run: layers by training step on a log axis, colour the dimension; a tick where a layer settled
    (`settled`: run, layer, step)."""
    cells = pd.concat([_cells(run, dimension) for run in runs], ignore_index=True)
    domain = [float(cells["value"].min()), float(cells["value"].max())]
    last = int(cells["stop"].max())
    rows = []
    for start in range(0, len(runs), columns):
        panels = [
            _heatmap(run, cells[cells["run"] == run.name], settled[settled["run"] == run.name], domain, last, dimension)
            for run in runs[start : start + columns]
        ]
        rows.append(alt.hconcat(*panels, spacing=14))
    return finished(alt.vconcat(*rows, spacing=12).resolve_scale(color="shared"))


def _cells(run: Run, dimension: str) -> pd.DataFrame:
    """Geometric means of the dimension over up to `BINS` bins of the step, evenly spaced in its logarithm."""
    table = run.series(dimension)
    steps = np.maximum(table.index.to_numpy(float), 1)
    edges = np.unique(np.rint(np.geomspace(steps[0], steps[-1] + 1, BINS + 1)))
    at = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, len(edges) - 2)
    logs = np.log(table.where(table > 0)).groupby(at).mean()
    starts = edges[logs.index]
    # Cells overlap a little, so that no seam is taken for a mark.
    stops = np.append(edges[logs.index][1:] * 1.03, edges[-1])
    frames = [
        pd.DataFrame({"start": starts, "stop": stops, "layer": layer, "value": np.exp(logs[layer]).round(4)})
        for layer in table.columns
    ]
    return pd.concat(frames, ignore_index=True).assign(run=run.name).dropna(subset="value")


def _heatmap(run: Run, cells: pd.DataFrame, settled: pd.DataFrame, domain: list, last: int, dimension: str):
    names = [layer.name for layer in run.layers]
    scale = alt.Scale(type="log", domain=[float(cells["start"].min()), last], nice=False)
    x = alt.X("start:Q", scale=scale, axis=alt.Axis(title="training step", grid=False, tickCount=4, format="~s"))
    y = alt.Y(
        "layer:N", sort=names, title=None, scale=alt.Scale(domain=names), axis=alt.Axis(labelLimit=60, grid=False)
    )
    legend = alt.Legend(
        title=[dimension.replace("_", " "), "(directions)"],
        gradientLength=90,
        format=".2~g",
        values=_ticks(domain),
    )
    colour = alt.Color(
        "value:Q", scale=alt.Scale(type="log", scheme="viridis", domain=domain, nice=False), legend=legend
    )
    shades = alt.Chart(cells).mark_rect(strokeWidth=0).encode(x=x, x2="stop:Q", y=y, color=colour)
    ticks = alt.Chart(settled[["layer", "step"]]).mark_tick(thickness=2.5, color="white", height=8)
    chart = shades + ticks.encode(x=alt.X("step:Q", scale=scale), y=y)
    return chart.properties(
        width=145, height=alt.Step(9), title=alt.Title(run.name.removesuffix("-seed0"), fontSize=10)
    )


def _ticks(domain: Sequence[float]) -> list[float]:
    """Round numbers that lie well inside `domain`."""
    return [v for v in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500) if domain[0] * 0.99 <= v <= domain[1] / 1.15]


def order_strip(order: pd.DataFrame, architectures: Mapping[str, str]) -> dict:
    """Spearman's rho of every run, seed and calibrated forms in rows, architectures apart."""
    rows = order.assign(architecture=order["run"].map(architectures)).dropna(subset="rho")
    rows = rows.assign(row=rows["architecture"] + ", " + rows["mode"])
    rows["shift"] = rows.groupby("row").cumcount() % 5 - 2
    names = [f"{architecture}, {mode}" for architecture in sorted(set(architectures.values())) for mode in _MODES]
    zones = (
        alt.Chart(pd.DataFrame({"rho": [-0.6, 0.6]})).mark_rule(strokeDash=[3, 3], color="#666666").encode(x="rho:Q")
    )
    marks = alt.Chart(rows[["rho", "row", "architecture", "mode", "shift"]]).mark_point(
        filled=True, size=34, opacity=0.75
    )
    chart = zones + marks.encode(
        x=alt.X("rho:Q", title="Spearman ρ of depth with settling step", scale=alt.Scale(domain=[-1, 1])),
        y=alt.Y("row:N", sort=names, scale=alt.Scale(domain=names), title=None),
        yOffset=alt.YOffset("shift:O", scale=alt.Scale(domain=list(range(-4, 5)))),
        color=_family(sorted(set(architectures.values())), legend=False),
        shape=alt.Shape("mode:N", scale=_scale(_MODES), title=None, legend=None),
    )
    return finished(chart.properties(width=225, height=170))


def scatter(pairs: pd.DataFrame, x: tuple[str, str], y: tuple[str, str]) -> dict:
    """A point a pair; `x` and `y` are (column, title)."""
    kept = pairs[["architecture", x[0], y[0]]].dropna()
    architectures = sorted(kept["architecture"].unique())
    points = alt.Chart(kept).mark_point(size=36, filled=True, opacity=0.75).encode(
        x=alt.X(f"{x[0]}:Q", title=x[1]),
        y=alt.Y(f"{y[0]}:Q", title=y[1]),
        color=_family(architectures),
        shape=alt.Shape("architecture:N", scale=alt.Scale(domain=architectures, range=list(SHAPES[:
        len(architectures)])), title=None),
    )  # fmt: skip
    zero = alt.Chart(pd.DataFrame({"at": [0]})).mark_rule(color="#999999", strokeDash=[2, 2])
    chart = zero.encode(y=alt.Y("at:Q")) + zero.encode(x=alt.X("at:Q")) + points
    return finished(chart.properties(width=250, height=150))


def rates(rows: pd.DataFrame) -> dict:
    """Jumps a series by architecture, found and under the null alone; `rows`: architecture, mode, found, null (per
    series)."""
    long = rows.melt(["architecture", "mode"], ["found", "null"], var_name="what", value_name="jumps")
    long["what"] = long["what"].map({"found": "found", "null": "the null alone"})
    what = ["found", "the null alone"]
    panels: list[alt.Chart] = []
    for mode in [m for m in _MODES if m in set(rows["mode"])]:
        chart = alt.Chart(long[long["mode"] == mode]).mark_point(size=46, strokeWidth=1.6)
        panels.append(
            chart.encode(
                x=alt.X("jumps:Q", title=f"jumps a series, {mode} rule", scale=alt.Scale(zero=True), axis=_few()),
                y=alt.Y("architecture:N", title=None, axis=alt.Axis(labels=not panels, ticks=not panels)),
                color=alt.Color("what:N", scale=alt.Scale(domain=what, range=[COLOURS[0], COLOURS[1]]), title=None),
                shape=alt.Shape("what:N", scale=alt.Scale(domain=what, range=["circle", "cross"]), title=None),
            ).properties(width=118, height=alt.Step(22))
        )
    return finished(alt.hconcat(*panels, spacing=12))


def forest(rows: pd.DataFrame, title: str, *, bars: Sequence[float] = ()) -> dict:
    """Estimates with intervals, a row each; `rows`: label, value, low, high, passes. Rules at 0 and at `bars`."""
    names = list(rows["label"])
    y = alt.Y("label:N", sort=names, title=None, axis=alt.Axis(labelLimit=170, grid=False))
    base = alt.Chart(rows)
    lines = base.mark_rule(strokeWidth=1.3, color=_INK).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y)
    fill = alt.condition("datum.passes", alt.value(COLOURS[1]), alt.value("white"))
    dots = base.mark_point(size=34, filled=True, stroke=_INK, strokeWidth=1).encode(x="value:Q", y=y, fill=fill)
    rules = pd.DataFrame({"at": [0.0, *bars], "dash": ["zero", *["bar"] * len(bars)]})
    dashes = alt.StrokeDash("dash:N", scale=alt.Scale(domain=["zero", "bar"], range=[[1, 0], [3, 3]]), legend=None)
    marks = alt.Chart(rules).mark_rule(color="#777777").encode(x="at:Q", strokeDash=dashes)
    return finished((marks + lines + dots).properties(width=225, height=alt.Step(14)))


def coupling(curves: pd.DataFrame, groups: Sequence[str]) -> dict:
    """How fast the loss falls around the peak of a critical period, a panel a group: measured, and in swapped runs."""
    long = curves[curves["group"].isin(list(groups))].melt(
        ["group", "lag"], ["average", "expected"], var_name="what", value_name="fall"
    )
    names = {"average": "own run", "expected": "swapped runs"}
    long["what"] = long["what"].map(names)
    what = list(names.values())
    panels: list[alt.Chart] = []
    for group in groups:
        chart = alt.Chart(long[long["group"] == group]).mark_line(strokeWidth=1.4).encode(
            x=alt.X("lag:Q", title="measurements from the peak", axis=_few()),
            y=alt.Y("fall:Q", title=None if panels else "fall of the loss", axis=_few()),
            color=alt.Color("what:N", scale=alt.Scale(domain=what, range=[COLOURS[0], COLOURS[1]]), title=None),
            strokeDash=alt.StrokeDash("what:N", scale=alt.Scale(domain=what, range=[[1, 0], [4, 2]]), title=None),
        )  # fmt: skip
        panels.append(
            chart.properties(width=int(600 / len(groups)) - 42, height=85, title=alt.Title(group, fontSize=10))
        )
    return finished(alt.hconcat(*panels, spacing=10))


def dumbbells(rows: pd.DataFrame) -> dict:
    """Recall by testbed: `rows` has bed, method, recall, low, high."""
    order = list(dict.fromkeys(rows["method"]))
    beds = list(dict.fromkeys(rows["bed"]))
    y = alt.Y("bed:N", sort=beds, title=None)
    offset = alt.YOffset("method:N", sort=order)
    colour = alt.Color("method:N", scale=alt.Scale(domain=order, range=list(COLOURS[: len(order)])), title=None,
                       legend=alt.Legend(columns=2, orient="top"))  # fmt: skip
    shape = alt.Shape("method:N", scale=alt.Scale(domain=order, range=list(SHAPES[: len(order)])), title=None)
    base = alt.Chart(rows)
    lines = base.mark_rule(strokeWidth=1).encode(x="low:Q", x2="high:Q", y=y, yOffset=offset, color=colour)
    dots = base.mark_point(filled=True, size=30).encode(
        x=alt.X("recall:Q", title="share of the events found (k = E), 95 % intervals", scale=alt.Scale(domain=[0, 1])),
        y=y, yOffset=offset, color=colour, shape=shape,
    )  # fmt: skip
    return finished((lines + dots).properties(width=225, height=300))


def recovery(rows: pd.DataFrame) -> dict:
    """Accuracy missing beside the sham at the longest horizon, by moment of the ablation; `rows`: moment, role,
    deficit, run."""
    moments = ["before", "during", "after"]
    base = alt.Chart(rows).encode(
        x=alt.X("moment:N", sort=moments, title="layer ablated", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("role:N", sort=["target", "control"]),
        color=alt.Color("role:N", scale=alt.Scale(domain=["target", "control"], range=list(COLOURS[:2])), title=None),
    )
    dots = base.mark_point(filled=True, opacity=0.7, size=30).encode(
        y=alt.Y("deficit:Q", title="accuracy missing beside the sham")
    )
    means = base.mark_tick(thickness=2, size=22).encode(y="mean(deficit):Q")
    return finished((dots + means).properties(width=230, height=120))


def _family(architectures: Sequence[str], *, legend: bool = True) -> alt.Color:
    scale = alt.Scale(domain=list(architectures), range=[COLOURS[i % len(COLOURS)] for i in range(len(architectures))])
    return alt.Color("architecture:N", scale=scale, title=None, legend=alt.Undefined if legend else None)


def _scale(shapes: Mapping[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(shapes), range=list(shapes.values()))


def _few() -> alt.Axis:
    return alt.Axis(tickCount=3)


def finished(chart) -> dict:
    specification = chart.to_dict(validate=True)
    axis = {"labelFontSize": 9.5, "titleFontSize": 10, "titleFontWeight": "normal", "labelColor": _INK,
            "titleColor": _INK, "gridColor": "#e4e4e4", "domainColor": "#888888", "tickColor": "#888888"}  # fmt: skip
    legend = {"labelFontSize": 9.5, "titleFontSize": 9.5, "titleFontWeight": "normal", "labelColor": _INK}
    title = {"fontWeight": "normal", "anchor": "start", "color": _INK, "offset": 3}
    specification["config"] = {"view": {"stroke": None}, "axis": axis, "legend": legend, "title": title}
    specification["padding"] = 2
    return specification
