"""Measurements processed behind the training are those processed beside it, whatever happens on the way."""

import os
import pickle
import signal
import socket
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_loop import files, network, options, train

import geophone as gp
from geophone.errors import StoreError
from geophone.record.behind import Behind, Child, Lost, is_worth_it, serve, size_of
from geophone.record.norms import TensorNorms
from geophone.record.processing import Measurement
from geophone.record.readers import Caught
from geophone.record.rooms import Thread
from geophone.record.scoring import Scored
from geophone.store.writer import RunWriter


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
    monkeypatch.setattr("geophone.record.rooms.size_of", lambda it: 64)
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


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="a process cannot be held still here")
def test_the_checkpoint_that_an_alarm_keeps_is_not_waited_for(tmp_path):
    """The process behind is held still meanwhile: whoever waited for it would wait for ever."""
    model = network()
    with gp.Recorder(model, **options(tmp_path / "run", sync=False, every=1, alarms=False)) as recorder:
        train(model, recorder, 10)
        work, child = recorder._work, recorder._work._room._room._child._process
        work.flush()
        os.kill(child.pid, signal.SIGSTOP)
        try:
            train(model, recorder, 1)  # on its way
            work._keep(10, model.state_dict())
            work._collected()
            assert 10 not in gp.open(tmp_path / "run").manifest.checkpoints
        finally:
            os.kill(child.pid, signal.SIGCONT)
        work._collected(wait=True)
        assert 10 in gp.open(tmp_path / "run").manifest.checkpoints
        work._keep(11, model.state_dict())
        work._collected()  # nothing is on its way
        assert 11 in gp.open(tmp_path / "run").manifest.checkpoints


@pytest.mark.parametrize("lost", [False, True])
def test_a_kept_checkpoint_is_registered_by_whoever_is_there_and_may_be_taken_away_before(tmp_path, lost):
    model = network()
    with gp.Recorder(model, **options(tmp_path / "run", sync=False, every=1, alarms=False)) as recorder:
        train(model, recorder, 10)
        work, child = recorder._work, recorder._work._room._room._child._process
        work._keep(8, model.state_dict())
        work._keep(9, model.state_dict())
        work._forget(8)
        if lost:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            with pytest.warns(UserWarning, match="what it had not written is lost"):
                train(model, recorder, 5)
    run = gp.open(tmp_path / "run")
    assert set(run.manifest.checkpoints) == {9} and run.manifest.status == "finished"
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000009.safetensors"]


@pytest.mark.parametrize("sync", [True, False])
def test_a_checkpoint_that_cannot_be_registered_is_told_and_tried_again(tmp_path, sync):
    model, folder = network(), tmp_path / "run"
    with gp.Recorder(model, **options(folder, sync=sync, every=1, alarms=False)) as recorder:
        train(model, recorder, 10)
        work = recorder._work
        work.flush()
        (folder / "run.json").rename(folder / "aside")
        (folder / "run.json").mkdir()  # what the manifest is to be written to
        work._keep(7, model.state_dict())
        with pytest.warns(UserWarning, match="what watches the measurements failed, and the training goes on"):
            work._collected(wait=True)
        (folder / "run.json").rmdir()
        (folder / "aside").rename(folder / "run.json")
        train(model, recorder, 5)
    run = gp.open(folder)
    assert set(run.manifest.checkpoints) == {7} and run.manifest.measurements == 15


def test_what_goes_wrong_behind_with_the_scalars_of_a_step_is_raised(tmp_path, monkeypatch):
    """They are sent with the next message, and nobody waits for them."""
    monkeypatch.setattr("geophone.record.behind._give_way", lambda: None)
    writer = SimpleNamespace(folder=tmp_path, add=raising(StoreError("no room")), flush=lambda: None)
    ours, theirs = (Connection(each.detach()) for each in socket.socketpair())
    begin = SimpleNamespace(writer=writer), 1, torch.get_num_threads(), torch.get_float32_matmul_precision()
    flush = ("writer", ("flush", (), {}))
    sent = iter([("begin", begin), ("scalars", [{"step": 1}]), flush, flush])
    monkeypatch.setattr("geophone.record.behind._received", lambda link: next(sent, None) or raising(EOFError())())
    with tempfile.TemporaryFile() as memory:
        memory.write(bytes(8))
        memory.flush()
        serve(os.dup(theirs.fileno()), memory.fileno())
    answers = [pickle.loads(ours.recv_bytes()) for _ in range(3)]
    assert answers[0] is True and str(answers[1][1]) == "no room" and answers[2] == (-1, None)


def raising(error):
    def instead(*args, **fields):
        raise error

    return instead


def test_a_slot_holds_everything_that_was_caught():
    caught = Caught({"a": torch.ones(5, 3), "b": torch.zeros(2, 2, dtype=torch.bfloat16)}, {"a": torch.ones(5, 3)})
    scored = replace(caught, scored=Scored(torch.ones(5), torch.ones(5, 4)))
    norms = TensorNorms(torch.ones(9, dtype=torch.float64), np.arange(9), np.ones(9), np.zeros(3, dtype=np.intp), 1)
    bare, full = Measurement(0, 0, caught, None, {}), Measurement(0, 0, scored, norms, {})
    assert len(bare.tensors) == 3 and len(full.tensors) == 6
    assert size_of(bare) == 64 + 64 + 64
    assert size_of(full) == size_of(bare) + 64 + 128 + 128
    emptied = full.holding({})
    assert emptied.tensors == {}
    again = emptied.holding(full.tensors)
    assert again.tensors.keys() == full.tensors.keys()
    assert all(again.tensors[key] is tensor for key, tensor in full.tensors.items())


def test_it_is_worth_it_where_a_core_is_free(monkeypatch):
    monkeypatch.setattr("geophone.record.behind._cores", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert is_worth_it(network())
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert not is_worth_it(network())
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert not is_worth_it(network())
    assert is_worth_it(torch.nn.Linear(2, 2, device="meta"))


def test_a_process_that_cannot_start_is_told_and_the_run_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("geophone.record.behind._SERVE", "raise SystemExit(3)")
    model = network()
    given = options(tmp_path / "run", sync=False, every=1)
    with pytest.warns(UserWarning, match="no process could be had"), gp.Recorder(model, **given) as recorder:
        train(model, recorder, 6)
    assert gp.open(tmp_path / "run").table()["step"].nunique() == 6


def test_a_child_that_is_not_ready_yet_is_not_waited_for():
    child = Child(100)
    child.end()
    assert child._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("heard", [False, True])
def test_a_child_whose_training_ended_first_ends_without_a_word(heard, monkeypatch):
    monkeypatch.setattr("geophone.record.behind._give_way", lambda: None)
    ours, theirs = socket.socketpair()
    if heard:  # its first word was taken, and nothing was answered
        ours.shutdown(socket.SHUT_WR)
    else:
        ours.close()
    assert serve(theirs.detach(), 0) is None
    ours.close()


def test_a_child_that_ended_is_lost(monkeypatch):
    monkeypatch.setattr("geophone.record.behind._SERVE", "pass")
    child = Child(100)
    with pytest.raises(Lost):
        child.is_ready(wait=True)
    start = time.monotonic()
    child.end()
    assert time.monotonic() - start < 5
