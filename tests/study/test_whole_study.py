"""A study that is interrupted, damaged or fought over ends as if nothing had happened."""

import json
import shutil
import sys

import pandas as pd
import pytest
from in_turn import InTurn

import geophone as gp
from geophone._train import train
from geophone.errors import InputError, NewerFormatError, ReplayError, StoreError
from geophone.record.checkpoints import checkpoint_path, weights_digest
from geophone.store.locks import LOCKS, lock
from geophone.study import Workers, open_study, parse_study, run_study
from geophone.study.detection import fork_groups
from geophone.study.runs import checked, ensure_run, fork_plans, is_done, run_plans

TEXT = """
name = "short"
networks = ["mlp_1_digits", "mlp_1_parity"]
steps = 230
probe_samples = 64
dimensions = ["stable_rank", "participation_ratio", "effective_rank"]
[detect]
surrogates = 99
[forks]
of = ["mlp_1_digits*"]
at = [100]
replicates = 2
steps = 130
"""
STUDY = parse_study(TEXT, where="here")


class Heard:
    def __init__(self):
        self.trained, self.stages = [], {}

    def training(self, plans, there):
        self.trained += [plan.name for plan in plans]

    def progress(self, name, done, steps): ...

    def ended(self, outcome): ...

    def stage(self, name, *, skipped):
        self.stages[name] = skipped


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "whole"
    run_study(STUDY, TEXT, folder, until="target")
    return folder


@pytest.fixture
def study(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "study")


def tables(folder):
    found = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.parquet")}
    return found | {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.safetensors")}


def again(folder, **options):
    """Where it goes on, here: the study began in processes, and its tables are the same."""
    heard = Heard()
    run_study(STUDY, TEXT, folder, until="target", listener=heard, **{"workers": InTurn(), **options})
    return heard


def test_run_again_nothing_is_done(study, whole):
    heard = again(study)
    assert heard.trained == [] and heard.stages == {"detect": True, "target": True}
    assert tables(study) == tables(whole)


def test_a_stage_is_done_again_when_its_options_or_its_tables_change(study):
    other = parse_study(TEXT.replace("surrogates = 99", "surrogates = 49"), where="here")
    heard = Heard()
    run_study(other, TEXT, study, until="target", listener=heard, workers=InTurn())
    assert heard.stages["detect"] is False
    (study / "targets.parquet").unlink()
    assert again(study).stages["target"] is False


def test_detect_is_done_again_when_forks_come_or_go(study):
    plain = TEXT.partition("[forks]")[0]

    def skipped():
        heard = Heard()
        run_study(parse_study(plain, where="here"), plain, study, until="detect", listener=heard, workers=InTurn())
        return heard.stages["detect"]

    assert skipped()
    (study / "forks").rename(study / "elsewhere")
    assert [skipped(), skipped()] == [False, True]
    (study / "elsewhere").rename(study / "forks")
    assert not skipped()


def test_a_course_that_was_refused_is_refused_again(study):
    """Weights that came out differently are never recorded as if they were the run's own."""
    plan = run_plans(STUDY, study)[1]
    run = plan.folder
    unfinish(run, to=100)
    manifest = json.loads((run / "run.json").read_text())
    manifest["checkpoints"] |= {"200": "0" * 16, "230": "1" * 16}
    (run / "run.json").write_text(json.dumps(manifest))
    for step in (200, 230):
        checkpoint_path(run, step).unlink()
    for _ in range(2):
        with pytest.raises(ReplayError, match="at step 200 came out with weights"):
            ensure_run(plan, tell=lambda done, of: None)
        assert gp.open(run).status != "finished"
    (run / "expected.json").unlink()
    ensure_run(plan, tell=lambda done, of: None)
    assert gp.open(run).status == "finished" and not (run / "expected.json").exists()


def unfinish(folder, *, to):
    """Leave a run as `kill -9` does: running, with everything after step `to` lost but a half-written part."""
    manifest = json.loads((folder / "run.json").read_text())
    manifest |= {"status": "running", "ended": "", "results": {}}
    manifest["checkpoints"] = {s: d for s, d in manifest["checkpoints"].items() if int(s) <= to}
    (folder / "run.json").write_text(json.dumps(manifest))
    (folder / "series" / ".part-00009.parquet.77.tmp").write_bytes(b"half")


@pytest.mark.parametrize("to", [pytest.param(0, marks=pytest.mark.slow), 200])
def test_an_interrupted_run_goes_on_from_its_last_checkpoint(study, whole, to):
    unfinish(study / "runs" / "mlp_1_parity-seed0", to=to)
    assert open_study(study).run("mlp_1_parity-seed0").status == "interrupted"
    assert again(study).trained == ["mlp_1_parity-seed0"]
    assert tables(study) == tables(whole)


VICTIMS = {
    "series/part-00001.parquet": ("cut", "flip", "gone"),
    "scalars/part-00000.parquet": ("cut", "flip", "gone"),
    # A changed bit among weights is found by replay, through the digest.
    "checkpoints/step-00000200.safetensors": ("cut", "gone"),
    "checkpoints/step-00000100.state.safetensors": ("cut", "gone"),
}


def harmed(path, harm):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink() if harm == "gone" else path.write_bytes(data[: len(data) // 2] if harm == "cut" else data)


@pytest.mark.parametrize(("victim", "harm"), [(victim, harm) for victim, harms in VICTIMS.items() for harm in harms])
def test_a_damaged_file_of_a_finished_run_is_noticed(study, victim, harm):
    assert is_done(*checked(run_plans(STUDY, study))[0])
    harmed(study / "runs" / "mlp_1_digits-seed0" / victim, harm)
    assert not is_done(*checked(run_plans(STUDY, study))[0])


@pytest.mark.parametrize(("victim", "harm"), [
    ("series/part-00001.parquet", "flip"),
    pytest.param("checkpoints/step-00000200.safetensors", "cut", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_damaged_file_of_a_finished_run_is_made_again(study, whole, victim, harm):
    harmed(study / "runs" / "mlp_1_digits-seed0" / victim, harm)
    assert again(study).trained == ["mlp_1_digits-seed0"]
    assert tables(study) == tables(whole)


def test_an_unreadable_manifest_is_put_aside_and_the_run_made_again(study, whole):
    path = study / "runs" / "mlp_1_digits-seed0" / "run.json"
    path.write_text(path.read_text()[:100])
    again(study)
    assert {k: v for k, v in tables(study).items() if k.parts[0] != "damaged"} == tables(whole)
    assert (study / "damaged" / "mlp_1_digits-seed0-1" / "run.json").exists()


def test_a_folder_that_a_killed_worker_had_only_claimed_is_no_damaged_run(study, whole):
    folder = study / "runs" / "mlp_1_digits-seed0"
    shutil.rmtree(folder)
    (folder / "series").mkdir(parents=True)
    for name in LOCKS:
        (folder / name).write_text("process 4711 on elsewhere\n")
    again(study)
    assert tables(study) == tables(whole) and not (study / "damaged").exists()


def test_a_later_releases_run_is_left_alone(study):
    path = study / "runs" / "mlp_1_digits-seed0" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    before = path.read_text()
    with pytest.raises(NewerFormatError, match="format 99"):
        again(study)
    assert path.read_text() == before


def test_another_studys_run_is_refused_and_nothing_is_touched(study):
    other = TEXT.replace("steps = 230", "steps = 240")
    before = {p: p.stat().st_mtime_ns for p in study.rglob("*")}
    with pytest.raises(InputError, match="was made with steps 230, the study says 240"):
        run_study(parse_study(other, where="here"), other, study)
    assert {p: p.stat().st_mtime_ns for p in study.rglob("*")} == before


def test_the_second_of_two_studies_says_who_holds_the_folder(study):
    with lock(study), pytest.raises(StoreError, match=r"is being written by process \d+ on .+, since 20"):
        again(study)


def test_a_run_that_trains_differently_is_not_taken(study):
    folder = study / "runs" / "mlp_1_digits-seed0"
    manifest = json.loads((folder / "run.json").read_text())
    manifest["checkpoints"]["200"] = "0" * 16
    (folder / "run.json").write_text(json.dumps(manifest))
    (folder / "series" / "part-00000.parquet").unlink()
    with pytest.raises(StoreError, match="other weights at step 200"):
        again(study)
    assert checkpoint_path(folder, 200).exists()


def test_forks_share_the_past_and_differ_by_their_minibatches_alone(whole):
    group = fork_groups(open_study(whole))[0]
    parent = open_study(whole).run("mlp_1_digits-seed0")
    assert [run.manifest.checkpoints[100] for run in group] == [parent.manifest.checkpoints[100]] * 2
    ends = {run.manifest.checkpoints[230] for run in group} | {parent.manifest.checkpoints[230]}
    assert len(ends) == 3
    first = [run.series("stable_rank").iloc[0] for run in group]
    pd.testing.assert_series_equal(first[0], parent.series("stable_rank").loc[100])
    pd.testing.assert_series_equal(first[0], first[1])
    assert group[0].series("stable_rank").index[-1] == 230
    plan = fork_plans(STUDY, whole)[1]
    # A fork is a run like any other, and can be replayed.
    assert weights_digest(gp.open(plan.folder).at(230)) == group[1].manifest.checkpoints[230]


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(study, whole):
    shutil.rmtree(study / "runs" / "mlp_1_parity-seed0")
    shutil.rmtree(study / "forks" / "mlp_1_digits-seed0" / "step100-fork1")
    assert len(again(study, workers=Workers(1)).trained) == 2
    assert tables(study) == tables(whole)


def test_a_network_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(
        "from dataclasses import replace\nfrom torch import nn\nfrom geophone.zoo.catalogue import Experiment\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
        "def small():\n    return Experiment(name='small', architecture='mlp', task='digits', build=build,"
        " layers=('2', '3'), variant='own', depth=1, width=16)\n"
        "kept = small\ndef quick():\n    return replace(kept(), lr=0.01)\n"
    )
    monkeypatch.chdir(tmp_path)
    text = 'name = "own"\nnetworks = ["mynets:small"]\nsteps = 40\n'
    made = run_study(parse_study(text, where="here"), text, tmp_path / "own", until="train", workers=InTurn())
    run = made.run("small-seed0")
    assert weights_digest(run.at(40)) == run.manifest.checkpoints[40]
    for more, says in (
        ("noise_every = 5\n", "noise_every None, the study says 5"),
        ("probe_samples = 32\n", "probe_samples 256, the study says 32"),
        ("", "learning_rate 0.001, the study says 0.01"),
    ):
        if not more:
            monkeypatch.setattr(sys.modules["mynets"], "small", sys.modules["mynets"].quick)
        with pytest.raises(InputError, match=says):
            run_study(
                parse_study(text + more, where="here"), text + more, tmp_path / "own", until="train", workers=InTurn()
            )


def test_two_runs_of_one_name_are_told_apart_by_nobody(tmp_path):
    for place in ("a", "b"):
        train("mlp_1_digits", out=tmp_path / "runs" / place, steps=5, probe_samples=16)
    with pytest.raises(StoreError, match="both hold a run called 'mlp_1_digits-seed0'"):
        list(open_study(tmp_path))


def test_a_stage_that_does_not_exist_is_refused(study):
    with pytest.raises(InputError, match="no stage 'digg'; there are train, detect"):
        run_study(STUDY, TEXT, study, until="digg")


def test_a_run_killed_before_its_manifest_leaves_no_trace(tmp_path):
    plan = run_plans(STUDY, tmp_path)[1]
    (plan.folder / "checkpoints").mkdir(parents=True)
    (plan.folder / ".run.json.12.tmp").write_text("{")
    ensure_run(plan, tell=lambda done, of: None)
    assert is_done(*checked([plan])[0])


def test_resuming_another_run_is_refused(tmp_path):
    train("mlp_1_digits", out=tmp_path / "run", steps=10)
    with pytest.raises(InputError, match="not mlp_1_parity"):
        train("mlp_1_parity", out=tmp_path / "run", steps=10, resume=True)
