"""Pictures, pixel by pixel, and attributions by their formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from geophone.dig.attribution import attribution
from geophone.dig.pictures import _GAP, _RAMP, _RIM, contact_sheet, heatmap


def test_a_sheet_holds_each_image_stretched_to_its_own_range_in_its_place():
    images = np.array([[[0.0, 1.0], [2.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]], [[-1.0, 0.0], [0.0, 1.0]]])
    sheet = contact_sheet(images, columns=2, tile=4)
    assert sheet.shape == (8 + _GAP, 8 + _GAP, 3) and sheet.dtype == np.uint8
    first = np.array([[0, 64], [128, 255]]).repeat(2, 0).repeat(2, 1)
    assert (sheet[:4, :4] == first[..., None]).all()
    assert (sheet[:4, 4 + _GAP :] == 0).all() and (sheet[4 : 4 + _GAP] == _RIM).all()
    third = np.array([[0, 128], [128, 255]]).repeat(2, 0).repeat(2, 1)
    assert (sheet[4 + _GAP :, :4] == third[..., None]).all() and (sheet[4 + _GAP :, 4:] == _RIM).all()


def test_colours_stay_colours_and_other_channels_are_averaged():
    colour = np.stack([np.full((2, 2), 0.0), np.full((2, 2), 0.5), np.full((2, 2), 1.0)])
    assert contact_sheet(colour[None], columns=1, tile=2)[0, 0].tolist() == [0, 128, 255]
    two = np.stack([[[0.0, 2.0]], [[0.0, 4.0]]])
    assert contact_sheet(two[None], columns=1, tile=1)[0].tolist() == [[0] * 3, [255] * 3]


def test_a_heatmap_goes_from_white_to_dark_column_by_column():
    made = heatmap(np.array([[1.0, -3.0, 0.0], [2.0, 6.0, np.nan]]), cell=2)
    assert made.shape == (4, 6, 3)
    dark, white = _RAMP[-1].astype(int).tolist(), _RAMP[0].astype(int).tolist()
    assert made[2, 0].tolist() == dark and made[2, 2].tolist() == dark
    assert made[0, 2].tolist() == white and made[0, 4].tolist() == white and made[3, 5].tolist() == white
    half = (len(_RAMP) - 1) / 2
    wanted = _RAMP[int(half)] * (1 - half % 1) + _RAMP[min(int(half) + 1, len(_RAMP) - 1)] * (half % 1)
    assert np.abs(made[0, 0] - wanted).max() <= 1


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3, padding=1)
        self.out = nn.Linear(3, 2)

    def forward(self, x):
        return self.out(torch.tanh(self.layer(x)).mean((2, 3)))


def test_where_a_class_is_decided_is_gradcam_upsampled():
    torch.manual_seed(0)
    model, x = Parts(), torch.randn(4, 1, 6, 6)
    found = attribution(model, "layer", x, [0, 1, 1, 0])
    for i, label in enumerate([0, 1, 1, 0]):
        answer = model.layer(x[i : i + 1]).detach().requires_grad_()
        logit = model.out(torch.tanh(answer).mean((2, 3)))[0, label]
        (slope,) = torch.autograd.grad(logit, answer)
        cam = torch.relu((slope.mean((2, 3), keepdim=True) * answer).sum(1))[0]
        np.testing.assert_allclose(found[i], cam.detach().numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("labels", [[0, 0], [1, 0]])
def test_of_vectors_each_unit_has_what_it_gained_over_nothing_times_its_slope(labels):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    x = torch.randn(2, 4)
    gained = (model[:2](x) - model[:2](torch.zeros(1, 4))) * model[2].weight[labels]
    np.testing.assert_allclose(attribution(model, "1", x, labels), gained.detach().numpy(), rtol=1e-3, atol=1e-5)


def test_of_tokens_each_feature_has_its_slope_of_the_last_logit_times_its_value():
    torch.manual_seed(2)
    model = nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 6))
    x = torch.tensor([[0, 1, 2], [3, 4, 5]])
    found = attribution(model, "2", x, [5, 1])
    hidden = model[:3](x).detach()
    assert found.shape == (2, 3, 4) and (found[:, :2] == 0).all()  # the last position alone answers
    wanted = hidden[:, 2] * model[3].weight[[5, 1]]
    np.testing.assert_allclose(found[:, 2], wanted.detach().numpy(), rtol=1e-4, atol=1e-6)
