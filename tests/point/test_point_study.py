"""From a run that was recorded, in a loop of one's own, to its targets; and that there is one ranker."""

import ast
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from planted_runs import run as planted_run
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.point import study as point_study
from geophone.point.find import transitions
from geophone.point.reading import has_signals, run_signals
from geophone.point.study import run_listing, run_targets, targets, targets_of_run, transition_table
from geophone.point.targets import places
from geophone.store.study import Study

STEPS, EVERY, SWITCH = 600, 5, 300


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A small network learns the sign of an input from the start, and that of another, for other samples, from step
    300 on; the probe has both."""
    folder = tmp_path_factory.mktemp("study")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def batch(rng, size, share):
        x = torch.from_numpy(rng.normal(size=(size, 12)).astype(np.float32))
        second = torch.from_numpy(rng.random(size) < share)
        x[:, 0] = second.float() * 2 - 1
        y = torch.where(second, x[:, 2] > 0, x[:, 1] > 0).long()
        return x, y, second

    x, y, second = batch(np.random.default_rng(1), 96, 0.5)
    with gp.Recorder(model, x, out=folder / "runs" / "mine", labels=y, every=EVERY, alarms=False) as recorder:
        for step in range(1, STEPS + 1):
            bx, by, _ = batch(np.random.default_rng([2, step]), 64, 0.5 if step > SWITCH else 0.0)
            loss = nn.functional.cross_entropy(model(bx), by)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
    return folder, second.numpy()


def test_what_was_recorded_is_what_is_ranked(recorded):
    run = gp.open(recorded[0] / "runs" / "mine")
    assert has_signals(run)
    signals = run_signals(run)
    assert len(signals) == len(run.series("stable_rank")) and signals.layers == tuple(
        layer.name for layer in run.layers
    )
    assert signals.behaviour.values.shape == (len(signals), 96) and not signals.behaviour.falling
    np.testing.assert_array_equal(signals.behaviour.values, run.behaviour().to_numpy())
    loss = run.scalars()["loss"]
    assert signals.scalars["loss"][-1] == pytest.approx(loss.loc[STEPS - EVERY + 1 :].mean(), rel=1e-6)
    assert {"weight_norm", "update_norm"} <= signals.scalars.keys()
    assert np.isfinite(signals.series["readable_gain"][1:]).all()


def test_the_second_skill_is_a_target_with_its_own_samples(recorded):
    folder, second = recorded
    table = targets(Study(folder))
    learned = table[(table["kind"] == "learned") & (table["step"] > SWITCH)]
    assert len(learned) and abs(learned["step"].iloc[0] - SWITCH) < 200
    _, listing = run_listing(gp.open(folder / "runs" / "mine"))
    (late, *_) = [t for t in listing.of("learned") if t.listed and t.peak > SWITCH]
    assert second[late.samples["sample"].head(20)].mean() > 0.7
    upset = [t for t in listing.of("shock", "lost") if t.listed]
    assert any(abs(t.peak - SWITCH) <= 20 for t in upset)


def test_targets_of_a_study_and_of_its_run_are_the_same(recorded):
    folder, _ = recorded
    alone = targets_of_run(gp.open(folder / "runs" / "mine"))
    together = targets(Study(folder))
    assert alone["step"].tolist() == together["step"].tolist()
    assert together["rank"].tolist() == list(range(1, len(together) + 1))
    assert (together["method"] == "transitions").all() and "transient" not in set(together["kind"])
    signals, listing = run_listing(gp.open(folder / "runs" / "mine"))
    again = transitions(signals, rng=np.random.default_rng(0))
    assert [t.index for t in again.transitions] == [t.index for t in listing.transitions]


def test_a_plot_of_a_run_by_itself_ranks_it_once_and_has_its_targets_for_flags(recorded, tmp_path, monkeypatch):
    alone = tmp_path / "a" / "b" / "mine"
    shutil.copytree(recorded[0] / "runs" / "mine", alone)
    calls = []
    monkeypatch.setattr(point_study, "transitions", lambda *a, **k: calls.append(a) or transitions(*a, **k))
    drawn = json.dumps(gp.open(alone).plot().to_dict())
    assert len(calls) == 1
    first = targets_of_run(gp.open(alone)).iloc[0]
    assert f'"peak": {first["step"]}' in drawn


def test_a_run_without_signals_is_told_of_the_other_method(tmp_path):
    model, x = nn.Sequential(nn.Linear(4, 3)), torch.randn(8, 4)
    what = gp.What(signals=False)
    with gp.Recorder(model, x, what=what, out=tmp_path / "runs" / "bare", every=1) as recorder:
        for _ in range(12):
            recorder.step()
    with pytest.raises(InputError, match="--method naive"):
        targets(Study(tmp_path))
    with pytest.raises(InputError, match="unknown method"):
        targets(Study(tmp_path), method="best")
    with pytest.raises(InputError, match="jumps of a study"):
        targets_of_run(gp.open(tmp_path / "runs" / "bare"), method="naive")


@pytest.mark.parametrize("answered", [False, True])
def test_an_error_falls_and_a_run_without_answers_has_its_outputs(answered, tmp_path):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(16, 4)
    answers = {"labels": torch.randn(16, 3), "concepts": {"b": x[:, 0] > 0, "a": x[:, 1]}} if answered else {}
    with gp.Recorder(model, x, out=tmp_path / "runs" / "a", every=1, sync=True, **answers) as recorder:
        for step in range(12):
            with torch.no_grad():
                model[0].weight.mul_(1.01)
            recorder.step(loss=float(step))
    run = gp.open(tmp_path / "runs" / "a")
    signals = run_signals(run)
    np.testing.assert_array_equal(signals.outputs, run.outputs().to_numpy(float))
    gone = signals.series["readable_change"] - signals.series["readable_gain"]
    np.testing.assert_array_equal(signals.layered("readable_loss"), gone)
    assert (signals.behaviour is not None) == answered
    assert list(signals.concepts) == (["a", "b"] if answered else [])
    for name, values in signals.concepts.items():
        rows = run.concepts()
        rows = rows[rows["concept"] == name].set_index(["step", "layer"])
        for which, given in (("value", values), ("shuffled", signals.chances[name])):
            wanted = [[rows.at[(step, layer.name), which] for layer in run.layers] for step in signals.steps]
            np.testing.assert_array_equal(given, wanted)
    if answered:
        assert signals.behaviour.falling and (signals.behaviour.skill == -run.behaviour().to_numpy(float)).all()
    thin = signals.thinned(5)
    np.testing.assert_array_equal(thin.outputs, signals.outputs[np.linspace(0, 11, 5).round().astype(int)])


def test_nothing_outside_the_ranker_ranks_moments():
    """Who picks moments of a run by a score imports the ranker; only it and the proving ground's rivals may pick."""
    package = Path(gp.__file__).parent
    pickers = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "geophone.point.moments":
                pickers.add(path.relative_to(package).parts[0])
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scipy.signal"):
                pickers |= (
                    {path.relative_to(package).parts[0]} if any(a.name == "find_peaks" for a in node.names) else set()
                )
    assert pickers <= {"point", "prove", "detect"}


def test_a_run_says_its_own_transitions_and_their_samples(recorded):
    run = gp.open(recorded[0] / "runs" / "mine")
    table, ranked = run.transitions(), targets_of_run(run)
    assert list(table["rank"].dropna()) == list(range(1, len(table))) and table["reason"].str.endswith(".").all()
    assert sorted(table["peak"][:-1]) == sorted(ranked["step"]) and set(table["kind"][:-1]) == set(ranked["kind"])
    assert (table["start"] <= table["peak"]).all() and (table["peak"] <= table["end"]).all()
    apart = table.iloc[-1]  # the transient, in the table but not among the targets
    assert apart["kind"] == "transient" and apart["rank"] is pd.NA
    first = run.transition("transient")
    assert (first.kind, first.peak) == ("transient", apart["peak"])
    assert f"transient at step {first.peak}" in json.dumps(first.plot().to_dict())
    (number,) = table.loc[(table["kind"] == "learned") & (table["peak"] > SWITCH), "rank"].head(1)
    late = run.transition(int(number))
    assert late.peak == table["peak"].iloc[number - 1] and recorded[1][late.samples["sample"].head(20)].mean() > 0.7
    for number, said in ((99, "no number 99"), (len(table), "the initial one, 'transient'"), ("first", "'first'")):
        with pytest.raises(InputError, match=said):
            run.transition(number)


@pytest.mark.parametrize("others", [0, 1])
def test_the_initial_transient_has_a_rank_only_where_there_is_nothing_else(others, monkeypatch):
    signals = planted_run(learned=[(700, np.arange(30))])
    listing = transitions(signals, rng=np.random.default_rng(0))
    every = [place for place in places(signals, listing) if place.transition.listed]
    there = tuple(every[:others] + every[-1:])
    monkeypatch.setattr(point_study, "run_places", lambda *_: (there, signals.steps))
    run = SimpleNamespace(layers=[SimpleNamespace(name=name, depth=i) for i, name in enumerate(signals.layers)])
    assert [target.kind for target in run_targets(run)] == (["learned"] if others else ["transient"])
    table = transition_table(run)
    assert table["kind"].iloc[-1] == "transient" and table["rank"].isna().sum() == others
