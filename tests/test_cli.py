"""The command line as a stranger meets it."""

import subprocess
import sys

import pytest

import geophone as gp

GEOPHONE = [sys.executable, "-c", "from geophone.cli import main; main()"]


def geophone(*arguments, cwd):
    return subprocess.run([*GEOPHONE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, geophone("demo", "--steps", "60", "--out", "try", cwd=folder)


def test_the_demo_goes_the_whole_way_and_says_where_the_page_is(demo):
    folder, done = demo
    assert done.returncode == 0, done.stderr
    assert "The page: try/report/index.html" in done.stdout
    assert "The first 3 of" in done.stdout
    assert (folder / "try/report/index.html").stat().st_size > 1e6
    digs = {p.parent.name for p in (folder / "try/digs").glob("*/notes.md")}
    assert {name.partition(".")[0] for name in digs} == set(gp.open(folder / "try").targets()["run"])
    page = (folder / "try/report/index.html").read_text()
    assert "What all digs say together" in page and "data:image/png;base64," in page
    study = gp.open(folder / "try")
    assert len(study) == 3
    for run in study:
        for dimension in run.dimensions:
            series = run.series(dimension)
            assert list(series.index) == list(range(5, 61, 5))
            assert series.notna().all().all(), (run.name, dimension)


def test_a_stage_can_be_run_again_by_itself(demo):
    folder, _ = demo
    stages = (
        ("detect", "order"), ("targets", "targets:"), ("evidence", "targets dug"), ("report", "index.html"),
    )  # fmt: skip
    for verb, says in stages:
        done = geophone(verb, "try", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert says in done.stdout


def test_a_second_demo_never_touches_the_first(demo):
    folder, _ = demo
    before = sorted((p, p.stat().st_mtime_ns) for p in (folder / "try").rglob("*"))
    done = geophone("demo", "--steps", "5", "--out", "try", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "new or empty" in done.stderr and "Traceback" not in done.stderr
    assert sorted((p, p.stat().st_mtime_ns) for p in (folder / "try").rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["detect", "nowhere"], "not a folder"),
        (["report", "."], "neither a run"),
        (["demo", "--steps", "0"], "steps"),
        (["demo", "--out", "file.txt"], "is a file"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(tmp_path, arguments, says):
    (tmp_path / "file.txt").write_text("mine")
    done = geophone(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "file.txt").read_text() == "mine"


def test_help_imports_nothing_heavy():
    probe = (
        "import sys; sys.argv = ['geophone', '--help']\n"
        "from geophone.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'scipy', 'pandas', 'numpy', 'altair', 'duckdb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().endswith("[]")


def test_every_verb_has_help_with_an_example():
    listed = subprocess.run([*GEOPHONE, "--help"], capture_output=True, text=True, timeout=60).stdout
    verbs = [line.split()[0] for line in listed.partition("Commands:")[2].splitlines() if line.strip()]
    assert verbs
    for verb in verbs:
        text = subprocess.run([*GEOPHONE, verb, "--help"], capture_output=True, text=True, timeout=60).stdout
        assert "Example: geophone" in text, verb
