"""Every table that twelve planted runs make, column by column, as they came out when each had been looked at: random
streams, ties and orders of rows included, by which the p of a study that was made earlier would change too. Where they
are meant to change, write the file anew and read what changed in it:

    SAID=write python -m pytest tests/phenomena -q; git diff tests/phenomena/tables.json
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from golden import columns, hold

from geophone.phenomena import Draws, RunSeries, phenomena
from geophone.phenomena.across import across_runs
from geophone.records import Layer
from geophone.rows import PHENOMENA, frame

FILE = Path(__file__).parent / "tables.json"
STEPS = 5 * np.arange(1, 101)
LAYERS = tuple(
    Layer(name, depth, view, features, rows, (features,))
    for depth, (name, view, rows, features) in enumerate(
        [("a", "flat", 16, 64), ("b", "channels", 300, 40), ("c", "flat", 300, 400), ("d", "flat", 300, 128)]
    )
)


def run(number):
    """Layers that settle one after another; at the first fall of the loss one jumps up, at the second another down (not
    in the last three). One run has no loss."""
    rng = np.random.default_rng([7, number])
    logs = np.zeros((100, 4))
    falls = [int(20 + 5 * (number % 3)), int(60 + 4 * (number % 4))]
    for k in range(4):
        logs[:, k] += 1.5 * np.exp(-np.arange(100) / (3 + 3 * (k if number % 2 else 3 - k)))
    for k, place, size in ((1, falls[0], 0.9), (2, falls[1], -0.4))[: 2 - (number >= 9)]:
        logs[place:, k] += size * (1 + 0.1 * rng.random())
    table = pd.DataFrame(3 * np.exp(logs + 0.004 * rng.normal(size=logs.shape)), index=STEPS, columns=list("abcd"))
    loss = 2.0 - 0.5 * (np.arange(100) >= falls[0]) - 0.4 * (np.arange(100) >= falls[1]) + 0.01 * rng.random(100)
    configuration = "one" if number < 5 else "two" if number < 9 else f"own-{number}"
    named = {} if number == 11 else {"experiment": configuration, "task": "noise" if number % 2 else "signal"}
    return RunSeries(
        f"r{number:02}", LAYERS, 500, {"stable_rank": table, "rankme": table**0.5},
        None if number == 10 else pd.Series(loss, index=STEPS), architecture="cnn" if number < 6 else "mlp", **named,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs():
    return [run(number) for number in range(12)]


@pytest.fixture(scope="module")
def tables(runs):
    return phenomena(runs, draws=Draws(99), headline=["stable_rank"])


def test_all_tables_are_as_they_came_out(tables):
    hold(FILE, "tables", {kind: columns(table) for kind, table in tables.items()})


def test_what_was_planted_is_in_the_tables(tables):
    """So that the file holds more than what noise made."""
    coupled = tables["coupling"].query("mode == 'calibrated' and grouped_by == 'configuration'")
    assert (coupled["p"] < 0.1).all() and coupled["events"].tolist() == [10, 8]
    assert set(tables["coupling"]["grouped_by"]) == {"configuration", "architecture and task"}
    jumps = tables["jumps"].query("mode == 'calibrated' and dimension == 'stable_rank'")
    assert (
        sorted(jumps["layer"]) == ["b"] * 12 + ["c"] * 9 and ((jumps["log_ratio"] > 0) == (jumps["layer"] == "b")).all()
    )
    types = tables["types"].query("mode == 'calibrated'")
    assert sorted(types["jumps"]) == [9, 12] and (types["status"] == "stable").all()
    assert (tables["type_tests"].query("mode == 'calibrated'")["statistic"] > 0).all()
    assert set(tables["distribution"]["by"]) == {"phase", "depth", "magnitude", "view and cap", "all"}
    for kind in ("coordination", "lags", "bottom_up", "best_periods", "acceleration_peaks", "coupling_curves"):
        assert len(tables[kind]), kind


def tables_of(**given):
    """Empty tables of one study, but for those given as rows."""
    return {kind: frame(given.get(kind, []), PHENOMENA[kind]) for kind in PHENOMENA}


def across(runs, **given):
    return across_runs(runs, tables_of(**given), draws=Draws(19), headline=["stable_rank"])


def test_the_best_defined_periods_are_of_many_layers_and_of_a_small_part_of_the_run(runs):
    def period(run, layer, start, stop, mode="calibrated"):
        return {"run": run, "layer": layer, "depth": 0, "dimension": "stable_rank", "mode": mode, "start": start,
                "stop": stop, "peak": start}  # fmt: skip

    rows = [period("r00", layer, 100, 150) for layer in "abcd"]
    rows += [period("r01", layer, 100, 150) for layer in "ab"] + [period("r01", "a", 300, 350)]
    rows += [period("r02", layer, 0, 500) for layer in "abcd"] + [period("r03", layer, 100, 150) for layer in "abcd"]
    rows += [period("r04", "a", 100, 101, mode="naive")]
    table = across(runs, critical=rows)["best_periods"]
    assert table["run"].tolist() == ["r00", "r03", "r01"]  # ties by name; the one that is always critical is fourth
    assert table["score"].tolist() == pytest.approx([0.9, 0.9, 0.5 * (1 - 150 / 2000)])
    assert table["layers_share"].tolist() == [1.0, 1.0, 0.5]
    assert table["covered_share"].tolist() == pytest.approx([0.1, 0.1, 0.075])


def test_the_clearest_bottom_up_runs_have_the_least_p_then_the_greatest_rho(runs):
    def order(run, p, rho, verdict="bottom-up", mode="naive"):
        return {"run": run, "dimension": "stable_rank", "mode": mode, "verdict": verdict, "p": p, "rho": rho,
                "layers": 4, "chance": 0.25}  # fmt: skip

    rows = [order("r06", 0.04, 0.9), order("r01", 0.04, 1.0), order("r00", 0.04, 0.9), order("r03", 0.01, 0.8),
            order("r05", 0.001, 1.0, "top-down"), order("r07", 0.05, 0.9), order("r08", 0.06, 0.9)]  # fmt: skip
    found = across(runs, order=rows)
    assert found["bottom_up"]["run"].tolist() == ["r03", "r01", "r00", "r06", "r07"]
    (tests,) = found["order_tests"].to_dict("records")
    assert (tests["bottom-up"], tests["top-down"], tests["weak"], tests["undefined"]) == (6, 1, 0, 0)
    assert tests["expected_bottom_up"] == pytest.approx(7 * 0.25)


def test_jumps_are_counted_where_they_lie_beside_the_series_that_had_none(runs):
    def series(run, layer, expected=0.5, status="ok"):
        return {"run": run, "layer": layer, "depth": 0, "dimension": "stable_rank", "mode": "naive", "detected": 1,
                "expected_false": expected, "status": status}  # fmt: skip

    def jump(run, layer, phase, depth, size):
        return {"run": run, "layer": layer, "depth": 0, "dimension": "stable_rank", "mode": "naive", "phase": phase,
                "relative_depth": depth, "log_ratio": size, "index": 3, "step": 20}  # fmt: skip

    detection = [series("r00", "a"), series("r00", "b"), series("r01", "c"), series("r07", "a"), series("r07", "d")]
    detection += [series("r08", "a", status="dead")]
    jumps = [jump("r00", "a", 0.1, 0.0, 0.04), jump("r00", "b", 0.5, 1 / 3, -0.15), jump("r01", "c", 0.99, 1.0, 0.7),
             jump("r00", "a", 2 / 3, np.nan, 0.5)]  # fmt: skip
    table = across(runs, detection=detection, jumps=jumps)["distribution"]
    assert set(table["architecture"]) == {"cnn", "mlp"} and (table["rate"] == table["jumps"] / table["series"]).all()

    def bins(by, architecture="cnn"):
        mine = table[(table["by"] == by) & (table["architecture"] == architecture)]
        return dict(zip(mine["bin"], mine["jumps"], strict=True))

    assert bins("phase") == {"below 0.33": 1, "0.33-0.67": 1, "from 0.67": 2}
    assert bins("depth") == {"below 0.33": 1, "0.33-0.67": 1, "from 0.67": 1, "unknown": 1}
    assert bins("magnitude") == {"below 0.05": 1, "0.1-0.2": 1, "from 0.5": 2}
    assert bins("view and cap") == {"flat, cap below 16": 2, "channels, cap 16-64": 1, "flat, cap from 256": 1}
    assert bins("all") == {"all": 4}
    assert all(bins(by, "mlp") == {"none": 0} for by in ("phase", "depth", "magnitude", "all"))
    whole = table[(table["by"] == "all")].set_index("architecture")
    assert whole["series"].to_dict() == {"cnn": 3, "mlp": 2}
    assert whole["expected_false"].to_dict() == {"cnn": 1.5, "mlp": 1.0}
