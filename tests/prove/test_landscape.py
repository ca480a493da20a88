"""What rivals read of the loss and of gradients agrees with closed forms, and leaves the network as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from geophone.prove.landscape import (
    kernel_change,
    llc,
    noise_scale,
    sample_gradients,
    tangent_kernels,
    weight_statistics,
)
from geophone.prove.recording import record
from geophone.prove.testbeds import deep_linear
from geophone.prove.trials import read_run


@pytest.mark.parametrize(("seed", "pull"), [(0, 1.0), (1, 30.0)])
def test_the_learning_coefficient_of_a_quadratic_is_its_closed_form(seed, pull):
    """Over 100 curvatures from 0.1 to 2, and of half the weights alone: within 5 %."""
    curved = torch.logspace(-1, 0.3, 100, dtype=torch.float64)
    w = [torch.zeros(50, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    samples, step = 1000, 2e-3
    a = samples / np.log(samples) * curved.numpy()
    expected = a / (a + pull) / (1 - step * (a + pull) / 4) / 2

    def loss(rng):
        return 0.5 * (curved * torch.cat(w).square()).sum()

    given = {"samples": samples, "step": step, "pull": pull, "draws": 3000, "burn_in": 400}
    whole = llc(w, loss, rng=np.random.default_rng(seed), **given)
    assert whole == pytest.approx(expected.sum(), rel=0.05)
    refined = llc(w[1:], loss, rng=np.random.default_rng(seed), **given)
    assert refined == pytest.approx(expected[50:].sum(), rel=0.05)
    assert not any(bool(part.detach().any()) for part in w)


def test_the_learning_coefficient_leaves_weights_and_gradients_bit_for_bit_also_where_it_diverges():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    weights = list(model.parameters())
    before = [w.detach().clone() for w in weights]

    def loss(rng):
        x = torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32))
        return model(x).square().mean()

    given = {"samples": 1000, "pull": 1.0, "draws": 60, "burn_in": 0}
    found = [llc(weights, loss, rng=np.random.default_rng(1), step=step, **given) for step in (1e-5, 1e-5, 10.0)]
    assert found[0] == found[1] and np.isfinite(found[0]) and np.isnan(found[2])
    assert all(torch.equal(w, old) and w.grad is None for w, old in zip(weights, before, strict=True))


def test_the_tangent_kernels_of_a_linear_network_are_its_closed_forms():
    """f = v'W x: dW gives |v|^2 x'x', dv gives (Wx)'(Wx')."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7, bias=False), nn.Linear(7, 1, bias=False)).double()
    x = torch.randn(70, 5, dtype=torch.float64)
    gradients = sample_gradients(model, x, torch.zeros(70), lambda out, _: out.sum())
    found = tangent_kernels(gradients, {"first": ["0.weight"], "both": ["0.weight", "1.weight"]})
    w, v = (p.detach() for p in model.parameters())
    first, second = v.square().sum() * (x @ x.T), (x @ w.T) @ (x @ w.T).T
    np.testing.assert_allclose(found["first"], first, rtol=1e-10)
    np.testing.assert_allclose(found["both"], first + second, rtol=1e-10)


def test_the_change_of_a_kernel_is_none_for_a_multiple_and_all_for_what_has_nothing_in_common():
    a, b = np.diag([1.0, 2.0, 0.0]), np.diag([0.0, 0.0, 3.0])
    assert kernel_change(a, 5 * a) == pytest.approx(0, abs=1e-12) and kernel_change(a, b) == 1.0
    assert np.isnan(kernel_change(a, 0 * a))


def test_the_noise_scale_is_that_of_planted_gradients():
    """Gradients of mean g and variance s^2 in each of d directions have the scale d s^2 / |g|^2."""
    rng = np.random.default_rng(0)
    g, s, n = rng.normal(size=400), 3.0, 4000
    rows = torch.from_numpy(g + s * rng.normal(size=(n, 400)))
    assert noise_scale([rows[:, :100], rows[:, 100:]]) == pytest.approx(400 * s**2 / (g @ g), rel=0.05)
    still = torch.from_numpy(s * rng.normal(size=(50, 400)))  # no mean: told as no more than a hundred times noise
    assert 50 < noise_scale([still]) <= 100 * 50 * 1.0001


def test_gradients_of_samples_are_those_of_a_backward_pass_each():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    x, y = torch.randn(9, 4), torch.randint(3, (9,))
    found = sample_gradients(model, x, y, nn.functional.cross_entropy)
    for i in range(9):
        slopes = torch.autograd.grad(nn.functional.cross_entropy(model(x[i : i + 1]), y[i : i + 1]), model.parameters())
        for (name, _), slope in zip(model.named_parameters(), slopes, strict=True):
            torch.testing.assert_close(found[name][i], slope.flatten())


def test_weight_statistics_are_those_of_a_known_matrix():
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, -4.0]]))
        model.bias.copy_(torch.tensor([1.0, 3.0]))
    said = weight_statistics(model)
    assert (said["l1"], said["l2"], said["singular_sum"], said["singular_most"]) == (7, 5, 7, 4)
    assert (said["bias_mean"], said["mean"], said["singular_ratio"]) == (2, -0.25, 1.75)


def test_a_look_at_the_landscape_does_not_change_the_training(tmp_path):
    looked: list[tuple[int, float]] = []
    runs = []
    for name in ("plain", "looked"):
        setting = deep_linear.balanced((3.0, 2.0), start=1e-2, steps=60, seed=0, every=10)
        weights, rng = list(setting.model.parameters()), np.random.default_rng(0)
        given = {"samples": 100, "step": 1e-4, "pull": 1.0, "draws": 3, "burn_in": 1, "rng": rng}

        def look(step, setting=setting, weights=weights, given=given):
            looked.append((step, llc(weights, lambda order: setting.objective(order, step).total, **given)))

        record(setting, tmp_path / name, name="deep_linear", seed=0, look=look if name == "looked" else None)
        runs.append(read_run(tmp_path / name))
    assert [step for step, _ in looked] == list(range(10, 61, 10)) and all(np.isfinite(value) for _, value in looked)
    for column, values in runs[0].signals.scalars.items():
        np.testing.assert_array_equal(values, runs[1].signals.scalars[column])
