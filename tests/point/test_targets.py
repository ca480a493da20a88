"""Targets: controls that are controls, and sentences that say what the series says."""

from dataclasses import replace

import numpy as np
import pytest
from planted_runs import STEPS, bump, run

from geophone.point.controls import Span, controls
from geophone.point.find import transitions
from geophone.point.kernels import log_steps
from geophone.point.rule import frozen_rule
from geophone.point.signals import Behaviour
from geophone.point.targets import NO_CONTROL, activity_of, places

A, B = range(40), range(40, 80)


def placed(signals):
    listing = transitions(signals, rng=np.random.default_rng(0))
    return [p for p in places(signals, listing) if p.transition.listed]


@pytest.mark.parametrize("seed", range(4))
def test_no_control_moves_more_than_its_target_or_holds_a_transition(seed):
    signals = run(learned=[(400, A), (900, B)], hidden=[(1200, 1)], shocks=[650], seed=seed)
    there = placed(signals)
    assert {p.transition.kind for p in there} >= {"learned", "hidden", "shock"}
    assert any(p.earlier or p.later for p in there)
    for place in there:
        activity = activity_of(signals, place.transition, frozen_rule())
        own = activity[place.window.before : place.window.after + 1].mean()
        for control in filter(None, (place.earlier, place.later)):
            inside = activity[control.before : control.after + 1].mean()
            assert inside < own
            lengths = [log_steps(STEPS)[w.after] - log_steps(STEPS)[w.before] for w in (place.window, control)]
            assert lengths[1] == pytest.approx(lengths[0], rel=0.35)
            for other in there:
                assert control.after < other.window.before or control.before > other.window.after


def test_controls_are_the_nearest_quiet_windows_on_both_sides():
    activity = np.full(300, 0.1) + 0.001 * np.arange(300) % 0.01
    activity[100:110] = 5
    activity[112:130] = 2  # too busy, though nothing is listed there
    earlier, later = controls(STEPS, Span(100, 105, 109), activity, [(60, 99)])
    assert earlier.after < 60 and later.before >= 112
    assert activity[later.before : later.after + 1].max() < 1


def test_a_run_that_is_nowhere_quiet_has_no_control_and_says_so():
    activity = np.ones(300)
    assert controls(STEPS, Span(100, 105, 110), activity, []) == (None, None)
    signals = run(learned=[(400, A)])
    listing = transitions(signals, rng=np.random.default_rng(0))
    everywhere = [t for t in listing.transitions if t.listed]
    crowded = replace(listing, transitions=(*everywhere, replace(everywhere[0], start=5, end=1500, index=100)))
    assert all(NO_CONTROL in p.reason for p in places(signals, crowded))


def test_the_sentence_has_the_sign_and_the_numbers_of_the_series():
    (place,) = [p for p in placed(run(learned=[(600, A)])) if p.transition.kind == "learned"]
    t = place.transition
    own = t.samples.head(t.own)
    assert f"{t.own} of 120 samples rose from {own['before'].mean():.2f} to {own['after'].mean():.2f}" in place.reason
    assert f"between steps {t.start} and {t.end}" in place.reason and f"score {t.score:.3f}" in place.reason
    assert t.named.layer in place.reason and "loss went from 1.9" in place.reason


def test_a_loss_says_that_it_fell():
    (place,) = [p for p in placed(run(learned=[(300, A)], lost=[(900, B)])) if p.transition.kind == "lost"]
    assert place.reason.startswith("lost: ") and " fell from 0.8" in place.reason


def test_windows_follow_the_transition():
    for place in placed(run(learned=[(400, A)], shocks=[900])):
        t, window = place.transition, place.window
        assert STEPS[window.middle] == t.peak and window.before < window.after
        assert STEPS[window.before] <= t.start <= t.end <= STEPS[window.after] or t.start == t.end


def test_the_middle_of_a_control_lies_where_its_targets_does():
    activity = 0.1 + 0.01 * bump(STEPS, 700, 200) + bump(STEPS, 500, 20)
    target = Span(90, 92, 110)
    _, later = controls(STEPS, target, activity, [(60, 140)])
    places_ = log_steps(STEPS)
    part = (places_[later.middle] - places_[later.before]) / (places_[later.after] - places_[later.before])
    assert part == pytest.approx((places_[92] - places_[90]) / (places_[110] - places_[90]), abs=0.15)


@pytest.mark.parametrize("early, late, says", [(0.8, 0.1, "it holds 0.89 of what"), (0.1, 0.8, "")])
def test_a_transient_that_holds_what_was_learned_says_so(early, late, says):
    course = early * (STEPS >= 15) + late * (STEPS >= 900)  # the transient is that of the layers, over by step 30
    values = 0.05 + np.tile(course[:, None], (1, 120))
    signals = replace(run(), behaviour=Behaviour(values))
    (place,) = [p for p in placed(signals) if p.transition.kind == "transient"]
    assert (says in place.reason) if says else ("it holds" not in place.reason)


def test_a_transition_is_written_in_one_line():
    (place,) = [p for p in placed(run(learned=[(400, A)])) if p.transition.kind == "learned"]
    found = place.transition
    assert str(found).startswith(f"<Transition learned of planted: steps {found.start} to {found.end}, fastest at ")
    assert str(found).endswith(f"; {found.own} of 120 samples>")
