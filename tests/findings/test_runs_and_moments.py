"""What is said of a run, a transition and a dig follows from the numbers."""

import numpy as np
import pandas as pd
import pytest

from geophone.findings import moments, runs


def series(**layers):
    return pd.DataFrame(layers, index=pd.Index(range(10, 10 * (len(next(iter(layers.values()))) + 1), 10), name="step"))


def test_the_layer_that_changed_most_is_named_and_a_small_change_is_none():
    table = series(a=[2.0, 3.0, 4.0], b=[5.0, 5.0, 5.1])
    assert runs.change(table, "rank", source="").sentence == (
        "Of all layers a changed most: its rank rose 2.0-fold, from 2 to 4."
    )
    assert "within 10 %" in runs.change(table[["b"]], "rank", source="").sentence
    assert "No layer has a positive" in runs.change(series(a=[0.0, np.nan]), "rank", source="").sentence


def test_an_order_says_how_often_chance_makes_it():
    row = pd.DataFrame([{"verdict": "bottom-up", "rho": 0.8, "p": 0.042, "layers": 5}])
    said = runs.order(row, "calibrated", source="")
    assert "layers settle bottom-up: Spearman ρ = +0.80 over 5 layers" in said.sentence
    assert "seldom makes (exact one-sided p = 0.042)" in said.sentence and said.p == 0.042
    undefined = pd.DataFrame([{"verdict": "undefined", "rho": np.nan, "p": np.nan, "layers": 2}])
    assert (
        "undefined: of 2 layers that count, too few settled at steps that differ"
        in runs.order(undefined, "naive", source="").sentence
    )
    assert runs.order(row.iloc[:0], "naive", source="") is None


@pytest.mark.parametrize("expected", [0.7, 3.25, 1234.0])
def test_the_null_beside_a_count_is_the_detectors_own(expected):
    table = pd.DataFrame(
        {"mode": ["naive", "naive", "calibrated"], "status": ["ok", "too short", "ok"], "detected": [4, 9, 1],
         "expected_false": [expected, 99.0, 0.1]}
    )  # fmt: skip
    said = runs.jumps(table, "naive", "rank", source="")
    assert (said.value, said.null) == (4, expected)
    assert f"4 jumps of the rank where noise alone gives {expected:,.{0 if expected >= 100 else 1}f}." in said.sentence

    assert runs.jumps(table.assign(status="no null"), "calibrated", "rank", source="").sentence == (
        "The calibrated detector says nothing of the rank: no null."
    )


def test_gaps_are_counted_by_their_reason():
    statuses = series(a=["ok", "dead", "dead"], b=["ok", "nonfinite", "ok"])
    said = runs.gaps(statuses, source="").sentence
    assert said == (
        "Gaps in the charts: 2 with no variance over the probe (dead) and 1 with NaN or infinite activations of 6 "
        "measurements."
    )
    assert runs.gaps(series(a=["ok", "ok"]), source="") is None


def test_what_a_transition_did_has_the_sign_and_size_of_the_series():
    table = series(a=[8.0, 8.0, 2.0, 2.0], b=[1.0, 1.0, 1.5, 3.0])
    said = moments.moved(table, "a", (20, 40), "rank")
    assert said.sentence == (
        "Between steps 20 and 40 the rank of a fell from 8 to 2; of the others b changed most, 3.00-fold."
    )
    assert said.value == 0.25
    assert moments.moved(table, "b", (20, 40), "rank").sentence.startswith("Between steps 20 and 40 the rank of b rose")


def test_a_control_that_changes_as_much_is_said_to():
    table = series(a=[1.0, 1.0, 2.0, 2.0, 2.0, 5.0])
    apart = moments.beside(table, "a", (20, 30), [(40, 50)])
    assert apart.verdict == "met" and apart.sentence == "Here a moved 2.00-fold, and 1.00-fold at steps 40 to 50."
    same = moments.beside(table, "a", (20, 30), [(40, 50), (50, 60)])
    assert same.verdict == "not met" and "nothing sets this moment apart" in same.sentence and same.null == 2.5
    assert moments.beside(table, "a", (20, 30), []).verdict == "untested"


def test_what_the_loop_reported_is_the_mean_since_the_measurement_before():
    loss = pd.Series(np.arange(20.0), index=range(20))
    measured = [4, 9, 14, 19]
    assert moments.meanwhile({"loss": loss}, (9, 19), measured).sentence == "Loss went from 7 to 17."
    assert moments.meanwhile({"loss": loss}, (4, 19), measured).sentence == "Loss went from 2 to 17."
    assert moments.meanwhile({}, (9, 19), measured) is None


def test_what_was_before_a_stretch_of_nan_is_not_said_of_after_it():
    loss = pd.Series(np.arange(20.0), index=range(20))
    assert moments.meanwhile({"loss": loss.mask(loss.index >= 13)}, (9, 19), [4, 9, 14, 19]) is None
    some = loss.mask((loss.index >= 10) & (loss.index < 18))
    assert moments.meanwhile({"loss": some}, (9, 19), [4, 9, 14, 19]).sentence == "Loss went from 7 to 18.5."
    seldom = pd.Series([0.5, 0.75], index=[8, 16])
    assert moments.meanwhile({"accuracy": seldom}, (9, 19), range(20)).sentence == "Accuracy went from 0.5 to 0.75."
    assert moments.meanwhile({"accuracy": seldom}, (1, 4), range(20)) is None


def test_the_title_of_the_graph_is_its_finding():
    rows = []
    for i, moment in enumerate(("before", "during", "after")):
        for causal in (10.0 * i, np.nan, 5.0):
            rows.append({"moment": moment, "pairs": 100, "naive_edges": 40, "effect_edges": causal,
                         "compositional_depth": 1 + (i > 0)})  # fmt: skip
    table = pd.DataFrame(rows)
    assert moments.composition(table, ["before", "during", "after"]).sentence == (
        "Of the pairs of units 40.0 % correlated and 2.5 % (later 12.5 %) causally linked; compositional depth 1 "
        "(later 2)."
    )
    unmeasured = table.assign(effect_edges=np.nan)
    assert "unknown causally linked" in moments.composition(unmeasured, ["before", "after"]).sentence


def test_the_layer_that_costs_most_is_named():
    lost = pd.DataFrame(
        [{"step": s, "layer": layer, "kind": kind, "lost": 5.0 + s / 10 + (30 if layer == "b" else 0)}
         for s in (0, 200) for layer in "abc" for kind in ("zero", "resample")]
    )  # fmt: skip
    said = moments.ablation(lost)
    assert said.sentence == "At step 200 the network loses most without b: 55.0 points (resample)." and said.value == 55
    assert "unknown" in moments.ablation(lost.assign(lost=np.nan)).sentence


def curves(runs_):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"run": f"r{r}", "moment": "during", "arm": arm, "since": s,
             "accuracy": 0.9 - (0.05 if arm == "ablated" else 0.0) + 0.01 * rng.normal()}
            for r in range(runs_) for arm in ("ablated", "sham", "fresh") for s in (0, 20, 40)
        ]
    )  # fmt: skip


def test_bands_are_t_intervals_over_runs_and_absent_where_there_are_too_few():
    table = curves(6)
    band = moments.recovery_bands(table).set_index(["arm", "since"])
    values = table[(table["arm"] == "sham") & (table["since"] == 20)]["accuracy"]
    half = 2.570582 * values.std(ddof=1) / np.sqrt(6)
    assert band.loc[("sham", 20), "accuracy"] == pytest.approx(values.mean())
    assert band.loc[("sham", 20), "high"] - values.mean() == pytest.approx(half, rel=1e-5)
    assert moments.recovery_bands(curves(2))["low"].isna().all()
    assert len(moments.recovery_bands(curves(1).drop(columns="run"))) == 9


def test_steps_that_some_run_lacks_are_left_out_and_the_gap_is_the_last_common_one():
    table = curves(4)
    table = table[~((table["run"] == "r1") & (table["since"] == 40))]
    bands = moments.recovery_bands(table)
    assert set(bands["since"]) == {0, 20}
    values = bands.set_index(["arm", "since"])["accuracy"]
    gap = 100 * (values["sham", 20] - values["ablated", 20])
    assert moments.recovery(bands, ["during"]).sentence == (
        f"Accuracy missing after an ablation: during {gap:+.1f} points after 20 steps."
    )


def test_the_median_unit_is_said_for_target_and_control():
    table = pd.DataFrame(
        {"role": ["target"] * 4 + ["control"] * 4, "moment": ["before", "before", "after", "after"] * 2,
         "d": [1.0, 3.0, 4.0, np.nan, 1, 1, 2, 2]}
    )  # fmt: skip
    assert moments.units(table, "d", "d′").sentence == (
        "Median d′ 2 to 4 at the target, 1 to 2 at the control (n = 1 of 2 units)"
    )


def test_alarms_are_told_in_groups():
    groups = pd.DataFrame(
        {"first": [56, 120, 1300], "last": [58, 120, 1340], "kinds": [["learned", "hidden"], ["lost"], ["learned"]],
         "layers": [["a", "b", "c"], ["a", "b"], []]}
    )  # fmt: skip
    said = runs.alarms(groups, source="x")
    assert said.sentence == (
        "So far 3 alarms sounded: learned and hidden in 3 layers, steps 56 to 58; lost in a and b, step 120; learned "
        "in no layer of its own, steps 1,300 to 1,340. An alarm knows the past alone; no target is ranked yet."
    )
    assert said.n == 3 and runs.alarms(groups.iloc[:0], source="x") is None
