"""From rows to a verdict: intervals against their closed form, the rule on made-up runs, and the whole, small."""

import json

import numpy as np
import pandas as pd
import pytest

from geophone.errors import InputError, StoreError
from geophone.findings.lines import benchmark_lines
from geophone.prove import confirm, protocol, quick, read_tables
from geophone.prove.choice import Choice, freeze
from geophone.prove.runs import MAIN
from geophone.prove.scores import Method, Part
from geophone.prove.tables import CURVE, POOLED, _difference, comparison_table, interval, method_table, verdict

METHODS = (
    "geophone", "geophone_without_scalars", "dimensions_only", "rivals_all", "rivals_best", "turn1", "turn4", "loss",
    "probe_loss", "weight_norm", "gradient_norm", "update_norm", "random", "uniform", "log_uniform",
)  # fmt: skip
PART = Part("turn4", "step", 1.0, True)
CHOICE = Choice({"geophone": Method("geophone", (PART,))}, "rivals_best", (0, 1), {"geophone": 0.7})


def rows(gain, *, runs=20, spread=0.1, seed=0):
    """Runs of all main testbeds on which `geophone` has a recall of 0.7 + gain and all else 0.7, with noise."""
    rng, found = np.random.default_rng(seed), []
    for bed in MAIN:
        for run in range(runs):
            shared = rng.normal(0, 0.2)
            for method in METHODS:
                recall = 0.7 + shared + rng.normal(0, spread) + (gain if method == "geophone" else 0)
                row = {"bed": bed, "seed": run, "method": method, "track": "offline", "events": 4, "recall": recall}
                others = ["recall_half", "recall_double", "precision", "area", "strict", "other_run", "layer_rate"]
                row |= dict.fromkeys([*others, *(f"curve_{i + 1}" for i in range(len(CURVE)))], 0.5)
                found.append(row | {"chance": 0.35, "needed": 1.5})
    return pd.DataFrame(found)


def judged(table):
    rng = np.random.default_rng(1)
    methods, comparisons = method_table(table, rng=rng), comparison_table(table, rng=rng)
    return verdict(methods, comparisons, CHOICE), methods, comparisons


def test_the_interval_of_a_mean_is_as_wide_as_it_should_be():
    x = np.random.default_rng(0).normal(size=400)
    found = interval([x], rng=np.random.default_rng(1))
    half = 1.96 * x.std() / 20
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.1 * half)
    both = interval([x, x + 2], rng=np.random.default_rng(1))
    assert both.mean == pytest.approx(x.mean() + 1)
    assert both.high - both.low == pytest.approx(2 * half / 2**0.5, rel=0.1)


@pytest.mark.parametrize(("gain", "answer"), [(0.2, "better"), (-0.2, "worse"), (0.0, "no better")])
def test_the_verdict_follows_the_rule(gain, answer):
    found, _, _ = judged(rows(gain))
    assert found.answer == answer and found.rival == "rivals_best"
    assert found.difference.low < found.difference.mean < found.difference.high
    assert found.difference.mean == pytest.approx(gain, abs=0.04)
    assert (len(found.gained) == 5) == (gain > 0.1) and (len(found.reached) == 5) == (gain > 0.1)


def test_pairing_takes_out_what_a_run_has_in_common():
    _, methods, comparisons = judged(rows(0.1))
    paired = comparisons.set_index(["bed", "product", "rival"]).loc[(POOLED, "geophone", "rivals_best")]
    alone = methods.set_index(["bed", "method"]).loc[(POOLED, "geophone")]
    assert paired["high"] - paired["low"] < 0.75 * (alone["high"] - alone["low"])
    assert paired["p"] < 0.001 and paired["runs"] == 100
    assert alone["lift"] == pytest.approx(alone["recall"] / 0.35)


def test_without_a_gain_one_comparison_in_twenty_is_significant():
    rng = np.random.default_rng(2)
    found = [_difference([rng.normal(size=8), rng.normal(size=12)], rng)["p"] for _ in range(400)]
    assert 0.02 < np.mean(np.array(found) <= 0.05) < 0.09


def test_a_confirmation_refuses_a_changed_file_and_seeds_that_were_seen(tmp_path):
    freeze(CHOICE, tmp_path / "frozen.json")
    content = json.loads((tmp_path / "frozen.json").read_text())
    content["choice"]["best_rival"] = "loss"
    (tmp_path / "changed.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match="changed"):
        confirm(tmp_path / "out", frozen=tmp_path / "changed.json")
    freeze(Choice(CHOICE.methods, "loss", (0, protocol.FIRST_FRESH), {}), tmp_path / "seen.json")
    with pytest.raises(InputError, match="1000"):
        confirm(tmp_path / "out", frozen=tmp_path / "seen.json")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="methods"):
        read_tables(tmp_path)


@pytest.mark.slow
def test_the_quick_version_goes_all_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "QUICK_BEDS", {"deep_linear": 2, "lr3": 1, "plain": 1})
    tables = quick(tmp_path, workers=1)
    rows_ = tables["methods"].set_index(["bed", "method", "track"])
    assert rows_.loc[("deep_linear", "geophone", "offline"), "recall"] > 0.5
    random = rows_.loc[("deep_linear", "random", "offline")]
    assert random["recall"] == pytest.approx(random["chance"], abs=0.15)
    lines = benchmark_lines(tables)
    assert any(answer in lines[0] for answer in ("finds more than", "finds fewer than", "could not be shown to find"))
    assert any(line.startswith("Under the nuisance lr3") for line in lines)
    again = benchmark_lines(read_tables(tmp_path))
    assert again == lines
