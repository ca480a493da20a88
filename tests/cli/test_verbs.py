"""Each verb: what it says in words, as JSON, and quietly; and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import geophone as gp
from geophone.errors import first_line
from geophone.terminal.progress import StudyProgress
from geophone.workers import Outcome

COMMAND = [sys.executable, "-c", "from geophone.cli import main; main()"]
ON_A_STUDY = {
    "detect": "one run per line", "targets": "targets:", "dig": "digs/", "evidence": "target dug",
    "report": "index.html",
}  # fmt: skip


def arguments(verb):
    return [verb, "study", *(["--target", "1", "--naive"] if verb == "dig" else [])]


@pytest.mark.parametrize(("verb", "says"), ON_A_STUDY.items())
def test_a_stage_in_words_as_json_and_quietly(study, geophone, verb, says, monkeypatch):
    # Writing the page is tests/report's.
    monkeypatch.setattr("geophone.study.report_stage", lambda study: study.folder / "report" / "index.html")
    words = geophone(*arguments(verb))
    assert words.status == 0 and says in words.out
    assert max(map(len, words.out.splitlines())) <= 80, words.out
    quiet = geophone(*arguments(verb), "--quiet")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    both = geophone(*arguments(verb), "--quiet", "--json")
    assert both.status == 0 and isinstance(json.loads(both.out), dict) and both.err == ""


def test_json_holds_what_the_tables_hold(study, geophone):
    ranked = json.loads(geophone("targets", "study", "--json").out)["targets"]
    table = gp.open(study).targets()
    assert [(t["run"], t["step"]) for t in ranked] == list(zip(table["run"], table["step"], strict=True))
    found = json.loads(geophone("detect", "study", "--json").out)
    assert found["tables"]["jumps"]["rows"] == len(gp.open(study).phenomena("jumps"))
    assert json.loads(geophone("evidence", "study", "--json").out) == json.loads(
        (study / "statistics.json").read_text()
    )
    (dug,) = json.loads(geophone(*arguments("dig"), "--json").out)["digs"]
    assert dug["observation"] in (Path(dug["folder"]) / "notes.md").read_text()


def test_the_first_few_targets_are_counted_among_all(study, geophone):
    there = len(gp.open(study).targets())
    assert there > 1
    assert geophone("targets", "study", "--top", "1").out.startswith(f"The first 1 of {there} targets:")
    assert len(json.loads(geophone("targets", "study", "--top", "1", "--json").out)["targets"]) == 1
    assert len(json.loads(geophone("targets", "study", "--json").out)["targets"]) == there


def test_sql_in_its_three_forms(study, geophone):
    ask = "SELECT layer, count(*) AS n, max(stable_rank) AS top FROM series GROUP BY 1 ORDER BY 1"
    series = gp.open(study).runs[0].series("stable_rank")
    want = [(layer, len(series), pytest.approx(series[layer].max())) for layer in sorted(series)]
    rows = json.loads(geophone("sql", "study", ask, "--json").out)["rows"]
    assert [tuple(row.values()) for row in rows] == want
    as_csv = geophone("sql", "study", ask, "--csv").out.splitlines()
    assert as_csv[0] == "layer,n,top" and len(as_csv) == 1 + len(want)
    lines = geophone("sql", "study", ask).out.splitlines()
    assert lines[0].split() == ["layer", "n", "top"] and len({len(line) for line in lines}) == 1
    assert "series, " in geophone("sql", "study").out
    cut = geophone("sql", "study", "FROM series", "--rows", "2").out.splitlines()
    assert len(cut) == 4 and cut[-1].startswith("...")


def test_import_and_measure_name_what_they_made(tmp_path, geophone, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    pd.DataFrame({"step": [1, 2, 3], "a": [1.0, 2.0, 3.0]}).to_csv("history.csv", index=False)
    made = geophone("import", "history.csv", "--dimension", "stable_rank", "--out", "theirs", "--json")
    assert json.loads(made.out) | {"folder": ""} == {
        "folder": "", "run": "theirs", "layers": ["a"], "measurements": 3, "dimensions": ["stable_rank"],
    }  # fmt: skip
    # The user's own module prints as it is built; with --json not even that reaches stdout.
    Path("loudnets.py").write_text(
        "from torch import nn\nimport os\ndef build():\n    print('built')\n    os.write(1, b'loud')\n"
        "    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))\n"
    )
    np.save("probe.npy", np.random.default_rng(0).normal(size=(40, 6)).astype("float32"))
    Path("saved").mkdir()
    network = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.ReLU(), torch.nn.Linear(9, 3))
    for step in (10, 20):
        torch.save(network.state_dict(), f"saved/step-{step}.pt")
    Path("saved/step-30.pt").write_bytes(b"torn")
    words = ["measure", "saved", "--model", "loudnets:build", "--probe", "probe.npy", "--out", "old"]
    done = geophone(*words, "--json", "--quiet")
    assert done.status == 1 and "left out saved/step-30.pt" in done.err
    found = json.loads(done.out)
    assert found["measured"] == [10, 20] and found["failures"][0]["checkpoint"] == "saved/step-30.pt"
    assert "0 checkpoints measured, 2 there already" in geophone(*words).out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["detect", "nowhere"], "not a folder"),
        (["report", "."], "neither a run"),
        (["demo", "--steps", "0"], "steps"),
        (["demo", "--out", "file.txt"], "is a file"),
        (["run", "none.toml"], "none.toml is not there"),
        (["dig", "study", "--target", "999"], "there is no target 999"),
        (["targets", "study", "--method", "foo"], "--method 'foo': give one of transitions, naive"),
        (["targets", "study/runs/mlp_1_digits-seed0", "--method", "foo"], "--method 'foo': give one of"),
        (["targets", "empty"], "empty has no runs: runs/ is empty."),
        (["export", "study/runs/mlp_1_digits-seed0", "--to", "foo"], "--to foo: known are"),
        (["dig", "study", "--units", "1,2"], "give --target with it"),
        (["dig", "study", "--target", "1", "--units", "0,999"], "--units (units=) 999: "),
        (["dig", "study", "--target", "1", "--units", "1;2"], "numbers from 0 with commas between"),
        (["sql", "study", "SELEC 1"], "syntax error"),
        (["sql", "study", "FROM nosuch"], "no table nosuch"),
        (["sql", "study", "COPY runs TO 'x.csv'"], "one question"),
        (["sql", "study", "FROM runs", "--csv", "--json"], "two forms"),
        (["paper", "study", "--prove", "nowhere"], "run geophone prove first"),
        (["report", "study", "--live", "--json"], "leave out --json"),
        (["prove", "--full", "--confirm"], "give one of them"),
        (["prove", "--ray", "local"], "--ray is for --full and --confirm"),
        (["measure", "file.txt", "--probe", "p.npy", "--out", "o"], "how to build"),
        (["doctor", "nowhere"], "not a folder"),
        (["nosuch"], "No such command"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(study, geophone, words, says):
    Path("file.txt").write_text("mine")
    Path("empty/runs").mkdir(parents=True)
    before = sorted((p, p.stat().st_mtime_ns) for p in Path().rglob("*"))
    for more in ([], ["--json"] if "--json" not in words and words[0] not in ("nosuch", "export") else []):
        done = geophone(*words, *more)
        assert done.status == 2 and done.out == ""
        assert says in done.err and "Traceback" not in done.err
        if done.err.startswith("geophone: "):
            assert done.err.count("\n") == 1
    assert sorted((p, p.stat().st_mtime_ns) for p in Path().rglob("*")) == before


def test_what_was_done_in_part_ends_with_status_1(geophone, monkeypatch, study):
    from geophone import study as stages
    from geophone.errors import PartlyDone

    def fails(folder):
        raise PartlyDone("1 of 3 runs failed; the others are complete.")

    monkeypatch.setattr(stages, "open_study", fails)
    done = geophone("detect", "study")
    assert (done.status, done.out, done.err) == (1, "", "geophone: 1 of 3 runs failed; the others are complete.\n")


STUDY = """name = "short"
networks = ["mlp_1_digits"]
steps = {steps}
probe_samples = 64
dimensions = ["stable_rank"]
[detect]
surrogates = 19
"""


def test_a_study_in_words_and_as_json(tmp_path, geophone, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(STUDY.format(steps=100))
    done = geophone("run", "study.toml", "--until", "target", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert [run["run"] for run in found["runs"]] == ["mlp_1_digits-seed0"]
    assert found["runs"][0]["measurements"] == 20 and found["page"] is None
    assert len(found["targets"]) == len(gp.open("short").targets())
    assert "train: 1 runs" in done.err and "target: working" in done.err
    again = geophone("run", "study.toml", "--until", "target")
    assert "mlp_1_digits-seed0  finished" in again.out and "target: up to date" in again.err
    quiet = geophone("run", "study.toml", "--until", "target", "--quiet")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")


def test_ctrl_c_stops_with_status_130_and_goes_on_later(tmp_path):
    (tmp_path / "long.toml").write_text(STUDY.format(steps=100000))
    process = subprocess.Popen(
        [*COMMAND, "run", "long.toml", "--until", "train"], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A background job is started with SIGINT ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        checkpoints = tmp_path / "short/runs/mlp_1_digits-seed0/checkpoints"
        until = time.monotonic() + 100
        while time.monotonic() < until and not list(checkpoints.glob("step-*00.safetensors")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, err
    assert out == "" and "stopped. What was finished is kept" in err
    assert gp.open(tmp_path / "short/runs/mlp_1_digits-seed0").status in ("interrupted", "failed")


def test_a_second_demo_never_touches_the_first(study, geophone):
    before = sorted((p, p.stat().st_mtime_ns) for p in study.rglob("*"))
    done = geophone("demo", "--steps", "5", "--out", "study")
    assert done.status == 2 and done.err.count("\n") == 1 and "new or empty" in done.err
    assert sorted((p, p.stat().st_mtime_ns) for p in study.rglob("*")) == before


@pytest.mark.slow
def test_the_demo_goes_the_whole_way_and_says_where_the_page_is(tmp_path):
    told = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 600}
    done = subprocess.run([*COMMAND, "demo", "--steps", "60", "--out", "try"], **told)
    assert done.returncode == 0, done.stderr
    assert "The page: try/report/index.html" in done.stdout and "The first 3 of" in done.stdout
    assert (tmp_path / "try/report/index.html").is_file()
    study = gp.open(tmp_path / "try")
    assert len(study) == 4  # the fourth reads text
    digs = {p.parent.name.partition(".")[0] for p in (tmp_path / "try/digs").glob("*/notes.md")}
    assert digs == set(study.targets()["run"])
    for run in study:
        for dimension in run.dimensions:
            series = run.series(dimension)
            assert list(series.index) == list(range(5, 61, 5))
            assert series.notna().all().all(), (run.name, dimension)


def test_verbs_do_as_the_study_file_in_the_folder_says(study, geophone, monkeypatch):
    (study / "study.toml").write_text(
        '[target]\ndimension = "participation_ratio"\n[dig]\nper_class = 10\nunits = 1\nsteps = 1\n'
    )
    asked = json.loads(geophone("targets", "study", "--json").out)["targets"]
    assert {row["dimension"] for row in asked} == {"participation_ratio"}
    heard = []
    monkeypatch.setattr("geophone.study.digging.dig_stage", lambda study, *given, **told: heard.append(given) or [])
    (study / "targets.parquet").unlink()  # what nobody ranked is ranked by the dig
    assert geophone("dig", "study", "--target", "1", "--units", "2").status == 0
    assert (study / "targets.parquet").is_file()
    assert geophone("dig", "study", "--naive", "--recovery").status == 0
    (one, row), (other, rows) = heard
    assert (one.per_class, one.units, one.steps, one.recovery) == (10, (2,), 1, False) and row["rank"].tolist() == [1]
    assert (other.per_class, other.units, other.recovery) == (10, 1, True) and 1 in rows["rank"].tolist()


def test_brackets_in_an_error_are_said_as_they_are(capfd):
    progress = StudyProgress()
    progress.training([SimpleNamespace(name="a", steps=1, fork=None)], 0)
    progress.ended(Outcome("a", error="[enforce fail at alloc.cpp] [/tmp/x] no memory"))
    assert "a failed: [enforce fail at alloc.cpp] [/tmp/x] no memory" in capfd.readouterr().err


@pytest.fixture
def drifting(tmp_path, monkeypatch):
    """Six checkpoints of a network that drifts, and the words that measure them, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("driftnets.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 3))\n"
    )
    np.save("probe.npy", np.random.default_rng(0).normal(size=(40, 6)).astype("float32"))
    Path("saved").mkdir()
    network = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.Linear(9, 3))
    for step in range(1, 7):
        with torch.no_grad():
            for weight in network.parameters():
                weight += 0.01 * torch.randn(weight.shape)
        torch.save(network.state_dict(), f"saved/step-{step}.pt")
    return ["measure", "saved", "--model", "driftnets:build", "--probe", "probe.npy", "--out", "runs/mine"]


def test_a_checkpoint_with_the_weights_of_another_step_ends_with_status_1_every_time(geophone, drifting):
    Path("saved/step-3.pt").write_bytes(Path("saved/step-6.pt").read_bytes())
    for there in ("6 checkpoints measured", "6 there already"):
        done = geophone(*drifting)
        assert done.status == 1 and there in done.out
        assert "step 3 has weights that are not its own" in done.err


def test_steps_with_layers_that_are_not_finite_are_named(geophone, drifting):
    weights = torch.load("saved/step-4.pt")
    torch.save(weights | {"1.bias": weights["1.bias"] * float("nan")}, "saved/step-4.pt")
    said = "NaN or infinite activations at step 4, in 1"
    done = geophone(*drifting)
    assert done.status == 0 and said in done.err.splitlines()
    assert json.loads(geophone(*drifting, "--json").out)["nonfinite"] == {"4": ["1"]}
    assert f"     {said}\n" in geophone("doctor", "runs/mine").out
    assert json.loads(geophone("doctor", "runs/mine", "--json").out)["runs"][0]["nonfinite"] == {"4": ["1"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ValueError"),
        ("\n bad shape\nat line 3", "bad shape"),
        ("made from one of:\n(1) a file,\n(2) a class.", "made from one of: (1) a file, (2) a class."),
        ("word " * 40, "word word word word word word word word word ..."),
    ],
)
def test_of_another_library_s_error_no_half_sentence_is_said(text, said):
    assert first_line(ValueError(text), most=50) == said
