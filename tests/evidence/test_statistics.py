"""The statistics of simulated studies: planted truths are found, drift is not one, and of little, little is said."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from geophone.evidence import questions, statistics
from geophone.evidence.architectures import _judged
from geophone.evidence.numbers import Random, Statistic
from geophone.evidence.statistics import paired
from geophone.evidence.synthetic import PlantedEffects, simulated
from geophone.findings.lines import evidence_lines


def study(truth, *, seed=0, runs=10, **options):
    return simulated(truth, rng=np.random.default_rng(seed), runs=runs, **options)


def read(made, **options):
    table = options.pop("table", made.table)
    return statistics(table, order=made.order, detection=made.detection, **{"draws": 199, **options})


EFFECT = PlantedEffects(drift=0.02, rise=0.05, r=0.6)
MADE = study(EFFECT)


@pytest.fixture(scope="module")
def found():
    return read(MADE)


def number(found, name):
    return next(n for n in found["numbers"] if n["id"] == name)


def listed(found, where):
    return [row["finding"] for row in found["architectures"][where]]


def test_the_seed_numbers_are_those_of_the_founding_documents_code(found):
    from sklearn.linear_model import LinearRegression

    targets = MADE.table[MADE.table["role"] == "target"]
    r = stats.pearsonr(targets["magnitude"], targets["new_types_after"])
    seed = number(found, "diversity/naive")
    assert (seed["value"], seed["p"]) == pytest.approx((r.statistic, r.pvalue), rel=1e-6)
    t = stats.ttest_rel(targets["selectivity_after"], targets["selectivity_before"])
    assert number(found, "selectivity/naive")["p"] == pytest.approx(t.pvalue, rel=1e-6)
    x, y = targets[["magnitude", "num_jumps"]], targets["compositional_depth_after"]
    assert number(found, "depth/naive")["value"] == pytest.approx(LinearRegression().fit(x, y).score(x, y), rel=1e-6)


def test_the_difference_in_differences_is_the_mean_over_runs(found):
    wide = MADE.table.pivot(index=["pair", "run"], columns="role", values="selectivity_change")
    by_hand = (wide["target"] - wide["control"]).groupby("run").mean()
    assert number(found, "selectivity/did")["value"] == pytest.approx(by_hand.mean(), rel=1e-6)
    assert number(found, "selectivity/did")["runs"] == 30
    assert number(found, "selectivity/did-wilcoxon")["p"] == pytest.approx(stats.wilcoxon(by_hand).pvalue, rel=1e-6)


def test_a_true_effect_is_found_in_all_architectures(found):
    did = number(found, "selectivity/did")
    assert did["low"] < 0.05 < did["high"] and did["p_adjusted"] < 0.05
    assert {"selectivity", "correlation/log_magnitude/new_types"} <= set(listed(found, "holds_in_all"))
    assert not listed(found, "specific_to_one")
    verdicts = {(row["question"], row["form"]): row["verdict"] for row in found["criteria"]}
    assert verdicts["selectivity", "naive"] == verdicts["selectivity", "calibrated"] == "met"


def test_drift_fools_the_paired_t_and_not_the_difference_in_differences():
    fooled, rejected = 0, 0
    for seed in range(40):
        made = study(PlantedEffects(drift=0.02), seed=seed, runs=4)
        numbers = questions.selectivity(
            made.table[made.table["role"] == "target"], paired(made.table), Random(seed, 99)
        )
        by = {n.id: n for n in numbers}
        fooled += by["selectivity/naive"].p < 0.05
        rejected += by["selectivity/did"].p < 0.05
    assert fooled > 20 and rejected <= 6  # P(more than 6 of 40 at 5 %) = .003, and the seeds are fixed


def test_an_effect_in_one_architecture_lands_on_that_list():
    found = read(study(PlantedEffects(rise=0.08, r=0.8, only="mlp"), seed=1))
    rows = {row["finding"]: row for row in found["architectures"]["specific_to_one"]}
    for finding in ("selectivity", "correlation/log_magnitude/new_types"):
        assert rows[finding]["only"] == "mlp" and len(rows[finding]["architectures"]) == 3
        assert finding not in listed(found, "holds_in_all")


def test_nothing_is_mostly_undecided_and_every_finding_is_on_one_list():
    found = read(study(PlantedEffects(), seed=2))
    lists = ("holds_in_all", "specific_to_one", "undecided", "not_enough_data")
    counts = Counter(name for where in lists for name in listed(found, where))
    assert set(counts.values()) == {1}
    assert not listed(found, "holds_in_all") and not listed(found, "specific_to_one")
    # What the simulation does not measure cannot be judged.
    assert "change/sparsity" in listed(found, "not_enough_data") and "selectivity" in listed(found, "undecided")


def test_every_number_says_what_it_rests_on_and_p_is_adjusted_within_its_family(found):
    every = [*found["numbers"], *found["architectures"]["numbers"]]
    assert len({n["id"] for n in every}) == len(every)
    for n in every:
        assert n["status"] == "ok" or n["status"].startswith(("not enough data", "fitted, no variance"))
        assert (n["p"] is None) or (n["test"] and n["n"] > 0)
        assert (n["low"] is None) or n["interval"]
        assert n["seed"] == 0
        assert n["form"] == "naive" or n["p"] is None or n["runs"] > 0
    for family, ids in found["families_of_tests"].items():
        mine = [n for n in every if n["family_of_tests"] == family]
        assert sorted(ids) == sorted(n["id"] for n in mine)
        expected = stats.false_discovery_control([n["p"] for n in mine])
        assert [n["p_adjusted"] for n in mine] == pytest.approx(expected, rel=1e-6)


def test_same_seed_same_bytes_and_another_seed_moves_only_what_is_drawn(found):
    assert json.dumps(read(MADE)) == json.dumps(found)
    other = read(MADE, seed=1)
    assert [n["value"] for n in other["numbers"]] == [
        n["value"] if n["id"] != "depth/left-out-runs" else number(other, n["id"])["value"] for n in found["numbers"]
    ]
    assert number(other, "selectivity/did")["low"] != number(found, "selectivity/did")["low"]


def test_the_order_of_rows_does_not_matter(found):
    pairs = MADE.table.sample(frac=1, random_state=0)
    shuffled = read(MADE, table=pairs)
    for name in ("selectivity/did", "diversity/pearson", "depth/in-sample"):
        assert number(shuffled, name)["value"] == pytest.approx(number(found, name)["value"], rel=1e-6)
        assert number(shuffled, name)["low"] == pytest.approx(number(found, name)["low"], rel=1e-4)


def test_one_number_does_not_move_another(found):
    table = MADE.table.assign(sparsity_change=np.random.default_rng(0).normal(size=len(MADE.table)))
    more = read(MADE, table=table)
    assert number(more, "change/sparsity")["low"] is not None
    for name in ("selectivity/did", "correlation/size/new_types", "depth/in-sample"):
        assert number(more, name)["low"] == number(found, name)["low"]


def test_a_family_with_one_run_is_not_spoken_of_by_itself():
    keep = (MADE.table["architecture"] != "cnn") | (MADE.table["run"] == "cnn-0")
    found = read(MADE, table=MADE.table[keep])
    assert "cnn has 1 run, 6 are needed to speak of it by itself." in found["study"]["notes"]
    assert {n["id"] for n in found["architectures"]["numbers"]} & {"selectivity/mlp", "selectivity/cnn"} == {
        "selectivity/mlp"
    }
    only = read(MADE, table=MADE.table[MADE.table["architecture"] == "mlp"])
    assert "selectivity" in listed(only, "not_enough_data")
    assert number(only, "depth/left-out-architectures")["status"].startswith("not enough data")


@pytest.mark.parametrize("runs", [0, 1, 4])
def test_too_few_runs_give_statuses_and_no_p(runs):
    keep = MADE.table["run"].isin(sorted(set(MADE.table["run"]))[:runs])
    order = MADE.order.iloc[: 2 * runs]
    found = statistics(MADE.table[keep], order=order, detection=MADE.detection.iloc[: 2 * runs], draws=99)
    for n in found["numbers"]:
        if n["form"] == "calibrated" and n["id"] not in ("selectivity/did-t", "selectivity/did-wilcoxon"):
            assert n["p"] is None and n["low"] is None and n["status"].startswith("not enough data"), n["id"]
    assert {c["verdict"] for c in found["criteria"] if c["form"] == "calibrated"} == {"undecided"}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert "could not have seen" in evidence_lines(found)[-1]


@pytest.mark.parametrize(
    "column", ["selectivity_change", "new_types_after", "compositional_depth_after", "log_magnitude"]
)
def test_a_column_of_nan_is_said(column):
    table = MADE.table.copy()
    table[column] = np.nan
    found = read(MADE, table=table, draws=99)
    name = {"selectivity_change": "selectivity/did", "compositional_depth_after": "depth/in-sample"}.get(
        column, "diversity/pearson"
    )
    assert number(found, name)["p"] is None and number(found, name)["status"].startswith("not enough data")
    assert any("not enough data" in line for line in evidence_lines(found))


def test_empty_tables_of_phase_1_are_no_error():
    nothing = pd.DataFrame({"run": pd.Series(dtype=str)})
    found = statistics(MADE.table, order=nothing, detection=nothing, draws=99)
    assert "order/naive" in listed(found, "not_enough_data")


def judged(ps, differ, values=None):
    mine = {
        k: Statistic(k, "", "calibrated", value, p=p)
        for (k, p), value in zip(ps.items(), values or [1] * len(ps), strict=True)
    }
    return _judged(mine, Statistic("d", "", "calibrated", 0.0, p=differ, p_adjusted=differ))


def test_the_lists_follow_the_rules():
    assert judged({"a": 0.01, "b": 0.04}, 0.9)[0] == "holds_in_all"
    assert judged({"a": 0.01, "b": 0.04}, 0.9, [1, -1])[0] == "undecided"
    assert judged({"a": 0.01, "b": 0.5}, 0.01) == (
        "specific_to_one",
        {"architectures": ["a", "b"], "only": "a", "value": 1},
    )
    assert judged({"a": 0.01, "b": 0.5}, 0.2)[0] == "undecided"
    assert judged({"a": 0.03, "b": 0.5}, 0.01)[0] == "undecided"  # .03 is not below .05 / 2
    assert judged({"a": 0.01, "b": 0.04, "c": 0.9}, 0.01)[0] == "undecided"
    assert judged({"a": 0.01}, np.nan)[0] == "not_enough_data"
    assert judged({"a": 0.01, "b": np.nan}, 0.01)[0] == "not_enough_data"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.61, 0.9, "met"), (-0.9, -0.61, "met"), (-0.2, 0.59, "not met"), (0.3, 0.7, "undecided"),
        (-0.7, 0.1, "undecided"), (np.nan, np.nan, "undecided"),
    ],
)  # fmt: skip
def test_the_verdict_on_r_is_that_of_the_whole_interval(low, high, verdict):
    assert questions._r(Statistic("", "", "calibrated", 0.0, low=low, high=high)) == verdict


def test_the_verdict_on_a_rise_needs_equivalence_before_it_says_no():
    rng = np.random.default_rng(0)

    def verdict(mean, spread, adjusted):
        pairs = pd.DataFrame(
            {"run": np.arange(20).astype(str), "selectivity_excess": mean + spread * rng.normal(size=20)}
        )
        ends = {"low": mean - spread, "high": mean + spread}
        return questions._rise(Statistic("", "", "calibrated", mean, **ends, p_adjusted=adjusted), pairs)

    assert verdict(0.05, 0.01, 0.01) == "met"
    assert verdict(-0.05, 0.01, 0.01) == "not met"
    assert verdict(0.0, 0.005, 0.9) == "not met"
    assert verdict(0.0, 0.2, 0.9) == "undecided"
    assert verdict(0.0, 0.005, np.nan) == "undecided"
    assert verdict(0.05, 0.06, 0.01) == "undecided"  # the interval crosses, whatever the test says


@pytest.mark.parametrize(("low", "high"), [(-0.934, 0.52), (0.0, 0.93), (0.3, 0.61)])
def test_an_interval_that_crosses_is_undecided_in_the_naive_form_too(low, high):
    number = Statistic("", "", "naive", (low + high) / 2, low=low, high=high)
    assert questions._r(number) == questions._r2(number) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "left_out", "verdict"),
    [
        (0.45, 0.8, 0.5, "met"), (0.45, 0.8, 0.3, "undecided"), (0.1, 0.35, -0.2, "not met"),
        (0.2, 0.6, 0.5, "undecided"), (np.nan, np.nan, 0.5, "undecided"),
    ],
)  # fmt: skip
def test_the_verdict_on_r2_needs_runs_left_out_before_it_says_yes(low, high, left_out, verdict):
    inside = Statistic("", "", "calibrated", 0.0, low=low, high=high)
    assert questions._r2(inside, Statistic("", "", "calibrated", left_out)) == verdict


def test_lines_set_seed_beside_calibrated_and_name_what_could_have_been_seen(found):
    lines = evidence_lines(found)
    text = "\n".join(lines)
    for question in ("new feature types?", "Does selectivity rise", "predict compositional depth?"):
        at = next(i for i, line in enumerate(lines) if question in line)
        assert lines[at + 1].startswith("  In the naive form") and lines[at + 2].startswith("  In the calibrated form")
    did = number(found, "selectivity/did")
    assert f"{did['value']:+.3f} [{did['low']:+.3f}, {did['high']:+.3f}]".replace("-", "−") in text
    assert "With power 0.8 the study could have seen a correlation of" in text
    assert "nan" not in text and "None" not in text


def test_a_layer_of_which_the_detector_says_nothing_is_not_one_without_jumps():
    made = study(PlantedEffects())
    ok = made.detection.assign(status="ok", detected=made.detection["detected"] + 3)
    silent = ok.assign(status="too short", detected=0, expected_false=0.0)
    numbers = []
    for detection in (ok, pd.concat([ok, silent])):
        told = statistics(made.table, order=made.order, detection=detection, draws=99)
        numbers.append(number(told, "jumps/naive")["value"])
    assert numbers[0] == numbers[1] > 0
