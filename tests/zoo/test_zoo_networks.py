"""The networks compute what their docstrings say."""

import numpy as np
import pytest
import torch
from torch import nn

from geophone.errors import InputError
from geophone.zoo.cnn import CNN
from geophone.zoo.mlp import MLP
from geophone.zoo.transformer import Attention, Block, Decoder, VisionTransformer


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def count(model):
    return sum(p.numel() for p in model.parameters())


def capture(model, x, *paths):
    """Outputs of the modules at `paths` in a forward pass, and the network's own."""
    caught = {}
    hooks = [
        model.get_submodule(p).register_forward_hook(lambda _m, _a, out, p=p: caught.setdefault(p, out)) for p in paths
    ]
    with torch.no_grad():
        output = model(x)
    for hook in hooks:
        hook.remove()
    return caught, output


def test_mlp_is_the_product_of_its_layers():
    model = MLP(12, (7, 5), 3)
    assert count(model) == 12 * 7 + 7 + 7 * 5 + 5 + 5 * 3 + 3
    x = torch.randn(4, 1, 3, 4)
    w1, b1, w2, b2, w3, b3 = (p.detach().double() for p in model.parameters())
    expected = (x.flatten(1).double() @ w1.T + b1).clamp(min=0)
    expected = (expected @ w2.T + b2).clamp(min=0) @ w3.T + b3
    torch.testing.assert_close(model(x).double(), expected, atol=1e-6, rtol=1e-5)


def test_one_hot_tokens_pick_columns_of_the_first_layer():
    model = MLP(2, (6,), 4, symbols=5)
    first = model.layer1[0]
    with torch.no_grad():
        picked = first.weight[:, 3] + first.weight[:, 5 + 1] + first.bias
        expected = model.head(picked.relu())
        torch.testing.assert_close(model(torch.tensor([[3, 1]]))[0], expected)


def test_residual_layers_add_to_their_input_where_widths_agree():
    model = MLP(4, (8, 8, 6), 2, residual=True)
    caught, _ = capture(model, torch.randn(5, 4), "layer1", "layer2", "layer2.inner", "layer3")
    torch.testing.assert_close(caught["layer2"], caught["layer1"] + caught["layer2.inner"])
    assert caught["layer2.inner"].min() >= 0
    assert isinstance(model.layer1, nn.Sequential) and isinstance(model.layer3, nn.Sequential)


def test_layer_norm_comes_before_the_non_linearity():
    model = MLP(4, (16,), 2, norm=True, activation=nn.Identity)
    caught, _ = capture(model, torch.randn(9, 4), "layer1")
    torch.testing.assert_close(caught["layer1"].mean(1), torch.zeros(9), atol=1e-5, rtol=0)
    torch.testing.assert_close(caught["layer1"].var(1, unbiased=False), torch.ones(9), atol=1e-2, rtol=0)


@pytest.mark.parametrize("pool", [False, True])
def test_convolutions_halve_where_told(pool):
    model = CNN(3, (4, 4, 6), 10, size=32, halving=(1, 3), pool=pool)
    caught, output = capture(model, torch.randn(2, 3, 32, 32), "conv1", "conv2", "conv3")
    shapes = [tuple(c.shape[1:]) for c in caught.values()]
    assert shapes == [(4, 16, 16), (4, 16, 16), (6, 8, 8)] and output.shape == (2, 10)
    assert count(model) == (27 * 4 + 4) + (36 * 4 + 4) + (36 * 6 + 6) + (6 * 64 * 10 + 10)


@pytest.mark.parametrize("kernel, layers, reach", [(3, 2, 2), (5, 2, 4), (3, 3, 3)])
def test_a_unit_sees_its_receptive_field_and_nothing_else(kernel, layers, reach):
    model = CNN(1, (4,) * layers, 2, size=17, halving=(), kernel=kernel, activation=nn.Identity)
    x = torch.zeros(1, 1, 17, 17, requires_grad=True)
    out = x
    for i in range(1, layers + 1):
        out = model.get_submodule(f"conv{i}")(out)
    out[0, :, 8, 8].sum().backward()
    rows, columns = np.nonzero(x.grad[0, 0].numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8 - reach, 8 + reach) * 2


def test_residual_and_normed_convolutions():
    model = CNN(1, (4, 4, 8), 2, size=8, halving=(3,), residual=True, norm=True)
    caught, _ = capture(model, torch.randn(6, 1, 8, 8), "conv1", "conv2", "conv2.inner")
    torch.testing.assert_close(caught["conv2"], caught["conv1"] + caught["conv2.inner"])
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 3


@pytest.mark.parametrize("causal", [False, True])
def test_attention_agrees_with_torch_s_own(causal):
    attention = Attention(12, 3, causal=causal)
    oracle = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        oracle.in_proj_weight.copy_(attention.project_in.weight)
        oracle.in_proj_bias.copy_(attention.project_in.bias)
        oracle.out_proj.load_state_dict(attention.project_out.state_dict())
    x = torch.randn(2, 5, 12)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    expected, pattern = oracle(x, x, x, attn_mask=mask, average_attn_weights=False)
    caught, output = capture(attention, x, "pattern", "heads_out")
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(caught["pattern"], pattern, atol=1e-5, rtol=1e-4)
    assert caught["heads_out"].shape == (2, 5, 3, 4)


def test_silencing_a_head_takes_out_just_its_part():
    attention = Attention(12, 3)
    x = torch.randn(2, 5, 12)
    caught, whole = capture(attention, x, "heads_out")

    def silence(_module, _arguments, output):
        output = output.clone()
        output[:, :, 1] = 0
        return output

    handle = attention.heads_out.register_forward_hook(silence)
    without = attention(x)
    handle.remove()
    part = caught["heads_out"][:, :, 1] @ attention.project_out.weight[:, 4:8].T
    torch.testing.assert_close(whole - without, part, atol=1e-5, rtol=1e-4)


def test_a_pattern_can_be_replaced():
    attention = Attention(8, 2)
    x = torch.randn(3, 4, 8)
    handle = attention.pattern.register_forward_hook(lambda _m, _a, p: torch.eye(4).expand_as(p))
    replaced = attention(x)
    handle.remove()
    values = attention.project_in(x)[:, :, 16:]
    torch.testing.assert_close(replaced, attention.project_out(values), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("mlp", [True, False])
def test_a_decoder_s_earlier_answers_do_not_depend_on_later_tokens(norm, mlp):
    model = Decoder(11, 7, length=9, width=16, heads=4, depth=3, norm=norm, mlp=mlp).eval()
    tokens = torch.randint(11, (2, 9))
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 11
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    assert before.shape == (2, 9, 7)
    torch.testing.assert_close(before[:, :5], after[:, :5], atol=0, rtol=0)
    assert (before[:, 5:] - after[:, 5:]).abs().amax((0, 2)).min() > 1e-6
    with torch.no_grad():
        torch.testing.assert_close(model(tokens[:, :4]), before[:, :4], atol=1e-6, rtol=1e-5)


def test_the_last_answer_alone_is_that_of_the_full_decoder():
    full = Decoder(11, 7, length=9, width=16, heads=4, depth=2)
    last = Decoder(11, 7, length=9, width=16, heads=4, depth=2, last_only=True)
    last.load_state_dict(full.state_dict())
    tokens = torch.randint(11, (3, 9))
    torch.testing.assert_close(last(tokens), full(tokens)[:, -1])


def test_norms_stand_where_their_name_says():
    x = 5 + 3 * torch.randn(4, 6, 16)
    post, pre = (Block(16, 4, causal=False, norm=norm)(x) for norm in ("post", "pre"))
    torch.testing.assert_close(post.mean(2), torch.zeros(4, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(post.var(2, unbiased=False), torch.ones(4, 6), atol=1e-3, rtol=0)
    assert (pre - x).abs().mean() < 1 < pre.mean()


def test_attention_only_blocks_have_no_perceptron():
    model = Decoder(32, 32, length=48, width=64, heads=4, depth=2, mlp=False)
    assert {type(m) for m in model.blocks.modules()} == {
        nn.ModuleList,
        Block,
        Attention,
        nn.Linear,
        nn.LayerNorm,
        nn.Identity,
    }
    block = 4 * 64 * 64 + 4 * 64 + 2 * 64
    assert count(model) == 32 * 64 + 48 * 64 + 2 * block + 2 * 64 + 64 * 32 + 32


def test_a_vision_transformer_reads_patches_and_is_blind_to_their_order_without_positions():
    model = VisionTransformer(1, 3, size=8, patch=4, width=16, heads=2, depth=2)
    x = torch.randn(2, 1, 8, 8)
    swapped = torch.cat([x[:, :, 4:], x[:, :, :4]], dim=2)
    with torch.no_grad():
        assert (model(x) - model(swapped)).abs().max() > 1e-4
        model.embed.position.zero_()
        torch.testing.assert_close(model(x), model(swapped), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "make, wanted", [(lambda: Attention(10, 3), "multiple"), (lambda: Block(8, 2, causal=True, norm="mid"), "post")]
)
def test_sizes_that_cannot_be_are_refused(make, wanted):
    with pytest.raises(InputError, match=wanted):
        make()


def test_a_sequence_too_long_is_refused():
    with pytest.raises(InputError, match="at most 4"):
        Decoder(5, 5, length=4, width=8, heads=2, depth=1)(torch.zeros(1, 5, dtype=torch.int64))
