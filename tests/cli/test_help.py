"""Help, completion and doctor: what a newcomer asks first."""

import json
import os
import resource
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

import geophone as gp
from geophone import doctor
from geophone.cli import VERBS

SCRIPT = Path(sys.executable).with_name("geophone")
HEAVY = ("torch", "scipy", "pandas", "numpy", "altair", "duckdb", "pydantic")
PRINTING = set(VERBS) - {"netron", "export"}  # these write a file or a script


def test_help_imports_nothing_heavy_and_takes_under_0_3_seconds():
    probe = (
        "import sys; sys.argv = ['geophone', '--help']\n"
        "from geophone.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    # Processor time: what it takes on a machine that has nothing else to do.
    took, done = [], None
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done.stdout.strip().endswith("[]")
    assert min(took) < 0.3, took


def test_the_list_of_verbs_is_whole_at_80_columns(geophone, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = geophone("--help").out
    listed = {line.split()[0]: line for line in text.partition("Commands:")[2].splitlines() if line.startswith("  ")}
    for verb in VERBS:
        assert not listed[verb].endswith("...") and len(listed[verb]) <= 80
    for status in ("0, done", "1, done but something failed", "2,", "130, stopped"):
        assert status in " ".join(text.split())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(geophone, verb):
    done = geophone(verb, "--help")
    assert done.status == 0 and f"Example: geophone {verb}" in done.out
    assert ("--json" in done.out) == (verb in PRINTING)
    assert ("--quiet" in done.out) == (verb in PRINTING - {"sql"})


def test_examples_name_options_that_exist(geophone):
    for verb in VERBS:
        text = geophone(verb, "--help").out
        example = text.rpartition("Example: ")[2].split("\n\n")[0]
        for option in (word for word in example.split() if word.startswith("--")):
            assert option in text.partition("Options:")[2], (verb, option)


@pytest.mark.skipif(not SCRIPT.is_file() or not shutil.which("bash"), reason="needs the installed script and bash")
def test_bash_completes_verbs_and_options():
    # What `geophone --install-completion` puts into ~/.bashrc, in a shell of its own.
    script = """
eval "$(geophone --show-completion bash)"
COMP_WORDS=(geophone "$@"); COMP_CWORD=$#
spec=$(complete -p geophone); $(sed -E 's/.*-F ([^ ]+).*/\\1/' <<<"$spec") geophone
printf '%s\\n' "${COMPREPLY[@]}"
"""
    environment = os.environ | {"PATH": f"{SCRIPT.parent}:{os.environ['PATH']}"}

    def completed(*words):
        done = subprocess.run(
            ["bash", "-c", script, "bash", *words], env=environment, capture_output=True, text=True, timeout=60
        )
        return set(done.stdout.split())

    assert completed("de") == {"demo", "detect"}
    assert completed("dig", "--na") == {"--naive"}


def test_doctor_finds_the_core_whole(geophone):
    done = geophone("doctor", "--json")
    found = json.loads(done.out)
    assert done.status == 0 and found["whole"]
    assert {"torch", "numpy", "pandas"} <= {p["package"] for p in found["parts"] if p["extra"] == "core"}
    assert "The core is whole." in geophone("doctor").out


@pytest.mark.parametrize(("package", "extra", "status"), [("ruptures", "core", 1), ("lightning", "lightning", 0)])
def test_doctor_says_what_is_missing_and_the_command(geophone, monkeypatch, package, extra, status):
    real = doctor.version

    def gone(name):
        if name == package:
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", gone)
    done = geophone("doctor")
    assert done.status == status
    command = f"pip install 'geophone[{extra}]'" if extra != "core" else f"pip install '{package}>="
    assert f"{package}" in done.out and "not installed" in done.out and command in done.out


def test_doctor_sees_what_is_old_or_broken(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda name: ["numpy>=99", "duckdb>=1.1", "geophone[hf]; extra == 'dev'"])
    monkeypatch.setattr(doctor, "_broken", lambda module: "does not import: torn" if module == "duckdb" else "")
    assert [p.problem for p in doctor.examine(Path()).parts] == ["needs >=99", ""]  # looked up, not imported
    found = doctor.examine(Path(), imports=True)
    assert [(p.package, p.problem) for p in found.parts] == [
        ("numpy", "needs >=99"), ("duckdb", "does not import: torn"),
    ]  # fmt: skip
    assert not found.whole and found.commands == ("pip install 'numpy>=99' 'duckdb>=1.1'",)


@pytest.mark.parametrize(
    ("installed", "wanted", "fits"),
    [("2.13.0+cpu", ">=2.6", True), ("2.6.0", ">=2.13", False), ("1.10", ">=1.9", True), ("3.0rc1", ">=2.9", True)],
)
def test_releases_compare_as_numbers(monkeypatch, installed, wanted, fits):
    monkeypatch.setattr(doctor, "requires", lambda name: [f"numpy{wanted}; extra == 'hf'"])
    monkeypatch.setattr(doctor, "version", lambda package: installed)
    (part,) = doctor.examine(Path()).parts
    assert (part.extra, part.found, part.problem == "") == ("hf", installed, fits)


def test_doctor_checks_the_runs_of_a_study(tmp_path, geophone):
    """A file that changed is named, a layer that was left out is told with its reason, and the status says so."""
    embedding = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.jit.script(torch.nn.Linear(3, 2)))
    for name in ("sound", "torn"):
        with gp.Recorder(embedding, torch.randn(8, 4), out=tmp_path / "runs" / name, every=1) as recorder:
            recorder.step()
    assert doctor.examine(tmp_path).runs[0].left_out == gp.layers(embedding, torch.randn(8, 4)).left_out
    assert not any(run.problem for run in doctor.examine(tmp_path).runs)
    (part,) = (tmp_path / "runs" / "torn" / "series").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    (tmp_path / "runs" / "none").mkdir()
    (tmp_path / "runs" / "none" / "run.json").write_text("{}")
    done = geophone("doctor", tmp_path)
    assert done.status == 1
    assert "missing or changed: series/" in done.out and "left out: 1" in done.out and "not whole" in done.out
    none, sound, torn = doctor.examine(tmp_path).runs
    assert none.status == "unknown" and none.problem and not sound.problem and torn.problem
