"""Charts of a dig hold the numbers of its tables."""

import json

import numpy as np
import pandas as pd
import pytest
import vl_convert

from geophone.charts.dig import MOMENTS, ablation, around, dependency, in_order, recovery, units
from geophone.charts.theme import specification
from geophone.findings.moments import recovery_bands
from geophone.report.transitions import points_lost

LAYERS = ["a", "b", "c"]


def composition():
    rows = []
    for i, moment in enumerate(MOMENTS):
        for early, late, causal in (("a", "b", 10.0 * i), ("a", "c", np.nan), ("b", "c", 5.0)):
            rows.append(
                {"moment": moment, "step": 100 * i, "early": early, "late": late, "pairs": 100, "naive_edges": 40,
                 "partial_edges": 7, "path_strength": 1.0, "effect_edges": causal, "effect_null": 0.1,
                 "compositional_depth": 1 + (i > 0)}
            )  # fmt: skip
    return pd.DataFrame(rows)


def drawn(chart):
    """The rows that a chart draws."""
    spec = specification(chart)
    while "values" not in spec.get("data", {}):
        spec = spec["layer"][0] if "layer" in spec else spec["spec"]
    return spec["data"]["values"]


def test_arcs_are_as_wide_as_the_share_of_linked_pairs_and_only_where_measured():
    arcs = pd.DataFrame([row for row in drawn(dependency(composition(), LAYERS, title="")) if row.get("pair")])
    width = arcs.groupby(["moment", "rung", "pair"])["share"].first()
    assert (width[:, "correlated (Pearson > 0.7)"] == 0.4).all() and len(width[:, "correlated (Pearson > 0.7)"]) == 9
    causal = width[:, "causal effect (5 % false discoveries)"]
    assert causal.to_dict() == {
        ("before", "b to c"): 0.05, ("during", "b to c"): 0.05, ("after", "b to c"): 0.05,
        ("during", "a to b"): 0.1, ("after", "a to b"): 0.2,
    }  # fmt: skip


def test_an_arc_runs_from_the_early_layer_to_the_late_one():
    rows = drawn(dependency(composition(), LAYERS, title=""))
    arcs = pd.DataFrame([r for r in rows if r.get("pair") == "a to c"])
    one = arcs[(arcs["moment"] == "before") & (arcs["rung"] == "correlated (Pearson > 0.7)")].sort_values("order")
    assert one["x"].iloc[0] == 0 and one["x"].iloc[-1] == pytest.approx(2)
    assert one["y"].max() == pytest.approx(1) and one["y"].iloc[-1] == pytest.approx(0, abs=1e-9)


def ablated():
    return pd.DataFrame(
        [
            {"moment": m, "step": 100 * i, "layer": layer, "kind": kind,
             "accuracy": 0.9 - 0.1 * i - (0.3 if layer == "b" else 0.0), "baseline_accuracy": 0.95}
            for i, m in enumerate(MOMENTS) for layer in LAYERS for kind in ("zero", "resample")
        ]
    )  # fmt: skip


def test_ablation_is_points_lost():
    chart = ablation(points_lost(ablated()), LAYERS, title="")
    rows = pd.DataFrame(drawn(chart)).set_index(["step", "layer", "kind"])
    assert rows.loc[(200, "b", "resample"), "lost"] == pytest.approx(55)
    assert rows.loc[(0, "a", "zero"), "lost"] == pytest.approx(5)
    encoding = specification(chart)["spec"]["encoding"]
    assert encoding["y"]["title"] == "accuracy lost (percentage points)" and encoding["x"]["title"] == "training step"


def curves(runs):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"run": f"r{r}", "moment": "during", "arm": arm, "step": 100 + s, "since": s, "loss": 1.0,
             "accuracy": 0.9 - (0.05 if arm == "ablated" else 0.0) + 0.01 * rng.normal()}
            for r in range(runs) for arm in ("ablated", "sham", "fresh") for s in (0, 20, 40)
        ]
    )  # fmt: skip


def test_a_recovery_holds_every_arm_and_can_be_written_as_json():
    chart = recovery(recovery_bands(curves(1)), title="")
    assert {row["arm"] for row in drawn(chart)} == {"ablated", "sham", "fresh"}
    assert "NaN" not in json.dumps(specification(chart), allow_nan=False)


def test_the_series_around_a_transition_reach_half_a_window_beyond_it_and_its_controls():
    steps = np.arange(0, 1000, 10)
    series = pd.DataFrame({"a": steps * 1.0, "b": 2.0}, index=pd.Index(steps, name="step"))
    chart = specification(around(series, (300, 350, 400), [(500, 600)], ["a"], measure="rank", title=""))
    lines = next(layer for layer in chart["layer"] if "part" in json.dumps(layer.get("transform", "")))
    rows = pd.DataFrame(lines["data"]["values"])
    assert (rows["step"].min(), rows["step"].max()) == (150, 750)
    assert set(rows.loc[rows["part"], "layer"]) == {"a"}
    bands = [layer["data"]["values"][0] for layer in chart["layer"] if layer["mark"]["type"] == "rect"]
    assert [(b["start"], b["stop"], b["name"]) for b in bands] == [(300, 400, "transition"), (500, 600, "control")]


def panels(chart):
    """What is drawn in each panel of a chart: the shapes of its marks."""
    scene = vl_convert.vegalite_to_scenegraph(specification(chart))["scenegraph"]
    found = []

    def look(item):
        if item.get("name") == "cell" and item.get("marktype") == "group":
            for cell in item["items"]:
                found.append(json.dumps(cell["items"], sort_keys=True))
        for each in item.get("items", []):
            look(each)

    look(scene)
    return found


def test_every_panel_draws_its_own_rows():
    rows = pd.DataFrame(
        [{"role": r, "moment": m, "unit": u, "d": u + 5 * (r == "control") + i}
         for r in ("target", "control") for i, m in enumerate(MOMENTS) for u in range(4)]
    )  # fmt: skip
    both = [curves(3), curves(3).assign(moment="after", accuracy=0.5 + curves(3)["accuracy"] / 9)]
    bands = recovery_bands(pd.concat(both))
    # Pearson and partial correlations are the same at all moments, causal links are not: 1 + 1 + 3 of 9 panels differ.
    for chart, count, kinds in ((units(rows, "d", "d", title=""), 2, 2), (recovery(bands, title=""), 2, 2),
                                (dependency(composition(), LAYERS, title=""), 9, 5)):  # fmt: skip
        made = panels(chart)
        assert (len(made), len(set(made))) == (count, kinds)


def test_every_chart_draws_and_its_title_is_the_finding():
    table = pd.DataFrame({"role": "target", "moment": ["before", "after"] * 5, "selectivity": np.linspace(0, 1, 10)})
    charts = (
        dependency(composition(), LAYERS, title="What was found"),
        units(table, "selectivity", "selectivity", title="What was found"),
        ablation(points_lost(ablated()), LAYERS, title="What was found"),
        recovery(recovery_bands(curves(3)), title="What was found"),
    )  # fmt: skip
    for chart in charts:
        assert "What was found" in vl_convert.vegalite_to_svg(json.dumps(specification(chart)))


def test_moments_stand_in_their_order():
    assert in_order(pd.Series(["after", "late", "before"])) == ["before", "after", "late"]
