"""What is committed under results/ of both editions hangs together, and the pages quote it as it is."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geophone.point.rule import rule_digest
from geophone.prove import read_tables
from geophone.prove.choice import FROZEN, frozen
from geophone.prove.evaluate import BEST
from geophone.prove.protocol import FIRST_FRESH
from geophone.prove.ranker import seeds_seen
from geophone.prove.tables import RANKER
from geophone.prove.trials import PRIMARY

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "prove" / "confirmation"
MAIN = ("deep_linear", "parity", "staircase", "induction", "markov")


def table(name):
    return pd.read_csv(RESULTS / f"{name}.csv")


def test_the_verdict_follows_from_the_runs():
    recall, found = table("recall").set_index("bed"), table("verdict").iloc[0]
    gains = [(recall.loc[bed, "geophone"] - recall.loc[bed, "rivals_best"]).to_numpy() for bed in MAIN]
    assert found["difference_mean"] == pytest.approx(np.mean([g.mean() for g in gains]), abs=2e-4)
    # For a mean over testbeds of means over runs, the interval's width has a closed form up to the bootstrap's noise.
    error = np.sqrt(sum(g.var() / len(g) for g in gains)) / len(gains)
    assert found["difference_high"] - found["difference_low"] == pytest.approx(2 * 1.96 * error, rel=0.05)
    assert found["answer"] == "worse" and found["difference_high"] < 0


def test_the_page_quotes_the_tables():
    text = (ROOT / "docs" / "prove-1.md").read_text()
    offline = table("methods").query("track == 'offline'").set_index(["bed", "method"])
    rows = {
        cells[0].strip(" *"): cells[1:] for line in text.splitlines() if len(cells := line.strip("|").split("|")) == 10
    }
    methods = ("geophone", "rivals_best", "dimensions_only", "turn4", "weight_norm")
    for bed in (*MAIN, "main testbeds"):
        for cell, method in zip(rows[bed], methods, strict=False):
            expected = [round(float(offline.loc[(bed, method), name]), 2) for name in ("recall", "low", "high")]
            numbers = [float(n) for n in re.findall(r"\d*\.\d+", cell)]
            assert numbers == pytest.approx(expected, abs=0.0051), (bed, method)


# Where each confirmation lies, its first seed, how many runs each primary testbed has, and the page that quotes it.
CONFIRMED = {
    "prove-2": (8000, 8, None),
    "prove-3": (FIRST_FRESH, 20, "prove.md"),
}


@pytest.fixture(scope="module", params=CONFIRMED)
def confirmed(request):
    folder = ROOT / "results" / request.param / "confirmation"
    return folder, read_tables(folder), *CONFIRMED[request.param]


def test_a_verdict_follows_from_fresh_runs_alone(confirmed):
    folder, tables, first, count, _ = confirmed
    net = pd.read_csv(folder / "net.csv")
    chosen = {*frozen().seeds, *seeds_seen()}
    assert not chosen & set(net["seed"]) and set(net["seed"]) == set(range(first, first + count))
    primary = net[net["bed"].isin(PRIMARY)]
    assert (primary.groupby("bed").size() <= count).all() and len(primary) == tables["verdict"]["runs"].iloc[0]
    gains = [(part[RANKER] - part[BEST]).to_numpy() for _, part in primary.groupby("bed")]
    row = tables["verdict"].iloc[0]
    assert row["difference"] == pytest.approx(np.mean([g.mean() for g in gains]), abs=2e-4)
    error = np.sqrt(sum(g.var() / len(g) for g in gains)) / len(gains)
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * error, rel=0.07)
    assert row["answer"] == ("better" if row["low"] > 0 else "worse" if row["high"] < 0 else "no better")


def test_a_page_quotes_its_tables(confirmed):
    _, tables, _, _, page = confirmed
    if page is None:
        return  # another confirmation came after it
    text = (ROOT / "docs" / page).read_text()
    methods = tables["methods"].set_index(["bed", "method"])
    cells = {c[0].strip(" *"): c for line in text.splitlines() if len(c := line.strip("|").split("|")) == 12}
    for bed in dict.fromkeys(methods.index.get_level_values(0)):
        for column, method in ((2, RANKER), (4, BEST)):
            row = methods.loc[(bed, method)]
            quoted = [float(n) for n in re.findall(r"\d*\.\d+", cells[bed][column])]
            assert quoted == pytest.approx([row["recall"], row["low"], row["high"]], abs=0.0051), (bed, method)
    row = tables["verdict"].iloc[0]
    assert f"{row['difference']:+.2f}".replace("0.", ".") in text and f"{row['answer']}, by the rule" in text


def test_the_preregistration_names_the_files_that_were_scored():
    text = (ROOT / "docs" / "preregistration-3.md").read_text()
    rule = json.loads((ROOT / "src" / "geophone" / "point" / "frozen.json").read_text())
    assert rule_digest(rule) in text and json.loads(FROZEN.read_text())["digest"] in text
