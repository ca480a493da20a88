"""Types, coordination, lags and coupling, against planted truth and against nothing."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from geophone.detect.coordination import coordination, lags, loss_coupling
from geophone.detect.types import jump_types, representatives
from geophone.errors import InputError

ENVELOPE = np.exp(-np.linspace(0, 4, 150))


def planted_types(rng, per_type=60):
    centres = [(0.1, 1.0, 0.2), (0.5, 0.3, 0.5), (0.9, 0.1, 0.8)]
    points = np.concatenate([rng.normal(c, 0.03, (per_type, 3)) for c in centres])
    return points, np.repeat([0, 1, 2], per_type), [f"run{i % 12}" for i in range(3 * per_type)]


def test_planted_types_are_found_named_and_stable():
    points, truth, runs = planted_types(np.random.default_rng(0))
    found = jump_types(points[:, 0], -points[:, 1], points[:, 2], runs=runs, rng=np.random.default_rng(1))
    assert found.status == "stable" and found.stability > 0.95
    assert adjusted_rand_score(truth, found.labels) == 1.0
    standard = (points - points.mean(0)) / points.std(0)
    assert adjusted_rand_score(found.labels, KMeans(3, n_init=5, random_state=0).fit(standard).labels_) == 1.0
    assert set(found.names) == {"early rapid compression", "mid refinement", "late stabilisation"}
    chosen = representatives(found, points, runs)
    assert len(chosen) == 9 and len({(found.labels[i], runs[i]) for i in chosen}) == 9


def test_one_cloud_is_one_type_and_few_jumps_are_none():
    rng = np.random.default_rng(2)
    cloud = rng.normal(size=(150, 3))
    found = jump_types(*cloud.T, runs=np.arange(150) % 10, rng=rng)
    assert found.status == "one type" and len(found.names) == 1 and np.isnan(found.stability)
    assert jump_types(*cloud[:5].T, runs=range(5), rng=rng).status == "too few"
    with pytest.raises(InputError, match="one entry a jump"):
        jump_types(cloud[:, 0], cloud[:, 1], cloud[:, 2], runs=[1], rng=rng)


def test_one_generator_gives_one_answer():
    points, runs = np.random.default_rng(4).uniform(size=(24, 3)), [f"run{i % 6}" for i in range(24)]
    one, two = (jump_types(*points.T, runs=runs, rng=np.random.default_rng(5)) for _ in range(2))
    assert one.gaps == two.gaps and np.array_equal(one.labels, two.labels)
    assert one.stability == pytest.approx(two.stability, nan_ok=True)


def test_types_that_only_one_run_shows_are_not_stable():
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal((0.2, 0.5, 0.5), 0.05, (60, 3)), rng.normal((0.9, 3.0, 0.5), 0.01, (6, 3)),
                             rng.normal((0.6, 2.0, 0.9), 0.01, (6, 3))])  # fmt: skip
    runs = [*(f"run{i % 8}" for i in range(60)), *["odd"] * 6, *["odder"] * 6]
    found = jump_types(*points.T, runs=runs, rng=rng)
    assert len(found.names) > 1 and found.status == "no stable taxonomy"


def test_independent_layers_under_one_envelope_are_not_coordinated():
    rng = np.random.default_rng(4)
    ps = [coordination(rng.normal(size=(6, 4, 150)) * ENVELOPE, rng=rng, draws=99).p for _ in range(400)]
    assert 0.03 <= np.mean(np.array(ps) <= 0.05) <= 0.08


def test_layers_that_move_together_are():
    rng = np.random.default_rng(5)
    common = rng.normal(size=(5, 1, 150))
    found = coordination((common + rng.normal(size=(5, 3, 150))) * ENVELOPE, rng=rng)
    assert found.p <= 0.01 and found.overlap > found.expected


def test_a_planted_lag_is_found_with_its_direction():
    rng = np.random.default_rng(6)
    velocity = rng.normal(size=(5, 3, 300))
    velocity[:, 1, 4:] += velocity[:, 0, :-4]
    by_pair = {(lag.first, lag.second): lag for lag in lags(velocity, rng=rng)}
    assert by_pair[0, 1].lag == 4 and by_pair[0, 1].p <= 0.05
    assert min(by_pair[0, 2].p, by_pair[1, 2].p) > 0.05


def test_loss_that_falls_at_events_is_told_from_loss_that_falls_anyway():
    rng = np.random.default_rng(7)
    events = [np.sort(rng.choice(np.arange(30, 270), 4, replace=False)) for _ in range(8)]
    slow = 2 * np.exp(-np.arange(300) / 80) + 0.1
    own = np.stack([slow * np.exp(-0.3 * (np.arange(300)[:, None] >= e).sum(1)) for e in events])
    noise = np.exp(0.02 * rng.normal(size=(8, 300)))
    told = loss_coupling(events, own * noise, rng=rng, draws=499)
    assert told.p <= 0.01 and told.average[20] > told.expected[20]
    ps = [
        loss_coupling(events, slow * np.exp(0.02 * rng.normal(size=(8, 300))), rng=rng, draws=99).p for _ in range(200)
    ]
    assert np.mean(np.array(ps) <= 0.05) <= 0.09


def test_too_little_is_a_status():
    rng = np.random.default_rng(8)
    assert coordination(np.ones((1, 3, 50)), rng=rng).status == "too few runs"
    assert coordination(np.ones((5, 1, 50)), rng=rng).status == "one layer"
    assert lags(np.ones((1, 3, 50)), rng=rng) == []
    assert loss_coupling([np.array([])] * 4, np.ones((4, 50)), rng=rng).status == "no events"
    assert coordination(np.full((4, 2, 50), np.nan), rng=rng).status == "tested"
    with pytest.raises(InputError, match="runs, layers, measurements"):
        coordination(np.ones((3, 50)), rng=rng)
