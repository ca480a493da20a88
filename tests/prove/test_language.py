"""The testbed of language models: its tables against counts, its clock against stand-ins that are known, and a short
training."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from geophone.prove.recording import record
from geophone.prove.testbeds.language import LENGTH, REPEATING, Readings, Text, clocked
from geophone.prove.trials import BEDS, LANGUAGE, Trial, read_run, setting_of
from geophone.zoo.data import english
from geophone.zoo.generated import UNSCORED, Repeats


@pytest.fixture(scope="module")
def text():
    return Text()


def test_the_tables_are_the_counts_of_the_training_text(text):
    blocks = english().train.numpy()
    v = text.symbols
    for table in (text.bigrams, text.trigrams):
        torch.testing.assert_close(table.exp().sum(-1), torch.ones(table.shape[:-1]))
    t, h, e = (english().symbols.index(c) for c in "the")
    inside = blocks[:, :-1]  # the last letter of a block ends no counted pair
    counts = np.array([((inside[:, :-1] == t) & (inside[:, 1:] == c)).sum() for c in range(v)])
    np.testing.assert_allclose(text.bigrams[t].exp(), (counts + 0.05) / (counts.sum() + 0.05 * v), rtol=1e-4)
    assert int(text.trigrams[t, h].argmax()) == e


class StandIn:
    """Answers by a table of bigrams; one head looks at the token before, one at what followed last time."""

    def __init__(self, table: torch.Tensor, periods: torch.Tensor | None) -> None:
        self.table, self.periods = table, periods

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.table[tokens]

    def patterns(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        before = torch.zeros(len(tokens), 2, LENGTH, LENGTH)
        before[:, 0].diagonal(-1, 1, 2).fill_(1.0)
        after = torch.full((len(tokens), 2, LENGTH, LENGTH), 0.01)
        for n, period in enumerate(self.periods if self.periods is not None else []):
            for t in range(int(period), LENGTH):
                after[n, 1, t, t - int(period) + 1] = 0.7
        return [before, after]


def test_the_clock_reads_heads_and_divergences_of_stand_ins_that_are_known(text):
    rng = np.random.default_rng(0)
    stand_in = StandIn(text.bigrams, None)
    readings = Readings(stand_in, text, Repeats(LENGTH, REPEATING), rng)
    stand_in.periods = readings._periods
    said = readings()
    assert said["previous@0"] == pytest.approx(1.0) and said["prefix@1"] == pytest.approx(0.7)
    assert said["prefix@0"] == pytest.approx(0.0) and said["previous@1"] < 0.1
    assert said["bigram"] == pytest.approx(0.0, abs=1e-5) and said["trigram"] < -0.3
    assert abs(said["in_context"]) < 0.5  # bigrams of text know nothing of what comes again
    uniform = StandIn(torch.zeros(text.symbols, text.symbols), readings._periods)
    readings._model = uniform
    assert readings()["bigram"] < -0.5 and readings()["in_context"] == pytest.approx(0.0, abs=1e-5)


def test_repeats_are_known_from_where_the_context_decides():
    x, y = Repeats(LENGTH, REPEATING)(np.random.default_rng(0), 8)
    for row, answers in zip(x, y, strict=True):
        period = int((answers != UNSCORED).int().argmax())
        assert torch.equal(row[period + 1 :], row[1 : len(row) - period])


def test_events_are_where_curves_were_planted_and_what_is_left_again_counts_as_come():
    steps = np.arange(5, 1285, 5)

    def rise(at: float, most: float = 1.0) -> np.ndarray:
        return most / (1 + np.exp(-(steps - at) / 20.0))

    table = pd.DataFrame(
        {"previous@0": rise(200), "previous@1": rise(500, 0.1), "prefix@0": rise(900, 0.05), "prefix@1": rise(600, 0.8),
         "in_context": rise(620, 2.0), "bigram": rise(100) - rise(400, 0.7) - 2, "trigram": rise(300, 0.1)},
        index=pd.Index(steps, name="step"),
    )  # fmt: skip
    events = {event.name: event for event in clocked(table, ["first", "second"])}
    assert {name: event.t50 for name, event in events.items()} == pytest.approx(
        {"previous": 200, "prefix": 600, "in_context": 620, "bigram": 100}, abs=6
    )
    assert (events["previous"].layer, events["prefix"].layer, events["in_context"].layer) == ("first", "second", "any")


def test_a_language_model_is_trained_recorded_and_clocked(tmp_path):
    pytest.importorskip("transformers")
    assert LANGUAGE not in BEDS  # the protocol's own stay as they were preregistered
    made = setting_of(Trial(LANGUAGE, 3))
    record(replace(made, steps=60), tmp_path / "run", name=LANGUAGE, seed=3)
    run = read_run(tmp_path / "run")
    assert run.trial == Trial(LANGUAGE, 3) and run.trial.kind == "behaviour"
    assert 2 <= len(made.layers) <= 4 and len(run.signals.layers) == 2 * len(made.layers)
    loss = run.signals.scalars["loss"]
    assert loss[-1] < loss[0] and run.signals.behaviour.values.shape[0] == 12
