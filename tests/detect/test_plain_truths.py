"""What synthetic series are, how orders and types are called, and what the tables say of a jump."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from geophone.detect.order import LAST, order_of, order_of_layers
from geophone.detect.stabilization import stabilization
from geophone.detect.synthetic import (
    NULLS,
    autoregressive,
    null_series,
    planted_jumps,
    planted_plateau,
    planted_ramps,
    standard_null,
)
from geophone.detect.types import _names, jump_types
from geophone.errors import InputError
from geophone.phenomena import RunSeries, run_tables
from geophone.records import Layer, Stabilization


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_autoregressive_noise_has_variance_one_from_its_first_value_on(coefficient):
    y = autoregressive(coefficient, (6000, 12), np.random.default_rng(5))
    np.testing.assert_allclose(y.std(0), 1, atol=0.05)
    assert np.corrcoef(y[:, 4], y[:, 5])[0, 1] == pytest.approx(coefficient, abs=0.04)
    assert np.corrcoef(y[:, 4], y[:, 7])[0, 1] == pytest.approx(coefficient**3, abs=0.05)


def test_planted_changes_are_as_large_and_where_they_say():
    rng = np.random.default_rng(6)
    made = planted_jumps(size=7, count=3, series=300, rng=rng)
    y = (np.log(made.values) - 1) / 0.02
    heights = [
        abs(r[k : k + 20].mean() - r[k - 20 : k].mean()) for r, ks in zip(y, made.jumps, strict=True) for k in ks
    ]
    assert np.mean(heights) == pytest.approx(7, abs=0.1)
    edges = [np.diff([0, *ks, 400]) for ks in made.jumps]
    assert len(made.jumps[0]) == 3 and min(e.min() for e in edges) >= 30
    faint = planted_jumps(size=7, series=300, kind="decaying", rng=rng, noise=0.01)
    y = (np.log(faint.values) - 1) / 0.01
    for row, (k,) in zip(y[:40], faint.jumps, strict=False):
        local = 5 * np.exp(-k / 100)
        assert abs(row[k : k + 20].mean() - row[k - 20 : k].mean()) == pytest.approx(7 * local, abs=2 * local)
    ramps = planted_ramps(size=200, length=50, series=40, rng=rng)
    for row, ((start, stop),), level in zip(np.log(ramps.values) / 0.02, ramps.ramps, ramps.plateaus, strict=True):
        assert stop - start == 50 and level == ((0, start), (stop, 399))
        assert abs(row[stop] - row[start]) == pytest.approx(200, abs=6)
        assert abs(row[(start + stop) // 2] - row[start]) == pytest.approx(100, abs=6)
    flat = planted_plateau(settles=100, series=5, rng=rng)
    assert flat.plateaus == (((100, 399),),) * 5
    y = np.log(flat.values) / 0.02
    assert (y[:, 0] - y[:, 300:].mean(1)) == pytest.approx(np.full(5, 50), abs=4)
    with pytest.raises(InputError, match="do not fit"):
        planted_jumps(size=1, count=13, series=1, rng=rng)


def test_nulls_are_what_their_names_say():
    rng = np.random.default_rng(7)
    made = {kind: standard_null(kind, series=2000, measurements=100, rng=rng) for kind in NULLS}
    assert made["white"].std() == pytest.approx(1, abs=0.02)
    assert made["random_walk"][:, 99].std() == pytest.approx(10, abs=0.6)
    np.testing.assert_allclose(made["decaying"].std(0)[[0, 50]], [5, 5 * np.exp(-2)], rtol=0.1)
    assert made["drift"].std() == pytest.approx(np.sqrt(33), abs=0.5)
    curve = made["curve"].mean(0)
    assert curve[[0, 50]] == pytest.approx([60, 60 * np.exp(-200 / 15) + 20 * (1 - np.exp(-200 / 120))], abs=0.2)
    assert np.log(null_series("white", series=9, rng=rng).values).std() == pytest.approx(0.02, rel=0.1)
    with pytest.raises(InputError, match="known are white, ar5"):
        null_series("pink", series=1, rng=rng)


def test_order_by_status_and_by_threshold():
    def settled(*steps):
        return [Stabilization(0, s, "stable") if s else Stabilization(None, None, "censored") for s in steps]

    found = order_of_layers([*settled(10, 20, 30, 0, 0), Stabilization(None, None, "dead")])
    assert found == order_of([0, 1, 2, 3, 4], [10, 20, 30, LAST, LAST]) and found.layers == 5
    # rho of 4 layers: .6 and -.6 are weak, not more.
    assert order_of([0, 1, 2, 3], [1, 4, 2, 5]).verdict == "bottom-up"
    for steps, verdict in (([1, 3, 4, 2], "weak"), ([4, 2, 1, 3], "weak"), ([2, 4, 1, 3], "simultaneous"),
                           ([2, 1, 4, 3], "weak"), ([3, 4, 1, 2], "weak")):  # fmt: skip
        assert order_of([0, 1, 2, 3], steps).verdict == verdict, steps
    assert order_of([0, 1], [5, 6]).verdict == "undefined" and order_of([0, 1, 2], [5, 6, 7]).verdict == "bottom-up"


@pytest.mark.parametrize("steps", [[1, 2, 3, 4], [1, 1, 2, 3, 4], [5, 5, 5, 9, LAST, LAST], [1, 2, 3, LAST, LAST]])
def test_the_chance_of_an_order_is_its_share_of_all_orders_with_its_ties(steps):
    orders = list(itertools.permutations(steps))
    depths = list(range(len(steps)))
    bottom_up = [np.corrcoef(depths, stats.rankdata(order))[0, 1] > 0.6 + 1e-9 for order in orders]
    found = order_of(depths, steps)
    assert found.chance == pytest.approx(np.mean(bottom_up))
    assert np.isnan(order_of(depths, [LAST] * len(steps)).chance)


def test_the_chance_of_an_order_without_ties_is_the_one_in_the_books_and_falls_with_more_layers():
    known = {3: 0.167, 4: 0.167, 5: 0.117, 6: 0.088, 7: 0.083, 8: 0.058, 9: 0.043, 10: 0.033}
    found = {n: order_of(list(range(n)), list(range(n))).chance for n in (*known, 12, 13)}
    assert {n: found[n] for n in known} == pytest.approx(known, abs=6e-4)
    assert found[13] == pytest.approx(found[12], rel=0.35) and found[13] < found[12] < 0.025


def test_stabilisation_at_its_edges():
    x = np.r_[np.linspace(9, 2, 15), np.full(85, 2.0)]
    x += 1e-3 * np.random.default_rng(11).normal(size=100)
    series = pd.Series(x, index=7 * np.arange(100))
    found = stabilization(series, mode="calibrated")
    band = 0.1 * np.subtract(*np.percentile(x, [95, 5]))
    last_out = np.flatnonzero(np.abs(x - np.median(x[-10:])) > band)[-1]
    assert (found.index, found.step, found.status) == (last_out + 1, 7 * (last_out + 1), "stable")
    for length, status in ((19, "too short"), (20, "stable")):
        assert stabilization(np.ones(length), mode="calibrated").status == status
        assert stabilization(np.ones(length), mode="naive").status == status
    late = np.r_[np.full(80, 9.0), np.full(20, 2.0)]
    assert stabilization(late, mode="calibrated").status == "censored"


def test_types_are_named_by_phase_direction_depth_and_number():
    centroids = np.array([(p, 1.0, d) for p, d in ((0.3, 0.1), (0.34, 0.5), (0.65, 0.9), (0.67, 0.5))])
    assert _names(centroids, [1.0, 1.0, -1.0, 1.0]) == (
        "early rapid expansion",
        "mid refinement, middle layers",
        "mid refinement, deep layers",
        "late stabilisation",
    )
    alike = np.array([(0.1, 1.0, 0.3), (0.2, 1.0, 0.32), (0.1, 1.0, 0.34), (0.1, 1.0, 0.7)])
    assert _names(alike, [-1.0] * 4) == (
        "early rapid compression, shallow layers (1)",
        "early rapid compression, shallow layers (2)",
        "early rapid compression, middle layers",
        "early rapid compression, deep layers",
    )


def test_types_of_few_jumps_and_of_a_column_that_says_nothing():
    rng = np.random.default_rng(16)
    few = jump_types(*np.ones((3, 9)), runs=range(9), rng=rng)
    assert few.status == "too few" and few.labels.tolist() == [0] * 9 and few.centroids.shape == (0, 3)
    assert few.names == () and few.gaps == () and np.isnan(few.stability)
    phase = np.r_[rng.normal(0.1, 0.01, 20), rng.normal(0.9, 0.01, 20)]
    found = jump_types(
        phase, np.r_[np.full(20, -1.0), np.full(20, -0.2)], np.full(40, 0.5), runs=np.arange(40) % 5, rng=rng
    )
    assert found.names in (
        ("early rapid compression", "late stabilisation"),
        ("late stabilisation", "early rapid compression"),
    )
    assert (
        np.sort(found.centroids[:, 0]) == pytest.approx([0.1, 0.9], abs=0.02) and (found.centroids[:, 2] == 0.5).all()
    )
    assert len(found.gaps) == 3 and found.gaps[0] < found.gaps[1]


def test_tables_say_where_a_jump_is_in_the_network_and_in_the_run():
    layers = [Layer(name, depth, "flat", 4, 9, (4,)) for depth, name in enumerate("abcde")]
    x = np.full(100, 3.0) + 0.01 * np.random.default_rng(17).normal(size=100)
    x[60:] += 5
    columns = dict.fromkeys("abcd", x) | {"e": np.full(100, np.nan)}
    series = {"stable_rank": pd.DataFrame(columns, index=5 * np.arange(1, 101))}
    found = run_tables(RunSeries("r", tuple(layers), 500, series))
    jumps = found["jumps"]
    assert jumps["relative_depth"].tolist() == [0.0, 0.25, 0.5, 0.75] and (jumps["layers"] == 5).all()
    assert jumps["step"].tolist() == [305] * 4
    assert jumps["log_phase"].tolist() == pytest.approx([np.log(305) / np.log(500)] * 4)
    detection = found["detection"].set_index("layer")
    assert detection["detected"].tolist() == [1, 1, 1, 1, 0]
    assert detection["expected_false"].tolist() == pytest.approx([99 * 2 * stats.norm.sf(2)] * 4 + [0])
    assert detection["status"].tolist() == ["ok"] * 4 + ["dead"]
    for values, length, status in (
        (x, 19, "too short"),
        (x, 20, "ok"),
        (np.ones(100), 100, "constant"),
        (-x, 100, "ok"),
    ):
        table = pd.DataFrame({"a": values[:length]}, index=np.arange(length))
        short = run_tables(RunSeries("r", tuple(layers[:1]), 1, {"pcs_90": table}))
        assert short["detection"]["status"].tolist() == [status]
        expected = 0.0 if status == "constant" else (length - 1) * 2 * stats.norm.sf(2)
        assert short["detection"]["expected_false"].tolist() == pytest.approx([expected])
