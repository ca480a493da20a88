"""The measure itself: closed forms, the perfect method, and labels that carry nothing."""

from itertools import combinations

import numpy as np
import pytest

from geophone.errors import InputError
from geophone.point.moments import pick
from geophone.prove.events import Event
from geophone.prove.targeting import (
    Moments,
    auc,
    budget,
    chance,
    hits,
    layer_rate,
    listed,
    match,
    oracle,
    random_moments,
    random_recall,
    recall,
    sample_auc,
    shock_recall,
    shocked,
)  # fmt: skip
from geophone.prove.truth import APART, known, tolerance

STEPS = np.arange(1, 401) * 10.0


def event(t50, width=40.0, layer="any", name="e"):
    return Event(name, layer, t50 - width / 2, t50, t50 + width / 2)


def truth_at(*places):
    return known([event(t) for t in places], STEPS)


def at(*index):
    return Moments(np.array(index, dtype=int))


@pytest.mark.parametrize("apart", [1, 4])
def test_closed_form_of_random_recall_is_what_counting_all_sets_gives(apart):
    length, k, window = 15, 3, range(5, 10)
    sets = [s for s in combinations(range(length), k) if min(np.diff(s)) >= apart]
    share = np.mean([bool(set(s) & set(window)) for s in sets])
    assert random_recall([len(window)], k=k, length=length, apart=apart) == pytest.approx(share, abs=1e-12)


def test_measured_recall_of_random_targeting_agrees_with_its_closed_form():
    rng = np.random.default_rng(0)
    truth = truth_at(900, 1700, 2600, 3300)
    recalls = [recall(random_moments(400, k=4, apart=APART, rng=rng), truth) for _ in range(4000)]
    assert np.mean(recalls) == pytest.approx(chance(truth), abs=4 * np.std(recalls) / 4000**0.5)
    assert chance(truth) == pytest.approx(0.11, abs=0.01)
    assert chance(truth, share=2) == random_recall(truth.windows, k=8, length=400, apart=APART)


def test_random_moments_are_every_allowed_set_equally_often():
    rng = np.random.default_rng(1)
    drawn = [tuple(sorted(random_moments(7, k=2, apart=3, rng=rng).index)) for _ in range(10_000)]
    allowed = [s for s in combinations(range(7), 2) if s[1] - s[0] >= 3]
    assert set(drawn) == set(allowed)
    counts = np.array([drawn.count(s) for s in allowed])
    assert ((counts - 1000) ** 2 / 1000).sum() < 23.6  # chi-square, 9 degrees of freedom, p = .005


def test_an_oracle_gets_one_on_every_endpoint():
    rng = np.random.default_rng(3)
    events = [event(t, layer=f"blocks.{i}", name=f"task{i}") for i, t in enumerate((500, 1500, 2500, 3500))]
    samples = {f"task{i}": rng.random(64) < 0.3 for i in range(4)}
    truth = known(events, STEPS, samples=samples)
    best = oracle(truth)
    assert recall(best, truth) == recall(best, truth.strict()) == recall(best, truth, share=2) == 1.0
    assert recall(best, truth, share=0.5) == 0.5
    assert listed(best, truth).f1 == listed(best, truth).precision == listed(best, truth).recall == 1.0
    assert layer_rate(best, truth) == sample_auc(best, truth) == 1.0


def test_shuffled_labels_give_lift_one():
    rng = np.random.default_rng(2)
    truth = truth_at(700, 1400, 2300, 3100)
    score = np.exp(-0.5 * ((STEPS[:, None] - [e.t50 for e in truth.events]) / 30) ** 2).sum(1)
    assert recall(at(*pick(score, STEPS)), truth) == 1.0
    shuffled = (at(*pick(rng.permutation(score), STEPS, spread=0.0)) for _ in range(1500))
    lifts = [recall(moments, truth) / chance(truth) for moments in shuffled]
    assert np.mean(lifts) == pytest.approx(1, abs=4 * np.std(lifts) / 1500**0.5)


def test_one_moment_hits_one_event_and_the_assignment_finds_the_most():
    events = [event(1000), event(1060)]
    # The first moment reaches both events, the second one only the first: greedy by order would lose a hit.
    assert sorted(match(np.array([1030.0, 970.0]), events, [50, 50])) == [(0, 1), (1, 0)]
    assert match(np.array([1040.0]), events, [50, 50]) == [(0, 1)]
    assert match(np.array([]), events, [50, 50]) == []


def test_of_two_moments_in_reach_the_nearer_one_hits():
    assert match(np.array([1040.0, 1010.0]), [event(1000)], [50]) == [(1, 0)]
    assert match(np.array([1050.0, 1051.0]), [event(1000)], [50]) == [(0, 0)]
    apart = [event(1000), event(3000)]
    assert sorted(match(np.array([3010.0, 990.0, 2999.0]), apart, [50, 50])) == [(1, 0), (2, 1)]
    assert match(np.array([1.0]), [], []) == []


def test_tolerance_is_a_quarter_of_the_rise_within_its_bounds():
    assert tolerance(event(2000, width=400), every=10, total=4000) == 100
    assert tolerance(event(2000, width=40), every=10, total=4000) == 50
    assert tolerance(event(2000, width=3000), every=10, total=4000) == 200
    assert tolerance(event(50, width=4000), every=10, total=100) == 50


def test_what_comes_first_is_left_out_and_what_comes_together_is_one_with_all_its_samples():
    early, a, b, late = event(40, name="x"), event(1000, name="a"), event(1090, name="b"), event(1300, name="c")
    masks = {"a": np.array([True, False, False]), "b": np.array([False, True, False])}
    truth = known([late, b, a, early], STEPS, samples=masks)
    assert [e.name for e in truth.events] == ["a+b", "c"] and truth.events[0].t50 == 1045
    assert truth.samples["a+b"].tolist() == [True, True, False] and "c" not in truth.samples
    assert truth.strict().reach == (50.0, 50.0) and truth.every == 10


def test_a_layer_counts_where_it_is_known_and_a_block_is_what_it_adds():
    truth = known([event(1000, layer="blocks.0"), event(3000, layer="blocks.1"), event(2000)], STEPS)
    assert layer_rate(Moments(np.array([99, 299, 199]), ("blocks.0+", "blocks.10", "blocks.1")), truth) == 0.5
    assert np.isnan(layer_rate(at(99, 299), truth))
    assert np.isnan(layer_rate(Moments(np.array([199]), ("blocks.1",)), truth))


def test_the_area_under_the_curve_counts_pairs():
    rng = np.random.default_rng(5)
    score, positive = rng.integers(0, 6, 50).astype(float), rng.random(50) < 0.4
    pairs = score[positive][:, None] - score[~positive]
    assert auc(score, positive) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert np.isnan(auc(score, np.ones(50, dtype=bool)))


def test_lists_are_judged_by_what_they_hold_and_what_they_miss():
    truth = truth_at(900, 1700, 2600)
    found = listed(Moments(np.array([89, 300, 20, 259]), count=2), truth)
    assert (found.precision, found.recall, found.f1) == (1 / 2, 1 / 3, pytest.approx(2 / 5))
    assert listed(Moments(np.array([300]), count=1), truth).f1 == 0
    with pytest.raises(InputError, match="where its list"):
        listed(at(89), truth)


def test_pointing_at_a_shock_is_told_from_pointing_at_what_is_learned():
    truth = known([event(1000), event(2000)], STEPS, planted=[700, 1700])
    shocks = at(*(int(t / 10) - 1 for t in (690, 1750)))
    assert shocked(shocks, truth) == shock_recall(shocks, truth) == 1.0 and recall(shocks, truth) == 0
    learned = oracle(truth)
    assert shocked(learned, truth) == shock_recall(learned, truth) == 0.0
    late = at(int(760 / 10) - 1, int(670 / 10) - 1)
    assert shocked(late, truth) == 0.0
    assert np.isnan(shocked(learned, truth_at(1000)))


def test_budgets_round_up_and_impossible_ones_are_refused():
    assert [budget(s, 5) for s in (0.5, 1, 2)] == [3, 5, 10] and budget(0.5, 1) == 1
    with pytest.raises(InputError, match="do not fit"):
        random_recall([3], k=10, length=20, apart=5)
    with pytest.raises(InputError, match="do not fit"):
        random_moments(20, k=10, apart=5, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="without events"):
        recall(at(1), known([], STEPS))


def test_the_only_set_that_fits_is_the_one_drawn():
    rng = np.random.default_rng(4)
    assert sorted(random_moments(11, k=3, apart=5, rng=rng).index) == [0, 5, 10]
    assert sorted(random_moments(4, k=4, apart=1, rng=rng).index) == [0, 1, 2, 3]
    assert random_recall([3], k=3, length=11, apart=5) == 1.0


def test_hits_are_of_the_moments_given():
    truth = truth_at(900, 1700)
    assert hits(at(89, 169), truth) == [(0, 0), (1, 1)] and hits(at(89, 169).first(1), truth) == [(0, 0)]
