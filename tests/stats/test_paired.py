"""Sign flips against SciPy and by hand; equivalence against statsmodels and by its own law."""

import numpy as np
import pytest
from scipy import stats

from geophone.errors import InputError
from geophone.stats.paired import sign_flip, tost

D = np.array([0.3, -0.1, 0.5, 0.2, 0.4, 0.9, -0.2, 0.6])


def flip(d, **options):
    return sign_flip(np.asarray(d), rng=np.random.default_rng(0), **options)


def test_exact_p_by_hand():
    found = flip([1, 2, 3])  # of 8 signs only +++ and --- reach 6
    assert (found.p, found.statistic, found.n, found.status) == (0.25, 2.0, 3, "tested")
    assert flip([3, -3]).p == 1.0


def test_exact_p_agrees_with_scipy():
    expected = stats.permutation_test((D,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert flip(D).p == pytest.approx(expected.pvalue, rel=1e-12)


def test_drawn_p_agrees_with_exact():
    d = np.random.default_rng(1).normal(0.3, 1, 14)
    exact = flip(d, draws=2**14 - 1).p
    assert flip(d, draws=9999).p == pytest.approx(exact, abs=4 * np.sqrt(exact / 9999))
    assert 0.02 < exact < 0.5


def test_sign_flip_rejects_one_time_in_twenty_on_nothing_and_often_on_something():
    rng = np.random.default_rng(2)
    heavy = lambda shift: sign_flip(rng.standard_t(3, size=12) + shift, rng=rng, draws=199).p <= 0.05  # noqa: E731
    assert 0.03 <= np.mean([heavy(0.0) for _ in range(800)]) <= 0.07
    assert np.mean([heavy(2.0) for _ in range(100)]) > 0.8


def test_a_difference_of_scale_leaves_p_alone():
    assert flip(D).p == flip(1e-9 * D).p == flip(-D).p


@pytest.mark.parametrize("d", [[], [1.0], [0.0, 0.0, 0.0], [np.nan, 2.0, np.nan]])
def test_too_little_is_said(d):
    found = flip(np.array(d, dtype=float))
    assert found.status == "not enough data" and np.isnan(found.p)


def test_tost_agrees_with_statsmodels():
    from statsmodels.stats.weightstats import DescrStatsW

    for margin in (0.2, 0.6, 1.5):
        expected = DescrStatsW(D).ttost_mean(-margin, margin)[0]
        assert tost(D, margin=margin).p == pytest.approx(expected, rel=1e-9)


def test_tost_says_equivalent_exactly_when_its_interval_lies_inside():
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(200):
        found = tost(rng.normal(0.1, 1, 20), margin=0.5)
        inside = found.low > -0.5 and found.high < 0.5
        assert (found.status == "equivalent") == inside
        seen.add(found.status)
    assert seen == {"equivalent", "not shown"}


def test_tost_errs_at_the_margin_one_time_in_twenty():
    rng = np.random.default_rng(4)
    share = np.mean([tost(rng.normal(0.5, 1, 30), margin=0.5).status == "equivalent" for _ in range(2000)])
    assert 0.035 <= share <= 0.065


def test_no_spread_is_not_equivalence_and_bad_arguments_are_refused():
    assert tost(np.full(5, 0.1), margin=1).status == tost(np.zeros(5), margin=1).status == "not enough data"
    assert tost(np.array([0.1]), margin=1).status == "not enough data"
    for bad in ({"margin": 0.0}, {"margin": np.nan}, {"margin": 1, "alpha": 0.7}):
        with pytest.raises(InputError):
            tost(D, **bad)
    with pytest.raises(InputError, match="one number per unit"):
        flip(np.ones((2, 2)))
