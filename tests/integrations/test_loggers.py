"""The loggers write what was measured at the training's own steps, and leave the trainer's steps where they were."""

import json
import struct
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import geophone as gp
from geophone.integrations.loggers import MLflowLogger, TensorBoardLogger, TrackioLogger, WandbLogger

PROBE = torch.randn(20, 6, generator=torch.Generator().manual_seed(9))
STEPS, EVERY = 20, 5
NAME = "geophone/stable_rank/0"


def train(folder, logger, log, *, start=0):
    """Twenty updates after `start`, the loss logged after each; the measured series of the first layer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    options = {"signals": False, "alarms": False, "on_error": "raise"}
    with gp.Recorder(model, PROBE, out=folder, every=EVERY, on_record=logger, start=start, **options) as recorder:
        for step in range(start + 1, start + STEPS + 1):
            loss = model(PROBE).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss)
            log(step, loss.item())
    series = gp.open(folder).series("stable_rank")["0"]
    return dict(zip(series.index.tolist(), series.tolist(), strict=True))


def test_tensorboard_has_every_value_at_its_step(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path / "board") as writer:
        log = lambda step, loss: writer.add_scalar("loss", loss, step)  # noqa: E731
        series = train(tmp_path / "run", TensorBoardLogger(writer), log)
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert {e.step: e.value for e in events.Scalars(NAME)} == pytest.approx(series)
    assert [e.step for e in events.Scalars("loss")] == list(range(1, STEPS + 1))


def test_wandb_ends_at_the_trainers_step(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=str(tmp_path), project="p") as run:
        series = train(tmp_path / "run", WandbLogger(run), lambda step, loss: run.log({"loss": loss}))
        assert run.step == STEPS
    rows = wandb_rows(next(tmp_path.rglob("*.wandb")))
    assert {r["geophone/step"]: r[NAME] for r in rows if NAME in r} == pytest.approx(series)
    assert [r["_step"] for r in rows if "loss" in r] == list(range(STEPS))


def in_one_call(run, step, loss):
    run.log({"loss": loss}, step=step)


def in_two_calls(run, step, loss):
    run.log({"loss": loss}, step=step)
    run.log({"rate": 0.1}, step=step)


def now_and_then(run, step, loss):
    if step % 7 == 0:
        run.log({"loss": loss}, step=step)


@pytest.mark.parametrize("manner", [in_one_call, in_two_calls, now_and_then])
def test_wandb_leaves_the_steps_that_the_trainer_names(tmp_path, monkeypatch, manner):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="offline", dir=str(tmp_path), project="p") as run:
        series = train(tmp_path / "run", WandbLogger(run), partial(manner, run))
    logged = [7, 14] if manner is now_and_then else list(range(1, STEPS + 1))
    rows = wandb_rows(next(tmp_path.rglob("*.wandb")))
    assert {r["geophone/step"]: r[NAME] for r in rows if NAME in r} == pytest.approx(series)
    assert [r["_step"] for r in rows if "loss" in r] == logged
    if manner is in_two_calls:
        assert [r["_step"] for r in rows if "rate" in r] == logged


def test_wandb_goes_on_at_the_training_steps_of_a_resumed_run(tmp_path, monkeypatch):
    """Offline W&B counts from 0 again and joins the parts when they are uploaded: charts stand over geophone/step."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    series, rows = {}, []
    for part in (0, 1):
        folder = tmp_path / str(part)
        folder.mkdir()
        with wandb.init(mode="offline", dir=str(folder), project="p", id="same", resume="allow") as run:
            series |= train(folder / "run", WandbLogger(run), partial(in_one_call, run), start=part * STEPS)
        rows += wandb_rows(next(folder.rglob("*.wandb")))
    measured = [(r["geophone/step"], r[NAME]) for r in rows if NAME in r]
    assert [step for step, _ in measured] == [5, 10, 15, 20, 20, 25, 30, 35, 40]
    assert dict(measured) == pytest.approx(series)
    assert [r["_step"] for r in rows if "loss" in r] == list(range(1, 2 * STEPS + 1))


def wandb_rows(path):
    """The history that an offline run wrote: LevelDB's log format, blocks of 32 kB, after 7 bytes of W&B's own."""
    from wandb.proto import wandb_internal_pb2

    data, place, whole, rows = Path(path).read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            record, whole = wandb_internal_pb2.Record.FromString(whole), b""
            if record.WhichOneof("record_type") == "history":
                rows.append({i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in record.history.item})
    return rows


def test_mlflow_has_every_value_at_its_step(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "ml").as_uri())
    with mlflow.start_run() as run:
        log = lambda step, loss: mlflow.log_metric("loss", loss, step=step)  # noqa: E731
        series = train(tmp_path / "run", MLflowLogger(mlflow), log)
    history = mlflow.MlflowClient().get_metric_history
    assert {m.step: m.value for m in history(run.info.run_id, NAME)} == pytest.approx(series)
    assert [m.step for m in history(run.info.run_id, "loss")] == list(range(1, STEPS + 1))


def test_trackio_has_every_value_at_its_step_in_a_run_that_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "track"))
    trackio = pytest.importorskip("trackio")
    log = lambda step, loss: trackio.log({"loss": loss}, step=step)  # noqa: E731
    series = {}
    for part in (0, 1):
        run = trackio.init(project="p", name="r", embed=False, resume="allow")
        series |= train(tmp_path / f"run{part}", TrackioLogger(run), log, start=part * STEPS)
        trackio.finish()
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("p", "r")
    assert {r["step"]: r[NAME] for r in rows if NAME in r} == pytest.approx(series)
    assert sorted(r["step"] for r in rows if "loss" in r) == list(range(1, 2 * STEPS + 1))


def test_what_is_not_finite_is_left_out_and_names_suit_mlflow():
    """Law: a dead layer is a gap; no tracker is imported by the loggers themselves."""
    told = []

    class Client:
        def log_metrics(self, values, step):
            told.append((step, values))

    before = set(sys.modules)
    MLflowLogger(Client())({"step": 3, "rankme/blocks.3+": 2.0, "rankme/cell@2": 1.0, "rankme/a": float("nan")})
    assert told == [(3, {"geophone/rankme/blocks.3 update": 2.0, "geophone/rankme/cell:2": 1.0})]
    assert not {"wandb", "mlflow", "trackio"} & (set(sys.modules) - before)
