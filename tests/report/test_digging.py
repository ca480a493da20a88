"""Charts of a dig hold the numbers of its tables, and their titles say what the numbers say."""

import json

import numpy as np
import pandas as pd
import pytest

from geophone.report.digging import (
    MOMENTS,
    ablation_chart,
    dependency_chart,
    recovery_bands,
    recovery_chart,
)

LAYERS = ["a", "b", "c"]


def composition():
    rows = []
    for role in ("target", "control"):
        for i, moment in enumerate(MOMENTS):
            for early, late, causal in (("a", "b", 10.0 * i), ("a", "c", np.nan), ("b", "c", 5.0)):
                rows.append(
                    {"role": role, "moment": moment, "step": 100 * i, "early": early, "late": late, "pairs": 100,
                     "naive_edges": 40 if role == "target" else 1, "partial_edges": 7, "path_strength": 1.0,
                     "effect_edges": causal, "effect_null": 0.1, "compositional_depth": 1 + (i > 0)}
                )  # fmt: skip
    return pd.DataFrame(rows)


def drawn(chart):
    """The rows that a specification draws."""
    return chart["datasets"][chart["data"]["name"]]


def test_arcs_are_as_wide_as_the_share_of_linked_pairs_and_only_where_measured():
    chart = dependency_chart(composition(), LAYERS)
    arcs = pd.DataFrame([row for row in drawn(chart) if row.get("pair")])
    width = arcs.groupby(["moment", "rung", "pair"])["share"].first()
    assert (width[:, "correlated (Pearson > 0.7)"] == 0.4).all() and len(width[:, "correlated (Pearson > 0.7)"]) == 9
    causal = width[:, "causal effect (5 % false discoveries)"]
    assert causal.to_dict() == {
        ("before", "b to c"): 0.05, ("during", "b to c"): 0.05, ("after", "b to c"): 0.05,
        ("during", "a to b"): 0.1, ("after", "a to b"): 0.2,
    }  # fmt: skip


def test_an_arc_runs_from_the_early_layer_to_the_late_one():
    arcs = pd.DataFrame([r for r in drawn(dependency_chart(composition(), LAYERS)) if r.get("pair") == "a to c"])
    one = arcs[(arcs["moment"] == "before") & (arcs["rung"] == "correlated (Pearson > 0.7)")].sort_values("order")
    assert one["x"].iloc[0] == 0 and one["x"].iloc[-1] == pytest.approx(2)
    assert one["y"].max() == pytest.approx(1) and one["y"].iloc[-1] == pytest.approx(0, abs=1e-9)


def test_the_title_of_the_graph_is_its_finding():
    title = dependency_chart(composition(), LAYERS)["title"]["text"]
    assert title == (
        "Of the pairs of units 40.0 % correlated and 2.5 % (later 12.5 %) causally linked; "
        "compositional depth 1 (later 2)"
    )
    unmeasured = composition().assign(effect_edges=np.nan)
    assert "unknown causally linked" in dependency_chart(unmeasured, LAYERS)["title"]["text"]
    assert "1.0 % correlated" in dependency_chart(composition(), LAYERS, role="control")["title"]["text"]


def test_ablation_is_points_lost_and_the_title_names_the_layer():
    table = pd.DataFrame(
        [
            {"role": "target", "moment": m, "step": 100 * i, "layer": layer, "kind": kind,
             "accuracy": 0.9 - 0.1 * i - (0.3 if layer == "b" else 0.0), "baseline_accuracy": 0.95}
            for i, m in enumerate(MOMENTS) for layer in LAYERS for kind in ("zero", "resample")
        ]
    )  # fmt: skip
    chart = ablation_chart(table, LAYERS)
    rows = pd.DataFrame(drawn(chart)).set_index(["step", "layer", "kind"])
    assert rows.loc[(200, "b", "resample"), "lost"] == pytest.approx(55)
    assert rows.loc[(0, "a", "zero"), "lost"] == pytest.approx(5)
    assert chart["title"]["text"] == "At step 200 the network loses most without b: 55.0 points (resample)"
    encoding = chart["spec"]["encoding"]
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


def test_bands_are_t_intervals_over_runs_and_absent_where_there_are_too_few():
    table = curves(6)
    band = recovery_bands(table).set_index(["arm", "since"])
    values = table[(table["arm"] == "sham") & (table["since"] == 20)]["accuracy"]
    half = 2.570582 * values.std(ddof=1) / np.sqrt(6)
    assert band.loc[("sham", 20), "accuracy"] == pytest.approx(values.mean())
    assert band.loc[("sham", 20), "high"] - values.mean() == pytest.approx(half, rel=1e-5)
    assert recovery_bands(curves(2))["low"].isna().all()
    alone = recovery_bands(curves(1).drop(columns="run"))
    assert len(alone) == 9 and alone["low"].isna().all()


def test_steps_that_some_run_lacks_are_left_out():
    table = curves(4)
    table = table[~((table["run"] == "r1") & (table["since"] == 40))]
    assert set(recovery_bands(table)["since"]) == {0, 20}


def test_recovery_says_what_is_missing_and_can_be_written_as_json():
    chart = recovery_chart(curves(6))
    band = recovery_bands(curves(6)).set_index(["arm", "since"])["accuracy"]
    gap = 100 * (band["sham", 40] - band["ablated", 40])
    assert chart["title"]["text"] == f"Accuracy missing after an ablation: during {gap:+.1f} points after 40 steps"
    assert "NaN" not in json.dumps(recovery_chart(curves(1)))
    assert {r["arm"] for r in drawn(chart) if "arm" in r} == {"ablated", "sham", "fresh"}


def test_every_chart_draws(tmp_path):
    converter = pytest.importorskip("vl_convert")
    table = pd.DataFrame([{"step": 0, "layer": "a", "kind": "zero", "accuracy": 0.5, "baseline_accuracy": 0.9}])
    for chart in (dependency_chart(composition(), LAYERS), ablation_chart(table, LAYERS), recovery_chart(curves(3))):
        svg = converter.vegalite_to_svg(json.dumps(chart))
        assert chart["title"]["text"][:30] in svg
