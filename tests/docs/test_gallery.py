"""The gallery: a page shows each event at its clock first, under its right name, or says that it is missed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
CASES = sorted(path.stem for path in GALLERY.glob("*.json"))


def right(said, event):
    """The listed transitions that lie at the event's clock (five measurements) and are called what it is."""
    if event["clock"] is None:
        return []
    reach = 5 * said["every"]
    at = [t for t in said["transitions"] if t["start"] <= event["clock"] <= t["end"]
          or abs(t["peak"] - event["clock"]) <= reach]  # fmt: skip
    return [t for t in at if t["kind"] in event["kinds"]]


def check(said, page):
    """What the page says before its picture is what its list holds."""
    first = page.partition("![")[0]
    prose = " ".join(first.partition("| event")[0].split())
    found = [event for event in said["events"] if right(said, event)]
    verdict = "Found." if len(found) == len(said["events"]) else "Found in part." if found else "Missed."
    assert f"**{verdict}**" in prose
    assert f"{len(found)} of {len(said['events'])} event" in prose
    for event in said["events"]:
        (row,) = re.findall(rf"^\| {re.escape(event['event'])} \| (.*) \|$", first, re.M)
        clock, rank, kind, *_ = row.split(" | ")
        assert clock == ("never" if event["clock"] is None else str(event["clock"]))
        if event in found:
            assert (rank, kind) in [(str(t["rank"]), t["kind"]) for t in right(said, event)]
        assert (f"Missed: {event['event']} (" in prose) is (event not in found)


def test_there_are_six():
    assert len(CASES) == 6


@pytest.mark.parametrize("name", CASES)
def test_the_page_says_what_its_list_holds(name):
    check(json.loads((GALLERY / f"{name}.json").read_text()), (GALLERY / f"{name}.md").read_text())


@pytest.mark.parametrize("name", CASES)
def test_the_index_has_the_page_s_verdict(name):
    (line,) = re.findall(rf"^\| \[.*\]\({name}\.md\).*\| (.*) \|$", (GALLERY / "index.md").read_text(), re.M)
    verdict = re.search(r"\*\*(Found|Found in part|Missed)\.\*\*", (GALLERY / f"{name}.md").read_text())[1]
    assert (verdict == "Missed") is line.startswith("missed")
    assert (verdict == "Found in part") is (" of " in line.partition(";")[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_its_command_makes_the_page_again(name, tmp_path):
    """In numbers another processor may differ; not in what is found and what is missed."""
    command = [sys.executable, str(GALLERY / f"{name}.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / f"{name}.json").read_text())
    check(said, (tmp_path / f"{name}.md").read_text())
    kept = json.loads((GALLERY / f"{name}.json").read_text())
    assert [bool(right(said, e)) for e in said["events"]] == [bool(right(kept, e)) for e in kept["events"]]
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
