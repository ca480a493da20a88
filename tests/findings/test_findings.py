"""Each finding is what its table says, worked out another way; its sentence has no number that cannot be traced."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_proof import made_tables
from scipy.stats import beta
from small_study import NASTY, write_evidence

import geophone
from geophone.evidence.synthetic import PlantedEffects
from geophone.findings import as_json, listed, phrase, study_findings
from geophone.findings.finding import VERDICTS, Phrase, Quantity, printed
from geophone.findings.number import Number, clash, estimate
from geophone.findings.phenomena import coordination, order, share_interval
from geophone.findings.proving import proving, recall_rows
from geophone.findings.questions import questions
from geophone.findings.setting import early, limitations
from geophone.findings.tables import tables_of
from geophone.findings.whole import findings_of
from geophone.stats.verdict import above, beyond

ENDS = st.floats(-2, 2)
MODES = ("naive", "calibrated")


def figures(text):
    """The numbers in a text, without those in names such as in_1 and R²."""
    return {n.rstrip(",") for n in re.findall(r"(?<![\w.,−+-])[−+]?\d[\d,]*(?:\.\d+)?(?![\w-])", text)}


def number(value=0.3, low=math.nan, high=math.nan, p=math.nan, *, adjusted=math.nan, n=9, runs=3):
    return Number("a", "a", value, low, high, p, adjusted, n, runs, math.nan, "ok")


@given(ENDS, ENDS, st.floats(0, 1))
def test_an_interval_that_crosses_the_bar_is_undecided_and_no_other_is(a, b, bar):
    low, high = sorted((a, b))
    crosses = low <= bar < high
    assert (above(low, high, bar) == "undecided") == crosses
    assert beyond(low, high, bar) == beyond(-high, -low, bar)
    inside, outside = -bar <= low and high <= bar, low > bar or high < -bar
    assert beyond(low, high, bar) == ("met" if outside else "not met" if inside else "undecided")


@pytest.mark.parametrize("rule", [above, beyond])
def test_without_an_interval_nothing_was_tested(rule):
    assert rule(math.nan, 1.0, 0.5) == rule(0.0, math.nan, 0.5) == "untested"


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "expected"),
    [(1, 0.5, 2, 0.01, "met"), (-1, -2, -0.5, 0.01, "not met"), (1, 0.5, 2, 0.2, "undecided"),
     (1, -0.5, 2, 0.01, "undecided"), (1, math.nan, math.nan, 0.01, "untested"), (1, 0.5, 2, math.nan, "undecided")],
)  # fmt: skip
def test_no_direction_is_claimed_where_test_and_interval_disagree(value, low, high, p, expected):
    made = number(value, low, high, p)
    assert made.side(0.05) == expected
    disagree = math.isfinite(low) and math.isfinite(p) and (p < 0.05) != (not low <= 0 < high)
    assert bool(clash(made, 0.05).text) == disagree


@given(st.floats(-1, 1), st.floats(0, 3))
def test_the_interval_of_a_correlation_stays_within_one(value, reach):
    cut = number(value, value - reach, value + reach).within(-1, 1)
    assert -1 <= cut.low <= value <= cut.high <= 1
    assert above(cut.low, cut.high, 0) == above(value - reach, value + reach, 0)


@pytest.mark.parametrize(("part", "whole"), [(0, 44), (13, 44), (44, 44)])
def test_the_interval_of_a_share_is_exact(part, whole):
    low, high = share_interval(part, whole)
    assert low == pytest.approx(beta.ppf(0.025, part, whole - part + 1) if part else 0)
    assert high == pytest.approx(beta.ppf(0.975, part + 1, whole - part) if part < whole else 1)


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [(-0.004, ".2f", "0.00"), (-0.07, ".2f", "−0.07"), (0.2, "+.2f", "+0.20"), (17600, "", "17,600"),
     (np.nan, "", "–")],
)  # fmt: skip
def test_numbers_are_printed_with_a_true_minus(value, form, expected):
    assert printed(value, form) == expected


def test_a_phrase_keeps_its_quantities_and_reads_no_name_as_a_pattern():
    inner = phrase("{n} of {name}", n=Quantity(3), name="{n} %s {0}")
    said = phrase("{inner}; {each}", inner=inner, each=listed([phrase("{a}", a=Quantity(i)) for i in range(3)]))
    assert said.text == "3 of {n} %s {0}; 0, 1 and 2"
    assert [q.value for q in said.quantities] == [3, 0, 1, 2]
    assert listed([]).text == "none" and listed(["a"]).text == "a"


def test_an_estimate_says_its_p_its_rows_and_its_runs():
    assert estimate(number(0.3, 0.1, 0.5, 0.0004), "r").text == "r = 0.30 [0.10, 0.50], p < 0.001, 9 rows in 3 runs"
    assert estimate(number(p=0.2, adjusted=0.03, n=1, runs=0), "r").text == "r = 0.30, adjusted p = 0.030, 1 row"
    missing = replace(number(math.nan), status="not enough data: few")
    assert estimate(missing, "r") == Phrase("not enough data: few")


@pytest.mark.parametrize("truth", [PlantedEffects(), PlantedEffects(rise=0.2, r=0.95)])
def test_every_number_of_a_sentence_is_among_its_quantities(study, truth):
    write_evidence(study, truth, runs=12)
    made = study_findings(study)
    assert len(made) > 30
    for each in made.values():
        assert figures(each.sentence.replace(NASTY, "")) <= {str(q) for q in each.quantities}, each
        assert all(q.source or each.source for q in each.quantities), each
        assert each.verdict in (*VERDICTS, "") and bool(each.claim) == bool(each.verdict)
        assert not re.search(r"\bnan\b|\bNone\b(?! of)|\binf\b|\.\.|  |\{|\}", each.sentence.replace(NASTY, "")), (
            each.sentence
        )
        whole = not each.id.startswith(("study/", "rule/", "summary/"))
        assert not whole or (each.sentence.endswith(".") and not each.sentence[0].islower()), each
        assert not each.low > each.high


def test_the_document_holds_every_finding_and_is_strict_json(study):
    made = study_findings(study)
    found = json.loads(json.dumps(as_json(made.values()), allow_nan=False))
    assert list(found) == list(made)
    for name, each in found.items():
        assert each["sentence"] == made[name].sentence
        for row, quantity in zip(each["numbers"], made[name].quantities, strict=True):
            assert row["shown"] == str(quantity) and row["source"]
            assert row["value"] is None or row["value"] == pytest.approx(quantity.value, rel=1e-7)


@pytest.mark.parametrize("mode", MODES)
def test_orders_and_settling_are_those_of_the_tables(study, mode):
    made = study_findings(study)
    order = study.phenomena("order").query("mode == @mode and dimension == 'stable_rank'")
    there = order[order["verdict"] != "undefined"]
    assert len(order) == 4 and len(there) == {"naive": 0, "calibrated": 1}[mode]
    share, chance = (there["verdict"] == "bottom-up").mean(), there["chance"].mean()
    assert made[f"order/{mode}"].value == pytest.approx(share, nan_ok=True) and made[f"order/{mode}"].n == len(there)
    assert made[f"order/{mode}"].null == pytest.approx(chance, nan_ok=True)
    settled = study.phenomena("stabilization").query("mode == @mode")["status"].eq("stable").mean()
    assert made[f"settled/{mode}"].value == settled


@pytest.mark.parametrize(("up", "verdict"), [(0, "not met"), (6, "undecided"), (10, "met")])
def test_most_runs_settle_bottom_up_only_where_the_exact_interval_says_so(study, up, verdict):
    row = study.phenomena("order").query("mode == 'naive'").iloc[:1]
    table = pd.concat([row.assign(verdict="bottom-up" if i < up else "weak", run=f"r{i}") for i in range(12)])
    tables = replace(tables_of(study), phenomena={"order": table})
    assert order(tables, "naive").verdict == verdict


@pytest.mark.parametrize("mode", ["naive", "calibrated", "pelt", "online"])
def test_jumps_are_counted_beside_their_null(study, mode):
    made = study_findings(study)[f"jumps/{mode}"]
    rows = study.phenomena("detection").query("mode == @mode and dimension == 'stable_rank' and status == 'ok'")
    assert made.value == rows["detected"].sum()
    assert made.null == pytest.approx(math.fsum(rows["expected_false"]))
    assert made.n == len(rows) == 12


def test_numbers_of_the_statistics_are_said_as_they_are(study):
    made = study_findings(study)
    for row in json.loads((study.folder / "statistics.json").read_text())["numbers"]:
        name = {"diversity/pearson": "correlation/log_magnitude/new_types"}.get(row["id"], row["id"])
        if name in made and not name.startswith(("order", "jumps")):
            assert made[name].value == pytest.approx(row["value"]), name
            assert f"{printed(row['value'], '.2f')}"[:4] in made[name].sentence.replace("+", "")


def test_a_planted_effect_is_said_and_a_planted_correlation_too(study):
    write_evidence(study, PlantedEffects(rise=0.2, r=0.95), runs=12)
    made = study_findings(study)
    assert made["selectivity/did"].verdict == made["change/selectivity"].verdict == "met"
    assert "Class selectivity rises over a jump" in made["change/selectivity"].sentence
    assert "correlates with number of new feature types" in made["correlation/log_magnitude/new_types"].sentence


@pytest.mark.parametrize(("harm", "verdict"), [(0.1, "met"), (0.0, "undecided"), (-0.1, "not met")])
def test_recovery_is_told_beside_its_control(study, harm, verdict):
    table = tables_of(study).evidence
    rng = np.random.default_rng(0)
    for moment in ("before", "during", "after"):
        extra = harm * ((table["role"] == "target") & (moment == "during"))
        table[f"recovery_deficit_{moment}"] = 0.02 + extra + 0.005 * rng.normal(size=len(table))
    study.write("evidence", table)
    made = study_findings(study)["recovery"]
    wide = table.pivot_table(index="run", columns="role", values="recovery_deficit_during")
    assert made.value == pytest.approx(100 * (wide["target"] - wide["control"]).mean())
    assert made.verdict == verdict


def test_coordination_is_told_where_it_could_be_tested(study):
    table = study.phenomena("coordination").head(1)
    row = {"overlap": 0.4, "expected": 0.1, "p": 0.01, "runs": 5, "status": "tested", "dimension": "stable_rank"}
    study.write("phenomena/coordination", table.assign(**row))
    made = study_findings(study)["coordination"]
    assert "by 0.40 on average, layers of swapped runs by 0.10; 1 of 1 group passes" in made.sentence
    assert (made.value, made.null) == (0.4, 0.1)


def test_a_study_before_its_stages_has_fewer_findings(study):
    (study.folder / "statistics.json").unlink()
    assert "diversity/naive" not in study_findings(study) and "order/naive" in study_findings(study)


@pytest.mark.parametrize("room", ["paper", "terminal", "report"])
def test_no_face_has_a_sentence_about_a_finding_of_its_own(room):
    verdicts = (
        r"could not be (shown|tested)|noise alone (gives|would)|is (not )?met\b|speaks against|(rises|falls) beyond"
    )
    for path in sorted((Path(geophone.__file__).parent / room).rglob("*")):
        if path.suffix in (".py", ".j2", ".typ"):
            assert not re.search(verdicts, path.read_text()), path


def test_the_p_that_counts_is_the_adjusted_one():
    assert number(1, 0.5, 2, 0.001, adjusted=0.2).side(0.05) == "undecided"
    assert number(1, 0.5, 2, 0.2, adjusted=0.001).side(0.05) == "met"


@pytest.mark.parametrize(("up", "says"), [(12, "more than chance gives"), (2, "a share that chance alone may give")])
def test_the_share_of_runs_is_held_against_what_no_order_gives(study, up, says):
    row = study.phenomena("order").query("mode == 'naive'").iloc[:1]
    table = pd.concat([row.assign(verdict="bottom-up" if i < up else "weak", run=f"r{i}") for i in range(12)])
    tests = study.phenomena("order_tests").query("mode == 'naive'").assign(expected_bottom_up=2.0)
    made = order(replace(tables_of(study), phenomena={"order": table, "order_tests": tests}), "naive")
    assert made.null == pytest.approx(2 / 12) and "would give 2.0 such runs by chance" in made.sentence
    assert made.sentence.endswith(f"so this is {says}.")


def test_a_run_without_an_order_is_not_counted_among_those_that_settle_some_way(study):
    row = study.phenomena("order").query("mode == 'naive'").iloc[:1]
    verdicts = ["bottom-up", "weak", "undefined", "undefined", "undefined"]
    table = pd.concat([row.assign(verdict=verdict, run=f"r{i}") for i, verdict in enumerate(verdicts)])
    said = order(replace(tables_of(study), phenomena={"order": table}), "naive")
    assert said.sentence.startswith(
        "By the naive form 1 of 2 runs with an order settle bottom-up (50 % [1, 99]); of the"
    )
    assert "; 3 runs have no order, since fewer than 3 layers settle there, or all at once." in said.sentence
    assert (said.value, said.n) == (0.5, 2)
    none = order(replace(tables_of(study), phenomena={"order": table.iloc[2:]}), "naive")
    assert none.sentence.startswith("By the naive form 3 runs have no order") and none.verdict == "untested"
    everything = tables_of(study)
    bare = everything.phenomena | {"order": everything.phenomena["order"].assign(verdict="undefined")}
    assert (
        "in no run do enough layers settle"
        in findings_of(replace(everything, phenomena=bare))["summary/order"].sentence
    )


def test_periods_are_held_against_the_null_of_every_series(study):
    made = study_findings(study)["periods"]
    rows = study.phenomena("critical").query("mode == 'calibrated' and dimension == 'stable_rank'")
    assert made.value == len(rows) and made.null == pytest.approx(12 * rows["expected_false"].iloc[0])


def test_groups_that_pass_are_counted_at_the_level(study):
    row = {"overlap": 0.4, "expected": 0.1, "runs": 5, "status": "tested", "dimension": "stable_rank"}
    table = pd.concat([study.phenomena("coordination").head(1).assign(**row, p=p) for p in (0.01, 0.04, 0.2, 0.9)])
    made = coordination(replace(tables_of(study), phenomena={"coordination": table}))
    assert "2 of 4 groups pass" in made.sentence and made.verdict == "met"


def changed(study, name, **fields):
    """The tables of `study` with some fields of one number of the statistics changed."""
    tables = tables_of(study)
    numbers = [row | fields if row["id"] == name else row for row in tables.statistics["numbers"]]
    return replace(tables, statistics={**tables.statistics, "numbers": numbers})


def test_a_question_without_a_number_is_untested_whatever_its_criterion_says(study):
    made = {f.id: f for f in questions(changed(study, "diversity/pearson", value=None, status="not enough data: few"))}
    assert made["diversity/pearson"].verdict == "untested"
    assert "could not be tested: not enough data: few." in made["diversity/pearson"].sentence


@pytest.mark.parametrize(
    ("low", "high", "p", "says"), [(0.1, 0.3, 0.01, "rises"), (-0.3, -0.1, 0.01, "falls"), (-0.1, 0.3, 0.01, "none")]
)
def test_a_change_is_shown_where_interval_and_test_agree(study, low, high, p, says):
    fields = {"value": (low + high) / 2, "low": low, "high": high, "p": p, "p_adjusted": p, "status": "ok"}
    made = {f.id: f for f in questions(changed(study, "change/new_types", **fields))}
    assert says in made["changes"].sentence and made["changes"].value == (says != "none")
    assert made["change/new_types"].verdict == ("undecided" if says == "none" else "met")


@pytest.mark.parametrize(("phases", "share"), [((0.01, 0.02, 0.5), "2 of 3"), ((0.01, 0.5), ""), ((0.5, 0.9), "")])
def test_targets_are_early_where_most_of_them_are(study, phases, share):
    table = pd.DataFrame({"role": "target", "phase": phases, "pair": range(len(phases))})
    said = early(replace(tables_of(study), evidence=table)).text
    assert said.startswith(share) and bool(said) == bool(share)


def test_nothing_is_said_of_seeds_and_sizes_that_no_run_names(study):
    tables = tables_of(study)
    for known, catalogued in ((True, True), (True, False), (False, False)):
        runs = tables.runs.assign(known=known, catalogued=catalogued)
        found = findings_of(replace(tables, runs=runs))
        assert ("The networks are small" in found["limitation/cause"].sentence) == catalogued
        assert ("Every network was trained with one random seed" in found["limitation/seeds"].sentence) == known
        assert ("1 random seed per network" in found["study/networks"].sentence) == known
    assert found["limitation/seeds"].sentence.startswith("4 runs do not say which network and which random seed")
    assert "networks and random seeds not named" in found["study/networks"].sentence


def test_limitations_follow_their_rules(study):
    tables = tables_of(study)
    names = lambda t: {f.id.removeprefix("limitation/") for f in limitations(t, clocked=True)}  # noqa: E731
    assert {"seeds", "forks", "undug"} <= names(tables) and not {"controls", "clocks"} & names(tables)
    runs = tables.runs.assign(network="one", forked=True)
    about = tables.statistics["study"] | {"pairs": 140}
    other = replace(tables, runs=runs, statistics={**tables.statistics, "study": about})
    assert not {"seeds", "forks"} & names(other) and "controls" in names(other)
    assert "clocks" in {f.id.removeprefix("limitation/") for f in limitations(tables, clocked=False)}


def test_targets_without_a_control_are_counted_among_all_and_among_the_dug(study):
    tables = tables_of(study)
    about = tables.statistics["study"]
    fewer = {**tables.statistics, "study": about | {"pairs": about["targets_dug"] - 3}}
    steps = pd.DataFrame({"earlier_step": [10.0, np.nan, np.nan, np.nan], "later_step": [np.nan, 90.0, np.nan, 80.0]})
    found = {f.id: f.sentence for f in limitations(replace(tables, statistics=fewer, targets=steps), clocked=True)}
    assert found["limitation/uncontrolled"].startswith("1 of 4 targets has no control: ")
    assert found["limitation/controls"] == f"Of {about['targets_dug']} dug targets 3 were dug without a control."
    both = {f.id for f in limitations(replace(tables, targets=steps.fillna(1.0)), clocked=True)}
    assert not {"limitation/uncontrolled", "limitation/controls"} & both


def test_the_strongest_change_is_one_of_the_units_themselves(study):
    fields = {"value": 0.2, "low": 0.1, "high": 0.3, "p": 0.001, "p_adjusted": 0.001, "status": "ok"}
    tables = changed(study, "change/new_types", **fields)
    said = findings_of(tables)["summary/change"].sentence
    assert said.startswith("the number of new feature types rises beyond the controls (by +0.20 [+0.10, +0.30])")
    rows = [row | {"id": "change/ablation_impact"} if row["id"] == "change/new_types" else row
            for row in tables.statistics["numbers"]]  # fmt: skip
    families = tables.statistics["families_of_tests"] | {"changes over a jump": ["change/ablation_impact"]}
    other = replace(tables, statistics={**tables.statistics, "numbers": rows, "families_of_tests": families})
    assert "no measured change" in findings_of(other)["summary/change"].sentence


def test_what_is_concluded_follows_from_the_verdicts(study):
    tables = tables_of(study)
    assert "should not decide where to look" in findings_of(tables)["summary/jumps"].sentence
    untested = [row | {"value": None, "status": "not enough data"} for row in tables.statistics["numbers"]]
    none = findings_of(replace(tables, statistics={**tables.statistics, "numbers": untested}))
    assert "too few data to test any" in none["summary/claims"].sentence
    criteria = [row | {"verdict": "met"} for row in tables.statistics["criteria"]]
    met = findings_of(replace(tables, statistics={**tables.statistics, "criteria": criteria}))
    assert "This study supports the claims" in met["summary/claims"].sentence
    assert "can guide where to look" in met["summary/jumps"].sentence


@pytest.mark.parametrize(("gain", "verdict"), [(0.2, "met"), (0.0, "undecided"), (-0.2, "not met")])
def test_the_benchmark_is_said_as_its_tables_have_it(gain, verdict):
    tables = made_tables(gain)
    made = {each.id: each for each in proving(tables)}
    row, answer = tables["verdict"].iloc[0], made["prove/answer"]
    assert (answer.value, answer.low, answer.high) == tuple(row[key] for key in ("difference", "low", "high"))
    assert answer.low <= answer.value <= answer.high and answer.verdict == verdict
    for each in made.values():
        assert figures(each.sentence) <= {str(q) for q in each.quantities}, each
    rows = recall_rows(tables)
    last = rows["bed"].iloc[-1]
    assert list(rows["bed"])[-4:] == [last] * 4 and rows["bed"].iloc[0] != last
    assert list(rows["method"])[-4:] == ["geophone", "best rival", "dimensions alone", "random moments"]
