"""The paper says what the tables say, in whatever verdict, and nothing else."""

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined
from scipy.stats import beta
from small_study import NASTY, write_evidence

from geophone.errors import InputError, StoreError
from geophone.evidence.synthetic import PlantedEffects
from geophone.paper import words, write_paper
from geophone.paper.build import BODY, said
from geophone.paper.cases import cases
from geophone.paper.lookup import Numbers, printed
from geophone.paper.markup import blocks, meant
from geophone.paper.results import share_interval
from geophone.paper.source import Source

PROVE = Path(__file__).parents[2] / "results" / "prove"
TEMPLATES = files("geophone.paper") / "templates"


def source(study, prove=None):
    return Source(study, Numbers.of(study), prove)


def text_of(study, names=BODY, prove=None):
    """The paper's words, section by section, and its numbers; nothing is drawn."""
    made = source(study, prove)
    context = said(made, cases(made, study.folder / "drawn"))
    environment = Environment(
        loader=PackageLoader("geophone.paper"), undefined=StrictUndefined, trim_blocks=True, finalize=meant
    )
    found = []
    for name in names:
        for block in blocks(environment.get_template(f"{name}.md.j2").render(context)):
            found.append("".join(piece.text for piece in block.inline if piece.kind != "cite"))
    return "\n".join(found), made.numbers


def test_a_study_with_nothing_in_it_reads_correctly(study):
    pdf = write_paper(study, prove=PROVE)
    assert pdf.read_bytes().startswith(b"%PDF") and pdf == study.folder / "paper" / "paper.pdf"
    text, _ = text_of(study)
    assert "none of the three founding claims passed its calibrated criterion" in text
    assert "Nothing could be shown to be specific to one architecture" in text
    assert "change otherwise at targets than at controls after correction." in text
    assert not re.search(r"\bnan\b|None|\binf\b|\.\.", text.replace(NASTY, ""))
    assert "(p < 0.05) is met" not in text
    for title in ("A convolutional network on MNIST", "A transformer", "A deep perceptron"):
        assert title in text
    assert text.count("No dug target lies in") == 3


def test_a_planted_effect_is_said_and_a_planted_correlation_too(study):
    write_evidence(study, PlantedEffects(rise=0.2, r=0.95), runs=12)
    text, numbers = text_of(study)
    assert numbers.criterion("selectivity/did")["verdict"] == "met"
    assert "the criterion (a rise with p < 0.05) is met" in text
    assert "In this study it supports" in text and "none of the three" not in text


@pytest.mark.parametrize(
    ("verdict", "status", "expected"),
    [
        ("met", "ok", "the criterion (|r| > 0.6) is met"),
        ("not met", "ok", "the criterion (|r| > 0.6) is not met"),
        ("undecided", "ok", "the criterion (|r| > 0.6) is undecided: the data neither show it nor rule it out"),
        ("undecided", "not enough data: few", "the criterion (|r| > 0.6) could not be tested: not enough data: few"),
    ],
)
def test_each_verdict_has_its_sentence(verdict, status, expected):
    value = 0.3 if status == "ok" else None
    row = {"id": "a", "says": "a", "value": value, "low": None, "high": None, "p": None, "p_adjusted": None, "n": 9,
           "runs": 3, "smallest": None, "status": status}  # fmt: skip
    criteria = [{"number": "a", "criterion": "|r| > 0.6", "verdict": verdict}]
    sentence = words.verdict(Numbers({"numbers": [row], "criteria": criteria}, dict), "a")
    assert "".join(p.text for p in blocks(sentence)[0].inline) == expected


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "expected"),
    [(1, 0.5, 2, 0.01, "up"), (-1, -2, -0.5, 0.01, "down"), (1, 0.5, 2, 0.2, "none"), (1, -0.5, 2, 0.01, "none"),
     (1, None, None, 0.01, "up"), (1, 0.5, 2, None, "none")],
)  # fmt: skip
def test_no_direction_is_claimed_where_test_and_interval_disagree(value, low, high, p, expected):
    row = {"id": "a", "says": "a", "value": value, "low": low, "high": high, "p": p, "p_adjusted": None, "n": 9,
           "runs": 3, "smallest": None, "status": "ok"}  # fmt: skip
    assert words.side(Numbers({"numbers": [row]}, dict)["a"], 0.05, "up", "down", "none") == expected


NEEDED = ("diversity/naive", "diversity/pearson", "selectivity/naive", "selectivity/did", "selectivity/drift",
          "depth/naive", "depth/in-sample", "depth/left-out-runs", "order/naive", "order/calibrated", "jumps/naive",
          "jumps/calibrated")  # fmt: skip


@pytest.mark.parametrize("name", NEEDED)
def test_one_statistic_less_and_the_build_fails_with_its_name(study, name):
    path = study.folder / "statistics.json"
    found = json.loads(path.read_text())
    found["numbers"] = [row for row in found["numbers"] if row["id"] != name]
    path.write_text(json.dumps(found))
    with pytest.raises(StoreError, match=f"the paper needs `{name}`, which statistics.json does not have"):
        text_of(study)


def test_a_failed_build_leaves_the_older_paper(study):
    (study.folder / "paper").mkdir()
    (study.folder / "paper" / "paper.pdf").write_text("older")
    (study.folder / "statistics.json").unlink()
    with pytest.raises(StoreError, match="run geophone evidence"):
        write_paper(study)
    assert [p.read_text() for p in (study.folder / "paper").iterdir()] == ["older"]
    assert not list(study.folder.glob(".paper*"))


def test_another_form_is_refused(study):
    with pytest.raises(InputError, match="'pdf' or 'latex'"):
        write_paper(study, form="word")


def figures(text):
    """The numbers in a text, without those in names such as in_1."""
    return set(re.findall(r"(?<![\w.,−+-])[−+]?\d[\d,]*(?:\.\d+)?(?![\w-])", text))


def test_every_number_of_the_results_is_in_the_list_of_numbers(study):
    text, numbers = text_of(study, ["results", "cases", "discussion"], prove=PROVE)
    shown = {form for entry in numbers.used.values() for form in entry["shown"]}
    found = {number.rstrip(",") for number in figures(text)}
    assert len(found) > 60
    assert found - shown == set()


def test_the_list_of_numbers_holds_the_values_of_the_statistics(study):
    _, numbers = text_of(study)
    by_id = {row["id"]: row for row in json.loads((study.folder / "statistics.json").read_text())["numbers"]}
    for name in NEEDED:
        assert numbers.used[name]["value"] == pytest.approx(by_id[name]["value"], rel=1e-6)
        assert numbers.used[name]["from"] == "statistics.json"


@pytest.mark.parametrize("name", ["results", "cases", "discussion", "abstract"])
def test_templates_hold_no_number_of_their_own(name):
    text = (TEMPLATES / f"{name}.md.j2").read_text()
    assert not re.search(r"\d", re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", text))


def test_every_reference_is_cited_and_every_citation_has_its_reference():
    prose = "\n\n".join((TEMPLATES / f"{name}.md.j2").read_text() for name in (*BODY, "abstract"))
    keys = set(re.findall(r"@\w+\{(\w+),", (TEMPLATES / "references.bib").read_text()))
    cited = [p.text.split("\n") for block in blocks(prose) for p in block.inline if p.kind == "cite"]
    assert {key for keys in cited for key in keys} == keys


def test_what_was_not_run_is_among_the_limitations(study):
    text, _ = text_of(study, ["discussion"])
    assert "No layer was ablated and trained on" in text
    assert "Every network was trained with one seed" in text
    assert "Whether the instrument points at known events is not part of this study" in text
    with_prove, _ = text_of(study, ["results", "discussion"], prove=PROVE)
    assert "not part of this study" not in with_prove
    assert "geophone finds fewer than it (−0.07 [−0.12, −0.02])" in with_prove


def test_names_of_users_are_said_as_they_are(study):
    text, _ = text_of(study, ["introduction"])
    assert "1 m$l_p#*" in text


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


@pytest.mark.parametrize(("harm", "said"), [(0.1, "differs from"), (0.0, "could not be shown to differ from")])
def test_recovery_is_told_beside_its_control(study, harm, said):
    table = Numbers.of(study).table("evidence")
    rng = np.random.default_rng(0)
    for moment in ("before", "during", "after"):
        extra = harm * ((table["role"] == "target") & (moment == "during"))
        table[f"recovery_deficit_{moment}"] = 0.02 + extra + 0.005 * rng.normal(size=len(table))
    study.write("evidence", table)
    text, numbers = text_of(study, ["results", "discussion"])
    assert f"Ablation during a jump {said} ablation at the control" in text
    assert numbers.used["recovery, excess during"]["value"] == pytest.approx(100 * harm, abs=0.5)
    assert "No layer was ablated and trained on" not in text


def test_coordination_is_told_where_it_could_be_tested(study):
    table = study.phenomena("coordination").head(1)
    row = {"overlap": 0.4, "expected": 0.1, "p": 0.01, "runs": 5, "status": "tested", "dimension": "stable_rank"}
    study.write("phenomena/coordination", table.assign(**row))
    text, _ = text_of(study, ["results"])
    assert "by 0.40 on average where layers of swapped runs overlap by 0.10; 1 of 1 groups pass" in text
