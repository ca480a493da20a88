"""Experts of a mixture are read on the tokens routed to them, whether they are modules or slices of one tensor."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.record.experts import thinned
from geophone.record.readers import ProbeReader
from geophone.record.what import What

IDS = torch.randint(0, 60, (12, 20), generator=torch.Generator().manual_seed(1))
SIZES = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def mixture(kind):
    import transformers as hf

    torch.manual_seed(0)
    if kind == "Mixtral":
        more = {"intermediate_size": 24, "num_key_value_heads": 1, "num_local_experts": 4, "num_experts_per_tok": 2}
    elif kind == "Olmoe":
        more = {"intermediate_size": 24, "num_experts": 4, "num_experts_per_tok": 2, "pad_token_id": 0}
        more["eos_token_id"] = 1
    else:
        more = {"intermediate_size": 24, "num_key_value_heads": 1, "num_experts": 4, "num_experts_per_tok": 2}
        more |= {"head_dim": 8, "moe_intermediate_size": 8}
    return getattr(hf, f"{kind}ForCausalLM")(getattr(hf, f"{kind}Config")(**SIZES, **more)).eval()


def by_hand(model, block):
    """What each expert of a block makes of its tokens, from the weights and what the block's router chose."""
    experts = model.model.layers[block].mlp.experts
    given = []
    hook = experts.register_forward_pre_hook(lambda module, args: given.extend(args[:2]))
    with torch.no_grad():
        model(IDS)
    hook.remove()
    hidden, chosen = given
    made = {}
    for index in range(4):
        mine = hidden[(chosen == index).any(1)]
        gate, up = (mine @ experts.gate_up_proj[index].T).chunk(2, -1)
        made[index] = ((nn.functional.silu(gate) * up) @ experts.down_proj[index].T).detach()
    return made


def caught(model, batch=None, rows=1024, layers=("blocks.*+mlp.experts.*",), **what):
    reader = ProbeReader(model, {"input_ids": IDS}, What(layers=layers, batch=batch, rows=rows, **what))
    plan = reader.plan()
    return plan, reader.reading(plan)(0)


@pytest.mark.parametrize("batch", [None, 1, 5])
@pytest.mark.parametrize("kind", ["Mixtral", "Olmoe", "Qwen3Moe"])
def test_experts_in_one_tensor_are_read_one_by_one(kind, batch):
    model = mixture(kind)
    plan, read = caught(model, batch)
    path = "model.layers.{}.mlp.experts.{}"
    assert [v.name for v in plan.layers] == [path.format(block, index) for block in (0, 1) for index in range(4)]
    assert [v.canonical for v in plan.layers][5] == "blocks.1+mlp.experts.1"
    assert {(v.view, v.rows, v.features) for v in plan.layers} == {("routed", 1024, 16)}
    for block in (0, 1):
        for index, expected in by_hand(model, block).items():
            torch.testing.assert_close(read.rows[path.format(block, index)], expected, rtol=1e-4, atol=1e-6)
            assert read.routed[path.format(block, index)] == len(expected)
    assert sum(read.routed.values()) == 2 * 2 * IDS.numel()


def test_reading_experts_changes_nothing_of_what_else_is_read():
    model = mixture("Mixtral")
    _, alone = caught(model, layers=["**.mlp.experts", "blocks.*"])
    _, beside = caught(model, layers=["**.mlp.experts", "blocks.*", "**.experts.*"])
    assert len(alone.rows) == 4 and len(beside.rows) == 12
    for name, rows in alone.rows.items():
        torch.testing.assert_close(beside.rows[name], rows, rtol=0, atol=0)


def test_experts_are_read_only_where_they_are_named():
    model = mixture("Mixtral")
    for layers in (None, ["**"], ["model.**"]):
        made = gp.layers(model, {"input_ids": IDS}, layers=layers)
        assert made and not [v.name for v in made if v.view == "routed" and v.name[-1].isdigit()]


@pytest.mark.parametrize("batch", [None, 5])
def test_more_rows_than_are_wanted_are_thinned_evenly(batch):
    model = mixture("Mixtral")
    _, read = caught(model, batch, rows=50)
    for index, expected in by_hand(model, 1).items():
        found = read.rows[f"model.layers.1.mlp.experts.{index}"]
        stride = 2 ** math.ceil(math.log2(len(expected) / 50))
        assert 25 <= len(found) <= 50
        torch.testing.assert_close(found, expected[::stride], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", range(1, 40))
def test_thinned_keeps_at_most_so_many_and_at_least_half(count):
    rows = torch.arange(count)
    for most in range(1, 12):
        kept = thinned(rows, most)
        assert len(kept) <= most and 2 * len(kept) >= min(count, most)
        assert len(set(np.diff(kept.numpy()))) <= 1


class Mixture(nn.Module):
    """Experts that are modules, each called on the tokens that a gate gives it."""

    def __init__(self, experts=4):
        super().__init__()
        self.gate = nn.Linear(8, experts)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(experts))

    def forward(self, x):
        flat = x.reshape(-1, 8)
        chosen, out = self.gate(flat).argmax(-1), torch.zeros_like(flat)
        for index, expert in enumerate(self.experts):
            if (chosen == index).any():
                out[chosen == index] = expert(flat[chosen == index])
        return x + out.view_as(x)


@pytest.mark.parametrize("sync", [True, False])
def test_counts_stand_in_the_run_and_one_that_gets_nothing_is_absent(tmp_path, sync):
    torch.manual_seed(0)
    model, probe = nn.Sequential(nn.Linear(3, 8), Mixture()), torch.randn(30, 7, 3)
    names = [f"1.experts.{index}" for index in range(4)]
    with torch.no_grad():
        model[1].gate.bias[2] = -1e6  # nothing comes to the third
        hidden = model[0](probe).reshape(-1, 8)
        expected = [int((model[1].gate(hidden).argmax(-1) == index).sum()) for index in range(4)]
    with gp.Recorder(model, probe, out=tmp_path / "run", layers=["1.experts.*", "1"], every=1, sync=sync) as recorder:
        recorder.step()
        with torch.no_grad():
            model[1].gate.bias[:] = torch.tensor([0, 0, 1e6, 0])  # everything does
        recorder.step()
    run = gp.Run(tmp_path / "run")
    counts = run.signals()["routed"]
    assert counts.iloc[-1][names].tolist() == [0, 0, 210, 0]
    assert math.isnan(counts.iloc[-1]["1"])
    assert [layer.view for layer in run.layers if layer.name in names] == ["routed"] * 4
    ranks = run.series("stable_rank")
    assert ranks.iloc[-1][names].isna().tolist() == [True, True, False, True]
    assert counts.iloc[0][names].tolist() == expected and expected[2] == 0 and min(expected[:2]) > 1
    whole = model[1].experts[2](hidden).detach().numpy()
    np.testing.assert_allclose(ranks.iloc[-1]["1.experts.2"], gp.dimensions(whole)["stable_rank"], rtol=1e-4)


def test_what_is_the_same_however_many_samples_there_are_is_no_expert():
    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.place, self.head = nn.Embedding(20, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(x + self.place(torch.arange(20)))

    with pytest.raises(gp.InputError, match="no axis follows"):
        gp.layers(Places(), torch.randn(9, 20, 8), layers=["place"])
