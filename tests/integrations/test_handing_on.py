"""What is handed on to another tool loads the right revisions, layers and tokens."""

import ast
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from geophone.cli import main
from geophone.errors import InputError
from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import Source
from geophone.integrations.handing_on import Handed, handed, hook_name, module_expression, script
from geophone.record.probe import Probe
from geophone.record.what import What

IDS = torch.randint(1, 40, (12, 10), generator=torch.Generator().manual_seed(3))
STEPS = sorted({round(1.6**k) for k in range(16)})


def load(key, into=None):
    """A small GPT-NeoX whose weights wander with the step."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPTNeoXConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    torch.manual_seed(0)
    model = transformers.GPTNeoXForCausalLM(config).eval()
    with torch.no_grad():
        for step in (step for step in STEPS if step <= int(key[4:])):
            rng = torch.Generator().manual_seed(step)
            for p in model.parameters():
                p += 0.02 * torch.randn(p.shape, generator=rng)
    if into is None:
        return model
    into.load_state_dict(model.state_dict())
    return into


def lay_out(cache, keys):
    """Revisions as a hub cache has them."""
    import tokenizers
    import transformers

    vocabulary = {str(k): k for k in range(40)}
    tokens = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="0")),
        bos_token="0", eos_token="0",
    )  # fmt: skip
    home = cache / "models--made--small"
    (home / "refs").mkdir(parents=True)
    for number, key in enumerate(keys):
        name = f"{number:040d}"
        load(key).save_pretrained(home / "snapshots" / name)
        tokens.save_pretrained(home / "snapshots" / name)
        for ref in (key, "main"):
            (home / "refs" / ref).write_text(name)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    source = Source([(step, f"step{step}") for step in STEPS], load, {"model": "made/small", "source": "revisions"})
    out = tmp_path_factory.mktemp("handed") / "run"
    measure(source, Probe(kwargs={"input_ids": IDS}), out=out, what=What(labels="next-token", rows=40))
    return out


def test_every_token_of_the_probe_is_there(measured):
    import geophone as gp

    run = gp.open(measured)
    table = run.tokens().pivot(index="sample", columns="position", values="token")
    np.testing.assert_array_equal(table, IDS)
    samples = run.samples()
    np.testing.assert_array_equal(IDS[samples["sample"], samples["position"] + 1], samples["label"])


@pytest.mark.parametrize("tool", ["transformer_lens", "nnsight", "saelens"])
def test_the_script_names_revisions_layers_and_tokens(measured, tool, capsys, monkeypatch):
    import geophone as gp

    run = gp.open(measured)
    found = run.transition(1)
    monkeypatch.setattr("sys.argv", ["geophone", "export", str(measured), "--to", tool])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(capsys.readouterr().out).body
        if isinstance(node, ast.Assign)
    }
    assert values["MODEL"] == "made/small"
    moments = {"before": found.start, "during": found.peak, "after": found.end}
    assert values["REVISIONS"] == {moment: f"step{step}" for moment, step in moments.items()}
    if tool == "saelens":
        assert values["LAYER"] == found.layers[0].layer.removesuffix("+")
        return
    told = run.samples()
    for context, answer, sample in zip(
        values["CONTEXTS"], values["ANSWERS"], found.samples["sample"].head(8) if found.own else range(8), strict=True
    ):
        row, position, label = told.loc[sample]
        assert context == IDS[row, : position + 1].tolist() and answer == label
    assert len(values["CONTEXTS"]) == 8
    if tool == "transformer_lens":
        assert set(values["HOOKS"]) <= {"hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"}


@pytest.mark.parametrize("tool", ["transformer_lens", "nnsight"])
def test_the_other_library_reads_the_same_answers(measured, tool, tmp_path):
    import geophone as gp

    if subprocess.run([sys.executable, "-c", f"import {tool}"], capture_output=True).returncode:
        pytest.skip(f"{tool} is not installed")
    run = gp.open(measured)
    found = run.transition(1)
    lay_out(tmp_path, [f"step{step}" for step in dict.fromkeys((found.start, found.peak, found.end))])
    (tmp_path / "look.py").write_text(script(handed(run, 1), tool))
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    looked = subprocess.run([sys.executable, "look.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert looked.returncode == 0, looked.stderr[-2000:]
    said = np.array(re.findall(r"^p ([\d.]+) -> ([\d.]+)", looked.stdout, re.MULTILINE), float)
    values = run.behaviour()
    own = list(found.samples["sample"].head(8)) if found.own else range(8)
    np.testing.assert_allclose(said, values.loc[[found.start, found.end], own].to_numpy().T, atol=1e-3)


@pytest.mark.parametrize(
    ("layer", "hook"),
    [
        ("gpt_neox.layers.3", "blocks.3.hook_resid_post"),
        ("transformer.h.11.attn", "blocks.11.hook_attn_out"),
        ("model.layers.0.self_attn", "blocks.0.hook_attn_out"),
        ("model.layers.7.mlp", "blocks.7.hook_mlp_out"),
        ("gpt_neox.embed_in", "hook_embed"),
        ("transformer.wte", "hook_embed"),
    ],
)
def test_hooks_have_the_names_of_the_other_library(layer, hook):
    assert hook_name(layer) == hook


@pytest.mark.parametrize("layer", ["lm_head", "model.layers.0.norm", "vision.patch"])
def test_a_layer_without_a_name_there_is_said(layer):
    with pytest.raises(InputError, match="no name in TransformerLens"):
        hook_name(layer)


def test_paths_with_numbers_are_indexed():
    assert module_expression("gpt_neox.layers.2") == "gpt_neox.layers[2]"
    assert module_expression("transformer.h.11.mlp") == "transformer.h[11].mlp"
    assert module_expression("embed") == "embed"


def test_another_tool_is_refused():
    it = Handed("", "m", {}, ("a",), "a", 1, 2, [], [])
    with pytest.raises(InputError, match="known are transformer_lens, nnsight, saelens"):
        script(it, "captum")
