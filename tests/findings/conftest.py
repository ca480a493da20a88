"""Every finding that the tests of this room make is held against `said.txt`: id, verdict, numbers with their sources,
and the sentence, word for word. Where a sentence is meant to change, write the file anew and read what changed in it:

    SAID=write python -m pytest tests/findings -q; git diff tests/findings/said.txt
"""

import math
import shutil
from pathlib import Path

import pytest
from golden import WRITE
from small_study import make_study

from geophone.findings import Finding
from geophone.store.study import Study

FILE = Path(__file__).parent / "said.txt"


def line(found: Finding) -> str:
    """A finding in one line; numbers to four digits, so that rounding in other libraries changes none."""
    numbers = {name: getattr(found, name) for name in ("value", "low", "high", "null", "p")}
    there = " ".join(f"{name}={number:.4g}" for name, number in numbers.items() if not math.isnan(number))
    traced = "; ".join(f"{q}: {q.source}" for q in found.quantities)
    about = " ".join(part for part in (f"n={found.n}", there, "part" * found.part) if part)
    return " | ".join((found.id, found.verdict, found.claim, about, found.source, found.sentence, traced))


@pytest.fixture(scope="session")
def known():
    there = set(FILE.read_text(encoding="utf-8").splitlines())
    if not WRITE:
        yield frozenset(there)
        return
    made: set[str] = set()
    yield made
    FILE.write_text("\n".join(sorted(made)) + "\n", encoding="utf-8")


@pytest.fixture(autouse=True)
def said(known, monkeypatch):
    """What the test makes is collected while it runs."""
    made, begin = [], Finding.__init__

    def collected(self, *values, **named):
        begin(self, *values, **named)
        made.append(self)

    monkeypatch.setattr(Finding, "__init__", collected)
    yield
    lines = {line(found) for found in made}
    if isinstance(known, set):
        known |= lines
    assert sorted(lines - known) == []


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A study in which there is nothing to be found."""
    return make_study(tmp_path_factory.mktemp("findings") / "study").folder


@pytest.fixture
def study(whole, tmp_path):
    return Study(shutil.copytree(whole, tmp_path / "study"))
