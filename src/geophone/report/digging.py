"""Charts of what was dug up: who carries whom, what breaks without a layer, and what comes back. Specifications
only."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from scipy import stats

from geophone.report.charts import PALETTE

MOMENTS = ("before", "during", "after")
GREY = "#808080"
RUNGS = {
    "naive_edges": "correlated (Pearson > 0.7)",
    "partial_edges": "correlated within class (> 0.7)",
    "effect_edges": "causal effect (5 % false discoveries)",
}
_ARMS = {"ablated": PALETTE[1], "fresh": PALETTE[0], "sham": GREY}
_ARC = np.linspace(0, np.pi, 17)


def dependency_chart(composition: pd.DataFrame, layers: Sequence[str], *, role: str = "target") -> dict:
    """Which layers carry which, as arcs from early to late; columns before, during, after, a row a rung of the ladder.

    `composition` as a dig leaves it, `layers` in depth order. The wider an arc, the greater the share of the two
    layers' unit pairs that are linked; the causal rung has arcs between neighbours only. A specification on its own,
    readable on light and dark ground.
    """
    rows = composition[composition["role"] == role] if "role" in composition else composition
    shares = _shares(rows)
    places = {name: i for i, name in enumerate(layers)}
    arcs = [
        {
            "moment": r.moment, "rung": r.rung, "pair": f"{r.early} to {r.late}", "share": float(r.share),
            "x": float(np.interp(-np.cos(a), [-1, 1], [places[r.early], places[r.late]])),
            "y": float(np.sin(a) * (places[r.late] - places[r.early]) / 2), "order": i,
        }
        for r in shares.itertuples() if r.share > 0 for i, a in enumerate(_ARC)
    ]  # fmt: skip
    seen = _in_order(rows["moment"])
    nodes = [
        {"moment": m, "rung": rung, "layer": name, "x": i, "y": 0}
        for m in seen for rung in RUNGS.values() for name, i in places.items()
    ]  # fmt: skip
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.5, len(layers) - 0.5]))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-0.35 * len(layers) / 2, len(layers) / 2]))
    width = alt.StrokeWidth("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.3, 12]), title="share of unit pairs")
    base = alt.Chart(alt.NamedData("links"))
    curves = base.transform_filter("isValid(datum.pair)").mark_line(opacity=0.6, color=PALETTE[0], strokeCap="round")
    tips = [alt.Tooltip("pair:N"), alt.Tooltip("share:Q", format=".1%", title="share of unit pairs")]
    drawn = curves.encode(x=x, y=y, detail="pair:N", order="order:Q", strokeWidth=width, tooltip=tips)
    dots = base.transform_filter("isValid(datum.layer)").mark_point(filled=True, size=45, color=GREY, opacity=1)
    names = base.transform_filter("isValid(datum.layer)").mark_text(
        dy=12, color=GREY, fontSize=9, angle=330, align="right"
    )
    chart = alt.layer(drawn, dots.encode(x=x, y=y), names.encode(x=x, y=y, text="layer:N"))
    chart = chart.properties(width=max(150, 42 * len(layers)), height=100).facet(
        column=alt.Column("moment:N", sort=seen, title=None),
        row=alt.Row(
            "rung:N",
            sort=list(RUNGS.values()),
            title=None,
            header=alt.Header(labelAngle=0, labelAlign="left", labelLimit=240),
        ),
    )
    described = "Arcs from early to late layers, by moment and rung of the ladder."
    return finished(chart, dependency_title(rows), described) | {"datasets": {"links": [*arcs, *nodes]}}


def dependency_title(rows: pd.DataFrame) -> str:
    """The finding in one sentence: how many unit pairs are correlated and how many causally linked, and the depth."""
    first, last = (rows[rows["moment"] == m] for m in _ends(rows))
    said = []
    for column, word in (("naive_edges", "correlated"), ("effect_edges", "causally linked")):
        shares = [_share(part, column) for part in (first, last)]
        said.append(f"{_range([f'{100 * s:.1f} %' if np.isfinite(s) else 'unknown' for s in shares])} {word}")
    depths = [f"{part['compositional_depth'].max():.0f}" for part in (first, last)]
    return f"Of the pairs of units {' and '.join(said)}; compositional depth {_range(depths)}"


def ablation_chart(ablation: pd.DataFrame, layers: Sequence[str], *, role: str = "target") -> dict:
    """Accuracy lost without each layer, in percentage points, by training step; a line a layer, a column a kind.

    `ablation` as a dig leaves it (moment, step, layer, kind, accuracy, baseline_accuracy); with rows of a whole run it
    is the same chart over all of its steps.
    """
    rows = ablation[ablation["role"] == role] if "role" in ablation else ablation
    lost = rows.assign(lost=100 * (rows["baseline_accuracy"] - rows["accuracy"]))
    shown = lost[["step", "layer", "kind", "lost", *(["moment"] if "moment" in lost else [])]]
    kinds = [k for k in ("zero", "mean", "resample") if k in set(shown["kind"])]
    colours = alt.Scale(domain=list(layers), range=[PALETTE[i % len(PALETTE)] for i in range(len(layers))])
    tips = ["layer:N", "step:Q", alt.Tooltip("lost:Q", format=".1f", title="points lost")]
    chart = (
        alt.Chart(alt.NamedData("lost"))
        .mark_line(point=alt.OverlayMarkDef(size=45))
        .encode(
            x=alt.X("step:Q", title="training step", scale=alt.Scale(zero=False)),
            y=alt.Y("lost:Q", title="accuracy lost (percentage points)"),
            color=alt.Color("layer:N", sort=list(layers), scale=colours, title="without layer"),
            tooltip=tips,
        )
        .properties(width=190, height=200)
        .facet(column=alt.Column("kind:N", sort=kinds, title=None))
    )
    described = "Accuracy lost without a layer, by training step and kind of ablation."
    return finished(chart, ablation_title(shown), described) | {"datasets": {"lost": _values(shown)}}


def ablation_title(shown: pd.DataFrame) -> str:
    """The layer that costs most at the last step, by the kind that is preferred among those there."""
    kind = next(k for k in ("resample", "mean", "zero") if k in set(shown["kind"]))
    last = shown[(shown["kind"] == kind) & (shown["step"] == shown["step"].max())]
    if not np.isfinite(last["lost"]).any():
        return "Without any layer the loss of accuracy is unknown"
    worst = last.loc[last["lost"].idxmax()]
    return (
        f"At step {worst['step']} the network loses most without {worst['layer']}: {worst['lost']:.1f} points ({kind})"
    )


def recovery_chart(curves: pd.DataFrame) -> dict:
    """Accuracy after an ablation by steps since, a line an arm, a column a moment.

    `curves` as `recovery_curves.parquet` holds them (moment, arm, since, accuracy); with a column `run` of several
    runs, lines are means over runs and bands their 95 % t intervals. Steps that some run lacks are left out.
    """
    table = recovery_bands(curves)
    moments = _in_order(table["moment"])
    arms = [a for a in _ARMS if a in set(table["arm"])]
    base = alt.Chart(alt.NamedData("curves"))
    x = alt.X("since:Q", title="steps since the ablation")
    legend = alt.Legend(title="arm", symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=2.5)
    colour = alt.Color("arm:N", sort=arms, scale=alt.Scale(domain=arms, range=[_ARMS[a] for a in arms]), legend=legend)
    axis = alt.Y("accuracy:Q", title="accuracy on held-out samples", scale=alt.Scale(zero=False))
    bands = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.2)
    tips = ["arm:N", "since:Q", alt.Tooltip("accuracy:Q", format=".3f"), alt.Tooltip("runs:Q")]
    chart = alt.layer(
        bands.encode(x=x, y=alt.Y("low:Q", title="accuracy on held-out samples"), y2="high:Q", color=colour),
        base.mark_line(strokeWidth=1.8).encode(x=x, y=axis, color=colour, tooltip=tips),
    )
    chart = chart.properties(width=230, height=180).facet(column=alt.Column("moment:N", sort=moments, title=None))
    described = "Accuracy by steps since the ablation, an arm a line, a moment a column."
    return finished(chart, recovery_title(table), described) | {"datasets": {"curves": _values(table)}}


def recovery_bands(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy over runs with its 95 % t interval: moment, arm, since, accuracy, low, high (NaN for fewer than 3
    runs), runs. Only steps that every run of the moment has."""
    runs = curves if "run" in curves else curves.assign(run="one")
    grouped = runs.groupby(["moment", "arm", "since"])["accuracy"].agg(["mean", "std", "count"]).reset_index()
    full = grouped[grouped["count"] == grouped.groupby("moment")["count"].transform("max")].copy()
    enough = full["count"].where(full["count"] >= 3)
    half = stats.t.ppf(0.975, enough - 1) * full["std"] / np.sqrt(enough)
    full = full.assign(low=full["mean"] - half, high=full["mean"] + half)
    return full.rename(columns={"mean": "accuracy", "count": "runs"}).drop(columns="std").reset_index(drop=True)


def recovery_title(table: pd.DataFrame) -> str:
    """What is missing at the last common step of each moment."""
    said = []
    for moment in _in_order(table["moment"]):
        wide = table[table["moment"] == moment].pivot(index="since", columns="arm", values="accuracy")
        if not {"ablated", "sham"} <= set(wide):
            continue
        both = wide.dropna(subset=["ablated", "sham"])
        if len(both):
            gap = 100 * (both["sham"] - both["ablated"]).iloc[-1]
            said.append(f"{moment} {gap:+.1f} points after {both.index[-1]} steps")
    return f"Accuracy missing after an ablation: {', '.join(said)}" if said else "No ablation was trained on"


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a moment, pair of layers and rung: the share of unit pairs that are linked, 0 where it was not measured."""
    parts = [
        rows[["moment", "early", "late"]].assign(rung=name, share=(rows[column] / rows["pairs"]).fillna(0.0))
        for column, name in RUNGS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _values(table: pd.DataFrame) -> list[dict]:
    """Rows as plain values; a missing one or NaN becomes null, which charts show as a gap."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _share(rows: pd.DataFrame, column: str) -> float:
    measured = rows[rows[column].notna()]
    return float(measured[column].sum() / measured["pairs"].sum()) if len(measured) else float("nan")


def _in_order(moments: pd.Series) -> list[str]:
    return [*(m for m in MOMENTS if m in set(moments)), *sorted(set(moments) - set(MOMENTS))]


def _ends(rows: pd.DataFrame) -> tuple[str, str]:
    seen = _in_order(rows["moment"])
    return seen[0], seen[-1]


def _range(values: Sequence[str]) -> str:
    return values[0] if values[0] == values[-1] else f"{values[0]} (later {values[-1]})"


def finished(chart: alt.FacetChart | alt.LayerChart, title: str, description: str) -> dict:
    """`chart` as a specification with that title (the finding) and text alternative, readable on light and dark."""
    # A plain grey for words and lines, since the drawing cannot know the ground it lies on.
    finished = chart.properties(
        title=alt.TitleParams(title, anchor="start", color=GREY, fontSize=13), description=description
    )
    finished = finished.configure(background="transparent").configure_view(stroke=None)
    finished = finished.configure_axis(
        labelColor=GREY, titleColor=GREY, gridOpacity=0.25, tickColor=GREY, domainColor=GREY
    )
    finished = finished.configure_header(labelColor=GREY, titleColor=GREY)
    return finished.configure_legend(labelColor=GREY, titleColor=GREY).to_dict(validate=False)
