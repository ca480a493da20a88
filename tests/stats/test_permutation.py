"""Permutation tests against SciPy, ties included, and against what they must do on nothing."""

import numpy as np
import pytest
from scipy import stats

from geophone.errors import InputError
from geophone.stats.permutation import contingency, kruskal_wallis, permutation_test

VALUES = np.array([1.0, 2, 2, 3, 5, 5, 5, 8, 9, 9, 4, 1])
LABELS = np.array(list("aaaabbbbcccc"))


def test_kruskal_wallis_agrees_with_scipy_where_values_tie():
    expected = stats.kruskal(*(VALUES[k == LABELS] for k in "abc")).statistic
    assert kruskal_wallis(VALUES, LABELS) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(kruskal_wallis(np.ones(6), np.array(list("aabbcc"))))


def test_contingency_agrees_with_scipy():
    counts = np.random.default_rng(0).poisson(3, (12, 4))
    table = np.stack([counts[k == LABELS].sum(0) for k in "abc"])
    assert contingency(counts, LABELS) == pytest.approx(stats.chi2_contingency(table, correction=False).statistic)


def test_p_agrees_with_scipys_permutation_test():
    groups = [VALUES[k == LABELS] for k in "abc"]
    expected = stats.permutation_test(
        groups, lambda *g, axis: stats.kruskal(*g, axis=axis).statistic, permutation_type="independent",
        n_resamples=9999, alternative="greater", vectorized=True, batch=500, rng=np.random.default_rng(1),
    ).pvalue  # fmt: skip
    found = permutation_test(VALUES, LABELS, kruskal_wallis, rng=np.random.default_rng(2), draws=9999)
    assert found.p == pytest.approx(expected, abs=0.015) and found.n == 12 and found.status == "tested"


def test_on_nothing_it_rejects_one_time_in_twenty():
    rng = np.random.default_rng(3)
    ps = [permutation_test(rng.normal(size=12), LABELS, kruskal_wallis, rng=rng, draws=99).p for _ in range(600)]
    assert 0.03 <= np.mean(np.array(ps) <= 0.05) <= 0.07


@pytest.mark.parametrize("labels", [["a"] * 4, list("abcd")])
def test_too_little_data_is_said_not_raised(labels):
    found = permutation_test(np.arange(4.0), labels, kruskal_wallis, rng=np.random.default_rng(0))
    assert found.status == "not enough data" and np.isnan(found.p)


def test_missing_values_are_left_out_and_lengths_must_agree():
    values = VALUES.copy()
    values[0] = np.nan
    assert permutation_test(values, LABELS, kruskal_wallis, rng=np.random.default_rng(0), draws=9).n == 11
    with pytest.raises(InputError, match="one label per value"):
        permutation_test(values, LABELS[1:], kruskal_wallis, rng=np.random.default_rng(0))
