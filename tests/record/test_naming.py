"""Canonical names, for every architecture that has them: which module each is, and that it is what it says."""

import pytest
import torch

import geophone as gp
from geophone.errors import InputError
from geophone.record.capture import ActivationCapture
from geophone.record.naming import canonical_names, matches

transformers = pytest.importorskip("transformers")
SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
# Configuration, its options, the modules of embed, block 1 and what its attention and perceptron add.
LLAMA = ("embed_tokens", "layers.1", "layers.1.self_attn", "layers.1.mlp")
NORMED = ("embed_tokens", "layers.1", "layers.1.post_attention_layernorm", "layers.1.post_feedforward_layernorm")
BERT = "encoder.layer.1"
STREAMS = {
    "GPTNeoX": (SIZES, ("embed_in", "layers.1", "layers.1.attention", "layers.1.mlp")),
    "GPT2": ({"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2}, ("wte", "h.1", "h.1.attn", "h.1.mlp")),
    "Llama": (SIZES, LLAMA),
    "Olmo": (SIZES | {"pad_token_id": 0, "eos_token_id": 1}, LLAMA),
    "Olmo2": (SIZES | {"pad_token_id": 0, "eos_token_id": 1}, NORMED),
    "Qwen2": (SIZES | {"num_key_value_heads": 1}, LLAMA),
    "Qwen3": (SIZES | {"num_key_value_heads": 1, "head_dim": 8}, LLAMA),
    "Mixtral": (SIZES | {"num_key_value_heads": 1, "num_local_experts": 4}, LLAMA),
    "Olmoe": (SIZES | EXPERTS | {"pad_token_id": 0, "eos_token_id": 1}, LLAMA),
    "Qwen3Moe": (SIZES | EXPERTS | {"num_key_value_heads": 1, "head_dim": 8, "moe_intermediate_size": 8}, LLAMA),
    "Bert": (SIZES, ("embeddings", BERT, f"{BERT}.attention.output.dense", f"{BERT}.output.dense")),
    "ViT": (
        {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 16, "patch_size": 4},
        ("embeddings", "layers.1", "layers.1.attention", "layers.1.mlp"),
    ),
    "Mamba": (SIZES | {"state_size": 4}, ("embeddings", "layers.1")),
}
NAMES = ("embed", "blocks.1", "blocks.1+attention", "blocks.1+mlp")
TOKENS = torch.randint(2, 40, (6, 9), generator=torch.Generator().manual_seed(0))


def built(family, options):
    config = getattr(transformers, f"{family}Config")
    if not hasattr(transformers, f"{family}Model"):
        pytest.skip(f"no {family} in this transformers")
    torch.manual_seed(0)
    return getattr(transformers, f"{family}Model")(config(**options)).eval()


@pytest.mark.parametrize("family", STREAMS)
def test_names_views_and_shapes_are_as_stated(family):
    options, modules = STREAMS[family]
    model = built(family, options)
    x = torch.randn(6, 3, 16, 16) if family == "ViT" else TOKENS
    positions, names = (17 if family == "ViT" else 9), NAMES[: len(modules)]
    found = gp.layers(model, x, layers=[*names, "blocks.1+"], rows=10**6)
    assert {layer.canonical: layer.name for layer in found} == dict(zip(names, modules, strict=True))
    assert [layer.canonical for layer in found.updates] == ["blocks.1+"]
    for layer in (*found, *found.updates):
        assert (layer.view, layer.features, layer.shape) == ("tokens", 16, (positions, 16)), layer
        assert layer.rows == 6 * positions
    assert f"{modules[1]} (blocks.1)" in repr(found)


@pytest.mark.parametrize("family", [f for f, (_, modules) in STREAMS.items() if len(modules) == 4])
def test_attention_and_perceptron_are_what_the_block_adds(family):
    """x + attention + mlp is the block's output, by whatever modules; in BERT norms stand over the sums."""
    options, (_, block, attention, mlp) = STREAMS[family]
    model = built(family, options)
    caught = {}
    with ActivationCapture(model, [block, attention, mlp], added=[block]) as capture, torch.no_grad():
        model.get_submodule(block).register_forward_pre_hook(lambda module, args: caught.update(x=args[0]))
        model(torch.randn(6, 3, 16, 16) if family == "ViT" else TOKENS)
    x, out, added = caught["x"], capture[block], capture[attention]
    if family == "Bert":
        layer = model.get_submodule(block)
        middle = layer.attention.output.LayerNorm(x + added)
        assert torch.allclose(layer.output.LayerNorm(middle + capture[mlp]), out, atol=1e-5)
    else:
        assert torch.allclose(added + capture[mlp], capture[f"{block}+"], atol=1e-5)
    assert added.abs().max() > 0 and not torch.equal(added, capture[mlp])


def test_stacks_are_named_first():
    """T5, whose parts hold the residual connection: their sum is what a block adds."""
    model = built("T5", {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2})
    probe = gp.Probe(kwargs={"input_ids": TOKENS, "decoder_input_ids": TOKENS[:, :7]})
    parts = ["attention", "cross_attention", "mlp"]
    own = {
        "encoder.embed": "encoder.embed_tokens", "decoder.blocks.1": "decoder.block.1",
        "decoder.blocks.1+attention": "decoder.block.1.layer.0.SelfAttention.o",
        "decoder.blocks.1+cross_attention": "decoder.block.1.layer.1.EncDecAttention.o",
        "decoder.blocks.1+mlp": "decoder.block.1.layer.2.DenseReluDense.wo",
    }  # fmt: skip
    found = {layer.canonical: layer for layer in gp.layers(model, probe, layers=list(own))}
    assert {name: layer.name for name, layer in found.items()} == own
    assert {layer.shape for layer in found.values()} == {(9, 16), (7, 16)}
    names = [own[f"decoder.blocks.1+{part}"] for part in parts]
    with ActivationCapture(model, [*names, "decoder.block.1"], added=["decoder.block.1"]) as capture, torch.no_grad():
        probe.forward(model)
    assert torch.allclose(sum(capture[name] for name in names), capture["decoder.block.1+"], atol=1e-5)


def test_stages_are_numbered_through_and_heads_are_found():
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], layer_type="basic")
    model = transformers.ResNetForImageClassification(config).eval()
    names = canonical_names(model)
    stages = [f"resnet.encoder.stages.{stage}.layers.{block}" for stage in (0, 1) for block in (0, 1)]
    assert names == {"resnet.embedder": "embed", "classifier.1": "heads"} | {
        path: f"blocks.{number}" for number, path in enumerate(stages)
    }
    found = gp.layers(model, torch.randn(6, 3, 32, 32))
    assert [layer.name for layer in found if layer.canonical.startswith("blocks")] == stages
    assert [(v.view, v.features) for v in found if v.canonical == "blocks.3"] == [("channels", 16)]
    assert canonical_names(transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=1, n_embd=12)))["lm_head"] == (
        "heads"
    )


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("blocks.*", "blocks.3", True), ("blocks.*", "blocks.3.mlp", False), ("blocks.*", "blocks.3+mlp", False),
        ("blocks.**", "blocks.3.mlp.fc", True), ("blocks.*+mlp", "blocks.13+mlp", True), ("**", "a.b+c", True),
        ("blocks.[0-2]", "blocks.2", True), ("blocks.[!0-2]", "blocks.2", False), ("blocks.?", "blocks.12", False),
    ],
)  # fmt: skip
def test_globs_stop_at_a_dot(pattern, name, fits):
    assert matches(pattern, name) is fits


def test_a_run_is_asked_by_either_name(tmp_path):
    options, (_, block, attention, _) = STREAMS["GPT2"]
    model = built("GPT2", options)
    views = {"blocks.*+attention": "mean"}
    with gp.Recorder(model, TOKENS, out=tmp_path / "run", layers="blocks.1**", views=views, every=1) as recorder:
        recorder.step()
    run = gp.open(tmp_path / "run")
    assert run.layer("blocks.1+attention") == run.layer(attention) and run.layer(attention).view == "mean"
    assert run.layer("blocks.1").name == block
    with pytest.raises(InputError, match=r"no layer 'blocks.7'; it has .*h.1 \(blocks.1\)"):
        run.layer("blocks.7")
