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
    recall_curve,
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


def greedily(score, apart, spread):
    """The rule of `pick`, written out: local tops from the highest down, then the rest, none too near a better one."""
    places = [i for i in range(len(score)) if np.isfinite(score[i])]
    inner = [i for i in places if 0 < i < len(score) - 1]
    tops = [i for i in inner if score[i] > max(np.nan_to_num(score[[i - 1, i + 1]], nan=-np.inf))]
    order = sorted(tops, key=lambda i: (-score[i], i)) + sorted(places, key=lambda i: (-score[i], i))
    kept = []
    for i in order:
        if all(abs(i - k) >= max(apart, int(spread * (k + 1))) for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("apart", [1, 2, 11])
def test_pick_is_its_rule(apart, spread):
    rng = np.random.default_rng(3)
    for _ in range(40):
        score = rng.normal(size=60)
        score[rng.integers(0, 60, 4)] = np.nan
        found = pick(score, apart=apart, spread=spread)
        assert found.tolist() == greedily(score, apart, spread) and found.dtype.kind == "i"
    assert pick(np.array([1, 5, 1, 5, 1, 5, 1]), apart=2).tolist() == [1, 3, 5]
    assert pick(np.full(9, np.nan)).dtype.kind == "i"


def test_one_reach_for_all_counts_measurements_and_each_ones_own_ends_at_a_twentieth_of_the_run():
    events = [event(1000, width=40), event(2000, width=3000), event(2500, width=400)]
    assert truth(events, STEPS, reach=3).reach == (30.0, 30.0, 30.0)
    assert truth(events, STEPS).reach == (50.0, 200.0, 100.0)
    assert truth(events, STEPS).windows == [11, 41, 21]
    assert truth(events, STEPS[:10]).reach == (50.0, 50.0, 50.0)
    assert tolerance(event(50, width=4000), every=10, total=100) == 50


def test_hits_say_what_they_were_counted_against():
    truth_ = known(900, 1700, 2600)
    found = hits(at(89, 300, 20, 259, 200, 100), truth_, share=2)
    assert (found.k, found.recall, found.precision) == (6, 2 / 3, 2 / 6)
    assert found.chance == random_recall([11] * 3, k=6, length=400, apart=APART)
    assert found.lift == pytest.approx(found.recall / found.chance) and np.isnan(found.layer_rate)
    assert recall_curve(at(89, 300, 20, 259), truth_, (1 / 3, 1, 4 / 3)) == pytest.approx([1 / 3, 1 / 3, 2 / 3])
    assert area(at(89), known(900)) == pytest.approx(7 / 8) and area(at(300), known(900)) == 0


def test_of_two_moments_in_reach_the_nearer_one_hits():
    assert match(np.array([1040.0, 1010.0]), [event(1000)], [50]) == [(1, 0)]
    assert match(np.array([1050.0, 1051.0]), [event(1000)], [50]) == [(0, 0)]
    apart = [event(1000), event(3000)]
    assert sorted(match(np.array([3010.0, 990.0, 2999.0]), apart, [50, 50])) == [(1, 0), (2, 1)]
    assert match(np.array([1.0]), [], []) == []


def test_what_recall_of_four_in_five_needs():
    events = (500, 1100, 1700, 2300, 2900)
    places = [int(t / 10) - 1 for t in events]
    assert needed(at(*places[:4]), known(*events)) == 4 / 5  # exactly .8 is enough
    assert needed(at(*places[:3], 380, places[3]), known(*events)) == 1.0
    assert needed(at(places[0]), known(500)) == 1.0
    assert np.isnan(needed(at(*places[:3]), known(*events)))


def test_the_only_set_that_fits_is_the_one_drawn():
    rng = np.random.default_rng(4)
    assert sorted(random_moments(11, k=3, apart=5, rng=rng)) == [0, 5, 10]
    assert sorted(random_moments(4, k=4, apart=1, rng=rng)) == [0, 1, 2, 3]
    assert random_recall([3], k=3, length=11, apart=5) == 1.0
