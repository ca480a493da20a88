"""The sentence of a transition of every kind, word for word, and what it says of controls."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_runs import STEPS, run

from geophone.point import targets as point_targets
from geophone.point.controls import Span
from geophone.point.find import Listing
from geophone.point.inside import layer_score, shock_score
from geophone.point.kernels import Kernel, operators
from geophone.point.learned import behaviour_score
from geophone.point.rule import frozen_rule
from geophone.point.signals import Behaviour, RunSignals
from geophone.point.targets import activity_of, places
from geophone.point.words import sentence
from geophone.records import LayerShare, Move, Shared, Transition

NAN = float("nan")
SAMPLES = pd.DataFrame(
    {"sample": [2, 0, 1], "before": [0.2, 0.4, 0.5], "after": [0.8, 0.6, 0.5], "change": [0.6, 0.2, 0]}
)
THERE = Transition(
    run="a", kind="learned", start=20, peak=30, end=50, index=5, score=0.25, size=12.34, strength=3.0, share=0.5,
    listed=True, signals=("behaviour",), samples=SAMPLES, own=2,
)  # fmt: skip
BARE = RunSignals("a", np.arange(5.0, 105, 5))
WHEN = "between steps 20 and 50, fastest at 30"
ROSE = "learned: the probability of the right answer of 2 of 3 samples rose from 0.30 to 0.70"
MOST = "moved most (0.70 of what all layers did)"
END = "12.3 times the run's own noise; score 0.250."


@pytest.mark.parametrize(
    "changes, said",
    [
        ({}, f"{ROSE} {WHEN}; {END}"),
        ({"size": NAN}, f"{ROSE} {WHEN}; score 0.250."),
        (
            {"kind": "concept", "concept": "colour", "own": 0},
            f"colour became readable between steps 20 and 50, half of it by 30; {END}",
        ),
        ({"kind": "shock", "signals": ("gradient_norm",)}, f"shock: gradient norm jumped up {WHEN}; {END}"),
        ({"kind": "hidden", "signals": ("readable_gain", "update_norm")},
         f"hidden: readable gain and update norm rose apart from what the outputs did {WHEN}; {END}"),
        ({"kind": "transient"}, f"the initial transient {WHEN}; {END}"),
        ({"own": 0}, f"learned: the outputs moved {WHEN}; {END}"),
        ({"kind": "lost", "own": 0}, f"lost: the outputs collapsed {WHEN}; {END}"),
        ({"kind": "lost", "samples": SAMPLES.rename(columns={"before": "after", "after": "before"})},
         f"lost: the probability of the right answer of 2 of 3 samples fell from 0.70 to 0.30 {WHEN}; {END}"),
        ({"shared": Shared("of label 3", 0.5, 0.25), "own": 0},
         f"learned: the outputs moved {WHEN}; 50 % of them of label 3 (25 % of the others); {END}"),
        ({"own": 0, "layers": (LayerShare("x", 30, 0.3), LayerShare("y", 35, 0.7)),
          "dimensions": (Move("rankme", "y", 2.0, 3.456), Move("stable_rank", "y", 1.0, 1.0))},
         f"learned: the outputs moved {WHEN}; {END[:-14]}; y {MOST}, in the order x, y; "
         "rankme of y went from 2 to 3.46; score 0.250."),
        ({"own": 0, "layers": (LayerShare("x", 30, 1.0),)},
         f"learned: the outputs moved {WHEN}; {END[:-14]}; x moved most (1.00 of what all layers did); score 0.250."),
    ],
)  # fmt: skip
def test_what_happened_is_said_word_for_word(changes, said):
    assert sentence(replace(THERE, **changes), BARE) == said


def test_an_error_is_called_one_and_a_loss_is_read_at_start_and_end():
    signals = replace(
        BARE, behaviour=Behaviour(np.zeros((20, 3)), falling=True), scalars={"loss": 2 - np.arange(20) / 10.0}
    )
    said = sentence(replace(THERE, samples=SAMPLES.rename(columns={"before": "after", "after": "before"})), signals)
    assert said.startswith("learned: the error of 2 of 3 samples fell from 0.70 to 0.30 between")
    assert "; loss went from 1.7 to 1.1; score" in said  # steps 20 and 50 are measurements 3 and 9


def test_a_function_of_ones_own_is_called_behaviour_and_small_numbers_are_told_apart():
    signals = replace(BARE, behaviour=Behaviour(np.zeros((20, 3)), name="behaviour"))
    small = SAMPLES.assign(before=[0.005] * 3, after=[0.002] * 3)
    said = sentence(replace(THERE, samples=small), signals)
    assert said.startswith("learned: the behaviour of 2 of 3 samples fell from 0.005 to 0.002 between")
    large = sentence(replace(THERE, samples=SAMPLES.assign(before=[7175.66] * 3, after=[-1.0] * 3)), signals)
    assert "fell from 7.18e+03 to -1.00" in large


@pytest.mark.parametrize(
    "gaps, said",
    [
        ((3,), "loss, as far as it is finite, went from 1.6 to 1.1"),
        (range(3, 10), "loss is not known or not finite there"),
    ],
)
def test_a_loss_that_is_not_known_is_not_made_up(gaps, said):
    loss = 2 - np.arange(20) / 10.0
    loss[list(gaps)] = np.nan
    assert f"; {said}; score" in sentence(THERE, replace(BARE, scalars={"loss": loss}))


@pytest.mark.parametrize(
    "missing, said",
    [
        ((), ""),
        (("earlier",), "; no control before it: nowhere there is the run as quiet for as long."),
        (("later",), "; no control after it: nowhere there is the run as quiet for as long."),
        (("earlier", "later"), "; no control: nowhere else is the run as quiet for as long."),
    ],
)
def test_the_side_without_a_control_is_named(missing, said, monkeypatch):
    one = Span(10, 11, 12)
    given = tuple(None if side in missing else one for side in ("earlier", "later"))
    monkeypatch.setattr(point_targets, "controls", lambda *_: given)
    signals = replace(BARE, behaviour=Behaviour(np.random.default_rng(0).random((20, 3))))
    (place,) = places(signals, Listing((THERE,), {}))
    assert (place.earlier, place.later) == given
    assert place.reason == sentence(THERE, signals)[: -1 if said else None] + said


@pytest.mark.parametrize(
    "start, peak, end, window",
    [
        (20, 30, 50, (3, 5, 9)), (30, 30, 30, (4, 5, 6)), (5, 5, 5, (0, 0, 1)), (100, 100, 100, (18, 19, 19)),
        (30, 30, 50, (5, 5, 9)), (35, 30, 50, (5, 5, 9)), (20, 30, 25, (3, 5, 5)),
    ],
)  # fmt: skip
def test_a_window_holds_the_transition_and_more_than_one_measurement(start, peak, end, window):
    there = replace(THERE, start=start, peak=peak, end=end, index=int(np.flatnonzero(BARE.steps == peak)[0]))
    signals = replace(BARE, behaviour=Behaviour(np.random.default_rng(0).random((20, 3))))
    (place,) = places(signals, Listing((there,), {}))
    assert (place.window.before, place.window.middle, place.window.after) == window


def test_what_defines_a_target_is_what_its_controls_are_quiet_in():
    rule = frozen_rule()
    signals = run(learned=[(400, range(40))], hidden=[(900, 1)])
    slope = operators(STEPS, Kernel("step", 2.0)).slope
    learned = replace(THERE, index=79, samples=SAMPLES, own=2)
    own = activity_of(signals, learned, rule)
    course = np.abs(slope @ (operators(STEPS, Kernel("step", 2.0)).mean @ signals.behaviour.values)[:, :40].mean(1))
    np.testing.assert_allclose(own, course, rtol=1e-9, atol=1e-12)
    for kind, marks, wanted in (
        ("shock", ("loss",), shock_score(signals)),
        ("hidden", ("readable_gain",), layer_score(signals, rule.hidden)),
        ("hidden", tuple(part.signal for part in rule.faded), layer_score(signals, rule.faded)),
        ("transient", ("behaviour",), behaviour_score(signals, rule)),
    ):
        np.testing.assert_allclose(activity_of(signals, replace(THERE, kind=kind, signals=marks), rule), wanted)
    changes = np.log(np.stack([signals.centred("cka_change_1")[:, c] for c in range(4)], axis=1))
    levels = np.exp(operators(STEPS, Kernel("step", 0.5)).mean @ changes).mean(1)
    first = replace(THERE, kind="transient", signals=("cka_change_1",))
    np.testing.assert_allclose(activity_of(signals, first, rule), levels)
    told = np.column_stack([np.linspace(0, 1, 300) ** 2 for _ in range(4)])
    concept = replace(THERE, kind="concept", concept="colour", layers=(LayerShare("blocks.2", 30, 1.0),))
    known = replace(signals, concepts={"colour": told}, chances={"colour": told * 0})
    np.testing.assert_allclose(activity_of(known, concept, rule), np.abs(slope @ told[:, 2]))
    assert (activity_of(BARE, replace(THERE, kind="shock"), rule) == 0).all()


@pytest.mark.parametrize(
    "low, high, falling, said",
    [
        (0.5, 0.5, False, "while mean behaviour did not move"),
        (0.5, 0.505, False, "while mean behaviour did not move"),
        (0.5, 0.75, False, "apart from what was learned or lost (mean behaviour went from 0.5 to 0.75)"),
        (2.0, 1.5, True, "apart from what was learned or lost (mean behaviour went from 2 to 1.5)"),
        (0.5, None, False, "apart from what was learned or lost (mean behaviour went between 0.2 and 0.5)"),
    ],
)
def test_what_is_hidden_says_what_behaviour_did_meanwhile(low, high, falling, said):
    """Its range over the run is 1; a fiftieth of that is no movement."""
    steps = np.arange(5.0, 105, 5)
    dip, high = (0.2, low) if high is None else ((low + high) / 2, high)
    course = np.where(steps <= 20, low, np.where(steps < 50, dip, high))
    course[0], course[-1] = low - 0.5, low + 0.5
    signals = RunSignals("a", steps, behaviour=Behaviour(np.repeat(course[:, None], 3, axis=1), falling))
    hidden = replace(THERE, kind="hidden", signals=("readable_gain",))
    assert sentence(hidden, signals).startswith(f"hidden: readable gain rose {said} {WHEN}")
    unknown = replace(signals, behaviour=Behaviour(np.full((len(steps), 3), np.nan)))
    assert "hidden: readable gain rose while behaviour was not finite" in sentence(hidden, unknown)
