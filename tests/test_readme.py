"""The README's commands: each runs, or is named here with where it does (its blocks: docs/blocks.py)."""

import re
import shlex
from pathlib import Path

import pytest

from geophone.cli import VERBS, app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci" / "run").read_text()
# Commands that train for minutes: `.ci/run` does them, the demo with fewer steps.
ELSEWHERE = {"make demo": "demo --steps", "make test": "make test"}
INSTALLS = "make package"  # in an empty environment
# One that takes a quarter of an hour: its file is read and its options are parsed, but it is not run.
PARSED_ONLY = {"geophone run studies/catalogue.toml"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands():
    """Every line of the shell blocks, and every command in running text that names a file."""
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line] + re.findall(r"`(geophone run [^`A-Z\[]+)`", README)


@pytest.mark.parametrize("command", commands())
def test_every_command_runs_here_or_in_ci_or_is_known_not_to(command):
    if command.startswith("make "):
        target = command.split()[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), command
        assert ELSEWHERE[command] in CI
    elif command.startswith("pip install "):
        assert INSTALLS in CI
    else:
        assert command in PARSED_ONLY or command.startswith("geophone doctor"), f"{command} is run nowhere"


def test_the_commands_that_are_only_parsed_are_whole():
    from geophone.study import read_study_file

    for command in PARSED_ONLY:
        words = shlex.split(command)
        read_study_file(ROOT / words[2])
        _parse(words[1:])


def test_commands_in_the_table_are_the_command_lines_own():
    """Verb and options of every row exist."""
    rows = re.findall(r"^\| `geophone ([^`]+)` \|", README, re.M)
    assert {row.split()[0] for row in rows} == set(VERBS)
    for row in rows:
        verb, *words = row.replace("[", " ").replace("]", " ").split()
        known = {name for p in _command(verb).params for name in p.opts}
        for option in (word for word in words if word.startswith("--")):
            assert option in known, row


def _command(verb):
    import typer

    return typer.main.get_command(app).commands[verb]


def _parse(words):
    _command(words[0]).make_context(words[0], list(words[1:]))


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", README):
        assert (ROOT / target).exists(), target
