"""Selectivity is that of Morcos et al., unbiased where nothing is known of the class; the rest has known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mutual_info_score, silhouette_score

from geophone.dig.activations import (
    _FOLDS,
    _probes,
    class_means,
    code_diversity,
    grouping,
    selectivity,
    selectivity_for,
    unit_statistics,
)
from geophone.dig.samples import balanced, joined
from geophone.errors import InputError
from geophone.zoo.tasks import task


def seeded(seed=0):
    return np.random.default_rng(seed)


def morcos(a, y):
    """Written out from the paper, unit by unit."""
    found = []
    for unit in range(a.shape[1]):
        means = [a[y == label, unit].mean() for label in np.unique(y)]
        best = max(means)
        means.remove(best)
        rest = sum(means) / len(means)
        found.append((best - rest) / (best + rest))
    return np.array(found)


def unknowing(per_class, units=400, seed=0):
    """Rectified Gaussian answers that know nothing of ten classes."""
    y = np.repeat(np.arange(10), per_class)
    return np.maximum(seeded(seed).standard_normal((len(y), units)), 0), y


def test_selectivity_is_that_of_morcos_et_al_written_out():
    rng = seeded(1)
    y = rng.integers(6, size=300)
    a = rng.gamma(1.0, 1 + rng.random((6, 30))[y] * 4)
    assert np.allclose(selectivity(class_means(a, y, 6)), morcos(a, y))
    assert np.allclose(unit_statistics(a, y, rng=rng)["selectivity_raw"], morcos(a, y))


@pytest.mark.parametrize("per_class", [10, 200])
def test_units_that_know_nothing_of_the_class_have_no_selectivity_on_average(per_class):
    a, y = unknowing(per_class, units=400 if per_class == 10 else 100)
    table = unit_statistics(a, y, rng=seeded(2))
    assert abs(table["selectivity"].mean()) < 0.02
    assert abs(table["mutual_information"].mean()) < 0.02
    if per_class == 200:
        # With five answers a class and half, few and small ones are also alike: d' of skewed answers leans below 0.
        assert abs(table["d_prime"].mean()) < 0.02


def test_the_raw_index_of_such_units_is_biased_at_ten_images_a_class():
    a, y = unknowing(10)
    assert unit_statistics(a, y, rng=seeded(2), draws=1)["selectivity_raw"].mean() == pytest.approx(0.32, abs=0.03)


def test_a_unit_of_one_class_alone_is_fully_selective_and_an_even_one_is_not():
    y = np.tile(np.arange(5), 100)
    a = np.stack([(y == 3) * 2.0, 1 + (np.arange(500) // 5 % 2) * 1.0], axis=1)
    table = unit_statistics(a, y, rng=seeded(), draws=200)
    assert table["preferred"][0] == 3
    assert table["selectivity"][0] == pytest.approx(1, abs=0.05)
    assert abs(table["selectivity"][1]) < 0.02


def test_d_prime_is_the_distance_of_the_classes_in_standard_deviations():
    y = np.repeat([0, 1], 20_000)
    a = seeded().standard_normal((40_000, 2)) + 1.5 * y[:, None] * np.array([1, 0])
    table = unit_statistics(a, y, rng=seeded(1), draws=1)
    assert table["d_prime"][0] == pytest.approx(1.5, abs=0.05)
    assert abs(table["d_prime"][1]) < 0.05
    assert table["signed"].all() and table["selectivity"].isna().all()


def test_mutual_information_is_that_of_the_same_bins_by_another_hand():
    rng = seeded(3)
    y = rng.integers(4, size=800)
    a = rng.standard_normal((800, 3)) + y[:, None] * np.array([2.0, 0.5, 0.0])
    bins = [np.searchsorted(np.quantile(a[:, j], np.arange(1, 8) / 8), a[:, j]) for j in range(3)]
    expected = [mutual_info_score(b, y) for b in bins]
    table = unit_statistics(a, y, rng=seeded(), draws=100)
    chance = 7 * 3 / (2 * 800)
    assert np.allclose(table["mutual_information"], np.array(expected) - chance, atol=0.003)


def test_sparsity_three_ways_on_answers_whose_values_are_known():
    a = np.zeros((100, 3))
    a[0, 0] = 5.0
    a[:25, 1] = 2.0
    a[:, 2] = np.where(np.arange(100) < 40, 3.0, 1.0)
    table = unit_statistics(a, np.arange(100) % 2, rng=seeded())
    assert np.allclose(table["sparsity"], [0.01, 0.25, 0.40])
    assert np.allclose(table["treves_rolls"][:2], [1.0, (1 - 0.25) / (1 - 0.01)])
    assert np.allclose(table["hoyer"][:2], [1.0, (10 - 5) / 9])
    means, squares = 1.8, 0.4 * 9 + 0.6
    assert table["treves_rolls"][2] == pytest.approx((1 - means**2 / squares) / 0.99)
    assert table["hoyer"][2] == pytest.approx((10 - 100 * means / np.sqrt(100 * squares)) / 9)


def test_a_dead_unit_is_nan_throughout_and_says_so():
    a, y = unknowing(20, units=3)
    a[:, 1] = 0.7
    table = unit_statistics(a, y, rng=seeded())
    assert table["dead"].tolist() == [False, True, False]
    numbers = table.drop(columns=["unit", "dead", "signed"])
    assert numbers.loc[1].isna().all() and numbers.loc[[0, 2]].notna().all(axis=None)


def test_a_code_has_as_many_patterns_as_differ_and_as_many_dimensions_as_vary():
    independent = np.array([[i >> bit & 1 for bit in range(4)] for i in range(16)] * 3, float)
    found = code_diversity(independent)
    assert found["patterns"] == 16
    assert found["pattern_pr"] == pytest.approx(4)
    together = code_diversity(np.repeat(independent[:, :1], 6, axis=1))
    assert together["patterns"] == 2 and together["pattern_pr"] == pytest.approx(1)
    still = code_diversity(np.zeros((10, 3)))
    assert still["patterns"] == 1 and np.isnan(still["pattern_pr"])


def test_the_silhouette_is_that_of_scikit_learn_on_standardised_answers():
    rng = seeded(4)
    y = rng.integers(3, size=150)
    a = rng.standard_normal((150, 8)) * np.arange(1, 9) + y[:, None]
    found = grouping(np.column_stack([a, np.ones(150)]), y, rng=seeded())
    scaled = (a - a.mean(0)) / a.std(0)
    assert found.silhouette == pytest.approx(silhouette_score(scaled, y), abs=1e-4)


def test_a_probe_reads_classes_that_are_there_and_none_that_are_not():
    y = np.repeat(np.arange(4), 60)
    there = seeded().standard_normal((240, 6)) + 6 * np.eye(6)[y]
    found = grouping(there, y, rng=seeded(1))
    assert found.probe_accuracy > 0.97 and found.probe_p == pytest.approx(1 / 21)
    assert found.probe_null == pytest.approx(0.25, abs=0.05)
    assert found.silhouette > 0.3 > abs(found.silhouette_null) and found.silhouette_p == pytest.approx(1 / 21)
    absent = grouping(seeded(2).standard_normal((240, 6)), y, rng=seeded(3))
    assert abs(absent.probe_accuracy - absent.probe_null) < 0.1 and absent.probe_p > 0.05
    assert np.isnan(grouping(np.ones((20, 2)), np.arange(20) % 2, rng=seeded()).silhouette)


def test_samples_are_as_many_of_each_class():
    found = balanced(task("mnist"), rng=seeded(), per_class=12)
    assert torch.bincount(found.y).tolist() == [12] * 10 and found.per_class == 12 and found.classes == 10
    assert torch.bincount(found.y[:50]).tolist() == [5] * 10
    with pytest.raises(InputError, match="2 or more"):
        balanced(task("mnist"), rng=seeded(), per_class=1)


def test_held_out_samples_come_first_and_training_ones_fill_up():
    digits = task("digits")
    held = {image.numpy().tobytes() for x, _ in (digits.source.pool(False), digits.test()) for image in x}
    few, many = (balanced(digits, rng=seeded(), per_class=count) for count in (30, 120))
    assert few.held_out == len(few.x) and all(image.numpy().tobytes() in held for image in few.x)
    from_held = [image.numpy().tobytes() in held for image in many.x]
    assert many.held_out == sum(from_held) < len(many.x) and all(from_held[: len(few.x)])


def test_of_one_class_alone_nothing_is_said_of_classes_and_the_rest_is_as_ever():
    a = seeded().random((40, 3))
    alone, two = (unit_statistics(a, y, rng=seeded(), draws=2) for y in (np.zeros(40, int), np.arange(40) % 2))
    assert alone[["preferred", "selectivity", "d_prime", "mutual_information"]].isna().all().all()
    columns = ["unit", "sparsity", "treves_rolls", "hoyer", "dead", "signed"]
    assert alone[columns].equals(two[columns]) and np.isnan(grouping(a, np.zeros(40, int), rng=seeded()).silhouette)


def test_a_probe_is_a_ridge_with_a_penalty_of_a_thousandth_on_each_fold():
    rng = np.random.default_rng(4)
    y = np.arange(60) % 3
    a = rng.normal(size=(60, 5)) + np.eye(3, 5)[y]
    fold = seeded(6).permutation(60) % _FOLDS
    x, right = np.column_stack([a, np.ones(60)]), 0
    for k in range(_FOLDS):
        seen, hot = x[fold != k], np.eye(3)[y[fold != k]]
        weights = np.linalg.inv(seen.T @ seen / len(seen) + 1e-3 * np.eye(6)) @ seen.T @ hot / len(seen)
        right += ((x[fold == k] @ weights).argmax(1) == y[fold == k]).sum()
    assert _probes(a, y[None], seeded(6)).tolist() == [right / 60]


def test_selectivity_holds_the_preferred_class_against_the_mean_of_those_that_are_there():
    means = np.array([[0.6, np.nan, 0.2], [0.2, 0.5, 0.2], [0.1, np.nan, np.nan]])
    found = selectivity_for(means, np.array([0, 1, 1]))
    assert found[0] == pytest.approx((0.6 - 0.15) / (0.6 + 0.15)) and np.isnan(found[1])
    assert found[2] == pytest.approx(0.0)


def test_outputs_of_several_passes_are_one_again_whatever_they_are():
    one, two = torch.ones(2, 3), torch.zeros(1, 3)
    assert joined([one]) is one and torch.equal(joined([one, two]), torch.cat([one, two]))

    class Output(dict):
        pass

    both = joined([Output(logits=one, hidden=(one, [two])), Output(logits=two, hidden=(two, [two]))])
    assert type(both) is Output and both["logits"].shape == (3, 3)
    assert [part.shape[0] for part in (both["hidden"][0], both["hidden"][1][0])] == [3, 2]


def test_sequences_have_no_classes_and_generated_tasks_enough_of_each():
    text = balanced(task("text"), rng=seeded(), per_class=4)
    assert (text.per_class, text.held_out) == (0, len(text.y)) and len(text.y) <= 256
    drawn = balanced(task("parity"), rng=seeded(), per_class=600)
    assert torch.bincount(drawn.y).tolist() == [drawn.per_class] * 2 and drawn.per_class > 300


def test_answers_that_cannot_be_read_are_refused():
    with pytest.raises(InputError, match="labels"):
        unit_statistics(np.ones((4, 2)), np.zeros(3, int), rng=seeded())


def test_a_class_without_samples_is_preferred_by_nobody_and_dilutes_nothing():
    rng = np.random.default_rng(21)
    a, y = rng.normal(-3, 1, (800, 30)), rng.permutation(np.repeat([0, 2, 3, 5], 200))
    y[:1] = 7  # a class of one sample can be in one half only
    found = unit_statistics(a, y, rng=np.random.default_rng(22))
    assert np.abs(found["d_prime"]).mean() < 0.15 and not {1.0, 4.0, 6.0} & set(found["preferred"])
    renumbered = unit_statistics(a, np.searchsorted([0, 2, 3, 5, 7], y), rng=np.random.default_rng(22))
    names = [c for c in found if c != "preferred"]
    pd.testing.assert_frame_equal(found[names], renumbered[names])
    positive = np.abs(a)
    with_one = unit_statistics(positive, y, rng=np.random.default_rng(23))
    means = class_means(positive, y, 8)
    assert np.isnan(means[[1, 4, 6]]).all() and np.isfinite(means[[0, 2, 3, 5, 7]]).all()
    there = means[[0, 2, 3, 5, 7]]
    top = there.max(0)
    rest = (there.sum(0) - top) / 4
    np.testing.assert_allclose(with_one["selectivity_raw"], (top - rest) / (top + rest))
