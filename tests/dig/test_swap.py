"""The swap test of a dig names the planted part, spares the rest, and says when nothing was learned."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from geophone.dig.anatomy import anatomy_of
from geophone.dig.samples import SampleSet
from geophone.dig.scoring import SampleScoring, default_score
from geophone.dig.subject import Specimen
from geophone.dig.swap import movers, swap_sentence, swap_table
from geophone.rows import DUG
from geophone.rows.model import misfit
from geophone.zoo.transformer import Decoder

TASKS = 4
TARGET = {"before": 0, "during": 10, "after": 20}
CONTROL = {"before": 30, "during": 40, "after": 50}


class Skills(nn.Module):
    """Block l alone answers the samples of task l, as well as its weight is large."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(TASKS))
        for block in self.blocks:
            block.weight.data.zero_()

    def forward(self, x):
        value, task = x[:, :1], x[:, 1:]
        logit = sum(task[:, [i]] * block(value) for i, block in enumerate(self.blocks))
        return torch.cat([-logit, logit], dim=1)


def skills(*weights):
    model = Skills().eval()
    for block, weight in zip(model.blocks, weights, strict=True):
        block.weight.data.fill_(weight)
    return model


def specimen(model, x, y, layers):
    score = default_score(y)
    samples = SampleSet(x, y, 0, len(x))
    return Specimen(
        "planted", layers, SampleScoring(score, own=False, labels=True), score, samples, lambda steps: {},
        lambda number: model, anatomy_of(model), None,
    )  # fmt: skip


def asked():
    """32 samples of each task, half of them of class 1."""
    task = torch.arange(32 * TASKS) % TASKS
    y = torch.arange(32 * TASKS) // TASKS % 2
    return torch.cat([2.0 * y[:, None] - 1, nn.functional.one_hot(task, TASKS).float()], 1), y


@pytest.fixture(scope="module")
def planted():
    """Block 0 knows its task throughout; block 2 learns its own from 0 to 20, most of it from 10 on."""
    x, y = asked()
    models = {
        0: skills(9, 0, 0, 0), 10: skills(9, 0, 0.3, 0), 20: skills(9, 0, 9, 0),
        30: skills(9, 0, 9, 0), 40: skills(9, 0, 9, 0.01), 50: skills(9, 0, 9, 0.02),
    }  # fmt: skip
    subject = specimen(models[0], x, y, tuple(f"blocks.{i}" for i in range(TASKS)))
    return swap_table(subject, models, {"target": TARGET, "control": CONTROL}, "blocks.2")


def rows(table, **values):
    for column, value in values.items():
        table = table[table[column] == value]
    return table.set_index("part")


def test_the_block_that_learned_is_named_and_nothing_else_falls(planted):
    whole = rows(planted, window="before to after")
    assert whole["share"].to_dict() == pytest.approx({"blocks.0": 0, "blocks.1": 0, "blocks.2": 1, "blocks.3": 0})
    assert whole["spill"].to_dict()["blocks.2"] == pytest.approx(0)
    assert whole["reverse"].to_dict()["blocks.2"] == pytest.approx(1)
    assert whole["control"].abs().max() < 0.02 and (whole["samples"] == 32).all()
    assert whole["gain"].to_numpy() == pytest.approx(0.5, abs=1e-3)
    assert list(whole.index[whole["together"]]) == ["blocks.2"]


def test_the_halves_of_the_window_say_when_it_was_learned(planted):
    gains = planted.groupby("window")["gain"].first()
    assert gains["before to during"] + gains["during to after"] == pytest.approx(gains["before to after"])
    assert gains["during to after"] > 2 * gains["before to during"] > 0


def test_the_first_line_says_whether_it_was_this_layer(planted):
    assert swap_sentence(planted, "blocks.2") == (
        "32 samples gained 0.50 in score: with the weights that blocks.2 had before, 1.00 of it is gone, "
        "more than with any other layer, at the control moment 0.00."
    )
    other = swap_sentence(planted, "blocks.1")
    assert "blocks.1 had before, 0.00 of it is gone" in other and "most goes with blocks.2 (1.00)" in other
    assert misfit(planted, DUG["swap"]) is None


def test_where_nothing_moved_there_is_no_share():
    x, y = asked()
    still = {step: skills(9, 0, 0, 0) for step in TARGET.values()}
    subject = specimen(still[0], x, y, ("blocks.0", "blocks.1"))
    table = swap_table(subject, still, {"target": TARGET}, "blocks.0")
    assert table.empty and "nothing to take a share of" in swap_sentence(table, "blocks.0")
    assert misfit(table, DUG["swap"]) is None


def test_movers_are_those_of_the_greater_side():
    before, after = np.zeros(10), np.array([0.0] * 6 + [0.9, 1.0, 0.8, 0.1])
    own, gain = movers(before, after)
    assert own.tolist() == [6, 7, 8] and gain == pytest.approx(0.9)
    lost, fall = movers(after, before)
    assert lost.tolist() == [6, 7, 8] and fall == pytest.approx(-0.9)


def test_attention_is_swapped_in_parts_and_head_by_head():
    torch.manual_seed(0)
    before = Decoder(6, 6, length=8, width=16, heads=2, depth=2).eval()
    after = copy.deepcopy(before)
    tokens = torch.randint(6, (16, 8))
    y = torch.cat([tokens[:, 1:], torch.full((16, 1), -100)], 1)
    optimizer = torch.optim.Adam(after.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        SampleScoring(default_score(y), own=False, labels=True).loss(after(tokens), y).backward()
        optimizer.step()
    subject = specimen(before, tokens, y, ("embed", "blocks.0", "blocks.1", "head"))
    table = swap_table(subject, {0: before, 10: before, 20: after}, {"target": TARGET}, "blocks.1")
    whole = rows(table, window="before to after")
    assert set(whole.index[whole["kind"] == "inside"]) == {
        f"blocks.1.{n}" for n in ("norm1", "attention", "norm2", "mlp")
    }
    assert list(whole.index[whole["kind"] == "head"]) == ["blocks.1.attention, head 0", "blocks.1.attention, head 1"]
    assert whole["control"].isna().all() and np.isfinite(whole[["share", "reverse"]].to_numpy()).all()
    with torch.no_grad():
        weights = after.state_dict() | {k: v for k, v in before.state_dict().items() if k.startswith("blocks.1.mlp.")}
        p = [default_score(y)(torch.func.functional_call(after, w, (tokens,)), y).numpy()
             for w in (before.state_dict(), after.state_dict(), weights)]  # fmt: skip
    own, gain = movers(p[0], p[1])
    assert whole.loc["blocks.1.mlp", "share"] == pytest.approx((p[1] - p[2])[own].mean() / gain, rel=1e-4)
