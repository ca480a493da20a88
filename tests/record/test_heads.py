"""Heads of known patterns are called by their names; a trained induction head is found where it must be."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.anatomy import anatomy_of
from geophone.record.heads import HeadReader, head_scores, head_types, repeats
from geophone.record.probe import Probe
from geophone.zoo.generated import Repeats
from geophone.zoo.mlp import MLP
from geophone.zoo.transformer import Decoder

SYMBOLS, LENGTH = 32, 32


class Planted(nn.Module):
    """Puts patterns made from the tokens alone in the place of a layer's own."""

    def __init__(self, model, rules):
        super().__init__()
        self.rules, self.tokens = rules, None
        model.register_forward_pre_hook(lambda module, args: setattr(self, "tokens", args[0].numpy()))

    def forward(self, pattern):
        planted = np.zeros(pattern.shape, np.float32)
        for n, sequence in enumerate(self.tokens):
            for head, rule in enumerate(self.rules):
                for t in range(len(sequence)):
                    planted[n, head, t, rule(sequence, t)] = 1
        return torch.from_numpy(planted)


def earlier(offset):
    """`offset` places after the latest earlier same token; itself where there is none."""

    def rule(sequence, t):
        same = np.flatnonzero(sequence[:t] == sequence[t])
        return min(same[-1] + offset, t) if len(same) else t

    return rule


def lagging(lag):
    return lambda sequence, t: max(t - lag, 0)


def decoder(heads=4, *, symbols=SYMBOLS, width=64, length=LENGTH, depth=1):
    torch.manual_seed(0)
    return Decoder(symbols, symbols, length=length, width=width, heads=heads, depth=depth, mlp=False)


def scores(model, *, length=LENGTH, seed=1):
    return head_scores(model, symbols=SYMBOLS, length=length, rng=np.random.default_rng(seed))


def test_sequences_repeat_with_their_periods_and_no_token_twice_in_one():
    found = repeats(SYMBOLS, LENGTH, rng=np.random.default_rng(0))
    assert set(found.periods) == set(range(LENGTH // 4, LENGTH // 2 + 1))
    for tokens, period in zip(found.tokens, found.periods, strict=True):
        assert (tokens[period:] == tokens[:-period]).all() and len(set(tokens[:period])) == period
    few = repeats(4, LENGTH, rng=np.random.default_rng(0))
    assert all((s[p:] == s[:-p]).all() for s, p in zip(few.tokens, few.periods, strict=True))


def test_heads_of_known_patterns_are_called_by_their_names():
    model = decoder(heads=8)
    untrained = scores(model)
    rules = [lagging(1), earlier(0), *(earlier(k) for k in (1, 2, 3)), lagging(5), lagging(0), earlier(4)]
    model.blocks[0].attention.pattern = Planted(model, rules)
    found = scores(model)
    expected = ["previous token", "duplicate token", *["induction"] * 3, "position", "untyped", "induction"]
    assert head_types(found, untrained) == expected
    assert found["previous"][0] == pytest.approx(1) and found["duplicate"][1] == pytest.approx(1)
    assert found.loc[[2, 3, 4, 7], "offset"].tolist() == [1, 2, 3, 4]
    assert found.loc[[2, 3, 4], "induction"].to_numpy() == pytest.approx(1)
    assert found["position"][5] > 0.99 and found["lag"][5] == 5
    assert found.loc[6, ["previous", "duplicate", "induction", "position"]].max() < 0.05


def test_an_untrained_network_has_no_typed_heads():
    model = decoder(depth=2)
    assert set(head_types(scores(model), scores(decoder(depth=2), seed=2))) == {"untyped"}


def test_a_head_that_writes_what_it_reads_copies_and_its_opposite_does_not():
    model = decoder(heads=2, symbols=32, width=64)
    layer, first = model.blocks[0].attention, torch.eye(32, 64)
    with torch.no_grad():
        model.embed.token.weight.copy_(first)
        model.head.weight.copy_(first)
        layer.project_in.weight[128:].copy_(torch.cat([first, first]))
        layer.project_in.bias.zero_()
        layer.project_out.weight.copy_(torch.cat([first.T, -first.T], dim=1))
    assert scores(model)["copying"].tolist() == pytest.approx([0.5, -0.5])


def test_a_network_without_attention_is_refused():
    model = MLP(4, [4], 2)
    assert anatomy_of(model).heads(model) == {}
    with pytest.raises(InputError, match="no attention"):
        head_scores(model, symbols=4, length=8, rng=np.random.default_rng(0))


def trained(period, steps):
    model, data = decoder(length=48, depth=2), Repeats(48, SYMBOLS, period)
    before = scores(model, length=48)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for step in range(steps):
        x, y = data(np.random.default_rng([0, step]), 32)
        loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = scores(model, length=48)
    return before.assign(type=head_types(before, before)), after.assign(type=head_types(after, before))


@pytest.mark.slow
def test_the_induction_head_of_a_two_layer_network_is_found_in_the_second_layer_and_none_before_training():
    before, after = trained(None, 2000)
    assert set(before["type"]) == {"untyped"}
    assert set(after.loc[after["type"] == "induction", "depth"]) == {1}


@pytest.mark.slow
def test_where_the_period_is_fixed_heads_go_by_position_and_there_is_no_induction():
    _, after = trained(12, 1000)
    assert after["induction_1"].max() < 0.3
    assert "position" in set(after["type"]) and "induction" not in set(after["type"])


@pytest.mark.parametrize(
    ("score", "untrained", "said"),
    [(0.5, 0.1, "induction"), (0.5, 0.6, "untyped"), (0.29, 0.1, "untyped"), (0.9, 0.8, "induction")],
)
def test_a_head_has_a_type_above_a_floor_and_above_every_untrained_head(score, untrained, said):
    names = ("induction", "previous", "duplicate", "position")
    trained = pd.DataFrame([dict.fromkeys(names, 0.2) | {"induction": score}])
    fresh = pd.DataFrame([dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0) | {"induction": untrained}])
    assert head_types(trained, fresh) == [said]


def test_at_every_checkpoint_heads_are_scored_and_the_change_of_a_pattern_is_its_total_variation():
    model = decoder(heads=2)
    tokens = torch.randint(SYMBOLS, (9, LENGTH), generator=torch.Generator().manual_seed(0))
    real = torch.arange(LENGTH).expand(9, -1) >= 20
    reader = HeadReader(model, Probe(tokens, mask=real))
    rows = []
    for step, rules in enumerate(([lagging(0), lagging(3)], [lagging(1), lagging(3)], [earlier(2), lagging(3)])):
        model.blocks[0].attention.pattern = Planted(model, rules)
        rows += reader.rows(step, model)
    found = pd.DataFrame(rows)
    first, second = (found[found["head"] == head].set_index("step") for head in (0, 1))
    assert first["pattern_change"].isna().tolist() == [True, False, False]
    # A query that now looks elsewhere counts whole; the head that did not change, nothing.
    assert first["pattern_change"][1] == 1 and second["pattern_change"][1:].tolist() == [0, 0]
    same = np.mean([earlier(2)(s, t) == t - 1 for s in tokens[:8].numpy() for t in range(20, LENGTH)])
    assert first["pattern_change"][2] == pytest.approx(1 - same)
    assert first["previous"].tolist()[:2] == pytest.approx([0, 1])
    assert first["induction"][2] == pytest.approx(1) and first["offset"][2] == 2


def test_a_network_without_attention_has_no_heads_and_one_that_gives_no_weights_says_so():
    still = HeadReader(MLP(4, [4], 2), Probe(torch.randn(8, 4)))
    assert still.rows(0, MLP(4, [4], 2)) == [] and still.why == ""
    model = decoder()
    several = HeadReader(model, Probe((torch.zeros(4, 8, dtype=torch.long), torch.zeros(4))))
    assert several.rows(0, model) == [] and "neither one tensor" in several.why
