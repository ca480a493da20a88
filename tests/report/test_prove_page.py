"""The proving ground's page, of the committed confirmation."""

from pathlib import Path

import pandas as pd

from geophone.findings.lines import benchmark_lines
from geophone.prove import read_tables
from geophone.report.prove_page import write_prove_page

CONFIRMATION = Path(__file__).parents[2] / "results" / "prove" / "confirmation"


def test_the_page_says_the_verdict_and_draws_every_testbed(tmp_path):
    tables = read_tables(CONFIRMATION)
    path = write_prove_page(tables, benchmark_lines(tables), out=tmp_path)
    html = path.read_text()
    beds = pd.unique(tables["examples"]["bed"])
    assert html.count("<svg") == 1 + len(beds)
    assert "it finds fewer than they do" in html
    assert all(f"One run of {bed}" in html for bed in beds)
    assert "http" not in html


def test_names_are_text(tmp_path):
    tables = read_tables(CONFIRMATION)
    html = write_prove_page(tables, ["<script>alert(1)</script>"], out=tmp_path).read_text()
    assert "<script>alert" not in html
