"""What is said where nothing can be, the least that is enough, and units that must not matter."""

from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from geophone.stats.clusters import Interval, correlation_interval, mean_interval, score_flip
from geophone.stats.heterogeneity import correlations_differ, means_differ
from geophone.stats.mixed import mixed_model
from geophone.stats.naive import correlation, paired_t, wilcoxon
from geophone.stats.paired import sign_flip, tost
from geophone.stats.permutation import Significance, contingency, kruskal_wallis, permutation_test
from geophone.stats.power import smallest_effect, smallest_r2
from geophone.stats.regression import r2_in_sample, r2_left_out, run_folds

NAN = float("nan")
NONE = "not enough data"
GENERATOR = np.random.default_rng(0)
RUN = np.repeat(np.arange(12), 5)
KIND = np.repeat(["a", "b"], 30)
X = GENERATOR.normal(size=60)
Y = 0.6 * X + GENERATOR.normal(size=12)[RUN] + GENERATOR.normal(size=60)


def rng(seed=0):
    return np.random.default_rng(seed)


def same(found, expected):
    np.testing.assert_array_equal(
        np.array([v for v in astuple(found) if not isinstance(v, str)], dtype=float),
        np.array([v for v in astuple(expected) if not isinstance(v, str)], dtype=float),
    )
    assert type(found) is type(expected) and found.status == expected.status


def test_naive_forms_without_enough_data_say_how_much_there_was():
    for x in (X[:3], np.ones(9), np.r_[X[:3], np.full(5, np.nan)]):
        n = int(np.isfinite(x).sum())
        interval, test = correlation(x, Y[: len(x)])
        same(interval, Interval(NAN, NAN, NAN, NAN, n, n, NONE))
        same(test, Significance(NAN, NAN, n, NONE))
    interval, test = paired_t(np.zeros(4), np.full(4, 3.0))
    same(interval, Interval(3.0, NAN, NAN, NAN, 4, 4, NONE))
    same(test, Significance(NAN, NAN, 4, NONE))
    same(paired_t(np.array([]), np.array([]))[0], Interval(NAN, NAN, NAN, NAN, 0, 0, NONE))
    same(wilcoxon(np.array([0.0, 2.0, np.nan])), Significance(NAN, NAN, 1, NONE))


def test_two_pairs_and_four_rows_are_enough():
    interval, test = paired_t([0.0, 0.0], [1.0, 3.0])
    assert (interval.statistic, interval.error, test.statistic, test.n) == (2.0, 1.0, 2.0, 2)
    assert interval.high == pytest.approx(2 + stats.t.ppf(0.975, 1))
    interval, test = correlation(X[:4], Y[:4])
    assert (interval.error, interval.n, interval.clusters, interval.status) == (1.0, 4, 4, "ok")
    assert (test.n, test.status) == (4, "tested") and test.statistic == interval.statistic
    assert wilcoxon([1.0, 2.0]).n == 2 and wilcoxon([1.0, 2.0]).status == "tested"
    assert paired_t(["1", "2", "4"], ["2", "5", "9"])[0].statistic == pytest.approx(3)


def test_spearmans_interval_is_bonett_and_wrights():
    interval, _ = correlation(X, Y, method="spearman")
    r = stats.spearmanr(X, Y).statistic
    error = np.sqrt((1 + r**2 / 2) / (len(X) - 3))
    assert interval.statistic == pytest.approx(r) and interval.error == pytest.approx(error)
    assert interval.low == pytest.approx(np.tanh(np.arctanh(r) - stats.norm.ppf(0.975) * error))
    assert interval.high == pytest.approx(np.tanh(np.arctanh(r) + stats.norm.ppf(0.975) * error))
    monotone, _ = correlation(np.arange(9.0), np.arange(9.0) ** 3, method="spearman")
    assert monotone.statistic == pytest.approx(1) and monotone.high <= 1


def test_sign_flips_and_equivalence_without_enough_data():
    same(sign_flip(np.array([np.nan, 2.0]), rng=rng()), Significance(NAN, NAN, 1, NONE))
    same(sign_flip(np.zeros(3), rng=rng()), Significance(NAN, NAN, 3, NONE))
    found = tost(np.full(5, 0.5), margin=2.0)
    assert (found.statistic, found.n, found.status, found.margin) == (0.5, 5, NONE, 2.0)
    assert np.isnan([found.p, found.low, found.high]).all()
    assert np.isnan(tost(np.array([]), margin=1.0).statistic) and tost(np.array([]), margin=1.0).n == 0
    two = tost(np.array([-0.1, 0.1]), margin=5.0)
    assert two.status == "equivalent" and two.p == pytest.approx(stats.t.sf(50, 1))
    assert (two.low, two.high) == pytest.approx((-0.1 * stats.t.ppf(0.95, 1), 0.1 * stats.t.ppf(0.95, 1)))


def test_all_signs_are_gone_through_whenever_the_draws_suffice():
    exact = [sign_flip(np.array([1.0, 2, 3]), rng=rng(seed), draws=7).p for seed in range(8)]
    assert set(exact) == {0.25}
    drawn = {sign_flip(np.array([1.0, 2, 3]), rng=rng(seed), draws=6).p for seed in range(8)}
    assert drawn <= {k / 7 for k in range(1, 8)}


def test_permutation_records():
    values, labels = np.arange(8.0), list("aaaabbbb")
    found = permutation_test(values, labels, kruskal_wallis, rng=rng(), draws=999)
    assert found.statistic == pytest.approx(stats.kruskal(values[:4], values[4:]).statistic)
    # Of the 70 ways to choose four of eight, two are as far apart as these.
    assert found.p == pytest.approx(2 / 70, abs=0.02) and (found.n, found.status) == (8, "tested")
    same(permutation_test(np.ones(8), labels, kruskal_wallis, rng=rng()), Significance(NAN, NAN, 8, NONE))
    same(permutation_test(values, ["a"] * 8, kruskal_wallis, rng=rng()), Significance(NAN, NAN, 8, NONE))
    same(permutation_test(values[:3], list("abc"), kruskal_wallis, rng=rng()), Significance(NAN, NAN, 3, NONE))
    far = permutation_test(np.r_[np.zeros(20), np.ones(20)], [0] * 20 + [1] * 20, kruskal_wallis, rng=rng(), draws=49)
    assert far.p == 1 / 50
    assert permutation_test(["1", "2", "4", "8"], list("aabb"), kruskal_wallis, rng=rng(), draws=9).n == 4
    grouped = permutation_test(np.eye(4)[[0, 0, 0, 1, 1, 1]], list("aaabbb"), contingency, rng=rng(), draws=99)
    assert grouped.statistic == pytest.approx(6) and grouped.n == 6


@pytest.mark.parametrize("test", [means_differ, lambda y, **kw: correlations_differ(X, y, **kw)])
def test_two_labels_of_five_runs_are_enough_and_the_least_p_is_one_in_draws(test):
    two = test(
        np.where(KIND == "b", -2 * X, 2 * X) + 100 * (KIND == "b") + Y, clusters=RUN, labels=KIND, rng=rng(), draws=199
    )
    assert (two.p, two.n, two.status) == (1 / 200, 12, "tested")
    few = test(Y, clusters=RUN, labels=np.where(RUN < 8, "a", "b"), rng=rng(), draws=9)
    same(few, Significance(NAN, NAN, 8, NONE))
    same(test(np.full(60, np.nan), clusters=RUN, labels=KIND, rng=rng()), Significance(NAN, NAN, 0, NONE))


def test_differences_do_not_depend_on_units():
    for scale in (1e-6, 1e5):
        for test in (means_differ, lambda y, **kw: correlations_differ(scale * X, y, **kw)):  # noqa: B023
            a, b = (test(s * Y, clusters=RUN, labels=KIND, rng=rng(), draws=99) for s in (1.0, scale))
            assert a.p == b.p
    same(means_differ(np.ones(60), clusters=RUN, labels=KIND, rng=rng()), Significance(NAN, NAN, 12, NONE))


def test_heterogeneity_of_correlations_is_cochrans_q_of_fishers_z():
    found = correlations_differ(X, Y, clusters=RUN, labels=KIND, rng=rng(), draws=9)
    z = np.arctanh([np.corrcoef(X[k == KIND], Y[k == KIND])[0, 1] for k in "ab"])
    assert found.statistic == pytest.approx(6 * ((z - z.mean()) ** 2).sum())


def test_the_mixed_model_of_a_balanced_design_is_analysis_of_variance():
    found = mixed_model(Y, clusters=RUN)
    means = Y.reshape(12, 5).mean(1)
    within = ((Y.reshape(12, 5) - means[:, None]) ** 2).sum() / 48
    between = means.var(ddof=1) - within / 5
    assert between > 0 and found.status == "fitted" and (found.n, found.clusters) == (60, 12)
    assert found.slope == pytest.approx(Y.mean()) and found.within == pytest.approx(within, rel=1e-6)
    assert found.between == pytest.approx(between, rel=5e-6)
    error = np.sqrt(means.var(ddof=1) / 12)
    assert found.high - found.slope == pytest.approx(stats.norm.ppf(0.975) * error, rel=1e-5)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(Y.mean()) / error), rel=1e-4)


def test_runs_that_differ_less_than_chance_have_no_variance_between_them():
    alike = np.tile(Y[:5] - Y[:5].mean(), 12) + np.repeat(1e-3 * X[:12], 5)
    found = mixed_model(alike, clusters=RUN)
    assert (found.status, found.between) == ("fitted, no variance between runs", 0.0)
    assert found.within == pytest.approx(alike.var(ddof=1), rel=1e-9)
    assert mixed_model(Y[:25], clusters=RUN[:25]).status == "fitted"
    four = mixed_model(Y[:20], clusters=RUN[:20])
    assert (four.n, four.clusters, four.status) == (20, 4, NONE) and np.isnan(four.between)


@pytest.mark.parametrize(("clusters", "columns"), [(3, 1), (30, 2), (50, 5), (4, 2)])
def test_the_smallest_r2_has_the_power_it_says(clusters, columns):
    r2 = smallest_r2(clusters, columns)
    left = clusters - columns - 1
    edge = stats.f.ppf(0.95, columns, left)
    assert stats.ncf.sf(edge, columns, left, clusters * r2 / (1 - r2)) == pytest.approx(0.8, abs=1e-6)
    assert np.isnan(smallest_r2(columns + 1, columns))
    assert smallest_r2(clusters, columns, power=0.5) < r2 < smallest_r2(clusters, columns, alpha=0.01)


def test_the_smallest_effect_has_the_power_it_says():
    effect = smallest_effect(0.3, 5, power=0.9, alpha=0.1)
    assert stats.nct.sf(stats.t.ppf(0.95, 4), 4, effect / 0.3) == pytest.approx(0.9, abs=1e-6)
    assert np.isnan([smallest_effect(0.0, 9), smallest_effect(np.inf, 9), smallest_effect(-1.0, 9)]).all()


def test_r2_does_not_depend_on_units_and_says_how_much_there_was():
    x = np.stack([X, GENERATOR.normal(size=60)], axis=1)
    plain = r2_in_sample(x, Y, clusters=RUN, rng=rng(), draws=199)
    for change in (np.array([1e6, 1e-3]), np.array([1e-14, 1e3])):
        other = r2_in_sample(x * change, 1e-5 * Y + 3, clusters=RUN, rng=rng(), draws=199)
        assert astuple(other)[:4] == pytest.approx(astuple(plain)[:4], rel=1e-5)
        assert (other.n, other.clusters, other.status) == (60, 12, "ok")
        left, scaled = (r2_left_out(v, Y, clusters=RUN, parts=RUN) for v in (x, x * change))
        assert left.statistic == pytest.approx(scaled.statistic) and (left.n, left.clusters, left.status) == (
            60,
            12,
            "ok",
        )
    # On one column of noise R^2 is near 0, and the interval's lower end stays at it.
    noise = r2_in_sample(GENERATOR.normal(size=60), Y, clusters=RUN, rng=rng(), draws=199)
    assert noise.low == 0.0 <= noise.statistic < noise.high < 1


def test_the_least_rows_for_a_line():
    few = r2_in_sample(X[:2], Y[:2], clusters=RUN[:2], rng=rng())
    same(few, Interval(NAN, NAN, NAN, NAN, 2, 1, NONE))
    three = r2_in_sample(X[:3], Y[:3], clusters=RUN[:3], rng=rng())
    assert three.statistic == pytest.approx(np.corrcoef(X[:3], Y[:3])[0, 1] ** 2, rel=1e-6) and three.status == NONE
    same(r2_left_out(X, Y, clusters=RUN, parts=np.zeros(60)), Interval(NAN, NAN, NAN, NAN, 60, 12, NONE))
    part = r2_left_out(X[:20], Y[:20], clusters=RUN[:20], parts=RUN[:20])
    assert np.isfinite(part.statistic) and (part.n, part.clusters, part.status) == (20, 4, NONE)
    assert np.isfinite(r2_left_out(X[:6], Y[:6], clusters=np.arange(6), parts=[0] * 3 + [1] * 3).statistic)
    assert len(run_folds([], rng=rng())) == 0 and set(run_folds(RUN, rng=rng(), folds=2)) == {0, 1}


def test_intervals_and_flips_of_no_rows():
    empty = np.array([])
    same(mean_interval(empty, clusters=[], rng=rng()), Interval(NAN, NAN, NAN, NAN, 0, 0, NONE))
    same(correlation_interval(empty, empty, clusters=[], rng=rng()), Interval(NAN, NAN, NAN, NAN, 0, 0, NONE))
    found = score_flip(empty, empty, clusters=[], rng=rng())
    assert np.isnan(found.p) and (found.n, found.status) == (0, NONE)
    five = score_flip(X[:25], X[:25], clusters=RUN[:25], rng=rng(), draws=499)
    assert (five.n, five.status) == (5, "tested") and five.p == pytest.approx(2 / 32, abs=0.03)
    assert mean_interval(Y[:25], clusters=RUN[:25], rng=rng(), draws=99).status == "ok"


def test_levels_widen_and_a_constant_shift_moves_the_mean():
    narrow, wide = (mean_interval(Y, clusters=RUN, rng=rng(), draws=999, level=level) for level in (0.5, 0.99))
    assert narrow.low > wide.low and narrow.error == wide.error
    moved = mean_interval(Y + 7, clusters=RUN, rng=rng(), draws=999, level=0.5)
    assert (moved.low - 7, moved.high - 7) == pytest.approx((narrow.low, narrow.high))


def test_the_least_p_of_score_flips_is_one_in_draws():
    run = np.arange(60)
    alike = score_flip(X, X, clusters=run, rng=rng(), draws=99)
    assert (alike.p, alike.n, alike.status) == (1 / 100, 60, "tested")
    flat = score_flip(np.stack([X, np.ones(60)], axis=1), Y, clusters=RUN, rng=rng())
    assert np.isnan(flat.p) and (flat.n, flat.status) == (12, NONE)


def test_drawn_signs_and_equivalence_say_what_they_rest_on():
    found = sign_flip(Y, rng=rng(), draws=99)
    assert (found.n, found.status) == (60, "tested") and found.statistic == pytest.approx(Y.mean())
    assert sign_flip(np.abs(Y) + 1, rng=rng(), draws=99).p == 1 / 100
    assert tost(Y, margin=3.0).margin == 3.0 and tost(Y, margin=3.0).n == 60
    _, test = paired_t(X, Y)
    assert (test.n, test.status) == (60, "tested")
