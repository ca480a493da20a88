"""A series from checkpoints: the values are those of the networks, nothing is lost, and no pickle runs."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import geophone as gp
from geophone.errors import InputError, StoreError
from geophone.ingest.checkpoints import measure
from geophone.ingest.probes import read_probe
from geophone.ingest.sources import Source, checkpoint_files, revisions
from geophone.record.what import What

PROBE = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))


def build():
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))


def network(step):
    torch.manual_seed(step)
    return build()


@pytest.fixture
def folder(tmp_path):
    """Five checkpoints in the formats and wrappings that people have."""
    made = tmp_path / "checkpoints"
    made.mkdir()
    save_file(network(100).state_dict(), made / "step-100.safetensors")
    torch.save(network(200).state_dict(), made / "model_200.pt")
    torch.save({"state_dict": network(300).state_dict(), "epoch": 3}, made / "ckpt300.pth")
    torch.save({f"module.{k}": v for k, v in network(400).state_dict().items()}, made / "ddp-400.bin")
    torch.save({"model": {f"_orig_mod.{k}": v for k, v in network(1000).state_dict().items()}}, made / "c-1000.pt")
    return made


def test_the_series_is_that_of_the_networks(folder, tmp_path):
    done = measure(checkpoint_files([folder], build), PROBE, out=tmp_path / "run")
    assert done.steps == (100, 200, 300, 400, 1000) and done.failures == ()
    run = gp.open(tmp_path / "run")
    for step in done.steps:
        with torch.no_grad():
            hidden = network(step)[0](PROBE)
        for name, value in gp.dimensions(hidden).items():
            assert run.series(name)["0"].loc[step] == pytest.approx(value, rel=1e-5), name


def table(folder):
    return gp.open(folder).table()


def test_run_again_it_goes_on_where_it_stopped_and_the_tables_are_those_of_one_go(folder, tmp_path):
    files = {step: str(place) for step, place in checkpoint_files([folder], build).keys}
    whole = measure(checkpoint_files([folder], build), PROBE, out=tmp_path / "whole")
    assert whole.steps == (100, 200, 300, 400, 1000)
    for first in range(1, 5):
        out = tmp_path / f"run-{first}"
        measure(checkpoint_files(list(files.values())[:first], build), PROBE, out=out)
        again = measure(checkpoint_files([folder], build), PROBE, out=out)
        assert (again.skipped, again.steps) == (whole.steps[:first], whole.steps[first:])
        pd.testing.assert_frame_equal(table(out), table(tmp_path / "whole"))
        assert measure(checkpoint_files([folder], build), PROBE, out=out).steps == ()
    assert table(tmp_path / "whole")["cka_change_1"].notna().sum() == 2 * 4


def test_a_step_that_comes_between_has_the_later_ones_measured_again(folder, tmp_path):
    files = dict(checkpoint_files([folder], build).keys)
    measure(checkpoint_files([files[100], files[1000]], build), PROBE, out=tmp_path / "run")
    with pytest.raises(InputError, match="holds step 1000, which lies after step 300"):
        measure(checkpoint_files([files[300]], build), PROBE, out=tmp_path / "run")
    again = measure(checkpoint_files([folder], build), PROBE, out=tmp_path / "run")
    assert (again.skipped, again.steps) == ((100,), (200, 300, 400, 1000))
    measure(checkpoint_files([folder], build), PROBE, out=tmp_path / "whole")
    pd.testing.assert_frame_equal(table(tmp_path / "run"), table(tmp_path / "whole"))


def test_a_bad_checkpoint_does_not_lose_the_others(folder, tmp_path):
    (folder / "model_200.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    save_file({"0.weight": torch.ones(2, 2)}, folder / "step-100.safetensors")
    done = measure(checkpoint_files([folder], build), PROBE, out=tmp_path / "run")
    assert done.steps == (300, 400, 1000)
    assert [key.rpartition("/")[2] for key, _ in done.failures] == ["step-100.safetensors", "model_200.pt"]
    assert "does not fit" in done.failures[0][1] and "damaged" in done.failures[1][1]
    run = gp.open(tmp_path / "run")
    assert run.status == "incomplete" and "model_200.pt" in run.manifest.note


def test_a_pickle_that_would_run_code_does_not_run_it(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    with open(tmp_path / "step-1.pt", "wb") as file:
        pickle.dump({"0.weight": Trap()}, file)
    torch.save({"x": Trap()}, tmp_path / "probe.pt")
    with pytest.raises(StoreError, match="not one of 1"):
        measure(checkpoint_files([tmp_path / "step-1.pt"], build), PROBE, out=tmp_path / "run")
    with pytest.raises(StoreError, match="cannot be read"):
        read_probe(str(tmp_path / "probe.pt"))
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "run").exists()


def test_another_probe_or_other_layers_on_the_same_folder_are_refused(folder, tmp_path):
    files = sorted(folder.iterdir())
    measure(checkpoint_files(files[:1], build), PROBE, out=tmp_path / "run")
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(InputError, match="another probe"):
        measure(checkpoint_files([folder], build), PROBE + 1, out=tmp_path / "run")
    with pytest.raises(InputError, match="other layers"):
        measure(checkpoint_files([folder], build), PROBE, out=tmp_path / "run", layers=["0"])
    assert json.loads(before)["layers"] == json.loads((tmp_path / "run" / "run.json").read_bytes())["layers"]
    assert len(gp.open(tmp_path / "run").series("rankme")) == 1


LABELS = torch.arange(len(PROBE)) % 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": 1 - LABELS}, "other labels"),
        ({"labels": None}, "by labels=, and now by nothing"),
        ({"concepts": {"odd": LABELS}}, "other concepts"),
        ({"dimensions": ["rankme"]}, "other layers or dimensions"),
        ({"layers": ["0"]}, "other layers or dimensions"),
        ({"noise": PROBE + 9}, "another noise probe"),
    ],
)
@pytest.mark.parametrize("all_there", [True, False])
def test_another_question_of_the_same_folder_is_refused_also_where_all_is_measured(
    folder, tmp_path, change, says, all_there
):
    source = checkpoint_files([folder], build)
    first = source if all_there else checkpoint_files([source.keys[0][1]], build)
    measure(first, PROBE, out=tmp_path / "run", what=What(labels=LABELS))
    before = {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()}
    with pytest.raises(InputError, match=says):
        measure(source, PROBE, out=tmp_path / "run", what=What(**({"labels": LABELS} | change)))
    with pytest.raises(InputError, match="another probe"):
        measure(source, PROBE + 1, out=tmp_path / "run", what=What(labels=LABELS))
    assert {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()} == before
    again = measure(source, PROBE, out=tmp_path / "run", what=What(labels=LABELS, layers=["0", "2"]))
    assert len(again.steps) + len(again.skipped) == len(source.keys)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["final.pt", "best.pt"], "must hold its training step"),
        (["a-7.pt", "b-7.pt"], "both say step 7"),
        ([], "no checkpoint"),
    ],
)
def test_steps_must_be_told_apart(tmp_path, names, says):
    for name in names:
        torch.save({}, tmp_path / name)
    with pytest.raises(InputError, match=says):
        checkpoint_files([tmp_path], build)


@pytest.mark.parametrize(
    ("model", "says"),
    [("nosuchmodule:build", "no module"), ("math:nothing", "has no 'nothing'"), ("math", "module:function")],
)
def test_a_factory_that_is_not_there(folder, model, says):
    with pytest.raises(InputError, match=says):
        checkpoint_files([folder], model)


def test_probes_from_files(tmp_path):
    np.save(tmp_path / "p.npy", PROBE.numpy())
    np.savez(tmp_path / "p.npz", a=PROBE.numpy(), b=PROBE.numpy())
    torch.save(PROBE, tmp_path / "p.pt")
    save_file({"x": PROBE}, tmp_path / "p.safetensors")
    assert all(torch.equal(read_probe(str(tmp_path / f"p.{kind}")), PROBE) for kind in ("npy", "pt", "safetensors"))
    assert set(read_probe(str(tmp_path / "p.npz"))) == {"a", "b"}
    with pytest.raises(StoreError, match="cannot be read"):
        read_probe(str(tmp_path / "none.npy"))


def test_from_the_command_line(folder, tmp_path):
    (tmp_path / "mynets.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))\n"
    )
    np.save(tmp_path / "probe.npy", PROBE.numpy())
    (folder / "ckpt300.pth").write_bytes(b"")
    command = "import sys; from geophone.cli import main; main()"
    arguments = ["measure", "checkpoints", "--model", "mynets:build", "--probe", "probe.npy", "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "4 checkpoints measured" in done.stdout and "left out checkpoints/ckpt300.pth" in done.stderr


def test_revisions_of_a_hugging_face_model(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the hf extra")
    config = transformers.GPTNeoXConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    made = {}
    for step in (0, 512):
        torch.manual_seed(step)
        made[step] = transformers.GPTNeoXModel(config).eval()
        made[step].save_pretrained(tmp_path / "model" / f"step{step}")
    probe = {"input_ids": torch.randint(0, 40, (12, 10), generator=torch.Generator().manual_seed(0))}
    source = revisions(str(tmp_path / "model"), ["step0", "step512", "step1000"])
    done = measure(source, probe, out=tmp_path / "run", rows=10_000)
    assert done.steps == (0, 512) and "step1000" in done.failures[0][1]
    run = gp.open(tmp_path / "run")
    assert [layer.name for layer in run.layers] == ["embed_in", "layers.0", "layers.0+", "layers.1", "layers.1+"]
    with torch.no_grad():
        # The last block's output is the input of the final norm; the first block's is hidden state 1.
        hidden = made[512](**probe, output_hidden_states=True).hidden_states[1].flatten(0, 1)
    expected = gp.dimensions(hidden)["participation_ratio"]
    assert run.series("participation_ratio")["layers.0"].loc[512] == pytest.approx(expected, rel=1e-4)


def test_revisions_from_a_hub_cache_without_a_network(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the hf extra")
    config = transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16)
    cache = tmp_path / "hub" / "models--someone--tiny"
    for step in (1, 2):
        torch.manual_seed(step)
        transformers.GPT2Model(config).save_pretrained(cache / "snapshots" / f"{step:040d}")
        (cache / "refs").mkdir(parents=True, exist_ok=True)
        (cache / "refs" / f"step{step}").write_text(f"{step:040d}")
    code = (
        "import torch\nfrom geophone.ingest.checkpoints import measure\nfrom geophone.ingest.sources import revisions\n"
        "source = revisions('someone/tiny', ['step1', 'step2'])\n"
        "done = measure(source, {'input_ids': torch.arange(40).reshape(8, 5) % 20}, out='run')\n"
        "assert done.steps == (1, 2), done\n"
    )
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert len(gp.open(tmp_path / "run").series("stable_rank")) == 2


def test_folders_as_trainers_write_them_and_a_stray_file(tmp_path):
    for step in (200, 1000):
        (tmp_path / f"checkpoint-{step}").mkdir()
        save_file(network(step).state_dict(), tmp_path / f"checkpoint-{step}" / "model.safetensors")
    shards = tmp_path / "checkpoint-300"
    shards.mkdir()
    weights = network(300).state_dict()
    places = {name: f"model-{1 + i // 2:05d}-of-00002.safetensors" for i, name in enumerate(weights)}
    for place in set(places.values()):
        save_file({name: weights[name] for name in weights if places[name] == place}, shards / place)
    (shards / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    torch.save(network(1).state_dict(), tmp_path / "best.pt")
    source = checkpoint_files([tmp_path], build)
    assert [step for step, _ in source.keys] == [200, 300, 1000] and source.left_out == (str(tmp_path / "best.pt"),)
    for step, key in source.keys:
        torch.testing.assert_close(source.load(key).state_dict(), network(step).state_dict(), rtol=0, atol=0)


def test_a_shard_that_is_missing_is_named(tmp_path):
    folder = tmp_path / "checkpoint-3"
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"0.weight": "gone.safetensors"}}))
    with pytest.raises(StoreError, match=r"gone\.safetensors is not there"):
        checkpoint_files([folder], build).load(str(folder))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"0.weight": "../../elsewhere"}}))
    with pytest.raises(StoreError, match="damaged"):
        checkpoint_files([folder], build).load(str(folder))


WRAPPINGS = {
    "compiled": lambda n: f"_orig_mod.{n}",
    "compiled around DDP": lambda n: f"_orig_mod.module.{n}",
    "DDP twice": lambda n: f"module.module.{n}",
    "one part compiled": lambda n: n.replace("0.", "0._orig_mod.") if n.startswith("0.") else n,
    "FSDP": lambda n: f"_fsdp_wrapped_module.{n.replace('.', '._fsdp_wrapped_module.')}",
    "activation checkpointing": lambda n: n.replace(".", "._checkpoint_wrapped_module."),
    "a LightningModule's attribute": lambda n: f"model.{n}",
    "an attribute of an attribute, under DDP": lambda n: f"module.net.trunk.{n}",
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappers_leave_the_names(tmp_path, wrapping):
    state = {WRAPPINGS[wrapping](name): tensor for name, tensor in network(5).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "step_5.pt")
    loaded = checkpoint_files([tmp_path], build).load(str(tmp_path / "step_5.pt"))
    torch.testing.assert_close(loaded.state_dict(), network(5).state_dict(), rtol=0, atol=0)


def test_a_name_that_is_like_a_wrapper_is_kept(tmp_path):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = build()

    torch.save(Wrapped().state_dict(), tmp_path / "step_5.pt")
    checkpoint_files([tmp_path], Wrapped).load(str(tmp_path / "step_5.pt"))


def test_weights_under_a_key(tmp_path):
    slow, fast = network(1).state_dict(), network(2).state_dict()
    path = tmp_path / "step_5.pt"
    torch.save({"generator": fast, "critic": {"0.weight": torch.ones(2, 2)}, "epoch": 3}, path)
    torch.testing.assert_close(checkpoint_files([path], build).load(str(path)).state_dict(), fast, rtol=0, atol=0)
    torch.save({"teacher": slow, "student": fast}, path)
    with pytest.raises(InputError, match="--key: teacher, student"):
        checkpoint_files([path], build).load(str(path))
    loaded = checkpoint_files([path], build, key="teacher").load(str(path))
    torch.testing.assert_close(loaded.state_dict(), slow, rtol=0, atol=0)
    with pytest.raises(InputError, match=r"no weights under 'ema'; it holds teacher \(4 tensors\)"):
        checkpoint_files([path], build, key="ema").load(str(path))
    optimizer = torch.optim.Adam(network(3).parameters()).state_dict()
    torch.save({"model": slow, "ema": fast, "optimizer": optimizer}, path)
    torch.testing.assert_close(checkpoint_files([path], build).load(str(path)).state_dict(), slow, rtol=0, atol=0)


def test_one_finished_model_is_step_0_and_a_wrong_probe_is_told_at_the_first_checkpoint(tmp_path):
    torch.save(network(1).state_dict(), tmp_path / "final.pt")
    assert measure(checkpoint_files([tmp_path], build), PROBE, out=tmp_path / "run").steps == (0,)
    for step in range(5):
        torch.save(network(step).state_dict(), tmp_path / f"step_{step}.pt")
    loads = []
    source = checkpoint_files([tmp_path], build)
    counted = Source(source.keys, lambda key, into=None: loads.append(key) or source.load(key, into), {})
    with pytest.raises(InputError, match="cannot read a probe"):
        measure(counted, [PROBE, torch.zeros(30)], out=tmp_path / "other")
    assert len(loads) == 1


@pytest.mark.parametrize("kind", ["GPTNeoX", "Llama", "GPT2"])
def test_folders_that_transformers_wrote_are_read_into_a_network_of_its_class(tmp_path, kind):
    """Whatever a release calls tensors on disk, and whether a tied one is there."""
    transformers = pytest.importorskip("transformers", reason="needs the hf extra")
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{kind}Config")(**sizes, **({} if kind == "GPT2" else {"intermediate_size": 32}))
    network = getattr(transformers, "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM")
    made = {}
    for step in (1, 20):
        torch.manual_seed(step)
        made[step] = network(config).eval()
        made[step].save_pretrained(tmp_path / "ck" / f"checkpoint-{step}")
    source = checkpoint_files([tmp_path / "ck"], lambda: network(config))
    for step, key in source.keys:
        there = source.load(key).state_dict()
        assert all(torch.equal(tensor, made[step].state_dict()[name]) for name, tensor in there.items())
    other = network(getattr(transformers, f"{kind}Config")(**{**sizes, "vocab_size": 41}))
    with pytest.raises(StoreError, match="does not fit the model"):
        checkpoint_files([tmp_path / "ck"], lambda: other).load(source.keys[0][1])
