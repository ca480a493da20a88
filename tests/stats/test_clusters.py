"""Intervals and tests over clusters: against SciPy, scikit-learn and statsmodels, and against planted truths."""

import numpy as np
import pytest
from scipy import stats

from geophone.errors import InputError
from geophone.stats.clusters import correlation_interval, mean_interval, score_flip, studentised
from geophone.stats.regression import r2_in_sample, r2_left_out, run_folds


def rng(seed=0):
    return np.random.default_rng(seed)


def nested(generator, *, runs=12, rho=0.0, share=1.0):
    """Rows in runs: x and y correlate by `rho` at both levels, and runs have intercepts of variance `share`."""
    sizes = generator.integers(3, 8, runs)
    run = np.repeat(np.arange(runs), sizes)
    mix = np.array([[1, 0], [rho, np.sqrt(1 - rho**2)]])
    rows, levels = generator.normal(size=(len(run), 2)) @ mix.T, generator.normal(size=(runs, 2)) @ mix.T
    both = rows + np.sqrt(share) * levels[run]
    return both[:, 0], both[:, 1], run


X, Y, RUN = nested(rng(1), rho=0.6)


def test_the_estimates_are_those_of_scipy():
    for method, oracle in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        found = correlation_interval(X, Y, clusters=RUN, rng=rng(), method=method, draws=99)
        assert found.statistic == pytest.approx(oracle(X, Y).statistic, rel=1e-12)
        assert (found.n, found.clusters, found.status) == (len(X), 12, "ok")
    means = [Y[g == RUN].mean() for g in range(12)]
    assert mean_interval(Y, clusters=RUN, rng=rng(), draws=99).statistic == pytest.approx(np.mean(means))


def test_the_error_of_a_mean_is_the_textbook_one_and_bootstrap_t_finds_students_quantile():
    y = rng(2).normal(size=20)
    found = mean_interval(y, clusters=np.arange(20), rng=rng(), draws=4999)
    assert found.error == pytest.approx(stats.sem(y), rel=1e-12)
    assert (found.high - found.low) / 2 / found.error == pytest.approx(stats.t.ppf(0.975, 19), rel=0.1)
    assert found.high - found.statistic == pytest.approx(found.statistic - found.low)


def test_a_row_of_its_own_run_makes_the_correlations_error_that_of_independent_rows():
    x, y, _ = nested(rng(3), runs=200, rho=0.5, share=0)
    found = correlation_interval(x, y, clusters=np.arange(len(x)), rng=rng(), draws=99)
    assert found.error == pytest.approx(1 / np.sqrt(len(x) - 3), rel=0.12)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_intervals_cover_the_truth_where_rows_are_nested(rho):
    generator, hits, naive = rng(4), 0, 0
    for _ in range(500):
        x, y, run = nested(generator, rho=rho, share=2)
        found = correlation_interval(x, y, clusters=run, rng=generator, draws=199)
        hits += found.low <= rho <= found.high
        half = 1.96 / np.sqrt(len(x) - 3)
        naive += abs(np.arctanh(np.corrcoef(x, y)[0, 1]) - np.arctanh(rho)) <= half
    assert 0.92 <= hits / 500 <= 0.97
    assert naive / 500 < 0.8  # what taking every row as independent does


def test_the_mean_of_runs_is_covered_too():
    generator = rng(5)
    hits = 0
    for _ in range(500):
        _, y, run = nested(generator, runs=8, share=2)
        found = mean_interval(y + 1, clusters=run, rng=generator, draws=199)
        hits += found.low <= 1 <= found.high
    assert 0.92 <= hits / 500 <= 0.97


def test_score_flips_reject_one_time_in_twenty_on_nested_nothing_and_see_a_slope():
    generator = rng(6)
    ps, seen = [], []
    for _ in range(600):
        x, y, run = nested(generator, share=2)
        ps.append(score_flip(x, y, clusters=run, rng=generator, draws=199).p)
    for _ in range(100):
        x, y, run = nested(generator, runs=24, rho=0.6)
        seen.append(score_flip(x, y, clusters=run, rng=generator, draws=199).p)
    assert 0.03 <= np.mean(np.array(ps) <= 0.05) <= 0.08
    assert np.mean(np.array(seen) <= 0.05) > 0.9


def test_score_flips_do_not_depend_on_units_or_on_how_two_columns_are_mixed():
    both = np.stack([X, X**2], axis=1)
    mixed = both @ np.array([[2.0, -1.0], [300.0, 40.0]])
    p = [score_flip(x, Y, clusters=RUN, rng=rng(), draws=499).p for x in (both, 1e6 * both + 7, mixed)]
    assert p[0] == p[1] == p[2] < 0.5


def test_r2_is_that_of_scikit_learn_in_sample_and_left_out():
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, cross_val_predict

    x = np.stack([X, rng(7).normal(size=len(X))], axis=1)
    found = r2_in_sample(x, Y, clusters=RUN, rng=rng(), draws=99)
    assert found.statistic == pytest.approx(LinearRegression().fit(x, Y).score(x, Y), rel=1e-6)
    left = r2_left_out(x, Y, clusters=RUN, parts=RUN)
    oracle = cross_val_predict(LinearRegression(), x, Y, groups=RUN, cv=LeaveOneGroupOut())
    assert left.statistic == pytest.approx(r2_score(Y, oracle), rel=1e-9)
    assert left.statistic < found.statistic
    folds = np.empty(len(Y), int)
    for i, (_, out) in enumerate(GroupKFold(4).split(x, Y, RUN)):
        folds[out] = i
    oracle = cross_val_predict(LinearRegression(), x, Y, groups=RUN, cv=GroupKFold(4))
    assert r2_left_out(x, Y, clusters=RUN, parts=folds).statistic == pytest.approx(r2_score(Y, oracle), rel=1e-9)


def test_the_bootstraps_r2_of_the_whole_is_the_r2():
    found = r2_in_sample(X, Y, clusters=RUN, rng=rng(), draws=199)
    assert found.statistic == pytest.approx(np.corrcoef(X, Y)[0, 1] ** 2, rel=1e-6)
    assert 0 <= found.low < found.statistic < found.high < 1


def test_in_sample_r2_is_covered():
    generator, truth, hits = rng(8), 0.36, 0
    for _ in range(300):
        x, y, run = nested(generator, runs=20, rho=0.6)
        found = r2_in_sample(x, y, clusters=run, rng=generator, draws=199)
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 300 <= 0.98


def test_folds_keep_runs_whole():
    folds = run_folds(RUN, rng=rng())
    assert all(len(set(folds[g == RUN])) == 1 for g in range(12)) and set(folds) == set(range(5))
    assert set(run_folds(["a", "b", "a"], rng=rng())) == {0, 1}
    with pytest.raises(InputError, match="more than one part"):
        r2_left_out(X, Y, clusters=RUN, parts=np.arange(len(X)) % 2)


@pytest.mark.parametrize("runs", [0, 1, 4])
def test_too_few_runs_are_said(runs):
    few = runs > RUN
    x, y, run = X[few], Y[few], RUN[few]
    parts = run_folds(run, rng=rng())
    assert score_flip(x, y, clusters=run, rng=rng()).status == "not enough data"
    for found in (
        mean_interval(y, clusters=run, rng=rng()),
        correlation_interval(x, y, clusters=run, rng=rng()),
        r2_in_sample(x, y, clusters=run, rng=rng()),
        r2_left_out(x, y, clusters=run, parts=parts),
    ):
        assert found.status == "not enough data" and np.isnan([found.low, found.high, found.error]).all()
        assert found.clusters == runs


@pytest.mark.parametrize("bad", [np.nan, 3.0])
def test_a_column_of_nothing_or_without_spread_is_said(bad):
    flat = np.full(len(X), bad)
    for x, y in ((flat, Y), (X, flat)):
        assert correlation_interval(x, y, clusters=RUN, rng=rng()).status == "not enough data"
        assert score_flip(x, y, clusters=RUN, rng=rng()).status == "not enough data"
        assert r2_in_sample(x, y, clusters=RUN, rng=rng()).status == "not enough data"
        assert r2_left_out(x, y, clusters=RUN, parts=RUN).status == "not enough data"
    assert mean_interval(flat, clusters=RUN, rng=rng()).status == "not enough data"
    twice = np.stack([X, X], axis=1)
    assert r2_in_sample(twice, Y, clusters=RUN, rng=rng()).status == "not enough data"
    assert score_flip(twice, Y, clusters=RUN, rng=rng()).status == "not enough data"


def test_rows_with_a_nan_are_left_out_and_lengths_must_agree():
    x = X.copy()
    x[:3] = np.nan
    a = correlation_interval(x, Y, clusters=RUN, rng=rng(), draws=99)
    b = correlation_interval(X[3:], Y[3:], clusters=RUN[3:], rng=rng(), draws=99)
    assert a == b
    with pytest.raises(InputError, match="one cluster per row"):
        mean_interval(Y, clusters=RUN[1:], rng=rng())
    with pytest.raises(InputError, match="pearson or spearman"):
        correlation_interval(X, Y, clusters=RUN, rng=rng(), method="kendall")


def test_most_draws_without_an_error_give_no_finite_interval():
    only_one_moves = np.stack([np.ones(5), np.array([1.0, 0, 0, 0, 0])], axis=1)
    low, high, error = studentised(only_one_moves, lambda s: s[..., 1] / s[..., 0], rng=rng(), draws=999)
    assert (low, high) == (-np.inf, np.inf) and error > 0
