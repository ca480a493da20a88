"""A hub's cache without a network: what is wrong with one revision is said of it, and the others are measured."""

import json
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

import geophone as gp
from geophone.cli import main
from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import revisions

transformers = pytest.importorskip("transformers")

STEPS = (0, 1, 2, 4, 8, 16, 32, 64)
SHAPE = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
MODEL = "someone/tiny"


def network(step, **other):
    torch.manual_seed(step)
    return transformers.GPTNeoXModel(transformers.GPTNeoXConfig(max_position_embeddings=16, **SHAPE | other))


def revision(hub, step, model=None):
    """Write a revision into the cache as a download leaves it, and return its folder."""
    commit = f"{step:040d}"
    refs, folder = hub / "refs", hub / "snapshots" / commit
    refs.mkdir(parents=True, exist_ok=True)
    (refs / f"step{step}").write_text(commit)
    (model or network(step)).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "hub" / "models--someone--tiny"
    for step in STEPS:
        revision(folder, step)
    torch.save(torch.arange(40).reshape(8, 5) % 20, tmp_path / "ids.pt")
    return folder


@pytest.fixture
def geophone(capfd, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["geophone", *map(str, arguments)])
        capfd.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        out, err = capfd.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return call


def spoil(hub):
    """Take one revision away, cut one, and put others in the place of the first and of one in between."""
    for path in (hub / "snapshots" / f"{2:040d}").iterdir():
        path.unlink()
    weights = hub / "snapshots" / f"{8:040d}" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    revision(hub, 0, network(0, hidden_size=16))
    revision(hub, 16, network(16, num_attention_heads=4))
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2, n_positions=16)
    revision(hub, 32, transformers.GPT2Model(config))
    return {
        "step0": "hidden_size is 16, not 8",
        "step2": "cannot be read",
        "step8": "incomplete",
        "step16": "num_attention_heads is 4, not 2",
        "step32": "model_type is gpt2, not gpt_neox",
    }


def test_what_is_wrong_with_a_revision_is_said_of_it_and_the_rest_is_measured(hub, tmp_path, geophone):
    wrong = spoil(hub)
    command = ("measure", MODEL, "--revisions", "all", "--probe", tmp_path / "ids.pt", "--out", tmp_path / "run")
    said = geophone(*command)
    assert said.status == 1 and "Traceback" not in said.err
    assert "3 checkpoints measured" in said.out
    about = gp.open(tmp_path / "run").manifest
    assert about.status == "incomplete" and set(about.about["failed"]) == set(wrong)
    doctor = geophone("doctor", tmp_path / "run").out
    document = json.loads(geophone("doctor", tmp_path / "run", "--json").out)["runs"][0]["failed"]
    for key, why in wrong.items():
        line = next(line for line in said.err.splitlines() if line.startswith(f"left out {key}:"))
        assert why in line and why in document[key], (line, why)
        assert why in about.about["failed"][key] and f"{key}: " in about.note
        assert any(f"not measured: {key}," in line and why in line for line in doctor.splitlines())
    assert sum("left out" in line for line in said.err.splitlines()) == len(wrong)
    assert list(gp.open(tmp_path / "run").series("stable_rank").index) == [1, 4, 64]
    clean = measure(revisions(MODEL, ["step1", "step4", "step64"]), torch.load(tmp_path / "ids.pt"), out=tmp_path / "c")
    assert clean.failures == ()
    pd.testing.assert_frame_equal(gp.open(tmp_path / "run").table(), gp.open(tmp_path / "c").table())


def test_once_more_nothing_is_measured_again_until_what_was_wrong_is_mended(hub, tmp_path):
    ids, what = torch.load(tmp_path / "ids.pt"), gp.What(layers="layers.0", dimensions=["stable_rank"], signals=False)
    go = lambda out="run": measure(revisions(MODEL, "all"), ids, out=tmp_path / out, what=what)  # noqa: E731
    assert go("whole").steps == STEPS
    wrong = spoil(hub)
    first, again = go(), go()
    assert (again.steps, again.skipped) == ((), first.steps)
    assert dict(again.failures).keys() == dict(first.failures).keys() == wrong.keys()
    for step in (0, 2, 8, 16, 32):
        revision(hub, step)
    mended = go()
    assert (mended.steps, mended.failures) == (STEPS, ()) and gp.open(tmp_path / "run").status == "finished"
    assert "failed" not in gp.open(tmp_path / "run").manifest.about and not gp.open(tmp_path / "run").manifest.note
    pd.testing.assert_frame_equal(gp.open(tmp_path / "run").table(), gp.open(tmp_path / "whole").table())
