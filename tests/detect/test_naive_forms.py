"""The founding document's own detectors: planted truth, exact nulls, and series that have nothing to say."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import geophone as gp
from geophone.detect import transitions
from geophone.detect.order import order_of, spearman_p
from geophone.errors import InputError
from geophone.phenomena import RunSeries, run_tables
from geophone.phenomena.tables import KINDS
from geophone.records import Layer
from geophone.rows import PHENOMENA, columns_of

HOPELESS = {
    "three points": np.array([1.0, 2.0, 3.0]),
    "one point": np.array([1.0]),
    "empty": np.array([]),
    "all NaN": np.full(50, np.nan),
    "constant": np.full(50, 3.0),
    "zero": np.zeros(50),
}


def settling(at: int, length: int = 100, *, level: float = 10.0) -> pd.Series:
    """Falls steeply until measurement `at`, constant afterwards; measured every 5 steps from step 5."""
    x = np.full(length, level)
    x[:at] = level * np.exp(0.2 * np.arange(at, 0, -1))
    return pd.Series(x, index=5 * np.arange(1, length + 1))


class TestStabilization:
    def test_is_the_first_window_that_is_flat_to_ten_percent(self):
        series = settling(30)
        found = gp.stabilization(series, mode="naive")
        rolling = series.rolling(20).std(ddof=0) / series.rolling(20).mean()
        assert found.step == rolling.index[rolling < 0.1][0]
        assert found.index == (found.step - 5) // 5
        assert found.status == "stable"

    def test_never_flat_is_not_reached(self):
        growing = np.exp(0.1 * np.arange(100))
        assert gp.stabilization(growing, mode="naive").status == "not reached"

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("three points", "too short"),
            ("all NaN", "dead"),
            ("constant", "stable"),
            ("zero", "stable"),
            ("empty", "dead"),
        ],
    )
    def test_hopeless_series_have_a_status(self, name, status):
        assert gp.stabilization(HOPELESS[name], mode="naive").status == status

    def test_a_window_with_a_gap_does_not_count(self):
        x = np.full(60, 2.0)
        x[10] = np.nan
        assert gp.stabilization(x, mode="naive").index == 30


class TestOrder:
    @pytest.mark.parametrize(
        ("layers", "p"),
        [(3, 0.167), (4, 0.167), (5, 0.117), (6, 0.088), (7, 0.083), (8, 0.058), (9, 0.043), (10, 0.033)],
    )
    def test_rho_above_point_six_is_common_with_few_layers(self, layers, p):
        """Under no order; found through the smallest rho above 0.6 that so many layers can have."""
        rng = np.random.default_rng(layers)
        depth = np.arange(layers)
        orders = (
            np.array(list(itertools.permutations(range(layers))))
            if layers <= 6
            else np.array([rng.permutation(layers) for _ in range(4000)])
        )
        rhos = 1 - 6 * ((orders - depth) ** 2).sum(1) / (layers * (layers**2 - 1))
        smallest = orders[np.where(rhos > 0.6 + 1e-9, rhos, 9).argmin()]
        assert spearman_p(depth, smallest) == pytest.approx(p, abs=0.0006)

    @pytest.mark.parametrize("y", [[1, 2, 3, 4, 5, 6], [1, 1, 2, 2, 3, 3], [4, 4, 4, 1, 2, 9], [6, 5, 5, 3, 1, 1]])
    def test_p_agrees_with_all_permutations_ties_included(self, y):
        x = list(range(6))
        rho = stats.spearmanr(x, y).statistic
        rhos = np.array([stats.spearmanr(x, order).statistic for order in itertools.permutations(y)])
        beyond = rhos >= rho - 1e-9 if rho >= 0 else rhos <= rho + 1e-9
        assert spearman_p(x, y) == pytest.approx(beyond.mean())

    def test_many_layers_pass_to_students_t_without_a_step(self):
        x, y = list(range(13)), [9, 0, 3, 12, 5, 1, 4, 7, 6, 8, 2, 10, 11]
        rng = np.random.default_rng(0)
        draws = np.array([np.corrcoef(range(13), rng.permutation(13))[0, 1] for _ in range(20_000)])
        assert spearman_p(x, y) == pytest.approx((draws >= stats.spearmanr(x, y).statistic).mean(), abs=0.002)

    @pytest.mark.parametrize(
        ("at", "verdict"),
        [
            ([10, 20, 30, 40], "bottom-up"),
            ([40, 30, 20, 10], "top-down"),
            ([20, 40, 10, 30], "simultaneous"),
            ([10, 40, 20, 30], "weak"),
            ([25, 25, 25, 25], "undefined"),
        ],
    )
    def test_planted_orders_get_their_verdict(self, at, verdict):
        table = pd.DataFrame({f"l{i}": settling(a) for i, a in enumerate(at)})
        found = gp.convergence_order(table, mode="naive")
        if verdict == "undefined":
            assert np.isnan(found.rho)
        else:
            assert found.rho == pytest.approx(stats.spearmanr(range(4), at).statistic)
            assert found.tau == pytest.approx(stats.kendalltau(range(4), at).statistic)
        assert found.verdict == verdict

    def test_layers_that_never_settle_do_not_count(self):
        table = pd.DataFrame({f"l{i}": settling(a) for i, a in enumerate([10, 20, 30])})
        table["wild"] = np.exp(0.1 * np.arange(100))
        assert gp.convergence_order(table, mode="naive").layers == 3

    def test_one_layer_is_undefined(self):
        found = gp.convergence_order(pd.DataFrame({"only": settling(10)}), mode="naive")
        assert (found.verdict, found.layers) == ("undefined", 1)

    def test_ties_agree_with_scipy(self):
        found = order_of([0, 1, 2, 3, 4], [100, 100, 120, 110, 130])
        assert found.rho == pytest.approx(stats.spearmanr(range(5), [100, 100, 120, 110, 130]).statistic)
        assert found.tau == pytest.approx(stats.kendalltau(range(5), [100, 100, 120, 110, 130]).statistic)


class TestJumps:
    def test_a_planted_jump_is_found_and_described(self):
        x = np.full(200, 4.0) + 0.01 * np.sin(np.arange(200))
        x[120:] += 8
        series = pd.Series(x, index=5 * np.arange(1, 201))
        (jump,) = gp.jumps(series, mode="naive", total_steps=1000)
        assert (jump.index, jump.step, jump.sign) == (120, 605, 1)
        assert jump.magnitude == pytest.approx(x[125] - x[115])
        assert jump.speed == pytest.approx(jump.magnitude / 10)
        assert jump.log_ratio == pytest.approx(np.log(x[125] / x[115]))
        assert jump.phase == pytest.approx(0.605)

    def test_noise_alone_gives_eighteen_of_four_hundred(self):
        rng = np.random.default_rng(0)
        counts = [len(gp.jumps(10 + rng.normal(size=400), mode="naive")) for _ in range(200)]
        assert np.mean(counts) == pytest.approx(18.2, abs=1)

    def test_agrees_with_the_rule_written_out(self):
        x = np.random.default_rng(1).gamma(2, size=300)
        z = stats.zscore(np.diff(x))
        assert [j.index for j in gp.jumps(x, mode="naive")] == list(np.flatnonzero(np.abs(z) > 2) + 1)

    def test_a_window_cut_by_the_end_is_measured_over_what_is_there(self):
        x = np.r_[5.0, np.full(50, 1.0)]
        jump = gp.jumps(x, mode="naive")[0]
        assert jump.magnitude == pytest.approx(-4)
        assert jump.speed == pytest.approx(-4 / 6)

    @pytest.mark.parametrize("name", HOPELESS)
    def test_hopeless_series_have_none(self, name):
        assert gp.jumps(HOPELESS[name], mode="naive") == []

    def test_gaps_neither_count_nor_raise(self):
        x = np.random.default_rng(2).normal(size=100)
        x[[3, 50, 51]] = [np.nan, np.inf, -np.inf]
        found = {j.index for j in gp.jumps(x, mode="naive")}
        assert not found & {3, 4, 50, 51, 52}


class TestCriticalPeriods:
    def test_are_ten_percent_of_any_run(self):
        rng = np.random.default_rng(3)
        series = pd.Series(rng.normal(size=401).cumsum(), index=5 * np.arange(401))
        periods = gp.critical_periods(series, mode="naive")
        assert sum((p.stop - p.start) / 5 for p in periods) == pytest.approx(40, abs=1)
        assert all(p.start < p.peak <= p.stop for p in periods)

    def test_a_planted_ramp_is_one_period_with_its_peak(self):
        x = np.zeros(101)
        x[40:51] = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12]
        x[51:] = 12
        (period,) = gp.critical_periods(pd.Series(x, index=10 * np.arange(101)), mode="naive")
        assert (period.start, period.stop, period.peak) == (400, 500, 450)

    def test_uneven_steps_are_divided_out(self):
        steps = np.r_[np.arange(0, 50), 50 + 50 * np.arange(50)]
        series = pd.Series(0.5 * steps, index=steps)
        assert gp.critical_periods(series, mode="naive") == []

    def test_a_kink_is_a_transition(self):
        x = np.r_[np.zeros(50), np.arange(50.0)]
        (turn,) = transitions(x, mode="naive")
        assert (turn.index, turn.acceleration) == (50, 1.0)

    @pytest.mark.parametrize("name", HOPELESS)
    def test_hopeless_series_have_none(self, name):
        if name != "three points":
            assert gp.critical_periods(HOPELESS[name], mode="naive") == []
        assert transitions(HOPELESS[name], mode="naive") == []


def test_what_is_not_a_series_is_refused_in_words():
    for wrong, says in (
        (np.zeros((3, 3)), "one-dimensional"),
        (["a", "b"], "numbers"),
        (pd.Series([1.0, 2.0], index=[5, 5]), "increasing"),
    ):
        with pytest.raises(InputError, match=says):
            gp.jumps(wrong, mode="naive")
    with pytest.raises(InputError, match="known are naive"):
        gp.jumps(np.zeros(9), mode="sed")


COLUMNS = {kind: tuple(column.name for column in columns_of(PHENOMENA[kind])) for kind in KINDS}


def test_run_tables_hold_what_the_detectors_say_and_keep_their_columns_when_empty():
    layers = [Layer("a", 0, "flat", 4, 9, (4,)), Layer("b", 1, "flat", 4, 9, (4,))]
    rng = np.random.default_rng(4)
    steps = 5 * np.arange(1, 101)
    table = pd.DataFrame({"a": rng.normal(size=100), "b": np.full(100, np.nan)}, index=steps)
    found = run_tables(RunSeries("r", tuple(layers), 500, {"stable_rank": table}))
    assert {kind: tuple(t.columns) for kind, t in found.items()} == COLUMNS
    jumps = gp.jumps(table["a"], mode="naive", total_steps=500)
    assert found["jumps"]["step"].tolist() == [j.step for j in jumps]
    assert len(jumps) > 0
    np.testing.assert_allclose(found["jumps"]["expected_false"], 99 * 0.0455, rtol=1e-3)
    assert found["stabilization"].set_index("layer").loc["b", "status"] == "dead"
    assert found["order"]["verdict"].tolist() == ["undefined"]
    empty = run_tables(RunSeries("r", (Layer("b", 0, "flat", 1, 2, (1,)),), 1, {"stable_rank": table[["b"]]}))
    assert len(empty["jumps"]) == 0
    assert tuple(empty["jumps"].columns) == COLUMNS["jumps"]
