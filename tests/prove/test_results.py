"""What is committed under results/prove (the first edition) hangs together, and its page quotes it as it is."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

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
