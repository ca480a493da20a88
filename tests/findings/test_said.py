"""What no other test of this room asks is said here once, for `said.txt`, and the headings that it stands under."""

from dataclasses import replace

import pandas as pd
import pytest
from made_proof import made_tables
from test_transitions import transition

from geophone.findings import Finding, ranking, sections, study_findings
from geophone.findings.lines import benchmark_lines, evidence_lines
from geophone.findings.phenomena import coupling, types
from geophone.findings.proving import proving
from geophone.findings.tables import tables_of
from geophone.findings.transitions import beyond, compared, happened
from geophone.findings.whole import findings_of
from geophone.records import MOMENTS
from geophone.store.documents import Statistics, read_document


def test_a_ranking_says_how_many_it_holds():
    assert ranking.none_yet().sentence == "Nothing has been ranked yet."
    assert ranking.nothing("any run").sentence == "Nothing stood out in any run."
    assert ranking.ranked(0, listed=0, of="of this run").sentence == "No transition of this run was ranked."
    one, many = ranking.ranked(1, listed=1), ranking.ranked(1440, listed=12, dug=3, of="of this run")
    assert (one.sentence, one.value, one.source) == ("1 transition was ranked.", 1, "targets.parquet")
    assert many.sentence == "1,440 transitions of this run were ranked; the first 12 are here; 3 were dug."
    assert ranking.ranked(2, listed=1, dug=1).sentence == "2 transitions were ranked; the first 1 is here; 1 was dug."


def test_quiet_stretches_are_named_to_compare_with():
    assert compared([]) is None
    said = compared([(10, 20), (1300, 1400)])
    assert said.sentence == "Compare with steps 10 to 20 and 1,300 to 1,400, where nothing of the kind happens."
    assert (said.n, said.source, [q.value for q in said.quantities]) == (2, "targets.parquet", [10, 20, 1300, 1400])


@pytest.mark.parametrize("kind", ["learned", "lost", "hidden", "shock", "concept", "transient"])
@pytest.mark.parametrize("about", [{}, {"own": 0}, {"layers": ()}, {"size": float("nan")}])
def test_a_transition_of_every_kind_is_said(kind, about):
    there = transition(kind, concept="is_even", **about)
    assert happened(there).sentence.endswith(".") and beyond(there, float("nan")).verdict == "met"


def test_the_lines_of_the_evidence_are_findings_under_their_questions(study):
    statistics = read_document(study.places.statistics, Statistics).model_dump()
    statistics["study"] = statistics["study"] | {"targets_dug": 1, "runs": 2, "notes": ["one run failed"]}
    lines = evidence_lines(statistics)
    about = statistics["study"]
    kinds = [f"{n} {kind}" for kind, n in about["runs_by_architecture"].items()]
    text = f"{', '.join(kinds[:-1])} and {kinds[-1]}" if kinds[1:] else kinds[0]
    modes = about["modes"]
    assert lines[0] == (
        f"1 target dug in 2 runs ({text}); {about['pairs']} with a control. Dimension: stable rank; pointed at by: "
        f"{', '.join(modes[:-1])}{' and ' if modes[1:] else ''}{modes[-1]}."
    )
    assert lines[1] == "Note: one run failed" and lines[2] == ""
    made = {each.sentence for each in study_findings(study).values()}
    heads = {"", lines[0], lines[1], *(line for line in lines if line.endswith("?"))}
    assert len(heads) == 6 and all(line.strip() in made for line in lines if line not in heads)


def test_the_lines_of_the_benchmark_are_its_findings():
    tables = made_tables(0.2)
    assert benchmark_lines(tables) == [each.sentence for each in proving(tables)]
    none = tables["layers"].iloc[:0], tables["nuisances"].iloc[:0]
    bare = {each.id for each in proving({**tables, "layers": none[0], "nuisances": none[1]})}
    assert bare == {each.id for each in proving(tables) if not each.id.startswith(("prove/layers", "prove/nuisance"))}
    methods = tables["methods"].assign(sample_auc=float("nan"), shocked=float("nan"))
    assert not {"prove/samples", "prove/shocks"} & {each.id for each in proving({**tables, "methods": methods})}
    layers = tables["layers"][tables["layers"]["way"] != "swap test"]
    swapped = pd.concat([layers, layers[layers["bed"] == "all"].head(1).assign(way="swap test", found=0.92)])
    for given, more in ((layers, False), (swapped, True)):
        (said,) = [each for each in proving({**tables, "layers": given}) if each.id == "prove/layers"]
        assert said.sentence.endswith(" With the weights of before and after, the swap test names 0.92.") == more


def test_sentences_stand_under_their_headings():
    def made(name, verdict="", part=False):
        return Finding(name, f"About {name}.", verdict=verdict, part=part)

    given = [
        made("prove/answer"), made("order/calibrated"), made("order/naive"), made("summary/jumps"), made("case/cnn"),
        made("periods", "untested"), made("depth/did", "met"), made("windows/study"), made("architectures/open"),
        made("study/alpha", part=True), made("limitation/early"), made("of/its/own"), made("coupling/calibrated"),
        made("change/size"), made("rank/size"), made("correlation/size"),
    ]  # fmt: skip
    found = {head: [each.id for each in rows] for head, rows in sections({each.id: each for each in given}).items()}
    assert list(found.items()) == [
        ("In short", ["summary/jumps"]), ("Which layers settle first", ["order/calibrated"]),
        ("What goes with a jump", ["depth/did"]), ("Every window, jump or not", ["windows/study"]),
        ("Critical periods", ["coupling/calibrated"]), ("By architecture", ["architectures/open"]),
        ("Does it point to the right moment?", ["prove/answer"]), ("Further", ["of/its/own"]),
        ("Not to be answered here", ["periods"]),
    ]  # fmt: skip


@pytest.mark.parametrize("gain", [0.2, 0.0, -0.2])
def test_what_a_study_concludes_with_a_benchmark_beside_it(study, gain):
    found = findings_of(tables_of(study), made_tables(gain))
    assert "limitation/clocks" not in found and "prove/answer" in found
    assert found["summary/clocks"].sentence.startswith("On testbeds whose events are clocked, ")


@pytest.mark.parametrize("p", [(0.01, 0.02, 0.03, 0.001), (0.01, 0.6, 0.7, 0.8), (0.5,)])
def test_groups_in_which_the_loss_falls_at_jumps_are_counted(study, p):
    first = study.phenomena("coupling").query("mode == 'calibrated' and dimension == 'stable_rank'").head(1)
    rows = pd.concat([first.assign(status="tested", p=each, events=3, runs=4) for each in p] + [first])
    tables = replace(tables_of(study), phenomena={"coupling": rows})
    said = coupling(tables, "calibrated")
    passed = sum(each < 0.05 for each in p)
    assert f"in {passed} of {len(p)} group{'s' * (len(p) > 1)} ({3 * len(p)} jumps; least p" in said.sentence
    assert (said.value, said.n, said.null) == (passed / len(p), len(p), 0.05) and said.claim
    assert said.verdict == {4: "met", 1: "undecided", 0: "undecided"}[passed]


@pytest.mark.parametrize("status", ["stable", "one type", "too few", "unstable (0.3)"])
def test_types_of_jumps_are_named_where_they_are_stable(study, status):
    first = study.phenomena("types").query("mode == 'calibrated'").head(1)
    rows = [first.assign(status=status, name=name, stability=0.9, of=30) for name in ("early rise", "late fall")]
    said = types(replace(tables_of(study), phenomena={"types": pd.concat(rows)}), "calibrated")
    assert ("early rise and late fall" in said.sentence) == (status == "stable")
    verdicts = {"stable": "met", "too few": "untested"}
    assert said.verdict == verdicts.get(status, "not met") and (said.value, said.n) == (0.9, 30)


def test_orders_that_are_borne_out_and_not_and_networks_without_a_name(study):
    for up in (0, 5, 12):
        row = study.phenomena("order").query("mode == 'calibrated'").iloc[:1]
        turned = ["bottom-up" if i < up else "top-down" for i in range(12)]
        table = pd.concat([row.assign(verdict=verdict, run=f"r{i}") for i, verdict in enumerate(turned)])
        tables = tables_of(study)
        runs = tables.runs.assign(architecture="unknown", optimizer=None, batch=None)
        found = findings_of(replace(tables, runs=runs, phenomena=tables.phenomena | {"order": table}))
        assert "architectures not named" in found["study/networks"].sentence
        assert found["study/training"].sentence == "The runs do not say how they were trained."
        word = {0: "not borne out", 5: "undecided", 12: "is borne out"}[up]
        assert word in found["summary/order"].sentence and found["order/calibrated"].value == up / 12


def test_a_change_that_early_targets_may_explain_is_told_with_that(study):
    tables = tables_of(study)
    shown = {"value": -0.2, "low": -0.3, "high": -0.1, "p": 0.001, "p_adjusted": 0.001, "status": "ok"}
    names = ("change/new_types", "correlation/size/new_types")
    numbers = [row | shown if row["id"] in names else row for row in tables.statistics["numbers"]]
    evidence = pd.DataFrame({"role": "target", "phase": [0.01, 0.02, 0.5], "pair": range(3)})
    evidence = evidence.assign(run="r", **{f"recovery_deficit_{moment}": float("nan") for moment in MOMENTS})
    found = findings_of(replace(tables, statistics={**tables.statistics, "numbers": numbers}, evidence=evidence))
    assert "falls beyond the controls" in found["summary/change"].sentence
    assert "; but 2 of 3" in found["summary/change"].sentence and "limitation/early" in found
