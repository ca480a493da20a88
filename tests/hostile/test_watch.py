"""The watch itself: what hangs, dies, raises or eats memory is seen, and the mutants after it are still read."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz as watch

CHILD = """
import json, os, sys, time
folder, seed, first, last = sys.argv[1], *map(int, sys.argv[2:5])
def say(**what):
    os.write(1, json.dumps(what).encode() + b"\\n")
say(ready=1)
for number in range(first, last):
    say(number=number, reader="r")
    if number == 1:
        time.sleep(60)
    if number == 2:
        os.kill(os.getpid(), 9)
    error = "a trace" if number == 3 else None
    say(number=number, how="flip", error=error, seconds=0.1, peak=5000 if number == 4 else 10)
"""


def test_every_way_to_fail_is_counted_once_and_the_others_are_read(tmp_path, monkeypatch):
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setattr(watch, "HERE", tmp_path)
    found = watch.fuzz(6, seed=0, seconds=1.0)
    assert found.read == {"r": 6}
    assert [(f.number, f.what.split(":")[0]) for f in found.failures] == [
        (1, "no end after 1 s"), (2, "exit status -9"), (3, "a trace"), (4, "5000 MiB"),
    ]  # fmt: skip


def test_a_child_that_does_not_start_is_not_taken_for_a_mutant(tmp_path, monkeypatch):
    (tmp_path / "child.py").write_text("raise SystemExit('no corpus')")
    monkeypatch.setattr(watch, "HERE", tmp_path)
    with pytest.raises(RuntimeError, match="did not start: exit status 1: no corpus"):
        watch.fuzz(1, seed=0)
