"""A dig from the run to the notes: the right network at each moment, every unit accounted for, nothing done twice."""

import re
import shutil
import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from in_turn import InTurn
from PIL import Image

import geophone as gp
from geophone._train import replay, replays
from geophone.dig import run
from geophone.dig.activations import selectivity
from geophone.dig.features import UNTYPED
from geophone.dig.moment import Moment
from geophone.dig.notes import observation
from geophone.dig.pictures import contact_sheet
from geophone.dig.run import dig
from geophone.dig.samples import answers, balanced
from geophone.dig.select import selected
from geophone.dig.subject import specimen_of
from geophone.errors import InputError
from geophone.evidence import evidence_table
from geophone.record.checkpoints import weights_digest
from geophone.records import DigOptions
from geophone.store.dig import Dig
from geophone.study import open_study, parse_study, run_study
from geophone.study.digging import chosen_targets, dig_stage, dig_tasks, forget_digs
from geophone.study.options import DigSettings
from geophone.zoo.tasks import task

TEXT = """
name = "dug"
networks = ["cnn_3_digits", "mlp_1_digits"]
steps = 160
probe_samples = 64
[detect]
surrogates = 99
"""
OPTIONS = DigOptions(per_class=20, units=4, steps=8)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digs") / "study"
    return run_study(parse_study(TEXT, where="here"), TEXT, folder, until="target", workers=InTurn())


@pytest.fixture(scope="module")
def dug(study) -> Dig:
    return dig(study, _with_control(study), options=OPTIONS)


def _with_control(study):
    targets = [target for target in study.ranked() if target.run.startswith("cnn") and target.layer != "head"]
    return next(target for target in targets if target.control is not None)


def test_each_moment_is_the_network_of_that_step(study, dug):
    target = _with_control(study)
    run = study.run(target.run)
    moments = dug["moments"].set_index(["role", "moment"])
    # The ranker's middle is where the window begins: that is not dug twice.
    assert target.window.step == target.window.before and ("target", "during") not in moments.index
    assert moments.loc[("control", "after"), "step"] == target.control.after
    samples = balanced(task("digits"), rng=np.random.default_rng(0), per_class=20)
    for key, step in ((("target", "before"), target.window.before), (("control", "after"), target.control.after)):
        model = replay(run, step)
        with torch.no_grad():
            right = float((model(samples.x).argmax(1) == samples.y).float().mean())
        assert moments.loc[key, "accuracy"] == pytest.approx(right, abs=1e-6)
        a = answers(model, [target.layer], samples.x)[target.layer].astype(float)
        means = np.stack([a[samples.y.numpy() == label].mean(0) for label in range(10)])
        assert moments.loc[key, "selectivity_raw"] == pytest.approx(np.nanmean(selectivity(means)), abs=1e-6)


def test_a_unit_is_new_where_it_had_no_type_before_or_its_tuning_turned_over(dug):
    units = dug["units"]
    for role, rows in units.groupby("role"):
        before = rows[rows["moment"] == "before"].set_index("unit")["type"]
        for moment in set(rows["moment"]) - {"before"}:
            mine = rows[rows["moment"] == moment].set_index("unit")
            typed = (mine["type"] != UNTYPED) & (before[mine.index] == UNTYPED)
            assert mine["new"].tolist() == (typed | (mine["own_correlation"] < 0.5)).tolist(), (role, moment)
            share = float((mine["own_correlation"].dropna() < 0.5).mean())
            row = dug["moments"].set_index(["role", "moment"]).loc[(role, moment)]
            assert row["turnover"] == pytest.approx(share) and row["new_units"] == mine["new"].sum()
    assert units["new"].any()


def test_replays_share_training_and_end_in_the_same_weights(study):
    run = study.run("cnn_3_digits-seed0")
    together = replays(run, [150, 30, 100, 35])
    assert {step: weights_digest(model) for step, model in together.items()} == {
        step: weights_digest(replay(run, step)) for step in (30, 35, 100, 150)
    }


def test_every_unit_is_in_the_notes_once_a_moment(dug):
    units = dug["units"]
    for section in dug.notes.split("## Step ")[1:4]:
        named = []
        for members in re.findall(r"^- Units? ([\d, -]+):", section, re.MULTILINE):
            for part in members.split(", "):
                first, _, last = part.partition("-")
                named += range(int(first), int(last or first) + 1)
        assert sorted(named) == sorted(units["unit"].unique())


def test_a_dig_that_is_there_is_left_alone_and_made_anew_is_the_same(study, dug):
    target = _with_control(study)
    before = {p: p.stat().st_mtime_ns for p in dug.folder.rglob("*")}
    dig(study, target, options=OPTIONS)
    assert {p: p.stat().st_mtime_ns for p in dug.folder.rglob("*")} == before
    tables = {name: dug[name] for name in ("moments", "units", "composition", "ablation")}
    bytes_of = {p.relative_to(dug.folder): p.read_bytes() for p in dug.folder.rglob("*.png")}
    shutil.rmtree(dug.folder)
    again = dig(study, target, options=OPTIONS)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table)
    assert bytes_of and {p.relative_to(dug.folder): p.read_bytes() for p in dug.folder.rglob("*.png")} == bytes_of


def test_other_options_dig_again_and_show_the_units_asked_for(study, dug, tmp_path):
    copy, target = open_study(shutil.copytree(study.folder, tmp_path / "study")), _with_control(study)
    options = replace(OPTIONS, per_class=10, units=(5, 2))
    with pytest.raises(InputError, match="has units 0 to"):
        dig(copy, target, options=replace(options, units=(5, 999)))
    made = dig(copy, target, options=options)
    assert made.about.options.per_class == 10
    assert made["moments"]["probe_accuracy"].notna().all()
    assert "Units shown, in this order: 5, 2." in made.notes
    rng = np.random.default_rng([0, zlib.crc32(made.folder.name.encode())])
    x = specimen_of(copy.run(target.run), rng=rng, per_class=10).samples.x
    a = answers(replay(copy.run(target.run), target.window.after), [target.layer], x)[target.layer]
    best = np.concatenate([np.argsort(-a[:, unit], kind="stable")[:9] for unit in (5, 2)])
    with Image.open(made.folder / "images/top-after.png") as picture:
        assert np.array_equal(np.asarray(picture), contact_sheet(x.numpy()[best], columns=9, tile=32))


def test_a_dig_counts_as_made_until_it_is_forgotten_or_its_code_changes(study, dug, tmp_path, monkeypatch):
    copy, target = open_study(shutil.copytree(study.folder, tmp_path / "study")), _with_control(study)
    assert run.is_dug(copy, target, OPTIONS) and dig_tasks(copy, [(target, OPTIONS)]) == []
    with monkeypatch.context() as other:
        other.setattr(run, "_code", lambda: "other code")
        assert not run.is_dug(copy, target, OPTIONS)
    targets = copy.targets()
    forget_digs(copy, targets[targets["rank"] == target.rank])
    assert [task.name for task in dig_tasks(copy, [(target, OPTIONS)])] == [dug.folder.name]


def test_evidence_reads_what_a_dig_leaves(study, dug):
    table = evidence_table(study)
    assert list(table["role"]) == ["target", "control"]
    moments = dug["moments"].set_index(["role", "moment"])
    for row in table.itertuples():
        assert row.selectivity_after == pytest.approx(moments.loc[(row.role, "after"), "selectivity"])
        assert row.new_types_after == moments.loc[(row.role, "after"), "new_types"]


def test_the_selection_has_one_of_every_run_with_a_jump_and_says_why(study):
    chosen, targets = selected(study), study.targets()
    assert set(chosen["run"]) == set(targets["run"])
    assert set(targets.groupby("run")["rank"].min()) <= set(chosen["rank"])
    assert chosen["why"].str.len().gt(0).all()
    assert len(selected(study, every=True)) == len(targets)
    assert list(selected(study, number=2)["rank"]) == [2]
    with pytest.raises(InputError, match=f"1 to {len(targets)}"):
        selected(study, number=len(targets) + 1)


def test_a_run_of_ones_own_loop_is_told_what_to_pass(study, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
    (tmp_path / "runs").mkdir()
    with gp.Recorder(model, torch.randn(16, 4), out=tmp_path / "runs/own") as recorder:
        for step in range(10):
            recorder.step(loss=float(step))
    target = replace(_with_control(study), run=gp.open(tmp_path / "runs/own").name, layer="0")
    with pytest.raises(InputError, match="pass subject="):
        dig(gp.open(tmp_path), target, options=OPTIONS)


def _moment(types, *, selectivity, silhouette=0.0, p=0.5):
    row = {
        "selectivity": selectivity, "d_prime": 0.0, "turnover": 0.25, "silhouette": silhouette, "silhouette_null": 0.0,
        "silhouette_p": p,
    }  # fmt: skip
    return Moment(0, row, pd.DataFrame({"type": types}), None, None)


def test_the_observation_follows_its_rules():
    before = _moment([UNTYPED, "orientation"], selectivity=0.1)
    after = _moment(["curvature", "orientation"], selectivity=0.2, silhouette=0.2, p=0.04)
    target = {"before": before, "during": before, "after": after}
    drifted = {"before": before, "during": before, "after": _moment([UNTYPED] * 2, selectivity=0.195)}
    still = {"before": before, "during": before, "after": before}
    alone = observation({"target": target})
    assert "not there before: curvature" in alone and "25 %" in alone and "no control moment" in alone
    assert "Selectivity" not in alone and "selectivity rose" in alone and "group by class only after" in alone
    assert "selectivity did as at the control" in observation({"target": target, "control": drifted})
    assert "selectivity rose" in observation({"target": target, "control": still})
    assert "No new kind of unit" in observation({"target": still, "control": still})
    for silhouette, p in ((0.03, 0.01), (0.2, 0.06)):
        weak = _moment([UNTYPED] * 2, selectivity=0.1, silhouette=silhouette, p=p)
        assert "answers do not group by class" in observation({"target": still | {"after": weak}})


def test_recovery_goes_round_the_architectures_by_rank(study):
    chosen = chosen_targets(study, DigSettings(recovery_runs=2))
    first = chosen.loc[chosen.groupby("run")["rank"].idxmin()].sort_values("rank")
    assert len(first) == 2 and list(chosen.loc[chosen["recovery"], "rank"]) == list(first["rank"])
    one = chosen_targets(study, DigSettings(recovery_runs=1))
    assert list(one.loc[one["recovery"], "rank"]) == [first["rank"].min()]
    assert not chosen_targets(study, DigSettings())["recovery"].any()


def test_a_dig_with_recovery_leaves_what_is_missing_at_the_horizons_asked_for(study, tmp_path):
    copy = open_study(shutil.copytree(study.folder, tmp_path / "study"))
    chosen = chosen_targets(copy, DigSettings(recovery_runs=2))
    asked = []
    nobody = SimpleNamespace(map=lambda tasks, **news: asked.extend(tasks) or [])
    dig_stage(copy, replace(OPTIONS, horizons=(20,), units=1, steps=1), chosen, workers=nobody)
    recovered = [task for task in asked if task.arguments["options"].recovery]
    assert len(asked) == len(chosen) and len(recovered) == 2
    small = next(task for task in recovered if task.name.startswith("mlp"))
    small.function(**small.arguments, tell=lambda done, of: None)
    table = Dig(copy.folder / "digs" / small.name)["recovery"]
    assert set(table["horizon"]) == {"20"} and set(table["arm"]) == {"ablated", "sham", "fresh"}
    assert (table.loc[table["arm"] == "sham", "deficit"] == 0).all()
