"""The swap test of a dig names the planted part, spares the rest, and says when nothing was learned."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from geophone.dig.prose import tied_said
from geophone.dig.samples import SampleSet
from geophone.dig.scoring import SampleScoring, default_score
from geophone.dig.subject import Specimen
from geophone.dig.swap import carried, moved, swap_table, swapped_parts, tied
from geophone.record.anatomy import anatomy_of
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
    whole = rows(planted, window="before to after", kind="layer")
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
    assert carried(planted, "blocks.2") == (
        "With the weights that blocks.2 had before, 1.00 of that is gone, more than with any other layer "
        "(blocks.0 0.00, blocks.1 0.00, blocks.3 0.00), at the control moment 0.00, and other samples lose 0.00."
    )
    assert swapped_parts(planted) == [
        "Two layers together: blocks.2 and blocks.0 1.00, blocks.2 and blocks.1 1.00, blocks.2 and blocks.3 1.00, "
        "blocks.0 and blocks.1 0.00."
    ]
    other = carried(planted, "blocks.1")
    assert "blocks.1 had before, 0.00 of that is gone" in other and "most goes with blocks.2 (1.00;" in other
    assert misfit(planted, DUG["swap"]) is None


def test_both_controls_count_and_the_greater_fall_is_told():
    x, y = asked()
    models = {step: skills(9, 0, w, 0) for step, w in [(0, 0), (10, 0.3), (20, 9), (30, 1), (40, 2), (50, 3)]}
    subject = specimen(models[0], x, y, tuple(f"blocks.{i}" for i in range(TASKS)))
    still = {"before": 20, "during": 20, "after": 20}
    table = swap_table(subject, models, {"target": TARGET, "earlier": still, "later": CONTROL}, "blocks.2")
    alone = swap_table(subject, models, {"target": TARGET, "later": CONTROL}, "blocks.2")
    whole, other = (rows(t, window="before to after", kind="layer") for t in (table, alone))
    assert whole.loc["blocks.2", "control"] == pytest.approx(other.loc["blocks.2", "control"])
    assert whole.loc["blocks.2", "control"] > 0.1


class Chain(nn.Module):
    """A sample is right where the signs that two layers give it agree: one layer of another time breaks it."""

    def __init__(self, sign, gain):
        super().__init__()
        self.first, self.second = (nn.Linear(1, 1, bias=False) for _ in range(2))
        self.learned = nn.Linear(1, 1, bias=False)
        self.first.weight.data.fill_(sign)
        self.second.weight.data.fill_(sign)
        self.learned.weight.data.fill_(gain)

    def forward(self, x):
        value, asked = x[:, :1], x[:, 1:]
        logit = 9 * (1 - asked) * self.second(self.first(value)) + asked * self.learned(self.first(value))
        return torch.cat([-logit, logit], dim=1)


def test_a_layer_of_long_ago_that_fits_its_neighbours_no_longer_is_told():
    value = torch.arange(64) % 2 * 2.0 - 1
    x, y = torch.stack([value, (torch.arange(64) // 2 % 2).float()], 1), (value > 0).long()
    # What was learned needs the first layer's sign; long ago both signs were the other way round.
    models = {0: Chain(-1, 9.0), 10: Chain(1, -9.0), 20: Chain(1, 0.0), 30: Chain(-1, -9.0)}
    subject = specimen(models[0], x, y, ("first", "second", "learned"))
    at = {"before": 10, "during": 20, "after": 30}
    table = swap_table(subject, models, {"target": at}, "first")
    curve = table[table["kind"] == "apart"]
    named = curve.iloc[0]["part"]
    assert named == "first" and (curve["spill"] > 0.9).any()
    assert "no longer fits its neighbours" in " ".join(swapped_parts(table))


def test_where_nothing_moved_there_is_no_share():
    x, y = asked()
    still = {step: skills(9, 0, 0, 0) for step in TARGET.values()}
    subject = specimen(still[0], x, y, ("blocks.0", "blocks.1"))
    table = swap_table(subject, still, {"target": TARGET}, "blocks.0")
    assert table.empty and carried(table, "blocks.0") == ""
    assert misfit(table, DUG["swap"]) is None


def test_those_that_moved_are_those_of_the_greater_side():
    before, after = np.zeros(10), np.array([0.0] * 6 + [0.9, 1.0, 0.8, 0.1])
    assert moved(before, after).tolist() == moved(after, before).tolist() == [6, 7, 8]
    assert not len(moved(before, before + 0.01))  # too little to take a share of


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
    assert {f"blocks.{i}.{n}" for i in (0, 1) for n in ("norm1", "attention", "norm2", "mlp")} <= set(
        whole.index[whole["kind"] == "inside"]
    )
    heads = [f"blocks.{i}.attention, head {h}" for i in (0, 1) for h in (0, 1)]
    assert list(whole.index[whole["kind"] == "head"]) == heads
    assert whole["control"].isna().all() and np.isfinite(whole[["share", "reverse"]].to_numpy()).all()
    with torch.no_grad():
        weights = after.state_dict() | {k: v for k, v in before.state_dict().items() if k.startswith("blocks.1.mlp.")}
        p = [default_score(y)(torch.func.functional_call(after, w, (tokens,)), y).numpy()
             for w in (before.state_dict(), after.state_dict(), weights)]  # fmt: skip
    own = moved(p[0], p[1])
    gain = (p[1] - p[0])[own].mean()
    assert whole.loc["blocks.1.mlp", "share"] == pytest.approx((p[1] - p[2])[own].mean() / gain, rel=1e-4)


class Tied(nn.Module):
    """An embedding whose weights are the head's too."""

    def __init__(self):
        super().__init__()
        self.embed, self.inner, self.head = nn.Embedding(9, 8), nn.Linear(8, 8), nn.Linear(8, 9, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(torch.tanh(self.inner(self.embed(x))))


def test_a_layer_whose_weights_another_module_reads_too_is_told_and_swapped_alone():
    torch.manual_seed(0)
    before, after = Tied().eval(), Tied().eval()
    assert tied(after, ("embed", "inner", "head")) == {"embed": ["head"], "head": ["embed"]}
    assert tied(Decoder(7, 7, length=6, width=16, heads=2, depth=1), ("embed", "blocks.0", "head")) == {}
    assert tied_said(tied(after, ("embed", "inner"))) == [
        "embed shares weights with head, so that what moves one moves the other; the swap of embed puts back what "
        "embed reads of them and leaves head as after."
    ]
    x = torch.arange(27).reshape(9, 3) % 9
    with torch.no_grad():
        y = after(x).argmax(-1)
    table = swap_table(specimen(before, x, y, ("embed", "inner")), {0: before, 20: after},
                       {"target": {"before": 0, "after": 20}}, "embed")  # fmt: skip
    with torch.no_grad():
        p = [
            default_score(y)(out, y).numpy()
            for out in (before(x), after(x), after.head(torch.tanh(after.inner(before.embed(x)))))
        ]
    own = moved(p[0], p[1])
    share = rows(table, window="before to after", kind="layer").loc["embed", "share"]
    assert share == pytest.approx((p[1] - p[2])[own].mean() / (p[1] - p[0])[own].mean(), rel=1e-4)


def test_a_side_that_is_asked_for_counts_whatever_the_other_does():
    """Three that fall far on the way hide forty that rise."""
    before, after = np.full(43, 0.45), np.full(43, 0.95)
    before[:3], after[:3] = 1.0, 0.05
    assert moved(before, after).tolist() == [0, 1, 2]
    assert moved(before, after, 1).tolist() == list(range(3, 43))
    assert moved(before, after, -1).tolist() == [0, 1, 2]
    assert not len(moved(np.zeros(9), np.ones(9), -1))
