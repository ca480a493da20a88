"""What is committed under results/prove hangs together, and the pages quote it as it is."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geophone.findings.lines import benchmark_lines
from geophone.prove import read_tables
from geophone.prove.choice import BEST_RIVALS, DIMENSIONS_ONLY, GEOPHONE, frozen
from geophone.prove.protocol import CONFIRMATION, FIRST_FRESH
from geophone.prove.runs import MAIN, NUISANCES
from geophone.prove.tables import POOLED

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "prove"


@pytest.fixture(scope="module")
def tables():
    return read_tables(RESULTS / "confirmation")


def test_the_confirmation_is_of_fresh_seeds_all_of_them_and_of_the_frozen_methods(tables):
    choice = frozen(RESULTS / "frozen.json")
    recall = tables["recall"]
    for bed in set(CONFIRMATION) - set(NUISANCES):
        seeds = set(recall.loc[recall["bed"] == bed, "seed"])
        assert seeds == set(range(FIRST_FRESH, FIRST_FRESH + CONFIRMATION[bed])) and not seeds & set(choice.seeds)
    assert set(choice.methods) <= set(recall.columns)
    assert tables["verdict"]["rival"].item() == choice.best_rival == BEST_RIVALS


def test_the_verdict_follows_from_the_runs(tables):
    recall, found = tables["recall"].set_index("bed"), tables["verdict"].iloc[0]
    gains = [(recall.loc[bed, GEOPHONE] - recall.loc[bed, BEST_RIVALS]).to_numpy() for bed in MAIN]
    assert found["difference_mean"] == pytest.approx(np.mean([g.mean() for g in gains]), abs=2e-4)
    # For a mean over testbeds of means over runs, the interval's width has a closed form up to the bootstrap's noise.
    error = np.sqrt(sum(g.var() / len(g) for g in gains)) / len(gains)
    width = found["difference_high"] - found["difference_low"]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.05)
    expected = "better" if found["difference_low"] > 0 else "worse" if found["difference_high"] < 0 else "no better"
    said = {"better": "finds more than", "worse": "finds fewer than", "no better": "could not be shown to find more"}
    assert found["answer"] == expected and said[expected] in benchmark_lines(tables)[0]


def test_the_page_quotes_the_tables(tables):
    text = (ROOT / "docs" / "prove.md").read_text()
    offline = tables["methods"].query("track == 'offline'").set_index(["bed", "method"])

    def quoted(bed, method):
        row = offline.loc[(bed, method)]
        return tuple(round(float(row[name]), 2) for name in ("recall", "low", "high"))

    rows = {
        cells[0].strip(" *"): cells[1:] for line in text.splitlines() if len(cells := line.strip("|").split("|")) == 10
    }
    for bed in (*MAIN, POOLED):
        for cell, method in zip(
            rows[bed], (GEOPHONE, BEST_RIVALS, DIMENSIONS_ONLY, "turn4", "weight_norm"), strict=False
        ):
            numbers = tuple(float(n) for n in re.findall(r"\d*\.\d+", cell))
            assert numbers == pytest.approx(quoted(bed, method), abs=0.0051), (bed, method)
    found = tables["verdict"].iloc[0]
    assert f"{found['difference_mean']:.2f}".replace("0.", ".") in text and f": {found['answer']}.**" in text


def test_false_alarms_are_counted_as_quoted(tables):
    alarms = tables["nuisances"].assign(count=lambda t: t["alarm"] * t["runs"]).groupby("method")["count"].sum()
    assert (round(alarms[GEOPHONE]), round(alarms["stable_rank_uncentred"])) == (4, 6)
    assert pd.Series(tables["nuisances"]["runs"]).eq(20).all()
