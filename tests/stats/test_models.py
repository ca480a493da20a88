"""Power, mixed models, naive forms and differences between groups: oracles and planted truths."""

import numpy as np
import pytest
from scipy import stats

from geophone.stats.heterogeneity import correlations_differ, means_differ
from geophone.stats.mixed import mixed_model
from geophone.stats.naive import correlation, paired_t, wilcoxon
from geophone.stats.power import smallest_effect, smallest_r2

RNG = np.random.default_rng(0)
RUN = np.repeat(np.arange(18), 6)
KIND = np.repeat(["a", "b", "c"], 36)
X = RNG.normal(size=108)
Y = 0.5 * X + RNG.normal(size=18)[RUN] + RNG.normal(size=108) + 2 * (KIND == "c")


@pytest.mark.parametrize("n", [5, 12, 44])
def test_the_smallest_effect_is_that_of_statsmodels(n):
    from statsmodels.stats.power import TTestPower

    expected = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert smallest_effect(2 / np.sqrt(n), n) == pytest.approx(2 * expected, rel=1e-3)


def test_the_smallest_r2_is_found_four_times_in_five():
    r2, n = smallest_r2(30, 2), 30
    generator, found = np.random.default_rng(1), 0
    for _ in range(500):
        x = generator.normal(size=(n, 2))
        x -= x.mean(0)
        line = x[:, 0] / x[:, 0].std() * np.sqrt(r2)
        y = line + np.sqrt(1 - r2) * generator.normal(size=n)
        design = np.column_stack([np.ones(n), x])
        left = ((y - design @ np.linalg.lstsq(design, y, rcond=None)[0]) ** 2).sum()
        f = (((y - y.mean()) ** 2).sum() - left) / 2 / (left / (n - 3))
        found += stats.f.sf(f, 2, n - 3) <= 0.05
    assert 0.74 <= found / 500 <= 0.86
    assert np.isnan(smallest_r2(3, 2)) and np.isnan(smallest_effect(np.nan, 12)) and np.isnan(smallest_effect(1, 4))


def test_the_mixed_model_is_that_of_statsmodels_formula():
    import pandas as pd
    import statsmodels.formula.api as smf

    frame = pd.DataFrame({"x": X, "y": Y, "run": RUN, "kind": KIND})
    slope = smf.mixedlm("y ~ x + C(kind)", frame, groups="run").fit(reml=True, method="powell")
    found = mixed_model(Y, X, clusters=RUN, kinds=KIND)
    assert found.status == "fitted" and (found.n, found.clusters) == (108, 18)
    assert found.slope == pytest.approx(slope.params["x"], abs=1e-4)
    assert (found.low, found.high) == pytest.approx(tuple(slope.conf_int().loc["x"]), abs=1e-3)
    assert found.between == pytest.approx(float(slope.cov_re.iloc[0, 0]), rel=1e-2)
    mean = smf.mixedlm("y ~ C(kind, Sum)", frame, groups="run").fit(reml=True, method="powell")
    assert mixed_model(Y, clusters=RUN, kinds=KIND).slope == pytest.approx(mean.params["Intercept"], abs=1e-4)


def test_the_mixed_model_does_not_depend_on_units_and_says_when_it_cannot():
    big, small = (mixed_model(s * Y, X, clusters=RUN, kinds=KIND) for s in (1e3, 1e-6))
    assert big.slope / 1e3 == pytest.approx(small.slope / 1e-6, rel=1e-4)
    for y, x, run in (
        (Y[:24], X[:24], RUN[:24]), (Y[::6], X[::6], RUN[::6]), (np.full(108, np.nan), X, RUN), (Y, np.ones(108), RUN)
    ):  # fmt: skip
        found = mixed_model(y, x, clusters=run)
        assert found.status == "not enough data" and np.isnan(found.p)


def test_naive_forms_are_scipys():
    r, p = correlation(X, Y)
    expected = stats.pearsonr(X, Y)
    assert (r.statistic, p.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (r.low, r.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert correlation(X, Y, method="spearman")[1].p == pytest.approx(stats.spearmanr(X, Y).pvalue)
    mean, t = paired_t(X, Y)
    expected = stats.ttest_rel(Y, X)
    assert (t.statistic, t.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (mean.low, mean.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert wilcoxon(Y - X).p == pytest.approx(stats.wilcoxon(Y - X).pvalue)


def test_naive_forms_say_when_there_is_too_little():
    for x in (np.full(108, np.nan), np.ones(108)):
        assert correlation(x, Y)[1].status == "not enough data"
    assert paired_t(np.ones(1), np.zeros(1))[1].status == "not enough data"
    assert paired_t(np.full(9, 0.1), np.full(9, 0.4))[1].status == "not enough data"
    assert wilcoxon(np.zeros(5)).status == "not enough data"


def test_means_differ_is_the_f_test_of_run_means_and_runs_are_what_is_permuted():
    means = np.array([Y[g == RUN].mean() for g in range(18)])
    groups = np.split(means, 3)
    found = means_differ(Y, clusters=RUN, labels=KIND, rng=np.random.default_rng(0))
    assert found.statistic == pytest.approx(stats.f_oneway(*groups).statistic)
    assert found.p == pytest.approx(stats.f_oneway(*groups).pvalue, abs=0.02) and found.n == 18


def test_correlations_differ_finds_one_label_apart_and_errs_one_time_in_twenty():
    generator = np.random.default_rng(2)

    def p(slopes):
        x = generator.normal(size=108)
        strength = np.array([slopes[k] for k in KIND])
        # Levels and scales differ by label; that is not a difference of correlations.
        y = 5.0 * (KIND == "b") + (1 + 3 * (KIND == "c")) * (strength * x + generator.normal(size=108))
        return correlations_differ(x, y, clusters=RUN, labels=KIND, rng=generator, draws=199).p

    nothing = np.array([p({"a": 0.5, "b": 0.5, "c": 0.5}) for _ in range(400)])
    assert 0.025 <= (nothing <= 0.05).mean() <= 0.08
    assert np.mean([p({"a": 1.5, "b": 0, "c": 0}) <= 0.05 for _ in range(60)]) > 0.9


def test_labels_with_few_runs_take_no_part():
    few = (KIND != "b") | (RUN == 6)
    found = means_differ(Y[few], clusters=RUN[few], labels=KIND[few], rng=np.random.default_rng(0), draws=99)
    assert found.n == 12
    for test in (means_differ, lambda y, **k: correlations_differ(X[: len(y)], y, **k)):
        alone = test(Y[:36], clusters=RUN[:36], labels=KIND[:36], rng=np.random.default_rng(0))
        assert alone.status == "not enough data" and np.isnan(alone.p)
        empty = test(np.full(108, np.nan), clusters=RUN, labels=KIND, rng=np.random.default_rng(0))
        assert empty.status == "not enough data"
