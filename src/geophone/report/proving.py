"""Charts of the proving ground as Vega-Lite specifications: recall by budget, and runs with events and moments."""

import altair as alt
import pandas as pd

from geophone.prove.choice import DIMENSIONS_ONLY, GEOPHONE, WITHOUT_SCALARS
from geophone.prove.evaluate import OFFLINE
from geophone.prove.tables import POOLED
from geophone.prove.targeting import CURVE
from geophone.report.charts import PALETTE, STROKES

# A plain grey for words and lines: the drawing cannot know whether the ground it lies on is light or dark.
_GREY = "#808080"
NAMES = {
    GEOPHONE: "geophone (all that is recorded)",
    WITHOUT_SCALARS: "dimensions and 1 - CKA",
    DIMENSIONS_ONLY: "dimensions alone",
    "rivals_best": "best combination of rivals",
    "turn4": "1 - CKA",
    "weight_norm": "weight norm",
    "loss": "training loss",
    "log_uniform": "log-uniform grid",
    "random": "random",
}


def recall_curves(methods: pd.DataFrame) -> dict:
    """Recall against the budget k / E, a panel a testbed, a line a method of `NAMES`, from the table `methods` of the
    proving ground (offline track). A specification on its own."""
    shown = methods[(methods["track"] == OFFLINE) & (methods["bed"] != POOLED) & methods["method"].isin(NAMES)]
    rows = [
        {"bed": row["bed"], "method": NAMES[row["method"]], "budget": share, "recall": round(row[f"curve_{i + 1}"], 4)}
        for _, row in shown.iterrows()
        for i, share in enumerate(CURVE)
    ]
    names = list(NAMES.values())
    colour = alt.Color(
        "method:N",
        title=None,
        scale=alt.Scale(domain=names, range=[PALETTE[i % len(PALETTE)] for i in range(len(names))]),
        legend=alt.Legend(orient="top", columns=3, symbolType="stroke", labelLimit=260),
    )
    dash = alt.StrokeDash(
        "method:N",
        title=None,
        scale=alt.Scale(domain=names, range=[STROKES[i // len(PALETTE) % len(STROKES)] for i in range(len(names))]),
    )
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=1.6)
        .encode(
            x=alt.X("budget:Q", title="moments looked at, per event", axis=alt.Axis(grid=False)),
            y=alt.Y("recall:Q", title="events found", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
            color=colour,
            strokeDash=dash,
            tooltip=["method:N", "budget:Q", alt.Tooltip("recall:Q", format=".0%")],
        )
        .properties(width=190, height=150)
        .facet(facet=alt.Facet("bed:N", title=None, sort=list(dict.fromkeys(shown["bed"]))), columns=3)
    )
    return _finished(chart, "Share of events found by the number of moments looked at per event, a panel a testbed.")


def example_run(examples: pd.DataFrame, bed: str, *, dimension: str = "participation ratio") -> dict:
    """One run of the testbed `bed`: the dimension of every layer by step, its events as bands from t10 to t90 with a
    line at t50, the product's moments as triangles along the top edge and the alarms of the causal detector as ticks
    along the bottom one, from the table `examples`. A specification on its own."""
    these = examples[examples["bed"] == bed]
    kinds = ("series", "event", "moment", "alarm")
    series, events, found, heard = (these[these["kind"] == kind] for kind in kinds)
    layers = list(dict.fromkeys(series["layer"]))
    steps = alt.X("step:Q", title="training step", axis=alt.Axis(grid=False))
    bands = alt.Chart(_data(events, ["start", "stop", "step", "name"]))
    lines = alt.Chart(_data(series, ["step", "layer", "value"])).mark_line(strokeWidth=1.6)
    marks = alt.Chart(_data(found, ["step", "layer", "rank"]))
    ticks = alt.Chart(_data(heard, ["step", "layer"])).mark_tick(
        orient="vertical", thickness=1.5, size=8, yOffset=-5, color=_GREY
    )
    colours = alt.Scale(domain=layers, range=[PALETTE[i % len(PALETTE)] for i in range(len(layers))])
    legend = alt.Legend(orient="top", symbolType="stroke")
    colour = alt.Color("layer:N", title=None, scale=colours, legend=legend)
    told = [alt.Tooltip("name:N", title="event"), alt.Tooltip("step:Q", title="half there at", format=".0f")]
    chart = alt.layer(
        bands.mark_rect(opacity=0.12, color=_GREY).encode(x="start:Q", x2="stop:Q", tooltip=told),
        bands.mark_rule(color=_GREY, strokeDash=[4, 3]).encode(x=steps, tooltip=told),
        lines.encode(
            x=steps,
            y=alt.Y("value:Q", title=dimension, scale=alt.Scale(zero=False)),
            color=colour,
        ),
        marks.mark_point(shape="triangle-down", size=70, filled=True, color="#D55E00", yOffset=6).encode(
            x=steps, y=alt.value(0), tooltip=["rank:Q", "step:Q", "layer:N"]
        ),
        ticks.encode(x=steps, y=alt.value(180), tooltip=["step:Q", "layer:N"]),
    ).properties(width=620, height=180)
    return _finished(
        chart,
        f"A run of {bed}: {dimension} of its layers by training step; its events as grey bands, the moments that were "
        "pointed at as triangles above, the causal detector's alarms as ticks below.",
    )


def _data(table: pd.DataFrame, columns: list[str]) -> alt.Data:
    rows = table[columns].astype(object).where(table[columns].notna(), None)
    return alt.Data(values=[{k: _plain(v) for k, v in row.items()} for row in rows.to_dict("records")])


def _plain(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _finished(chart, described: str) -> dict:
    chart = chart.properties(background="transparent", description=described).resolve_scale(color="shared")
    chart = chart.configure_axis(
        labelColor=_GREY, titleColor=_GREY, gridOpacity=0.25, tickColor=_GREY, domainColor=_GREY
    )
    return (
        chart.configure_legend(labelColor=_GREY, titleColor=_GREY)
        .configure_header(labelColor=_GREY)
        .configure_view(stroke=None)
        .to_dict(validate=True)
    )
