"""What a layer is held against comes from untrained networks, and units of such networks pass seldom."""

from dataclasses import replace

import numpy as np
import torch

from geophone.dig.activations import unit_statistics
from geophone.dig.moment import measure, untrained_reference
from geophone.dig.samples import SampleSet, answers
from geophone.dig.scoring import SampleScoring, default_score
from geophone.dig.subject import Specimen
from geophone.record.anatomy import PlainAnatomy
from geophone.zoo.mlp import MLP


def seeded(seed=0):
    return np.random.default_rng(seed)


def untrained(number):
    torch.manual_seed(number)
    return MLP(12, [10], 4).eval()


def vectors():
    torch.manual_seed(99)
    y = torch.arange(200) % 4
    x = torch.randn(200, 12)
    score = default_score(y)
    return Specimen(
        "vectors", ("layer1", "head"), SampleScoring(score, own=False, labels=True), score, SampleSet(x, y, 50, 200),
        lambda steps: {}, untrained, PlainAnatomy(), None,
    )  # fmt: skip


def test_untrained_units_pass_for_class_units_about_one_time_in_twenty():
    specimen = vectors()
    reference = untrained_reference(specimen, "layer1", rng=seeded())
    fresh = [answers(untrained(1000 + k), ["layer1"], specimen.samples.x)["layer1"] for k in range(40)]
    d_prime = np.concatenate(
        [unit_statistics(a, specimen.samples.y.numpy(), rng=seeded(k), draws=1)["d_prime"] for k, a in enumerate(fresh)]
    )
    assert 0.015 <= np.nanmean(d_prime > reference.d_prime) <= 0.11


def test_a_reference_takes_as_many_networks_as_it_needs():
    built = []
    specimen = replace(vectors(), untrained=lambda number: built.append(number) or untrained(number))
    untrained_reference(specimen, "layer1", rng=seeded())
    assert sorted(set(built)) == list(range(13))  # 10 units each, 128 in all
    built.clear()
    untrained_reference(specimen, "head", rng=seeded())
    assert sorted(set(built)) == list(range(16))  # 4 units each: no more than 16


def test_a_network_is_not_new_to_itself():
    specimen = vectors()
    reference = untrained_reference(specimen, "layer1", rng=seeded())
    model = untrained(5)
    before = measure(model, 1, specimen, reference, before=None, rng=seeded(1))
    after = measure(model, 2, specimen, reference, before=before, rng=seeded(1))
    assert np.isnan(before.row["turnover"]) and not before.units["new"].any()
    assert after.row["turnover"] == 0 and after.row["new_units"] == 0 and after.row["new_types"] == 0
    other = measure(untrained(6), 3, specimen, reference, before=before, rng=seeded(1))
    assert other.row["turnover"] > 0.5
