"""Scores on series whose truth is known, and blind to the future where they are to be; frozen choices stay frozen."""

import json
from dataclasses import replace

import numpy as np
import pytest

from geophone.errors import InputError, StoreError
from geophone.prove import choice as choosing
from geophone.prove.choice import Choice, choose, freeze, frozen
from geophone.prove.events import Event
from geophone.prove.scores import Method, Part, grid, moments, part_score
from geophone.prove.signals import DIMENSIONS, RIVALS, TURNS, Signal, Signals, _centred, _since_last
from geophone.prove.targeting import truth

STEPS = np.arange(1, 301) * 10.0
LAYERS = ("a", "b")


def made(signals, *, events=(), bed="parity", seed=0):
    known = truth([Event(f"e{t}", "any", t - 20, t, t + 20) for t in events], STEPS)
    found = {name: Signal(np.asarray(y), LAYERS if np.shape(y)[1] == 2 else ("any",)) for name, y in signals.items()}
    return Signals("run", bed, seed, STEPS, LAYERS, found, known, known, (1500,))


def rise(*places, height=0.5, scale=15.0):
    return sum(height / (1 + np.exp(-(STEPS - t) / scale)) for t in places)[:, None]


@pytest.mark.parametrize(("axis", "width"), [("step", 2.0), ("log", 0.1)])
def test_a_rise_scores_highest_at_its_middle(axis, width):
    run = made({"weight_norm": rise(1200, scale=40)})
    score = part_score(run, Part("weight_norm", axis, width, False))
    assert score.max() == 1.0 and STEPS[score[:, 0].argmax()] == pytest.approx(1200, abs=20)


def test_a_straight_line_has_its_slope_everywhere_and_a_norm_its_level():
    line = made({"stable_rank": np.stack([STEPS, -2 * STEPS], 1), "update_norm": np.full((300, 1), 3.0)})
    assert part_score(line, Part("stable_rank", "step", 4.0, False)) == pytest.approx(np.ones((300, 2)), rel=1e-9)
    assert part_score(line, Part("update_norm", "log", 0.1, True)) == pytest.approx(np.ones((300, 1)), rel=1e-9)


@pytest.mark.parametrize("signal", ["weight_norm", "turn4", "gradient_norm"])
def test_the_causal_score_does_not_see_the_future(signal):
    y = np.random.default_rng(0).normal(size=(300, 1)).cumsum(0) / 10
    other = y.copy()
    other[200:] += 5.0
    late = TURNS.get(signal, 0) // 2  # what is between two measurements is stored at their middle
    part = Part(signal, "step", 2.0, True)
    one, two = (part_score(made({signal: z}), part, causal=True) for z in (y, other))
    assert (one[: 200 + late] == two[: 200 + late]).all() and (one[205:] != two[205:]).any()
    offline = [part_score(made({signal: z}), part) for z in (y, other)]
    assert (offline[0][:200] != offline[1][:200]).any()


def test_a_joined_logarithm_wants_all_parts_and_a_mean_is_content_with_one():
    shared = rise(2200, height=0.2)
    run = made({"weight_norm": rise(800) + shared, "probe_loss": rise(1500) + shared})
    parts = tuple(Part(name, "step", 2.0, False) for name in ("weight_norm", "probe_loss"))
    first = {join: STEPS[moments(run, Method("m", parts, join)).index[0]] for join in ("mean", "log")}
    assert first["log"] == pytest.approx(2200, abs=20) and first["mean"] != first["log"]


def test_the_layer_that_moves_speaks():
    run = made({"participation_ratio": np.concatenate([rise(900), rise(2100)], 1), "loss": rise(900, 2100)})
    parts = (Part("participation_ratio", "step", 2.0, False), Part("loss", "step", 2.0, False))
    found = moments(run, Method("m", parts))
    named = {round(STEPS[i], -2): layer for i, layer in zip(found.index[:2], found.layer[:2], strict=True)}
    assert named == {900: "a", 2100: "b"}
    assert set(moments(run, Method("m", parts[1:])).layer) == {"any"}


def test_grids_lie_where_they_are_said_to_lie():
    run = made({})
    assert list(STEPS[grid("uniform", run, k=3, apart=11, rng=None).index]) == pytest.approx([505, 1505, 2505], abs=6)
    middle = STEPS[grid("log_uniform", run, k=1, apart=11, rng=None).index[0]]
    assert middle == pytest.approx((STEPS[9] * STEPS[-1]) ** 0.5, abs=5)
    with pytest.raises(InputError, match="log_uniform"):
        grid("square", run, k=3, apart=11, rng=None)


def test_turns_are_put_at_their_middle_and_the_loss_is_averaged_since_the_last_measurement():
    assert _centred(np.arange(6.0)[:, None], 4)[:, 0] == pytest.approx([2, 3, 4, 5, np.nan, np.nan], nan_ok=True)
    assert _centred(np.arange(3.0)[:, None], 1)[:, 0] == pytest.approx([0, 1, 2])
    assert _since_last(np.arange(1.0, 7), np.arange(1, 7), np.array([2.0, 3, 6])) == pytest.approx([1.5, 3, 5])


def noise_runs(oracle):
    """Runs in which every signal is noise, but for `oracle`, which rises at the events."""
    rng, runs = np.random.default_rng(4), []
    for seed, events in enumerate([(700, 1900), (1100, 2300), (500, 1400, 2500)]):
        signals = {name: rng.normal(size=(300, 2)) / 50 for name in (*DIMENSIONS, *RIVALS)}
        signals[oracle] = signals[oracle] + rise(*events)
        runs.append(made(signals, events=events, seed=seed))
    return runs


def test_development_finds_the_signal_that_knows(monkeypatch):
    monkeypatch.setattr(choosing, "MOST_PARTS", 1)
    found = choose(noise_runs("nuclear_rank"))
    assert [p.signal for p in found.methods["geophone"].parts] == ["nuclear_rank"]
    assert found.recall["geophone"] == found.recall["dimensions_only"] == 1.0
    assert found.recall[found.best_rival] < 0.7 and found.seeds == (0, 1, 2)
    found = choose(noise_runs("weight_norm"))
    assert found.best_rival == "weight_norm" and found.recall["geophone"] < 0.7


def test_a_frozen_choice_comes_back_and_a_changed_one_is_refused(tmp_path):
    part = Part("turn4", "step", 1.0, True)
    made_ = Choice({"m": Method("m", (part, replace(part, signal="loss")), "log")}, "turn4", (0, 1), {"m": 0.5})
    digest = freeze(made_, tmp_path / "frozen.json")
    assert frozen(tmp_path / "frozen.json") == made_ and len(digest) == 64
    content = json.loads((tmp_path / "frozen.json").read_text())
    content["choice"]["methods"]["m"]["parts"][0]["width"] = 2.0
    (tmp_path / "frozen.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match="changed after it was frozen"):
        frozen(tmp_path / "frozen.json")
    with pytest.raises(StoreError, match="not a frozen choice"):
        frozen(tmp_path / "nothing.json")


def test_unusable_methods_are_refused():
    with pytest.raises(InputError, match="join"):
        Method("m", (Part("loss", "step", 1.0, False),), "median")
    with pytest.raises(InputError, match="no signal 'loss'"):
        part_score(made({"turn1": rise(900)}), Part("loss", "step", 1.0, False))
