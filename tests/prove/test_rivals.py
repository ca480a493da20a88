"""Rivals on series whose truth is known, and frozen choices that stay frozen."""

import json
from pathlib import Path

import numpy as np
import pytest

from geophone.errors import InputError, StoreError
from geophone.point.kernels import Kernel
from geophone.point.signals import Behaviour, RunSignals
from geophone.prove import choice as choosing
from geophone.prove.choice import Choice, choose, freeze, frozen
from geophone.prove.events import Event
from geophone.prove.rivals import (
    Part,
    Rival,
    candidates,
    clusters,
    grid,
    name_layers,
    part_score,
    pilots,
    price,
    risen,
    rival_moments,
    scalar,
)  # fmt: skip
from geophone.prove.trials import PRIMARY, Trial, TrialRun
from geophone.prove.truth import known

STEPS = np.arange(1, 301) * 10.0
LAYERS = ("blocks.0", "blocks.0+", "blocks.1", "blocks.1+")
STEP2 = Kernel("step", 2.0)


def rise(*places, height=0.5, scale=15.0):
    return sum(height / (1 + np.exp(-(STEPS - t) / scale)) for t in places)


def made(*, scalars=None, series=None, behaviour=None):
    return RunSignals("run", STEPS, LAYERS, scalars or {}, series or {}, behaviour)


def loud(run, part):
    return STEPS[part_score(run, part).argmax()]


def test_each_form_reads_what_it_says():
    run = made(
        scalars={"loss": 3 - rise(1200) + 0.2 * rise(600), "gradient_norm": 1 + np.exp(-(((STEPS - 900) / 40) ** 2))}
    )
    assert loud(run, Part("loss", "speed", STEP2)) == pytest.approx(1200, abs=20)
    falling = part_score(run, Part("loss", "fall", STEP2))
    assert STEPS[falling.argmax()] == pytest.approx(1200, abs=20)
    assert falling[np.abs(STEPS - 600) < 15].max() == 0  # a rise is no fall
    assert loud(run, Part("gradient_norm", "level", STEP2)) == pytest.approx(900, abs=10)


def test_layers_are_read_where_they_are_asked_for_and_named():
    change = np.full((300, 4), 0.01)
    change[79:82, 1], change[199:202, 2] = 1.0, 2.0  # what block 0 adds, then the stream after block 1
    norms = np.full((300, 4), np.nan)
    norms[:, [0, 2]] = 1.0
    norms[150:153, 2] = 9.0
    run = made(series={"subspace_change": change, "layer_update_norm": norms})
    assert loud(run, Part("subspace_change", "level", STEP2, "updates", "mean")) == pytest.approx(800, abs=30)
    assert loud(run, Part("subspace_change", "level", STEP2, "streams", "mean")) == pytest.approx(2000, abs=30)
    both = Part("subspace_change", "level", STEP2, "both", "mean")
    assert name_layers(run, both, [79, 199]) == ("blocks.0+", "blocks.1")
    norm = Part("layer_update_norm", "level", STEP2, pool="contrast")
    assert name_layers(run, norm, [151]) == ("blocks.1",)


def test_the_loss_of_the_probe_is_that_of_its_answers():
    p = np.full((300, 5), 0.25)
    assert scalar(made(behaviour=Behaviour(p)), "probe_loss") == pytest.approx(np.log(4))
    assert scalar(made(behaviour=Behaviour(np.full((300, 5), 2.0), falling=True)), "probe_loss") == pytest.approx(2.0)
    with pytest.raises(InputError, match="no signal 'loss'"):
        scalar(made(), "loss")


def test_samples_that_rise_are_the_ones_that_did_and_their_clusters_point_there():
    values = np.full((300, 60), 0.1) + 0.01 * np.random.default_rng(0).normal(size=(300, 60))
    values[:, :20] += rise(900)[:, None]
    values[:, 40:] += rise(2100)[:, None]
    run = made(behaviour=Behaviour(values))
    assert set(np.argsort(-risen(run, 89))[:20]) == set(range(20))
    fallen = made(behaviour=Behaviour(-values, falling=True))
    assert set(np.argsort(-risen(fallen, 209))[:20]) == set(range(40, 60))
    score = clusters(run, Kernel("step", 4.0))
    moments = rival_moments(run, Rival("c", (Part("sample_clusters", "own", Kernel("step", 4.0)),)), share=0.5)
    assert sorted(STEPS[moments.index[:2]]) == pytest.approx([900, 2100], abs=50) and len(score) == 300
    assert len(moments.samples[0]) == 60 and set(moments.layers) == {"any"}


def test_a_list_ends_at_its_share_of_the_greatest_score():
    run = made(scalars={"loss": 5 - rise(800, height=2) - rise(2000, height=0.8)})
    rival = Rival("r", (Part("loss", "fall", STEP2),), "mean")
    assert [rival_moments(run, rival, share=share).count for share in (0.6, 0.3)] == [1, 2]


def test_grids_lie_where_they_are_said_to_lie():
    run, rng = made(), np.random.default_rng(0)
    assert list(STEPS[grid("uniform", run, k=3, rng=rng).index]) == pytest.approx([505, 1505, 2505], abs=6)
    middle = STEPS[grid("log_uniform", run, k=1, rng=rng).index[0]]
    assert middle == pytest.approx((STEPS[9] * STEPS[-1]) ** 0.5, abs=5)
    with pytest.raises(InputError, match="log_uniform"):
        grid("square", run, k=3, rng=rng)


def test_training_gives_losses_and_norms_for_nothing_and_the_probe_costs_a_pass():
    assert price("layer_update_norm") == price("loss") == 0 and price("mean_p") == price("cka_change_4") == 1
    assert {rival.name: rival.price for rival in pilots()}["first_score"] == 1.0


def noise_runs(bed, oracle, rng):
    """Runs in which every signal is noise, but for the scalar `oracle`, which moves at the events."""
    runs = []
    for seed, events in enumerate([(700, 1900), (1100, 2300), (500, 1400, 2500)]):
        scalars = {n: np.exp(rng.normal(size=300) / 50) for n in ("loss", "main_loss", "gradient_norm", "weight_norm")}
        scalars[oracle] = scalars[oracle] * np.exp(-rise(*events))
        truth = known([Event(f"e{t}", "any", t - 20, t, t + 20) for t in events], STEPS)
        runs.append(TrialRun(Trial(bed, seed), made(scalars=scalars), truth, Path()))
    return runs


def test_development_finds_the_signal_that_knows_for_each_kind_of_events(monkeypatch):
    forms = {k: v for k, v in candidates().items() if k in ("loss", "main_loss", "gradient_norm", "weight_norm")}
    monkeypatch.setattr(choosing, "candidates", lambda: forms)
    monkeypatch.setattr(choosing, "_JOINING", tuple(forms))
    monkeypatch.setattr(choosing, "NAMES", tuple(forms))
    monkeypatch.setattr(choosing, "pilots", tuple)
    rng = np.random.default_rng(4)
    made_choice = choose([*noise_runs("v_layer", "weight_norm", rng), *noise_runs("switch", "main_loss", rng)])
    assert made_choice.best == {"behaviour": "weight_norm", "hidden": "main_loss"}
    assert made_choice.recall["join"] >= made_choice.recall["weight_norm"] > 0.5
    assert made_choice.seeds == (0, 1, 2) and set(PRIMARY) >= {"v_layer", "switch"}


def test_a_frozen_choice_comes_back_and_a_changed_one_is_refused(tmp_path):
    part = Part("cka_change_4", "level", Kernel("step", 1.0), "both", "max")
    rivals = {"m": Rival("m", (part, Part("loss", "speed", Kernel("log", 0.1))), "log")}
    made_choice = Choice(
        rivals, {"m": 0.4}, {"cka_change_4": part}, {"behaviour": "m", "hidden": "m"}, (0, 1), {"m": 0.5}
    )
    digest = freeze(made_choice, tmp_path / "frozen.json")
    assert frozen(tmp_path / "frozen.json") == made_choice and len(digest) == 64
    content = json.loads((tmp_path / "frozen.json").read_text())
    content["choice"]["rivals"]["m"]["parts"][0]["kernel"]["width"] = 2.0
    (tmp_path / "frozen.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match="changed after it was frozen"):
        frozen(tmp_path / "frozen.json")
    with pytest.raises(StoreError, match="not a frozen choice"):
        frozen(tmp_path / "nothing.json")
