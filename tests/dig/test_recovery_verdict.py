"""A word on recovery is said only where the tests over runs bear it."""

import numpy as np
import pandas as pd
import pytest
from recovery_verdict import compare_moments, longer, recovery_verdict

from geophone.errors import InputError


def seeded(seed=0):
    return np.random.default_rng(seed)


CALM = {"100": 0.002, "500": 0.002, "plateau": 0.002}


def extra(rng, means, n=20, spread=0.004):
    return {h: mean + spread * rng.normal(size=n) for h, mean in means.items()}


def times(rng, late, n=20):
    here, there = 100 + late + rng.integers(0, 40, n), 100 + rng.integers(0, 40, n)
    return (here, there), (np.ones(n, bool), np.ones(n, bool))


@pytest.mark.parametrize(
    ("means", "late", "said"),
    [
        ({"100": 0.05, "500": 0.03, "plateau": 0.03}, 80, "permanent deficit"),
        ({"100": 0.05, "500": 0.00, "plateau": 0.00}, 80, "slower recovery"),
        ({"100": 0.05, "500": 0.00, "plateau": 0.00}, 0, "slower recovery"),
        ({"100": 0.00, "500": 0.00, "plateau": 0.00}, 80, "slower recovery"),
        ({"100": 0.00, "500": 0.00, "plateau": 0.00}, 0, "no difference"),
        ({"100": 0.00, "500": 0.00, "plateau": -0.03}, 0, "ends higher"),
    ],
)
def test_planted_truths_get_their_word(means, late, said):
    rng = seeded(4)
    assert recovery_verdict(extra(rng, means), times(rng, late), margin=0.01, rng=rng).verdict == said


def test_noise_too_great_for_either_answer_is_undecided():
    rng = seeded()
    wide = extra(rng, {"plateau": 0.0}, spread=0.05)
    assert recovery_verdict(wide, margin=0.01, rng=rng).verdict == "undecided"
    assert recovery_verdict({"plateau": np.array([0.2, 0.3])}, margin=0.01, rng=rng).verdict == "undecided"


def test_a_real_difference_below_the_margin_is_no_deficit():
    rng = seeded(1)
    found = recovery_verdict(extra(rng, {"plateau": 0.004}, spread=0.002), margin=0.01, rng=rng)
    assert found.plateau.p < 0.05 and found.verdict == "no difference"


def test_where_nothing_is_different_words_are_wrong_as_seldom_as_promised():
    rng = seeded(2)
    said = [
        recovery_verdict(extra(rng, dict.fromkeys(CALM, 0.0)), times(rng, 0), margin=0.01, rng=rng).verdict
        for _ in range(120)
    ]
    wrong = sum(word != "no difference" for word in said)
    assert wrong <= 13  # 5 % of 120 and three standard deviations
    assert "permanent deficit" not in said


def recovery_rows(rng, deficits):
    return pd.DataFrame(
        [
            {"run": f"r{i}", "moment": m, "arm": "ablated", "horizon": h, "deficit": d + 0.003 * rng.normal(),
             "recovery_steps": 100, "recovered": True}
            for i in range(12) for m, d in deficits.items() for h in ("100", "plateau")
        ]
    )  # fmt: skip


def test_moments_are_compared_within_runs_with_the_mean_of_their_controls():
    rng = seeded()
    table = recovery_rows(rng, {"during": 0.06, "c1": 0.01, "c2": 0.03})
    table = pd.concat([table, table[table["run"] == "r0"].assign(run="alone").query("moment == 'during'")])
    found = compare_moments(table, "during", ["c1", "c2"], margin=0.01, rng=rng)
    assert found.plateau.n == 12 and found.plateau.statistic == pytest.approx(0.04, abs=0.003)
    assert found.verdict == "permanent deficit"
    with pytest.raises(InputError, match="no run"):
        compare_moments(table, "during", "other", margin=0.01, rng=rng)


def test_longer_is_the_log_rank_test_of_a_worked_example():
    # Times 1, 3+, 5 against 2, 4: at risk 3|2, 2|2, 1|1, 1|0 at 1, 2, 4, 5.
    test = longer((np.array([1, 3, 5]), np.array([2, 4])), (np.array([1, 0, 1]), np.array([1, 1])))
    expected, variance = 3 / 5 + 2 / 4 + 1 / 2 + 1, 6 / 25 + 1 / 4 + 1 / 4
    assert test.statistic == pytest.approx((2 - expected) / variance**0.5)


def test_longer_knows_which_group_takes_longer_and_when_nothing_can_be_said():
    slow, fast = np.arange(30, 50), np.arange(1, 21)
    all_of = (np.ones(20, bool), np.ones(20, bool))
    assert longer((slow, fast), all_of).p < 1e-4
    assert longer((fast, slow), all_of).p > 0.99
    assert longer((slow, fast), (~all_of[0], ~all_of[0])).status == "not enough data"
    assert longer((np.array([]), fast), (np.array([], bool), all_of[0])).status == "not enough data"
    same = longer((np.array([1.0, 1.0]), np.array([1.0])), (np.array([True, True]), np.array([True])))
    assert (same.n, same.status) == (3, "not enough data")
    with pytest.raises(InputError, match="finite time"):
        longer((np.array([np.nan]), fast), (np.array([True]), all_of[0]))
