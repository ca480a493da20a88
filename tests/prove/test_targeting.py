"""The measure itself: closed forms, the perfect method, and labels that carry nothing."""

from itertools import combinations

import numpy as np
import pytest

from geophone.errors import InputError
from geophone.prove.events import Event
from geophone.prove.targeting import (
    APART,
    Moments,
    area,
    budget,
    hits,
    match,
    needed,
    pick,
    random_moments,
    random_recall,
    tolerance,
    truth,
)

STEPS = np.arange(1, 401) * 10.0


def event(t50, width=40.0, layer="any"):
    return Event("e", layer, t50 - width / 2, t50, t50 + width / 2)


def known(*places):
    return truth([event(t) for t in places], STEPS)


def at(*index):
    return Moments(np.array(index), ("any",) * len(index))


@pytest.mark.parametrize("apart", [1, 4])
def test_closed_form_of_random_recall_is_what_counting_all_sets_gives(apart):
    length, k, window = 15, 3, range(5, 10)
    sets = [s for s in combinations(range(length), k) if min(np.diff(s)) >= apart]
    share = np.mean([bool(set(s) & set(window)) for s in sets])
    assert random_recall([len(window)], k=k, length=length, apart=apart) == pytest.approx(share, abs=1e-12)


def test_measured_recall_of_random_targeting_agrees_with_its_closed_form():
    rng = np.random.default_rng(0)
    truth_ = known(900, 1700, 2600, 3300)
    recalls = [hits(at(*random_moments(400, k=4, apart=APART, rng=rng)), truth_, share=1).recall for _ in range(4000)]
    expected = random_recall(truth_.windows, k=4, length=400, apart=APART)
    assert np.mean(recalls) == pytest.approx(expected, abs=4 * np.std(recalls) / 4000**0.5)
    assert expected == pytest.approx(0.11, abs=0.01)


def test_random_moments_are_every_allowed_set_equally_often():
    rng = np.random.default_rng(1)
    drawn = [tuple(sorted(random_moments(7, k=2, apart=3, rng=rng))) for _ in range(10_000)]
    allowed = [s for s in combinations(range(7), 2) if s[1] - s[0] >= 3]
    assert set(drawn) == set(allowed)
    counts = np.array([drawn.count(s) for s in allowed])
    assert ((counts - 1000) ** 2 / 1000).sum() < 23.6  # chi-square, 9 degrees of freedom, p = .005


def test_an_oracle_gets_one_everywhere_and_its_area_is_seven_eighths():
    truth_ = known(500, 1500, 2500, 3500)
    oracle = at(*[int(e.t50 / 10) - 1 for e in truth_.events], *range(200, 230, 12))
    found = hits(oracle, truth_, share=1)
    assert found.recall == found.precision == 1.0
    assert found.lift == pytest.approx(1 / found.chance)
    assert hits(oracle, truth_, share=0.5).recall == 0.5 and hits(oracle, truth_, share=2).recall == 1.0
    assert area(oracle, truth_) == pytest.approx(7 / 8)
    assert needed(oracle, truth_) == 1.0
    assert np.isnan(needed(at(0, 20), truth_))


def test_shuffled_labels_give_lift_one():
    rng = np.random.default_rng(2)
    truth_ = known(700, 1400, 2300, 3100)
    score = np.exp(-0.5 * ((STEPS[:, None] - [e.t50 for e in truth_.events]) / 30) ** 2).sum(1)
    assert hits(at(*pick(score)), truth_, share=1).recall == 1.0
    lifts = [hits(at(*pick(rng.permutation(score))), truth_, share=1).lift for _ in range(1500)]
    assert np.mean(lifts) == pytest.approx(1, abs=4 * np.std(lifts) / 1500**0.5)


def test_one_moment_hits_one_event_and_the_assignment_finds_the_most():
    events = [event(1000), event(1060)]
    # The first moment reaches both events, the second one only the first: greedy by order would lose a hit.
    assert sorted(match(np.array([1030.0, 970.0]), events, [50, 50])) == [(0, 1), (1, 0)]
    assert match(np.array([1040.0]), events, [50, 50]) == [(0, 1)]
    assert match(np.array([]), events, [50, 50]) == []


def test_tolerance_is_a_quarter_of_the_rise_within_its_bounds():
    assert tolerance(event(2000, width=400), every=10, total=4000) == 100
    assert tolerance(event(2000, width=40), every=10, total=4000) == 50
    assert tolerance(event(2000, width=3000), every=10, total=4000) == 200


def test_pick_takes_tops_first_keeps_its_distance_and_spends_any_budget():
    score = np.zeros(100)
    score[[20, 25, 60]] = 3, 2, 1
    score[99] = 9  # at the end of the run: no top, since nothing is known of what follows
    found = pick(score, apart=10)
    assert list(found[:2]) == [20, 60] and 99 in found[2:4]
    assert np.diff(np.sort(found)).min() >= 10
    wide = pick(score, apart=10, spread=0.8)
    assert 60 in wide[:2] and np.diff(np.sort(wide[:2])).min() >= 10
    assert not len(pick(np.full(50, np.nan)))


def test_layers_count_where_they_are_known_and_a_sublayer_is_its_layer():
    truth_ = truth([event(1000, layer="blocks.0"), event(3000, layer="blocks.1"), event(2000)], STEPS)
    found = hits(Moments(np.array([99, 299, 199]), ("blocks.0.attention", "blocks.10", "blocks.1")), truth_, share=1)
    assert found.recall == 1.0 and found.layer_rate == 0.5


def test_budgets_round_up_and_impossible_ones_are_refused():
    assert [budget(s, 5) for s in (0.5, 1, 2)] == [3, 5, 10] and budget(0.5, 1) == 1
    with pytest.raises(InputError, match="do not fit"):
        random_recall([3], k=10, length=20, apart=5)
    with pytest.raises(InputError, match="do not fit"):
        random_moments(20, k=10, apart=5, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="without events"):
        hits(at(1), truth([], STEPS), share=1)
