"""Transitions of runs in which they are planted, and of runs in which there are none."""

import json
from dataclasses import replace

import numpy as np
import pytest
from planted_runs import STEPS, bump, rise, run

from geophone.errors import StoreError
from geophone.point import rule
from geophone.point.find import transitions
from geophone.point.signals import Behaviour, RunSignals

A, B, C = range(40), range(40, 80), range(80, 120)


def found(signals, **how):
    return transitions(signals, rng=np.random.default_rng(0), **how)


def listed(signals, *kinds):
    return [t for t in found(signals).of(*kinds) if t.listed]


def test_what_was_learned_is_found_with_its_samples_and_its_layer():
    signals = run(learned=[(300, A), (700, B), (1200, C)])
    transitions_ = listed(signals, "learned")
    assert len(transitions_) == 3
    for t in transitions_:
        k = int(np.argmin([abs(t.peak - at) for at in (300, 700, 1200)]))
        own = (A, B, C)[k]
        assert abs(t.peak - (300, 700, 1200)[k]) <= 10 and t.start < t.peak < t.end
        assert t.own == 40 and set(t.samples["sample"].head(40)) == set(own)
        assert t.samples["before"].head(40).mean() == pytest.approx(0.1, abs=0.1)
        assert t.samples["after"].head(40).mean() == pytest.approx(0.9, abs=0.1)
        assert t.named.layer == f"blocks.{k}" and t.size > 10 and t.strength > 1
        assert t.dimensions[0].layer == t.named.layer and t.dimensions[0].after > t.dimensions[0].before
    assert listed(signals, "lost") == [] and listed(signals, "shock") == []


def test_start_and_end_are_a_tenth_and_nine_tenths_of_the_rise():
    (t,) = listed(run(learned=[(600, A)]), "learned")
    width = 15.0
    assert t.start == pytest.approx(600 - np.log(9) * width, abs=12)
    assert t.end == pytest.approx(600 + np.log(9) * width, abs=12)


def test_what_was_lost_is_its_own_kind():
    signals = run(learned=[(300, A)], lost=[(900, B)])
    (t,) = listed(signals, "lost")
    assert abs(t.peak - 900) <= 10 and set(t.samples["sample"].head(t.own)) == set(B)
    assert t.samples["change"].head(t.own).max() < -0.5
    assert [abs(t.peak - 300) <= 10 for t in listed(signals, "learned")] == [True]


def test_an_error_that_falls_is_learning():
    signals = run(learned=[(600, A)])
    turned = replace(signals, behaviour=Behaviour(1 - signals.behaviour.values, falling=True))
    (t,) = listed(turned, "learned")
    assert abs(t.peak - 600) <= 10 and t.samples["change"].head(40).max() < -0.5


def test_a_change_inside_that_behaviour_does_not_show_is_hidden_and_names_its_layer():
    signals = run(learned=[(300, A)], hidden=[(900, 2)])
    (t,) = listed(signals, "hidden")
    assert abs(t.peak - 900) <= 20 and t.named.layer == "blocks.2" and t.size > 3


def test_a_jump_of_the_loss_is_a_shock():
    (t,) = listed(run(learned=[(300, A)], shocks=[800]), "shock")
    assert abs(t.peak - 800) <= 10 and t.signals == ("loss",)


def test_a_fall_of_behaviour_does_not_hide_the_shock_that_made_it():
    signals = run(learned=[(300, A)], lost=[(800, B)], shocks=[800])
    (t,), (fall,) = listed(signals, "shock"), listed(signals, "lost")
    assert abs(t.peak - 800) <= 10 and fall.start <= t.peak <= fall.end
    assert listed(run(learned=[(300, A), (800, B)], shocks=[800]), "shock") == []  # what is learned explains it


def test_a_loss_below_0_is_read_as_it_is():
    """In logarithms the part above 0 alone would be read, and the rest be a straight line without any noise."""
    signals = run(learned=[(300, A)], shocks=[800])
    loss = signals.scalars["loss"] - 1.9  # above 0 at the beginning and at the shock
    (t,) = listed(replace(signals, scalars={"loss": loss}), "shock")
    assert abs(t.peak - 800) <= 10
    calm = run(learned=[(300, A)]).scalars["loss"] - 1.9
    assert listed(replace(signals, scalars={"loss": calm}), "shock") == []


@pytest.mark.parametrize("alike, kind", [(0.95, "lost"), (0.4, "learned"), (0.05, "learned")])
@pytest.mark.parametrize("rises", [-1.0, 1.0])
def test_without_behaviour_outputs_that_collapse_are_lost_whatever_the_loss_does(alike, kind, rises):
    signals = run(learned=[(700, A)], outputs=True)
    share = 0.1 + (alike - 0.1) * rise(STEPS, 700, 15)  # of the last layer; the others stay as they are
    series = {"mean_fraction": np.column_stack([*np.full((3, len(STEPS)), 0.1), share])}
    noise = np.random.default_rng(0).normal(size=len(STEPS))
    loss = (2 + rises * rise(STEPS, 700, 60)) * np.exp(0.2 * noise)  # too slow for a shock
    (t,) = listed(replace(signals, series=signals.series | series, scalars={"loss": loss}), "learned", "lost")
    assert t.kind == kind and abs(t.peak - 700) <= 20


def test_without_behaviour_outputs_that_move_while_the_loss_jumps_are_a_shock_s_doing():
    assert [t.kind for t in listed(run(learned=[(700, A)], outputs=True), "learned", "lost", "shock")] == ["learned"]
    (t,) = listed(run(learned=[(700, A)], shocks=[700], outputs=True), "learned", "lost", "shock")
    assert t.kind == "shock" and abs(t.peak - 700) <= 10


def test_the_initial_transient_is_one_transition_listed_apart_and_last():
    listing = found(run(learned=[(300, A), (700, B)])).transitions
    assert [t.kind for t in listing].count("transient") == 1 and listing[-1].kind == "transient"
    assert listing[-1].start == STEPS[0] and listing[-1].end <= 50
    assert all(t.index >= 5 for t in listing[:-1])


def test_layers_stand_in_the_order_in_which_they_moved():
    signals = run(learned=[(600, A)], layers=4)
    change = run(layers=4).series["layer_update_norm"].copy()  # without the bump of the layer that learns
    for k, at in enumerate((640, 620, 600, 580)):  # the last block first
        change[:, k] += 2 * bump(STEPS, at, 10)
    signals = replace(signals, series={"layer_update_norm": change})
    (t,) = listed(signals, "learned")
    assert [layer.layer for layer in t.layers] == ["blocks.3", "blocks.2", "blocks.1", "blocks.0"]
    assert [layer.peak for layer in t.layers] == sorted(layer.peak for layer in t.layers)
    assert sum(layer.share for layer in t.layers) == pytest.approx(1)


@pytest.mark.parametrize("steps", [STEPS[::2], np.unique(np.round(np.geomspace(1, 1e5, 200)))], ids=["even", "log"])
def test_noise_alone_is_seldom_a_transition(steps):
    listings = [transitions(run(seed=s, steps=steps), rng=np.random.default_rng(s)) for s in range(30)]
    for kinds in (("learned", "lost"), ("hidden",)):
        alarms = [any(t.listed for t in listing.of(*kinds)) for listing in listings]
        assert np.mean(alarms) <= 0.2  # one run of twenty by each null, and what 30 runs leave to chance


def test_the_null_says_how_many_it_would_list():
    yields = found(run(learned=[(600, A)])).yields
    assert set(yields) == {"learned", "lost", "hidden", "shock"} and all(0 <= v < 0.5 for v in yields.values())


def test_log_spaced_checkpoints_are_ranked_as_they_are():
    steps = np.unique(np.round(np.geomspace(1, 143000, 150)))
    rng = np.random.default_rng(3)
    values = np.full((len(steps), 60), 0.1)
    logs = np.log(steps)
    for at, samples in ((100, range(30)), (10000, range(30, 60))):
        values[:, samples] += 0.8 / (1 + np.exp(-(logs - np.log(at)) / 0.15))[:, None]
    signals = RunSignals("log", steps, behaviour=Behaviour(values + 0.005 * rng.normal(size=values.shape)))
    peaks = sorted(t.peak for t in listed(signals, "learned"))
    assert len(peaks) == 2 and abs(np.log(peaks[0] / 100)) < 0.3 and abs(np.log(peaks[1] / 10000)) < 0.3


def test_without_behaviour_the_outputs_movement_is_ranked():
    signals = run(learned=[(400, A), (1000, B)], outputs=True)
    peaks = sorted(t.peak for t in listed(signals, "learned"))
    assert len(peaks) == 2 and abs(peaks[0] - 400) <= 15 and abs(peaks[1] - 1000) <= 15
    assert all(t.own == 0 and t.samples.empty for t in found(signals).of("learned"))


def test_a_run_with_layers_alone_has_hidden_transitions_alone():
    signals = run(hidden=[(900, 1)])
    bare = RunSignals("bare", STEPS, signals.layers, series=signals.series)
    listing = found(bare)
    assert {t.kind for t in listing.transitions} == {"hidden", "transient"}
    assert [t.named.layer for t in listing.of("hidden") if t.listed] == ["blocks.1"]


def test_short_and_empty_runs_have_no_transitions():
    assert found(RunSignals("short", STEPS[:7], behaviour=Behaviour(np.zeros((7, 4))))).transitions == ()
    assert found(RunSignals("none", STEPS)).transitions == ()
    still = found(RunSignals("still", STEPS, behaviour=Behaviour(np.full((len(STEPS), 4), 0.5))))
    assert [t for t in still.transitions if t.listed and t.kind != "transient"] == []


def concept_run(onset, *, layers=3, noise=0.02, start=0.0):
    rng = np.random.default_rng(4)
    names = tuple(f"blocks.{i}" for i in range(layers))
    values = 0.5 + noise * rng.normal(size=(len(STEPS), layers))
    for layer in range(1, layers):
        values[:, layer] += 0.45 * np.maximum(rise(STEPS, onset + 60 * (layer - 1), 12), start)
    chances = 0.5 + noise * rng.normal(size=values.shape)
    return RunSignals("c", STEPS, names, concepts={"is_even": values}, chances={"is_even": chances})


def test_a_concept_has_an_onset_in_the_first_layer_that_tells_it():
    (t,) = found(concept_run(700)).of("concept")
    assert t.concept == "is_even" and abs(t.peak - 700) <= 10 and t.start < 690 and t.end > 710
    assert [layer.layer for layer in t.layers] == ["blocks.1", "blocks.2"]
    assert abs(t.layers[1].peak - 760) <= 10


def test_a_concept_that_is_there_from_the_start_or_never_has_no_onset():
    assert found(concept_run(700, start=0.95)).of("concept") == ()
    assert found(concept_run(99999)).of("concept") == ()


def test_the_frozen_rule_is_found_from_any_folder_and_guards_its_digest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rule.frozen_rule.cache_clear()
    chosen = rule.frozen_rule()
    assert chosen.digest and chosen.behaviour and chosen.hidden and chosen.where and max(chosen.seeds) < 8000
    document = json.loads(rule.files("geophone.point").joinpath("frozen.json").read_text())
    broken = tmp_path / "frozen.json"
    broken.write_text(json.dumps({**document, "share": 0.5}))
    monkeypatch.setattr(rule, "files", lambda _: tmp_path)
    rule.frozen_rule.cache_clear()
    with pytest.raises(StoreError, match="digest"):
        rule.frozen_rule()
    monkeypatch.undo()
    rule.frozen_rule.cache_clear()


@pytest.mark.parametrize("seed", range(4))
def test_a_jump_between_two_of_forty_checkpoints_is_found_there_first(seed):
    steps = np.unique(np.round(np.geomspace(1, 3000, 40)))
    after = int(np.searchsorted(steps, 1500))
    noise = run(steps=steps, seed=seed)
    values = noise.behaviour.values.copy()
    values[after:, :40] += 0.8
    first = listed(replace(noise, behaviour=Behaviour(values)), "learned")[0]
    assert first.peak in steps[after - 1 : after + 1]
    assert steps[after - 2] <= first.start < steps[after] <= first.end <= steps[after + 1]
    assert set(first.samples["sample"].head(first.own)) == set(A)
    assert first.samples["before"].head(40).mean() == pytest.approx(0.1, abs=0.05)
    assert first.samples["after"].head(40).mean() == pytest.approx(0.9, abs=0.05)


def test_a_layer_that_never_moves_takes_no_part_and_is_no_trouble():
    signals = run(learned=[(300, A)])
    still = {name: np.where(np.arange(4) == 2, 0.0, values) for name, values in signals.series.items()}
    with np.errstate(divide="raise", invalid="raise"):
        (t,) = listed(replace(signals, series=still), "learned")
    assert t.named.layer == "blocks.0" and "blocks.2" not in [each.layer for each in t.layers]


@pytest.mark.parametrize("course", ["white", "quieter at first", "a steady fall at first", "a learning curve"])
def test_a_noisy_loss_without_a_jump_has_hardly_any_shock(course):
    """Where it falls steadily at first it is quieter than later, and a running median takes all of it for its course:
    its noise there is not that of the whole run. One run of twenty may have one."""
    count = len(STEPS)
    places, found = np.arange(count), 0
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=count)
        log = {
            "white": 0.1 * noise,
            "quieter at first": np.where(places < count / 2, 0.02, 0.1) * noise,
            "a steady fall at first": np.where(places < count / 2, -0.0005 * places, -0.3 + 0.1 * noise),
            "a learning curve": np.log(2 * np.exp(-places / 40) + 0.3) + 0.05 * noise,
        }[course]
        found += len(listed(RunSignals("a", STEPS, scalars={"loss": np.exp(log)}), "shock"))
    assert found <= 3


def test_a_jump_is_found_in_the_noise_of_its_own_place():
    """Of ln loss by .5: 25 deviations of the quiet half, 2.5 of the loud one."""
    count = len(STEPS)
    quiet, loud, places = 0, 0, np.arange(count)
    for seed in range(10):
        noise = np.where(places < count / 2, 0.02, 0.2) * np.random.default_rng(seed).normal(size=count)
        for at in (count // 4, 3 * count // 4):
            bump = 0.5 * ((places >= at) & (places < at + 6))
            shocks = listed(RunSignals("a", STEPS, scalars={"loss": np.exp(noise + bump)}), "shock")
            hit = any(abs(t.index - at) <= 2 for t in shocks)
            quiet, loud = quiet + (hit and at < count / 2), loud + (hit and at > count / 2)
    assert quiet == 10 and loud < 10


def test_a_rise_that_the_run_begins_with_is_the_transients():
    signals = run(learned=[(700, A)], hidden=[(1100, 1)])
    gain = signals.series["readable_gain"].copy()
    gain[:12] += np.array([6, 7, 8, 8.5, 9, 9.5, 10, 10, 9, 7, 5, 2])[:, None]
    found = listed(replace(signals, series=signals.series | {"readable_gain": gain}), "hidden")
    assert [abs(t.peak - 1100) <= 30 for t in found] == [True]


def test_the_samples_that_are_counted_are_those_that_are_shown_and_described():
    signals = run(learned=[(600, A)], noise=0.05)
    (t,) = listed(signals, "learned")
    assert set(t.samples["sample"][: t.own]) == set(A)


def test_answers_that_drift_are_not_learned():
    """As many fall as rise: on labels that are drawn nothing can be learned, however smoothly the answers move."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(len(STEPS), 120)), axis=0)
    smooth = np.array([np.convolve(column, np.ones(15) / 15, "same") for column in walk.T]).T
    drift = smooth - smooth.mean(1, keepdims=True)
    signals = replace(run(), behaviour=Behaviour(0.25 + 0.002 * drift))
    assert not [t for t in found(signals).of("learned", "lost") if t.listed]


def test_nothing_moves_and_there_is_no_transient():
    signals = run()
    still = replace(signals, series={name: np.zeros_like(values) for name, values in signals.series.items()})
    assert not found(still).of("transient")


def test_what_is_learned_from_the_start_on_stands_behind_what_is_learned_later():
    (first, second) = listed(run(learned=[(45, range(100)), (700, range(100, 120))]), "learned")
    assert first.peak > 600 > second.peak


def test_a_layer_in_which_hardly_anything_happens_is_not_the_one():
    signals = run(learned=[(600, A)], layers=4)
    change = signals.series["layer_update_norm"].copy()
    change[:, 3] = 1e-4 * bump(STEPS, 600, 10)
    (t,) = listed(replace(signals, series=signals.series | {"layer_update_norm": change}), "learned")
    assert t.named.layer == "blocks.0"
