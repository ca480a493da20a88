"""Alarms of the causal form on planted runs: after the change, soon, of the right kind, and seldom otherwise."""

import numpy as np
from planted_runs import STEPS, run

from geophone.point.causal import DEAF, CausalRanker
from geophone.point.heard import grouped, heard


def test_what_is_learned_and_lost_is_heard_soon_after_it_began():
    alarms = heard(run(learned=[(400, range(40)), (1000, range(40, 80))], lost=[(700, range(80, 120))]))
    kinds = [(alarm.kind, STEPS[t]) for t, alarm in alarms if alarm.kind != "hidden"]
    for kind, at in (("learned", 400), ("lost", 700), ("learned", 1000)):
        assert any(k == kind and at - 60 <= step <= at + 60 for k, step in kinds), (kind, at, kinds)
    assert all(min(abs(step - at) for at in (400, 700, 1000)) <= 90 for _, step in kinds)


def test_a_hidden_change_is_heard_with_its_layer():
    alarms = heard(run(hidden=[(900, 2)]))
    assert [alarm.layer for t, alarm in alarms if alarm.kind == "hidden" and abs(STEPS[t] - 900) < 90] == ["blocks.2"]


def test_noise_is_seldom_heard_and_the_first_measurements_never():
    counts = []
    for seed in range(20):
        alarms = heard(run(seed=seed))
        assert all(t >= DEAF - 1 for t, _ in alarms)
        counts.append(len(alarms))
    assert np.mean([count > 0 for count in counts]) <= 0.15


def test_it_knows_the_past_alone():
    signals = run(learned=[(400, range(40))])
    other = run(learned=[(400, range(40)), (1200, range(40, 80))])
    early = [(t, a.kind) for t, a in heard(signals) if STEPS[t] < 1000]
    assert early == [(t, a.kind) for t, a in heard(other) if STEPS[t] < 1000]


def test_gaps_and_missing_behaviour_do_no_harm():
    ranker = CausalRanker()
    for _ in range(40):
        assert ranker.update(None, {"a": float("nan"), "b": -1.0}) == []


def test_a_collapse_is_heard_where_a_layer_loses_directions():
    """30 quiet measurements, then 3 directions go and none come: heard at once, once, in that layer."""
    rng, ranker, alarms = np.random.default_rng(0), CausalRanker(), []
    for t in range(60):
        usual = {layer: 0.05 * np.exp(0.2 * rng.normal()) for layer in ("a", "b")}
        losses = usual | ({"b": 3.0} if t in (30, 31, 32) else {})
        alarms += [(t, alarm.kind, alarm.layer) for alarm in ranker.update(None, usual, losses)]
    assert alarms == [(30, "hidden", "b")]


def test_without_behaviour_the_outputs_are_listened_to():
    """Outputs that drift evenly with noise, and turn within one measurement."""
    rng, ranker, alarms, out = np.random.default_rng(1), CausalRanker(), [], np.zeros(64)
    for t in range(80):
        out = out + 0.01 + 0.02 * rng.normal(size=64) + (2.0 if t == 50 else 0.0)
        alarms += [(t, alarm.kind) for alarm in ranker.update(None, {}, outputs=out)]
    assert alarms == [(50, "learned")]


def test_alarms_that_follow_each_other_are_one_group():
    signals = run(learned=[(400, range(40)), (1000, range(40, 80))], lost=[(700, range(80, 120))])
    alarms, groups = heard(signals), grouped(signals)
    assert len(groups) < len(alarms)
    steps = [int(signals.steps[t]) for t, _ in alarms]
    inside = [[step for step in steps if row.first <= step <= row.last] for row in groups.itertuples()]
    assert sorted(step for part in inside for step in part) == steps and all(inside)
    assert {kind for kinds in groups["kinds"] for kind in kinds} == {alarm.kind for _, alarm in alarms}
    ends = list(zip(groups["last"], groups["first"][1:], strict=False))
    every = int(np.median(np.diff(signals.steps)))
    assert all(later - earlier > 11 * every for earlier, later in ends)
    assert grouped(run()).empty or len(grouped(run())) <= len(heard(run()))
