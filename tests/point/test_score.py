"""Windows, moments and the parts of the score on planted series, even and uneven."""

import numpy as np
import pytest

from geophone.errors import InputError
from geophone.point.kernels import Kernel, operators
from geophone.point.moments import least_apart, pick
from geophone.point.score import (
    concentration,
    contrast,
    fall,
    joined,
    layer_levels,
    mean_skill,
    output_components,
    output_speed,
    quanta,
    skill_components,
    speed,
    steepest,
    votes,
)
from geophone.point.signals import Behaviour, RunSignals, filled

EVEN = np.arange(5.0, 1005, 5)
LOG = np.unique(np.round(np.geomspace(1, 100000, 160)))
KERNEL = Kernel("step", 4.0)
PARTS = (mean_skill, votes, steepest, quanta, output_components, output_speed, concentration, skill_components)


def rise(steps, at, width=0.06):
    """A smooth rise from 0 to 1 around `at`, as wide on the log axis wherever it lies."""
    return 1 / (1 + np.exp(-(np.log(steps) - np.log(at)) / width))


def planted(steps, times=(60.0, 600.0), samples=40, noise=0.01, seed=0):
    """Half of the samples are learned at each of two times; the outputs are a rotation of the behaviour."""
    rng = np.random.default_rng(seed)
    curves = np.stack([rise(steps, at) for at in times], 1)
    values = np.repeat(curves, samples // 2, axis=1) * 0.9 + 0.05 + noise * rng.normal(size=(len(steps), samples))
    outputs = values @ rng.normal(size=(samples, 32)) / np.sqrt(samples)
    return RunSignals("planted", steps, behaviour=Behaviour(values), outputs=outputs)


def hits(score, steps, times):
    """Whether the first moments are those of `times`, within 4 measurements."""
    moments = pick(score, steps)[: len(times)]
    truth = [np.abs(steps - at).argmin() for at in times]
    return np.abs(np.sort(moments) - np.sort(truth)).max() <= 4


@pytest.mark.parametrize("steps", [EVEN, LOG], ids=["even", "log"])
@pytest.mark.parametrize(
    "part",
    [mean_skill, votes, steepest, quanta, output_components, output_speed, concentration],
    ids=lambda f: f.__name__,
)
def test_every_behaviour_score_points_at_both_skills(steps, part):
    kernel = KERNEL if part not in (output_components, output_speed) else Kernel("log", 0.05)
    times = (60.0, 600.0) if steps is EVEN else (60.0, 9000.0)
    assert hits(part(planted(steps, times), kernel), steps, times)


@pytest.mark.parametrize("axis", ["step", "log"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_straight_line_has_its_own_level_and_slope_everywhere(axis, causal):
    places = np.arange(len(LOG)) if axis == "step" else np.log(LOG)
    of = operators(LOG, Kernel(axis, 4.0 if axis == "step" else 0.5), causal=causal)
    line = 3 + 2 * places
    wide = slice(5, None)  # the first measurements of a causal window have no neighbours to take a slope of
    np.testing.assert_allclose((of.slope @ line)[wide], 2, rtol=1e-6)
    centre = of.mean @ places
    np.testing.assert_allclose(of.mean @ line, 3 + 2 * centre)


def test_a_causal_window_knows_nothing_of_what_comes():
    y = np.random.default_rng(0).normal(size=len(EVEN))
    of = operators(EVEN, KERNEL, causal=True)
    changed = y.copy()
    changed[120:] += 5
    np.testing.assert_array_equal((of.slope @ y)[:120], (of.slope @ changed)[:120])


def test_a_step_0_has_a_place_on_the_log_axis():
    of = operators(np.array([0.0, 1, 10, 100, 1000]), Kernel("log", 1.0))
    assert np.isfinite(of.mean).all() and np.isfinite(of.slope).all()


def test_moments_lie_apart_and_later_ones_further():
    steps = EVEN
    score = np.random.default_rng(1).random(len(steps))
    moments = pick(score, steps)
    for rank, i in enumerate(moments):
        for better in moments[:rank]:
            assert abs(i - better) >= 11 and abs(steps[i] - steps[better]) >= 0.1 * steps[better]


def test_moments_come_in_the_order_of_the_score_and_skip_gaps():
    score = np.zeros(200)
    score[[50, 100, 150]] = [1, 3, np.nan]
    assert pick(score, EVEN)[:2].tolist() == [100, 50]
    assert 150 not in pick(score, EVEN)
    assert len(pick(score, EVEN, peaks_only=True)) == 2


def test_a_short_run_of_checkpoints_still_has_several_moments():
    steps = np.geomspace(1, 1e5, 24)
    assert least_apart(24) == 3 and least_apart(400) == 11
    score = np.zeros(24)
    score[[6, 12, 18]] = [1, 3, 2]
    assert pick(score, steps)[:3].tolist() == [12, 18, 6]


def test_a_falling_error_is_learning_as_a_rising_probability_is():
    right = planted(EVEN)
    wrong = RunSignals("error", EVEN, behaviour=Behaviour(1 - right.behaviour.values, falling=True))
    np.testing.assert_allclose(mean_skill(wrong, KERNEL), mean_skill(right, KERNEL), atol=1e-12)


def test_scalars_are_read_as_speeds_and_one_sided_falls():
    steps = EVEN
    loss = 2 - rise(steps, 400) + 0.5 * rise(steps, 800)
    run = RunSignals("s", steps, scalars={"loss": loss, "weight_norm": np.exp(rise(steps, 200))})
    assert abs(steps[fall(run, "loss", KERNEL).argmax()] - 400) < 15
    assert fall(run, "loss", KERNEL)[np.abs(steps - 800).argmin()] == 0
    assert abs(steps[speed(run, "weight_norm", KERNEL).argmax()] - 200) < 15


def test_joins_are_high_only_where_all_parts_are_or_on_average():
    a, b = np.array([1.0, 0.0, 0.8]), np.array([0.0, 1.0, 0.8])
    assert joined([a, 5 * b]).argmax() == 2
    assert joined([a, b], "mean").tolist() == pytest.approx([0.5, 0.5, 0.8])
    with pytest.raises(InputError, match="joined by"):
        joined([a], "sum")


def test_a_change_is_put_at_the_middle_of_what_it_compares():
    steps, lag = EVEN[:60], 8
    moved_at = 30
    late = np.zeros((60, 1))
    late[moved_at : moved_at + lag] = 1.0  # every pair of measurements around the move differs
    run = RunSignals("c", steps, ("a",), series={"readable_change": late})
    middle = run.centred("readable_change")[:, 0]
    assert np.flatnonzero(middle).mean() == pytest.approx(moved_at - 0.5)


def test_the_first_measurements_have_changes_over_less_time():
    late = np.arange(40.0)[:, None]
    late[0] = np.nan
    middle = RunSignals("c", EVEN[:40], ("a",), series={"readable_gain": late}).centred("readable_gain")[:, 0]
    assert middle[:6].tolist() == [2, 2, 4, 6, 8, 9]  # compared over 2, 2, 4, 6, 8, 8 measurements
    assert middle[-4:].tolist() == [39] * 4


def test_contrast_finds_the_layer_that_moves_while_all_do():
    rng = np.random.default_rng(2)
    common = np.exp(rng.normal(size=(200, 1)))
    own = np.ones((200, 3))
    own[90:110, 1] = 3.0
    run = RunSignals("l", EVEN, ("a", "b", "c"), series={"layer_update_norm": common * own})
    levels = contrast(layer_levels(run, "layer_update_norm", Kernel("step", 2.0), range(3)))
    assert 90 <= levels[:, 1].argmax() <= 110 and levels[100].argmax() == 1


def test_gaps_are_bridged_and_bad_shapes_refused():
    assert filled([np.nan, 1, np.nan, 3, np.nan]).tolist() == [1, 1, 2, 3, 3]
    assert filled(np.full((3, 2), np.nan)).tolist() == [[0, 0]] * 3
    with pytest.raises(InputError, match="do not increase"):
        RunSignals("r", np.array([1.0, 1.0]))
    with pytest.raises(InputError, match="loss has shape"):
        RunSignals("r", EVEN, scalars={"loss": np.ones(3)})
    with pytest.raises(InputError, match="neither behaviour nor outputs"):
        mean_skill(RunSignals("r", EVEN), KERNEL)


def test_a_long_run_is_read_at_evenly_spaced_measurements():
    run = planted(np.arange(1.0, 3001))
    short = run.thinned(500)
    assert len(short) == 500 and short.steps[[0, -1]].tolist() == [1, 3000]
    assert short.behaviour.values.shape == (500, 40) and run.thinned(5000) is run
