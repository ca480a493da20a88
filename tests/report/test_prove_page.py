"""The proving ground's page says what its tables say."""

import pandas as pd
from made_proof import FEW, made_tables

from geophone.findings.proving import proving
from geophone.prove.targeting import CURVE
from geophone.report.prove_page import NAMES, recall_rows, write_prove_page


def test_the_page_says_the_verdict_and_draws_every_example(tmp_path):
    tables = made_tables(-0.2)
    lines = [each.sentence for each in proving(tables)]
    html = write_prove_page(tables, lines, out=tmp_path).read_text()
    beds = pd.unique(tables["examples"]["bed"])
    assert html.count("<svg") == 1 + len(beds) and all(f"One run of {bed}" in html for bed in beds)
    assert "it finds fewer than they do" in html and "http" not in html
    assert "the best single layer signal (layer update norm) at 0.60" in html and "the swap test names 1.00" in html


def test_names_are_text(tmp_path):
    html = write_prove_page(made_tables(0.0), ["<script>alert(1)</script>"], out=tmp_path).read_text()
    assert "<script>alert" not in html


def test_recall_by_budget_is_of_testbeds_and_of_methods_with_a_name():
    methods = made_tables(0.0)["methods"]
    rows = recall_rows(methods)
    there = [name for name in NAMES if name in set(methods["method"])]
    assert len(rows) == len(FEW) * len(there) * len(CURVE) and "primary" not in set(rows["bed"])
    assert set(rows["method"]) == {NAMES[name] for name in there} and set(rows["budget"]) == set(CURVE)
