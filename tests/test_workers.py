"""A task's end is its own: what dies, what fails and what is left."""

import os
import signal
import time
from pathlib import Path

import pytest

from geophone.errors import InputError
from geophone.workers import Job, Workers


def write(*, path, text, tell):
    tell(1, 2)
    Path(path).write_text(f"{text} {os.environ['OMP_NUM_THREADS']}")
    tell(2, 2)


def die_until(*, path, deaths, tell):
    with open(path, "a") as handle:
        handle.write("x")
    if len(Path(path).read_text()) <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)


def refuse(*, tell):
    raise InputError("this will not do.")


def break_down(*, tell):
    raise ZeroDivisionError("a defect")


def sleep_long(*, path, tell):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def run(*tasks, workers=2):
    heard, ended = [], []
    outcomes = Workers(workers).map(
        tasks, on_progress=lambda *news: heard.append(news), on_end=lambda o: ended.append(o.name)
    )
    return outcomes, heard, ended


def test_every_task_ends_for_itself(tmp_path):
    tasks = [
        Job("good", write, {"path": tmp_path / "good", "text": "done"}),
        Job("twice", die_until, {"path": tmp_path / "twice", "deaths": 2}),
        Job("ever", die_until, {"path": tmp_path / "ever", "deaths": 99}),
        Job("refused", refuse, {}),
        Job("broken", break_down, {}),
    ]
    outcomes, heard, ended = run(*tasks)
    assert [o.name for o in outcomes] == [t.name for t in tasks] and sorted(ended) == sorted(t.name for t in tasks)
    errors = {o.name: o.error for o in outcomes}
    assert errors["good"] is None and (tmp_path / "good").read_text() == "done 1"
    assert ("good", 2, 2) in heard
    assert errors["twice"] is None and (tmp_path / "twice").read_text() == "xxx"
    assert "died 3 times" in errors["ever"] and "signal 9" in errors["ever"]
    assert errors["refused"] == "this will not do." and outcomes[3].trace == ""
    assert errors["broken"] == "ZeroDivisionError: a defect" and "break_down" in outcomes[4].trace


def test_workers_end_with_the_one_who_started_them(tmp_path):
    import multiprocessing

    process = multiprocessing.get_context("spawn").Process(
        target=run, args=(Job("long", sleep_long, {"path": tmp_path / "pid"}),)
    )
    process.start()
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    worker = int((tmp_path / "pid").read_text())
    process.kill()
    process.join()
    until = time.monotonic() + 20
    while time.monotonic() < until and _alive(worker):
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def test_fewer_than_one_worker_is_refused():
    with pytest.raises(InputError, match="workers=0"):
        run(workers=0)
