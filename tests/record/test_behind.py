"""Measurements processed behind the training are those processed beside it, whatever happens on the way."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import StoreError
from geophone.record.behind import Behind, Child, Lost, is_worth_it, size_of, tensors_of
from geophone.record.readers import Caught
from geophone.record.rooms import Thread
from geophone.record.scoring import Scored
from geophone.store.writer import RunWriter


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))


def train(model, recorder, steps, *, until=None):
    """The alarms, step by step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    alarms = []
    for step in range(1, steps + 1):
        x = torch.randn(32, 6, generator=torch.Generator().manual_seed(step))
        loss = nn.functional.cross_entropy(model(x), (x[:, :3]).argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        alarms += recorder.step(loss=loss.item())
        if until is not None:
            until(step)
    return alarms


def options(folder, *, sync, **more):
    generator = torch.Generator().manual_seed(7)
    probe = torch.randn(40, 6, generator=generator)
    given = {
        "every": 3,
        "labels": probe[:, :3].argmax(1),
        "concepts": {"sign": (probe[:, 0] > 0).long()},
        "noise_probe": torch.randn(40, 6, generator=generator),
        "noise_every": 2,
        "name": "run",
    }
    return {"probe": probe, "out": folder, "sync": sync, **given, **more}


def files(folder):
    """Every file but the manifest, which names times."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*") if p.name != "run.json"}


@pytest.mark.parametrize("room", [Behind, Thread])
def test_everything_is_byte_for_byte_what_it_is_beside_the_training(tmp_path, monkeypatch, room):
    monkeypatch.setattr("geophone.record.rooms._LARGE", 0 if room is Thread else 10**9)
    weights, told, heard = [], [], []
    for sync in (True, False):
        model, record = network(), []
        with gp.Recorder(model, **options(tmp_path / str(sync), sync=sync, on_record=record.append)) as recorder:
            heard.append(train(model, recorder, 150))
            recorder.checkpoint()
            assert sync or type(recorder._work._room._room) is room
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        told.append(record)
    beside, behind = files(tmp_path / "True"), files(tmp_path / "False")
    assert len(beside) >= 6 and {name.split("/")[0] for name in beside} >= {
        "series",
        "behaviour",
        "concepts",
        "outputs",
    }
    assert beside == behind
    assert torch.equal(*weights)
    np.testing.assert_equal(told[0], told[1])
    assert len(told[0]) == 50
    assert [alarm.step for alarm in heard[1]] == [alarm.step for alarm in heard[0]][: len(heard[1])]
    runs = [gp.open(tmp_path / str(sync)).manifest.model_dump() for sync in (True, False)]
    assert {k: v for k, v in runs[0].items() if k not in ("created", "ended")} == {
        k: v for k, v in runs[1].items() if k not in ("created", "ended")
    }


def test_a_training_that_raises_and_a_process_that_is_killed_lose_nothing_that_was_written(tmp_path, monkeypatch):
    """And what is larger than its slot finds another way."""
    monkeypatch.setattr("geophone.record.rooms.size_of", lambda caught: 64)
    model = network()
    with gp.Recorder(model, **options(tmp_path / "beside", sync=True, every=1)) as recorder:
        train(model, recorder, 40)
    model, folder = network(), tmp_path / "run"
    with pytest.raises(ZeroDivisionError), gp.Recorder(model, **options(folder, sync=False, every=1)) as recorder:
        train(model, recorder, 40)
        recorder.checkpoint()
        child = recorder._work._room._room._child._process
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with pytest.warns(UserWarning, match="has ended; what it had not written is lost"):
            train(model, recorder, 10)
        raise ZeroDivisionError
    run = gp.open(folder)
    assert (run.manifest.status, run.manifest.measurements) == ("failed", 50)
    steps = run.table(columns=["step"])["step"].unique().tolist()
    # Everything up to the checkpoint and from the next measurement on; only what was under way at the kill may be gone.
    beside = gp.open(tmp_path / "beside").table()
    assert run.table().query("step <= 40").reset_index(drop=True).equals(beside)
    assert steps[:40] == list(range(1, 41)) and steps[-1] == 50 and len(steps) >= 49


def test_what_a_thread_cannot_write_is_raised_in_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr("geophone.record.rooms._LARGE", 0)
    model = network()
    with (
        pytest.raises(StoreError, match="no room"),
        gp.Recorder(model, **options(tmp_path / "run", sync=False, every=1)) as recorder,
    ):
        train(model, recorder, 10)
        recorder._work._room.writer("flush")
        with monkeypatch.context() as full:
            full.setattr(RunWriter, "add", raising(StoreError("no room")))
            train(model, recorder, 3)
            recorder.checkpoint()
    run = gp.open(tmp_path / "run")
    assert run.manifest.status == "failed" and run.table()["step"].nunique() == 10


def raising(error):
    def instead(*args, **fields):
        raise error

    return instead


def test_a_slot_holds_everything_that_was_caught():
    caught = Caught({"a": torch.ones(5, 3), "b": torch.zeros(2, 2, dtype=torch.bfloat16)}, {"a": torch.ones(5, 3)})
    scored = replace(caught, scored=Scored(np.ones(5, np.float32), torch.ones(5, 4)))
    assert len(tensors_of(caught)) == 3 and len(tensors_of(scored)) == 5
    assert size_of(caught) == 64 + 64 + 64
    assert size_of(scored) == size_of(caught) + 64 + 128


def test_it_is_worth_it_where_a_core_is_free(monkeypatch):
    monkeypatch.setattr("geophone.record.behind._cores", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert is_worth_it(network())
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert not is_worth_it(network())
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert not is_worth_it(network())
    assert is_worth_it(nn.Linear(2, 2, device="meta"))


def test_a_process_that_cannot_start_is_told_and_the_run_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("geophone.record.behind._SERVE", "raise SystemExit(3)")
    model = network()
    given = options(tmp_path / "run", sync=False, every=1)
    with pytest.warns(UserWarning, match="no process could be had"), gp.Recorder(model, **given) as recorder:
        train(model, recorder, 6)
    assert gp.open(tmp_path / "run").table()["step"].nunique() == 6


def test_a_child_that_ended_is_lost(monkeypatch):
    monkeypatch.setattr("geophone.record.behind._SERVE", "pass")
    child = Child(100)
    with pytest.raises(Lost):
        child.is_ready(wait=True)
    start = time.monotonic()
    child.end()
    assert time.monotonic() - start < 5
