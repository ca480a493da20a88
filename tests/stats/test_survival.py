"""The log-rank test against SciPy, by hand, and against what it must do on nothing."""

import numpy as np
import pytest
from scipy import stats

from geophone.errors import InputError
from geophone.stats.survival import log_rank


def watched(generator, *, n=(30, 40), slower=1.0):
    """Two groups of exponential times, cut at 1.5; the first takes `slower` times as long."""
    times = [generator.exponential(factor, size) for size, factor in zip(n, (slower, 1.0), strict=True)]
    return tuple(np.minimum(t, 1.5) for t in times), tuple(t < 1.5 for t in times)


def censored(times, happened):
    return [stats.CensoredData(t[e], right=t[~e]) for t, e in zip(times, happened, strict=True)]


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("naive", range(5))
def test_it_is_scipys_log_rank_ties_and_censoring_included(seed, rounded):
    times, happened = watched(np.random.default_rng(seed), slower=1.6)
    if rounded:
        times = tuple(np.ceil(10 * t) for t in times)
    found = log_rank(times, happened)
    expected = stats.logrank(*censored(times, happened))
    assert abs(found.statistic) == pytest.approx(abs(expected.statistic), rel=1e-9)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.n, found.status) == (70, "tested")


def test_longer_is_the_side_on_which_the_first_group_takes_longer():
    times, happened = watched(np.random.default_rng(1), slower=3.0)
    both, longer = log_rank(times, happened), log_rank(times, happened, alternative="longer")
    assert longer.statistic == both.statistic < 0
    assert longer.p == pytest.approx(both.p / 2)
    swapped = log_rank(times[::-1], happened[::-1], alternative="longer")
    assert swapped.statistic == pytest.approx(-both.statistic) and swapped.p == pytest.approx(1 - longer.p)


def test_by_hand():
    """At 1 the first of 1 + 1 at risk; at 2 and 3 nobody of the other group is left: z = (1 - 1/2) / sqrt(1/4)."""
    found = log_rank(([1.0], [1.5]), ([True], [False]))
    assert (found.statistic, found.n) == (1.0, 2)


def test_it_rejects_one_time_in_twenty_on_nothing():
    generator = np.random.default_rng(2)
    ps = [log_rank(*watched(generator)).p for _ in range(1500)]
    assert 0.035 <= np.mean(np.array(ps) <= 0.05) <= 0.065


@pytest.mark.parametrize(
    ("times", "happened"),
    [
        (([1.0, 2.0], [3.0]), ([False, False], [False])),
        (([], [3.0, 4.0]), ([], [True, True])),
        (([1.0, 1.0], [1.0]), ([True, True], [True])),
    ],
)
def test_nothing_to_compare_is_said(times, happened):
    found = log_rank(times, happened)
    assert np.isnan([found.statistic, found.p]).all()
    assert (found.n, found.status) == (len(times[0]) + len(times[1]), "not enough data")


def test_wrong_input_is_refused():
    for times, happened in ((([1.0], [2.0]), ([True, True], [True])), (([np.nan], [2.0]), ([True], [True]))):
        with pytest.raises(InputError, match="finite time and an event flag"):
            log_rank(times, happened)
    with pytest.raises(InputError, match="longer"):
        log_rank(([1.0], [2.0]), ([True], [True]), alternative="shorter")
