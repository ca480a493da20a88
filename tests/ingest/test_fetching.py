"""Revisions are fetched while others are measured, and leave the cache again where it is to stay small."""

import shutil
import threading

import pytest
import torch

from geophone.cli.series import _bytes
from geophone.errors import InputError
from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import revisions
from geophone.record.probe import Probe

transformers = pytest.importorskip("transformers")

STEPS = (0, 1, 2, 4, 8, 16, 32)
MODEL = "someone/tiny"


def write(hub, step):
    torch.manual_seed(step)
    config = transformers.GPTNeoXConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    commit = f"{step:040d}"
    (hub / "refs").mkdir(parents=True, exist_ok=True)
    (hub / "refs" / f"step{step}").write_text(commit)
    transformers.GPTNeoXModel(config).save_pretrained(hub / "snapshots" / commit)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that answers by copying into the cache what is asked of it; the cache has the first revision. What has been
    fetched, and the size of the cache after each."""
    import huggingface_hub
    from huggingface_hub import constants

    far, near = tmp_path / "far", tmp_path / "hub" / "models--someone--tiny"
    for step in STEPS:
        write(far, step)
    fetched, sizes = [], []

    def copied(step):
        shutil.copytree(far / "snapshots" / f"{step:040d}", near / "snapshots" / f"{step:040d}")
        (near / "refs").mkdir(exist_ok=True)
        shutil.copy(far / "refs" / f"step{step}", near / "refs")

    def download(model, *, revision, allow_patterns):
        assert model == MODEL and "model.safetensors" in allow_patterns and "*.json" in allow_patterns
        copied(int(revision.removeprefix("step")))
        fetched.append((revision, threading.current_thread() is not threading.main_thread()))
        sizes.append(size())

    def size():
        return sum(path.stat().st_size for path in near.rglob("*") if path.is_file())

    (near / "snapshots").mkdir(parents=True)
    copied(0)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    files = lambda self, model, revision: ["config.json", "model.safetensors"]  # noqa: E731
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", files)
    return near, fetched, sizes


def measured(tmp_path, cache):
    source = revisions(MODEL, ",".join(f"step{step}" for step in STEPS), cache=cache)
    ids = torch.arange(40).reshape(8, 5) % 20
    return measure(source, Probe(kwargs={"input_ids": ids}), out=tmp_path / "run")


def test_the_next_one_is_fetched_beside_the_work(hub, tmp_path):
    near, fetched, _ = hub
    made = measured(tmp_path, None)
    assert made.steps == STEPS and not made.failures
    assert fetched == [(f"step{step}", True) for step in STEPS[1:]]
    assert len(list((near / "snapshots").iterdir())) == len(STEPS)


def test_the_cache_stays_under_its_bound_and_keeps_what_was_there(hub, tmp_path):
    near, fetched, sizes = hub
    one = sum(path.stat().st_size for path in near.rglob("*") if path.is_file())
    made = measured(tmp_path, int(3.5 * one))
    assert made.steps == STEPS and not made.failures and len(fetched) == len(STEPS) - 1
    assert max(sizes) < 4.6 * one  # the bound, and the one on its way
    left = {path.name for path in (near / "refs").iterdir()}
    assert "step0" in left and "step32" in left and len(left) <= 3
    assert len(list((near / "snapshots").iterdir())) == len(left)


def test_what_cannot_be_fetched_is_said_by_its_reading(hub, tmp_path, monkeypatch):
    import huggingface_hub

    def refuse(model, *, revision, allow_patterns):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    made = measured(tmp_path, 10)
    assert made.steps == (0,) and len(made.failures) == len(STEPS) - 1
    assert all("cannot be read" in why for _, why in made.failures)
    assert [path.name for path in (hub[0] / "refs").iterdir()] == ["step0"]


@pytest.mark.parametrize(
    ("said", "bytes_"),
    [("20GB", 20 * 10**9), ("500 MiB", 500 * 2**20), ("1.5 tb", 15 * 10**11), ("7", 7), ("3k", 3000), (None, None)],
)
def test_amounts_of_memory_as_they_are_written(said, bytes_):
    assert _bytes(said) == bytes_


@pytest.mark.parametrize("said", ["", "much", "-1GB", "3 PB", "1e9"])
def test_what_is_no_amount_is_refused(said):
    with pytest.raises(InputError, match="no amount of memory"):
        _bytes(said)
