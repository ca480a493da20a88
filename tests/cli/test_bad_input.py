"""What cannot be used is said in one sentence, before anything large is loaded."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from geophone.cli import main
try:
    main()
except SystemExit as end:
    large = {"torch", "scipy", "sklearn", "altair", "duckdb", "captum", "jinja2"} & set(sys.modules)
    print(end.code, *sorted(large))
"""
STUDY = 'name = "x"\nnetworks = ["mlp_1_digits"]\n'
FILES = {
    "not.toml": "name = [", "setting.toml": STUDY + "stepz = 3\n", "range.toml": STUDY + "steps = 0\n",
    "dimension.toml": STUDY + '[detect]\nheadline = ["stable_rnk"]\n', "empty/keep": "", "one/run.json": "{}",
    "network.toml": 'name = "x"\nnetworks = ["mlp_1_digit"]\n', "glob.toml": 'name = "x"\nnetworks = ["rnn*"]\n',
    "schedule.toml": STUDY + "[schedule]\nevery = 0\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        *((f"{verb} nowhere", "nowhere is not a folder.")
          for verb in ("detect", "targets", "dig", "evidence", "report", "paper", "sql", "netron")),
        ("detect empty", "neither a run (run.json) nor a study (runs/)"),
        ("evidence one", "one holds one run, not a study"),
        ("import nowhere.csv --out new", "nowhere.csv is not there."),
        ("run nowhere.toml", "nowhere.toml is not there."), ("run not.toml", "is not TOML"),
        ("run setting.toml", "line 3: stepz: there is no such setting; did you mean steps."),
        ("run range.toml", "steps: Input should be greater than or equal to 1; got 0."),
        ("run network.toml", "unknown experiment 'mlp_1_digit'; did you mean mlp_1_digits"),
        ("run glob.toml", "no network of the zoo matches 'rnn*'"),
        ("run schedule.toml", "every=0: give a whole number of steps, 1 or more"),
        ("run dimension.toml", "unknown dimension(s) ['stable_rnk']"),
    ],
)  # fmt: skip
def test_it_is_said_without_what_only_work_needs(folder, arguments, says):
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments.split()], cwd=folder, capture_output=True, text=True
    )
    assert ended.stderr.startswith("geophone: ") and ended.stderr.count("\n") == 1 and says in ended.stderr
    assert ended.stdout.split() == ["2"]
