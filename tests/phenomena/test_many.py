"""Phenomena of many runs are functions of frames: what is asked of them is what they do."""

import numpy as np
import pandas as pd
import pytest

from geophone.phenomena import Draws, Nulls, RunSeries, phenomena
from geophone.records import Layer
from geophone.rows import PHENOMENA, columns_of

LAYERS = tuple(Layer(name, depth, "flat", 16, 64, (16,)) for depth, name in enumerate("abcd"))
STEPS = 5 * np.arange(1, 61)


def run(number, *, rises):
    """Layers that settle in order of depth, or against it; the loss falls."""
    rng = np.random.default_rng(number)
    ends = 8 + 10 * np.arange(4)
    places = ends if rises else ends[::-1]
    columns = {layer.name: 3 + np.minimum(np.arange(60) / at, 1) * 4 for layer, at in zip(LAYERS, places, strict=True)}
    table = pd.DataFrame(columns, index=STEPS) * np.exp(0.001 * rng.normal(size=(60, 4)))
    loss = pd.Series(2.0 / np.arange(1, 61), index=STEPS)
    name = "up" if rises else "down"
    return RunSeries(f"r{number}", LAYERS, 300, {"stable_rank": table}, loss, name, name, "noise")


@pytest.fixture(scope="module")
def runs():
    return [run(number, rises=number % 2 == 0) for number in range(12)]


@pytest.mark.parametrize("draws", [19, 148])
def test_an_order_is_tested_with_as_many_draws_as_were_asked_for(runs, draws):
    tables = phenomena(runs, draws=Draws(draws), headline=[])
    tests = tables["order_tests"].set_index("mode")
    # Six runs bottom-up and six top-down, by architecture: 924 ways to deal the labels, of which 2 are as far apart.
    # So nearly no draw reaches it, and p comes out at about the least there is: 1 / (1 + draws).
    assert tests.loc["calibrated", "runs"] == 12
    reached = tests.loc["calibrated", "p"] * (1 + draws) - 1
    assert reached == pytest.approx(round(reached), abs=1e-9) and 0 <= round(reached) <= 4


def test_every_table_has_the_columns_of_its_rows(runs):
    tables = phenomena(runs, draws=Draws(19), headline=["stable_rank"])
    assert set(tables) == set(PHENOMENA)
    for kind, table in tables.items():
        assert list(table.columns) == [column.name for column in columns_of(PHENOMENA[kind])], kind


def test_a_null_has_as_many_surrogates_as_were_asked_for_and_forks_make_one_more():
    rng = np.random.default_rng(0)
    series = [{"d": pd.DataFrame(np.exp(rng.normal(size=(80, 3))))} for _ in range(4)]
    nulls = Nulls(series, [], Draws(39)).of("d", 80)
    assert [len(null.maxima) for null in (*nulls.jump, nulls.velocity, nulls.acceleration)] == [39] * 4
    assert len(Nulls(series, [series[:2]], Draws(39)).of("d", 80).jump) == 3
    # Forks of unlike length have no mean to be far from, and one fork is its own.
    unlike = [series[0], {"d": series[1]["d"][:60]}]
    assert len(Nulls(series, [unlike, series[:1]], Draws(39)).of("d", 80).jump) == 2


def test_a_stream_is_its_seed_s_and_its_purpose_s():
    assert Draws(9, 1).stream("order", "d", "naive").random() == Draws(9, 1).stream("order", "d", "naive").random()
    others = [Draws(9, 2).stream("order", "d", "naive"), Draws(9, 1).stream("types", "d", "naive")]
    assert len({Draws(9, 1).stream("order", "d", "naive").random(), *(rng.random() for rng in others)}) == 3
