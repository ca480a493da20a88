"""What a case draws of a network is what the network does."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from geophone.paper.drawings import attention_maps, decision_planes
from geophone.paper.replayed import PLANES, attention, planes
from geophone.zoo.transformer import Attention

STEPS = {"target": {"before": 1, "during": 2, "after": 3}, "control": {"before": 4, "during": 4, "after": 5}}


class Fixed(nn.Module):
    """Decides always the same class of three."""

    def __init__(self, label):
        super().__init__()
        self.label = label

    def forward(self, x):
        return nn.functional.one_hot(torch.full((len(x),), self.label), 3).float()


class Nearest(nn.Module):
    """Decides the class of the nearest of three corners."""

    def forward(self, x):
        return -torch.cdist(x, 10 * torch.eye(3))


class Attending(nn.Module):
    """One attention layer whose queries are `scale` times its keys."""

    def __init__(self, scale):
        super().__init__()
        torch.manual_seed(0)
        self.attention = Attention(8, 2)
        with torch.no_grad():
            self.attention.project_in.weight[:8] = scale * self.attention.project_in.weight[8:16]
            self.attention.project_in.bias.zero_()

    def forward(self, x):
        return self.attention(x)


def subject(models, x, y):
    at = lambda steps: {step: models[step].eval() for step in steps}  # noqa: E731
    return SimpleNamespace(samples=SimpleNamespace(x=x, y=y, classes=int(y.max()) + 1), at=at)


def test_the_share_of_a_plane_that_changes_class_is_exact():
    x, y = 10 * torch.eye(3).repeat(4, 1), torch.arange(3).repeat(4)
    models = {1: Fixed(0), 2: Fixed(0), 3: Fixed(2), 4: Nearest(), 5: Nearest()}
    found = planes(subject(models, x, y), STEPS, rng=np.random.default_rng(0))
    assert found.changed == {"target": 1.0, "control": 0.0}
    assert found.classes["target", "before"] == 1 and found.classes["control", "after"] == 3
    assert set(found.cells.groupby("moment")["class"].unique().map(tuple).items()) == {
        ("before", (0,)), ("during", (0,)), ("after", (2,))
    }  # fmt: skip
    assert sorted(found.samples) == [0, 1, 2] and PLANES > 1


def test_the_samples_of_a_plane_lie_at_its_corners():
    x, y = 10 * torch.eye(3), torch.arange(3)
    models = dict.fromkeys(range(1, 6), Nearest())
    found = planes(subject(models, x, y), STEPS, rng=np.random.default_rng(1))
    cells = found.cells[found.cells["moment"] == "before"]
    for label, corner in zip(found.samples, ((0, 0), (1, 0), (0, 1)), strict=True):
        nearest = cells.loc[((cells["x"] - corner[0]) ** 2 + (cells["y"] - corner[1]) ** 2).idxmin()]
        assert nearest["class"] == label
    drawn = decision_planes(found.cells, STEPS["target"])
    assert len(drawn["hconcat"]) == 3 and drawn["hconcat"][0]["title"]["text"] == "before, step 1"


def test_two_classes_span_no_plane():
    x, y = torch.eye(2), torch.arange(2)
    assert planes(subject(dict.fromkeys(range(1, 6), Fixed(0)), x, y), STEPS, rng=np.random.default_rng(0)) is None


def test_attention_that_stays_has_not_moved_and_sharper_attention_has_less_entropy():
    x = torch.randn(6, 5, 8, generator=torch.Generator().manual_seed(1))
    flat, sharp = Attending(0.0), Attending(20.0)
    models = {1: flat, 2: flat, 3: sharp, 4: flat, 5: flat}
    found = attention(subject(models, x, torch.zeros(6, dtype=torch.long)), STEPS, rng=np.random.default_rng(0))
    assert found.moved["control"] == 0 and 0.2 < found.moved["target"] < 1
    assert found.entropy["target", "before"] == pytest.approx(np.log(5), abs=1e-5)
    assert found.entropy["target", "after"] < 0.7 * np.log(5)
    assert found.maps["before"] == pytest.approx(np.full((5, 5), 0.2), abs=1e-6)
    rows = next(iter(attention_maps(found.maps, STEPS["target"])["datasets"].values()))
    assert sum(row["weight"] for row in rows) == pytest.approx(5, abs=0.01)


def test_a_network_without_attention_has_none():
    x = torch.zeros(4, 3)
    models = dict.fromkeys(range(1, 6), Fixed(0))
    assert attention(subject(models, x, torch.arange(4)), STEPS, rng=np.random.default_rng(0)) is None
