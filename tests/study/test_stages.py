"""What decides whether a stage is done again: its files, its options, and all the code that it runs."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from geophone.store import code
from geophone.store.code import code_digest, reached
from geophone.store.study import Study
from geophone.study.memo import Memo, stage_key
from geophone.study.stages import STAGES

BY_NAME = {stage.name: stage for stage in STAGES}
ENTRIES = {
    "detect": "geophone.study.detection", "target": "geophone.point.study", "dig": "geophone.study.digging",
    "evidence": "geophone.evidence", "report": "geophone.report.page", "paper": "geophone.paper",
}  # fmt: skip


def loaded_by(module):
    """What Python itself loads of ours when it imports `module`."""
    script = f"import sys, {module}; print(*(n for n in sys.modules if n.startswith('geophone.')))"
    names = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    return {Path(find_spec(name).origin) for name in names}


# Each starts Python twice: two of them by default, the others when somebody has the time.
@pytest.mark.parametrize("name", [
    name if name in ("detect", "paper") else pytest.param(name, marks=pytest.mark.slow) for name in ENTRIES
])  # fmt: skip
def test_what_python_loads_for_a_stage_counts_as_its_code(name):
    there = loaded_by(ENTRIES[name])
    assert len(there) > 5
    # What the face of the package loads, as every import of ours does, is nobody's in particular.
    face = loaded_by("geophone.errors") - set(reached({"geophone.errors"}))
    assert there - face - set(reached({ENTRIES[name]})) == set()


@pytest.mark.parametrize(
    ("stage", "part"),
    [("evidence", "stats/clusters.py"), ("detect", "stats/permutation.py"), ("detect", "detect/nulls.py"),
     ("report", "report/templates/atlas.css"), ("dig", "training.py"), ("paper", "evidence/table.py")],
)  # fmt: skip
def test_a_stage_is_another_when_a_part_of_its_code_is(stage, part, tmp_path, monkeypatch):
    import shutil

    copy = shutil.copytree(code.ROOT, tmp_path / "geophone", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", copy)
    before = code_digest(BY_NAME[stage].run)
    assert code_digest(BY_NAME[stage].run) == before
    (copy / "cli" / "whole.py").write_text("# nothing that a stage imports")
    assert code_digest(BY_NAME[stage].run) == before
    with (copy / part).open("a") as handle:
        handle.write("\n# another\n")
    assert code_digest(BY_NAME[stage].run) != before


def test_detecting_does_not_depend_on_what_digs():
    parts = {path.relative_to(code.ROOT).parts[0] for path in reached({"geophone.study.detection"})}
    assert {"detect", "phenomena", "stats", "store"} <= parts
    assert parts.isdisjoint({"dig", "paper", "report", "evidence", "cli", "prove", "zoo"})


def test_every_stage_needs_only_what_a_stage_before_it_makes():
    made = {"runs", "forks"}
    for stage in STAGES:
        assert {pattern.partition("/")[0] for pattern in stage.needs} <= made, stage.name
        made |= {pattern.partition("/")[0] for pattern in stage.makes}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "runs" / "a" / "series").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "series" / "part-00000.parquet").write_bytes(b"1")
    return Study(tmp_path)


def test_a_key_is_of_files_by_their_places_and_of_options(study):
    stage = BY_NAME["target"]
    first = stage_key(stage, study, {"mode": "naive"})
    assert first == stage_key(stage, study, {"mode": "naive"}) != stage_key(stage, study, {"mode": "online"})
    (study.folder / "elsewhere.txt").write_text("no stage's")
    (study.folder / "runs" / "a" / "series" / ".part-00001.parquet.7.tmp").write_bytes(b"half")
    assert stage_key(stage, study, {"mode": "naive"}) == first
    (study.folder / "runs" / "a").rename(study.folder / "runs" / "b")
    assert stage_key(stage, study, {"mode": "naive"}) != first


def test_a_memo_holds_until_what_was_made_is_another(study):
    stage = BY_NAME["target"]
    (study.folder / "targets.parquet").write_bytes(b"made")
    Memo(study).keep(stage, "key")
    assert Memo(study).holds(stage, "key") and not Memo(study).holds(stage, "other")
    assert not Memo(study).holds(BY_NAME["detect"], "key")
    (study.folder / "targets.parquet").write_bytes(b"by hand")
    assert not Memo(study).holds(stage, "key")
