"""However many samples go forward at a time, and however far they are padded, the numbers are the same."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.record.nested import tensors_in
from geophone.record.readers import ProbeReader
from geophone.record.what import What

IDS = torch.randint(4, 60, (13, 12), generator=torch.Generator().manual_seed(1))


def decoder(family="GPT2"):
    import transformers as hf

    torch.manual_seed(0)
    if family == "GPT2":
        config = hf.GPT2Config(vocab_size=64, n_positions=64, n_embd=16, n_layer=2, n_head=2)
        return hf.GPT2LMHeadModel(config).eval()
    if family == "NeoX":
        config = hf.GPTNeoXConfig(
            vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
        )
        return hf.GPTNeoXForCausalLM(config).eval()
    config = hf.LlamaConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    return hf.LlamaForCausalLM(config).eval()


def convolutions():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)
    )


def caught(model, probe, batch, **what):
    reader = ProbeReader(model, probe, What(batch=batch, rows=40, **what))
    plan = reader.plan()
    return plan, reader.reading(plan)(0)


def same(a, b, tolerance=1e-5):
    assert a.rows.keys() == b.rows.keys()
    for name in a.rows:
        torch.testing.assert_close(a.rows[name], b.rows[name], rtol=tolerance, atol=tolerance)
    if a.scored is not None:
        for kind in ("behaviour", "outputs"):
            x, y = getattr(a.scored, kind), getattr(b.scored, kind)
            assert (x is None) == (y is None)
            if x is not None:
                np.testing.assert_allclose(x, y, rtol=2e-3, atol=tolerance)


CASES = {
    "classes": (convolutions, torch.randn(13, 3, 9, 9), {"labels": torch.arange(13) % 5}),
    "noise": (convolutions, torch.randn(13, 3, 9, 9), {"noise": torch.randn(13, 3, 9, 9)}),
    "tokens": (decoder, {"input_ids": IDS}, {"labels": "next-token"}),
    "unscored": (decoder, {"input_ids": IDS}, {"signals": False}),
    "own": (convolutions, torch.randn(13, 3, 9, 9), {"behaviour": lambda output, batch: output.sum(1)}),
}


@pytest.mark.parametrize("case", CASES)
def test_no_output_outlives_the_pass_that_made_it(case):
    """The logits of a language model were held for as long as it was recorded: more than all that was read."""
    build, probe, what = CASES[case]
    model, made = build(), []

    def note(module, args, output):
        made.extend(weakref.ref(tensor) for tensor in tensors_in(output))

    for module in model.modules():
        module.register_forward_hook(note)
    reader = ProbeReader(model, probe, What(rows=40, **what))
    plan = reader.plan()
    read = reader.reading(plan)
    gc.collect()
    assert len(made) > 5 and not [ref().shape for ref in made if ref() is not None]
    found = read(0)
    gc.collect()
    assert found.rows and not [ref().shape for ref in made if ref() is not None]


@pytest.mark.parametrize("batch", [1, 4, 13, 100])
@pytest.mark.parametrize("case", CASES)
def test_micro_batches_change_no_number(case, batch):
    build, probe, what = CASES[case]
    model = build()
    whole, part = caught(model, probe, None, **what), caught(model, probe, batch, **what)
    assert whole[0].layers == part[0].layers and whole[0].samples == part[0].samples
    same(whole[1], part[1])
    if "noise" in what:
        for name, rows in whole[1].noise.items():
            torch.testing.assert_close(rows, part[1].noise[name], rtol=1e-5, atol=1e-5)


def test_a_recorded_run_has_the_same_dimensions(tmp_path):
    tables = []
    for batch in (None, 5):
        model = decoder()
        with gp.Recorder(
            model, {"input_ids": IDS}, out=tmp_path / str(batch), labels="next-token", rows=40, batch=batch, every=1
        ) as recorder:
            for step in range(3):
                with torch.no_grad():
                    for p in model.parameters():
                        p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(step))
                recorder.step()
        tables.append(gp.open(tmp_path / str(batch)).table())
    numbers = [t.select_dtypes("number").to_numpy(dtype=float) for t in tables]
    np.testing.assert_allclose(*numbers, rtol=1e-3, atol=1e-4)


def test_where_no_output_is_scored_the_pass_ends_at_the_last_layer_that_is_read():
    model, calls = decoder(), []
    model.lm_head.register_forward_hook(lambda *_: calls.append("head"))
    plan, first = caught(model, {"input_ids": IDS}, None, signals=False)
    assert plan.ends_early
    calls.clear()
    reader = ProbeReader(model, {"input_ids": IDS}, What(rows=40, signals=False))
    reader.reading(plan)(0)
    assert not calls
    # The same rows as of a pass that goes to its end.
    to_the_end = caught(model, {"input_ids": IDS}, None)[1]
    assert first.rows.keys() == to_the_end.rows.keys()
    assert all(torch.equal(first.rows[name], to_the_end.rows[name]) for name in first.rows)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["GPT2", "NeoX", "Llama"])
def test_padding_to_twice_the_length_changes_no_number(family, side):
    """Each real token's layers are what they are without padding: positions are drawn among the real ones."""
    model, (n, t) = decoder(family), IDS.shape
    every = {"rows": n * t * 2}
    padding = torch.zeros(n, t, dtype=torch.long)
    pieces = [padding, IDS] if side == "left" else [IDS, padding]
    mask = torch.cat([torch.ones(n, t, dtype=torch.long) if p is IDS else padding for p in pieces], 1)
    padded = {"input_ids": torch.cat(pieces, 1), "attention_mask": mask}
    if side == "left":
        padded["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    alone = ProbeReader(model, {"input_ids": IDS}, What(labels="next-token", **every))
    beside = ProbeReader(model, padded, What(labels="next-token", **every))
    a, b = (reader.reading(reader.plan())(0) for reader in (alone, beside))
    same(a, b, tolerance=1e-4)
