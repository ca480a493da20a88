"""What the adapters say of a network's heads and of its way out holds on the network itself."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, GPTNeoXConfig, GPTNeoXForCausalLM

from geophone.record.anatomy import HuggingFaceAnatomy, PlainAnatomy, ZooAnatomy, anatomy_of
from geophone.record.heads import repeats
from geophone.zoo.mlp import Residual
from geophone.zoo.transformer import Decoder


def neox():
    torch.manual_seed(1)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(num_hidden_layers=2, num_attention_heads=2, hidden_size=16, intermediate_size=32, vocab_size=20)
    ).eval()


def bert():
    torch.manual_seed(1)
    return BertForSequenceClassification(
        BertConfig(num_hidden_layers=2, num_attention_heads=2, hidden_size=16, intermediate_size=32, vocab_size=20)
    ).eval()


def test_an_adapter_is_found_by_the_modules():
    assert (
        type(anatomy_of(nn.Sequential(nn.Linear(4, 2)))) is PlainAnatomy
        and type(anatomy_of(bert())) is HuggingFaceAnatomy
    )
    assert type(anatomy_of(Decoder(7, 7, length=6, width=8, heads=2, depth=1))) is ZooAnatomy
    assert type(anatomy_of(nn.Sequential(neox()))) is HuggingFaceAnatomy


@pytest.mark.parametrize(
    ("build", "layer"),
    [
        (lambda: Decoder(20, 20, length=9, width=16, heads=2, depth=2).eval(), "blocks.1.attention"),
        (bert, "bert.encoder.layer.1.attention"),
        (neox, "gpt_neox.layers.1.attention"),
    ],
)
def test_patterns_are_distributions_and_the_rows_of_a_head_move_that_head_alone(build, layer):
    model, tokens = build(), torch.randint(20, (3, 9), generator=torch.Generator().manual_seed(0))
    anatomy = anatomy_of(model)
    assert anatomy.heads(model)[layer] == 2
    before = anatomy.patterns(model, tokens)[layer]
    assert before.shape == (3, 2, 9, 9)
    np.testing.assert_allclose(before.sum(-1), 1, atol=1e-5)
    rows = anatomy.head_rows(model, layer)
    assert len(rows) == 2
    weights = model.state_dict()
    for entry, part in rows[1]:
        weights[entry][part] += torch.randn_like(weights[entry][part])
    after = anatomy.patterns(model, tokens)[layer]
    assert np.array_equal(before[:, 0], after[:, 0]) and np.abs(before[:, 1] - after[:, 1]).max() > 0.01


def small():
    torch.manual_seed(1)
    return Decoder(20, 20, length=9, width=16, heads=2, depth=2).eval()


@pytest.mark.parametrize(("build", "last"), [(small, "blocks.1"), (neox, "gpt_neox.layers.1")])
def test_the_last_stream_read_out_is_the_network_s_own_answer(build, last):
    model, tokens = build(), torch.randint(20, (3, 9), generator=torch.Generator().manual_seed(0))
    seen = []
    model.get_submodule(last).register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        output = model(tokens)
    stream = seen[0] if isinstance(seen[0], torch.Tensor) else seen[0][0]
    logits = output if isinstance(output, torch.Tensor) else output.logits
    torch.testing.assert_close(anatomy_of(model).unembedded(model, stream), logits)
    assert anatomy_of(model).unembedded(model, None) is None
    assert anatomy_of(model).unembedded(model, stream[..., :3]) is None


def test_what_is_not_known_of_a_network_is_empty():
    model = nn.Sequential(nn.Linear(4, 2))
    plain = anatomy_of(model)
    assert (plain.heads(model), plain.patterns(model, torch.ones(1, 4)), plain.head_rows(model, "0")) == ({}, {}, ())
    assert plain.copying(model, "0", 5).shape == (0, 5, 5) and plain.around(model) is None
    assert plain.unembedded(model, torch.ones(1, 2)) is None
    assert anatomy_of(bert()).unembedded(bert(), torch.ones(1, 3, 16)) is None
    zoo = ZooAnatomy()
    residual = Residual(nn.Linear(4, 4))
    assert zoo.around(residual) is residual.inner and zoo.around(nn.Linear(4, 4)) is None
    assert zoo.head_rows(nn.Sequential(nn.Linear(4, 2)), "0") == ()


@pytest.mark.parametrize("post", [False, True])
def test_a_head_s_copying_is_the_way_from_each_token_through_it_to_the_logits(post):
    torch.manual_seed(2)
    model = Decoder(7, 7, length=6, width=8, heads=2, depth=1, mlp=False).eval()
    block = model.blocks[0]
    block.post = post
    attention, layer = block.attention, "blocks.0.attention"
    found = ZooAnatomy().copying(model, layer, 5)
    assert found.shape == (2, 5, 5)
    for head in range(2):
        for token in range(5):
            stream = model.embed.token.weight[token]
            read = stream if post else block.norm1(stream)
            value = (attention.project_in.weight @ read + attention.project_in.bias)[16:].view(2, 4)[head]
            out = attention.project_out.weight[:, 4 * head : 4 * head + 4] @ value
            torch.testing.assert_close(found[head, token], model.head.weight[:5] @ out)
    assert ZooAnatomy().copying(model, layer, 8).numel() == 0  # the head has seven symbols
    assert ZooAnatomy().copying(model, "embed.token", 5).numel() == 0


def test_units_lie_where_the_kind_of_output_has_them():
    model = Decoder(7, 7, length=6, width=8, heads=2, depth=1)
    zoo = anatomy_of(model)
    assert zoo.unit_axis(model, "blocks.0.attention.heads_out", torch.ones(2, 6, 2, 4)) == 2
    assert zoo.unit_axis(model, "blocks.0", torch.ones(2, 6, 8)) == 2
    plain = nn.Sequential(nn.Conv1d(3, 5, 3), nn.Linear(4, 2))
    assert anatomy_of(plain).unit_axis(plain, "0", torch.ones(2, 5, 6)) == 1
    for shape, axis in (((2, 3, 2), 2), ((2, 2), 1), ((2, 3, 4, 2), 1)):
        assert anatomy_of(plain).unit_axis(plain, "1", torch.ones(*shape)) == axis


@pytest.mark.parametrize(("symbols", "length"), [(32, 32), (5, 32), (np.array([3, 9, 27, 81]), 16)])
def test_sequences_repeat_with_periods_between_a_quarter_and_a_half(symbols, length):
    made = repeats(symbols, length, rng=np.random.default_rng(0), count=40)
    known = set(range(symbols)) if isinstance(symbols, int) else set(symbols)
    tokens, periods = made.tokens, made.periods
    assert tokens.shape == (40, length) and set(tokens.ravel()) <= known
    assert periods.min() >= length // 4 and periods.max() <= length // 2 and len(set(periods)) > 3
    for row, period in zip(tokens, periods, strict=True):
        assert (row[period:] == row[:-period]).all()
        if period <= len(known):
            assert len(set(row[:period])) == period
