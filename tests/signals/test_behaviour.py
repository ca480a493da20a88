"""Behaviour, output sketches, norms and block updates against PyTorch's own losses and plain sums."""

import numpy as np
import pytest
import torch
from torch import nn

from geophone.errors import InputError
from geophone.signals import (
    OutputSketch,
    class_probability,
    components,
    grouped_norms,
    is_updated,
    next_token_positions,
    next_token_probability,
    owners,
    regression_error,
    total_norm,
)


def test_class_probability_is_exp_of_minus_the_loss():
    logits, labels = 30 * torch.randn(20, 5, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 5
    loss = nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(class_probability(logits, labels), (-loss).exp())


def test_half_precision_logits_are_read_in_single():
    logits, labels = torch.tensor([[9.0, 9.5]], dtype=torch.bfloat16), torch.tensor([1])
    assert class_probability(logits, labels).item() == pytest.approx(1 / (1 + np.exp(-0.5)), rel=1e-4)


@pytest.mark.parametrize("labels", [torch.tensor([0, 5]), torch.tensor([0, -1]), torch.tensor([0])])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(InputError):
        class_probability(torch.randn(2, 5), labels)


def test_next_token_probability_is_that_of_the_language_models_loss():
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, 11, (4, 9), generator=generator)
    tokens[0, 5:] = 0  # padding
    logits = torch.randn(4, 9, 11, generator=generator)
    positions = next_token_positions(tokens, rng=np.random.default_rng(0), special=(0,))
    p = next_token_probability(logits, positions)
    loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    scored = tokens[:, 1:].flatten() != 0
    torch.testing.assert_close(p, (-loss[scored]).exp())


def test_scored_positions_are_drawn_once_and_bounded():
    tokens = torch.arange(60).view(4, 15)
    drawn = [next_token_positions(tokens, rng=np.random.default_rng(2), limit=10) for _ in range(2)]
    assert len(drawn[0].token) == 10 and torch.equal(drawn[0].token, drawn[1].token)
    assert torch.equal(drawn[0].token, tokens[drawn[0].sample, drawn[0].place + 1])
    with pytest.raises(InputError, match="no position"):
        next_token_positions(torch.zeros(2, 5, dtype=torch.int64), rng=np.random.default_rng(0), special=(0,))


def test_targets_of_the_users_own_are_scored_where_they_are_not_ignored():
    targets = torch.tensor([[-100, 7, -100], [3, -100, -100]])
    positions = next_token_positions(torch.zeros(2, 3), rng=np.random.default_rng(0), targets=targets)
    assert positions.place.tolist() == [1, 0] and positions.token.tolist() == [7, 3]


def test_regression_error_is_the_distance_of_the_answer():
    error = regression_error(torch.tensor([[3.0, 4.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    assert error.tolist() == [5.0, 0.0]
    with pytest.raises(InputError, match="one shape"):
        regression_error(torch.zeros(3, 1), torch.zeros(3))


def test_a_sketch_keeps_inner_products_in_the_mean_and_is_linear():
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn(40, 30, generator=generator), torch.randn(40, 30, generator=generator)
    a = a + b
    sketches = [OutputSketch(40, 30, rng=np.random.default_rng(seed)) for seed in range(60)]
    exact = float((a * b).sum())
    products = [float(s(a) @ s(b)) for s in sketches]
    error = np.std(products)
    assert abs(np.mean(products) - exact) < 4 * error / np.sqrt(60)
    assert error < 1.5 * float(a.norm() * b.norm()) / 16
    np.testing.assert_allclose(sketches[0](2 * a - b), 2 * sketches[0](a) - sketches[0](b), atol=1e-3)
    assert len(sketches[0](a)) == 256


def test_few_outputs_are_kept_as_they_are():
    x = torch.randn(16, 2)
    np.testing.assert_array_equal(OutputSketch(16, 2, rng=np.random.default_rng(0))(x), x.flatten().numpy())


def test_components_are_those_of_a_singular_value_decomposition():
    rng = np.random.default_rng(4)
    path = rng.normal(size=(30, 3)).cumsum(0) @ rng.normal(size=(3, 50))
    u, s, _ = np.linalg.svd(path - path.mean(0), full_matrices=False)
    z = components(path, 4)
    assert z.shape == (30, 3)  # the fourth has no variance
    np.testing.assert_allclose(np.abs(z), np.abs(u[:, :3] * s[:3]), atol=1e-8)


def test_norms_per_layer_are_those_of_its_tensors():
    tensors = [torch.full((2, 2), 1.0), None, torch.full((5,), 2.0), torch.tensor([3.0])]
    norms = grouped_norms(tensors, np.array([0, 1, -1, 0]), 2)
    np.testing.assert_allclose(norms, [np.sqrt(4 + 9), np.nan, np.sqrt(4 + 20 + 9)])
    assert total_norm([t for t in tensors if t is not None]) == pytest.approx(norms[2])


def test_a_parameter_belongs_to_the_deepest_layer_around_it():
    names = ["blocks.0.mlp.weight", "blocks.0.norm.bias", "blocks.10.mlp.weight", "head.weight"]
    assert owners(names, ["blocks.0", "blocks.0.mlp", "blocks.1", "blocks.10+"]).tolist() == [1, 0, 3, -1]


def test_a_block_adds_to_what_has_its_shape():
    x = torch.randn(3, 4)
    assert is_updated(x, x + 2)
    for before, after in ((x, x[:, :2]), (x, x), (x.long(), x.long() + 1), (None, x)):
        assert not is_updated(before, after)
