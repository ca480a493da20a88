"""The paper says what the findings say, every number of it can be traced, and it is not written of half a study."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from made_proof import made_tables, write_proof
from small_study import NASTY, write_evidence

from geophone.errors import GeophoneError, InputError, StoreError
from geophone.evidence.synthetic import PlantedEffects
from geophone.findings import study_findings
from geophone.findings.tables import tables_of
from geophone.paper import write_paper
from geophone.paper.build import _check, set_paper

TEMPLATE = (files("geophone.paper") / "templates" / "paper.typ").read_text()
BIBLIOGRAPHY = (files("geophone.paper") / "templates" / "references.bib").read_text()
PROSE = TEMPLATE[TEMPLATE.index("#align(center)") :]
ALWAYS = sorted(
    {name for line in PROSE.splitlines() for name in re.findall(r'said\("([^"]+)"\)', line) if "has(" not in line}
    - set(re.findall(r'"((?:prove|windows|summary/clocks)[^"]*)"', PROSE))
)


def words(text):
    """The template's words: without code, mathematics, citations and sizes."""
    text = re.sub(r"\$[^$]*\$", "", text)
    text = re.sub(r"@\w+", "", text)
    text = re.sub(r"#\w+\((?:[^()]|\([^()]*\))*\)", "", text)
    return re.sub(r"\d+(?:\.\d+)?(?:pt|cm|em|fr|%)", "", text)


def document(study):
    return json.loads((study.folder / "paper" / "findings.json").read_text())


def shown(made):
    numbers = {row["shown"] for each in made["findings"].values() for row in each["numbers"]}
    cells = [c for table in made["tables"].values() for row in table["rows"] for c in row if isinstance(c, dict)]
    return numbers | {cell["shown"] for cell in cells}


def figures(text):
    return {n.rstrip(",") for n in re.findall(r"(?<![\w.,−+-])[−+]?\d[\d,]*(?:\.\d+)?(?![\w-])", text)}


def test_a_study_with_nothing_in_it_reads_correctly(study):
    assert (study.folder / "paper" / "paper.pdf").read_bytes().startswith(b"%PDF")
    said = {name: each["sentence"] for name, each in document(study)["findings"].items()}
    assert said["summary/cases"] == "No dug target fits a case study."
    assert "None of the three founding claims passed its calibrated criterion" in said["summary/claims"]
    assert "Nothing could be shown to be specific to one architecture" in said["architectures/specific"]
    assert "none could be shown to change otherwise at targets than at controls." in said["changes"]
    assert "is met" not in said["selectivity/did"] and "correlate strongly" in said["summary/features"]
    assert [name for name in said if name.startswith("case/")] == [
        f"case/{k}/none" for k in ("cnn", "transformer", "mlp")
    ]


def test_a_planted_effect_is_said_and_a_planted_correlation_too(study):
    write_evidence(study, PlantedEffects(rise=0.2, r=0.95), runs=12)
    write_paper(study, prove=write_proof(study.folder / "proof", -0.2))
    made = document(study)
    assert "the criterion (a rise with p < 0.05) is met" in made["findings"]["selectivity/did"]["sentence"]
    assert made["findings"]["summary/claims"]["sentence"].startswith("This study supports the claims that")
    assert "correlate strongly" in made["findings"]["summary/features"]["sentence"]
    answer = made["findings"]["prove/answer"]
    assert answer["verdict"] == "not met" and "it finds fewer than they do (difference −0.2" in answer["sentence"]
    assert "limitation/clocks" not in made["findings"] and "proving" in made["figures"]


def test_the_template_holds_no_number_of_its_own():
    assert re.findall(r"\d", words(PROSE)) == []


def test_every_number_of_a_sentence_or_a_table_is_listed_with_its_value_and_source(study):
    made = document(study)
    for name, each in made["findings"].items():
        listed = {row["shown"] for row in each["numbers"]}
        assert figures(each["sentence"].replace(NASTY, "")) <= listed, name
        assert all(row["source"] for row in each["numbers"]), name
    for table in made["tables"].values():
        for cell in (cell for row in table["rows"] for cell in row):
            assert cell["source"] if isinstance(cell, dict) else not figures(cell.replace(NASTY, "")), cell


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
def test_every_number_of_the_results_as_they_are_printed_comes_from_the_document(study):
    pdf = study.folder / "paper" / "paper.pdf"
    text = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout
    results = text[text.index("Convergence order of the runs") : text.index("References\n")]
    # Numbers of headings, captions, references to them and pages, and the ticks of axes, are no results.
    results = re.sub(
        r"(?m)^\s*[−\d.\s]+$|^\s*[\d.]+ [A-Z].*$|^.*(?:Figure|Table) \d:.*$|(?:Figure|Table) \d", "", results
    )
    results = re.sub(r"(?m)^[^.\n]*(?:jumps per series|log ratio of the jump, ln|Pearson r over).*$", "", results)
    prose = [line for line in results.splitlines() if re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", line)]
    assert len(prose) > 40
    assert figures("\n".join(prose)) - shown(document(study)) == set()
    assert "m$l_p#*" in text


@pytest.mark.parametrize("name", ALWAYS)
def test_one_finding_less_and_the_build_fails_with_its_name(whole, tmp_path, name):
    folder = Path(shutil.copytree(whole / "paper", tmp_path / "paper"))
    made = json.loads((folder / "findings.json").read_text())
    del made["findings"][name]
    with pytest.raises(StoreError, match=f"the paper needs the finding `{name}`, which the study does not have"):
        set_paper(made, folder)


@pytest.mark.parametrize(
    "name",
    ["diversity/naive", "diversity/pearson", "selectivity/naive", "selectivity/did", "selectivity/drift", "depth/naive",
     "depth/in-sample", "depth/left-out-runs", "order/naive", "order/calibrated", "jumps/naive", "jumps/calibrated"],
)  # fmt: skip
def test_one_statistic_less_and_the_build_fails_with_its_name(study, name):
    path = study.folder / "statistics.json"
    found = json.loads(path.read_text())
    found["numbers"] = [row for row in found["numbers"] if row["id"] != name]
    path.write_text(json.dumps(found))
    with pytest.raises(StoreError, match=f"statistics.json has no `{name}`"):
        write_paper(study)


@pytest.mark.parametrize("table", ["stabilization", "order", "detection"])
def test_without_phenomena_there_is_no_paper(study, table):
    (study.folder / "phenomena" / f"{table}.parquet").unlink()
    with pytest.raises(StoreError, match="run geophone detect first"):
        write_paper(study)


def test_a_study_in_which_no_question_has_a_number_is_refused(study):
    path = study.folder / "statistics.json"
    found = json.loads(path.read_text())
    found["numbers"] = [row | {"value": None, "status": "not enough data"} for row in found["numbers"]]
    path.write_text(json.dumps(found))
    with pytest.raises(InputError, match="too small to be written about"):
        write_paper(study)
    found["numbers"][0] |= {"value": 0.1, "status": "ok"}
    assert found["numbers"][0]["id"] == "diversity/naive"
    _check(study, replace(tables_of(study), statistics=found))


def test_a_failed_build_leaves_the_older_paper(study):
    before = {path.name: path.read_bytes() for path in (study.folder / "paper").iterdir() if path.is_file()}
    (study.folder / "statistics.json").unlink()
    with pytest.raises(StoreError, match="run geophone evidence"):
        write_paper(study)
    assert {path.name: path.read_bytes() for path in (study.folder / "paper").iterdir() if path.is_file()} == before
    assert not list(study.folder.glob(".paper*"))


def test_a_benchmark_without_its_tables_is_refused(study, tmp_path):
    with pytest.raises(GeophoneError, match="methods"):
        write_paper(study, prove=tmp_path)


def test_the_document_is_that_of_the_findings(study):
    made = study_findings(study)
    assert list(document(study)["findings"]) == list(made)


def test_every_reference_is_cited_and_every_citation_has_its_reference():
    keys = re.findall(r"@\w+\{(\w+),", BIBLIOGRAPHY)
    assert len(set(keys)) == len(keys) and set(re.findall(r"@(\w+)", PROSE)) == set(keys)


def test_what_was_not_run_is_among_the_limitations(study):
    said = " ".join(each.sentence for name, each in study_findings(study).items() if name.startswith("limitation/"))
    assert "Every network was trained with one random seed" in said
    assert "Whether the method points at events of known time is not part of this study" in said
    assert "148 of 296 targets were dug" in said
    clocked = study_findings(study, made_tables(-0.2))
    assert "limitation/clocks" not in clocked
