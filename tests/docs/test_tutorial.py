"""The tutorial runs as it is written, and prints what it shows."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


def outputs(text):
    """Run every block of `text` in the current folder; (what it printed, what is shown under it) for each."""
    from geophone.cli import main

    names, found = {}, []
    for language, code, shown in re.findall(r"```(python|sh)\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.S):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if language == "python":
                exec(compile(code, "tutorial.md", "exec"), names)
            else:
                for line in code.splitlines():
                    sys.argv = shlex.split(line)
                    try:
                        main()
                    except SystemExit as end:
                        assert not end.code, line
        found.append((printed.getvalue(), shown))
    return found


def test_every_block_runs_and_prints_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    found = outputs(TUTORIAL.read_text())
    assert len(found) >= 6
    for printed, shown in found:
        words = [" ".join(NUMBER.sub("#", text).split()) for text in (printed, shown)]
        assert words[0] == words[1]
        numbers = [[float(n) for n in NUMBER.findall(text)] for text in (printed, shown)]
        assert numbers[0] == pytest.approx(numbers[1], rel=0.05, abs=0.06)
