"""What an ablation takes away, and that it puts everything back."""

import copy
import random
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import nn

from geophone.dig.ablation import KINDS, ablated, ablation_impact, derangement, restored, zero_weights
from geophone.errors import InputError
from geophone.zoo.cnn import CNN
from geophone.zoo.mlp import MLP
from geophone.zoo.tasks import task
from geophone.zoo.transformer import Decoder


def seeded(seed=0):
    return np.random.default_rng(seed)


class Awkward(nn.Module):
    """Batch norm, dropout, a frozen weight, a gradient in place, a part in eval mode, and a hook of the user's."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = CNN(1, [4, 6], 10, size=8, halving=[1], norm=True)
        self.drop = nn.Dropout(0.5)
        self.body.head[1].weight.requires_grad_(False)
        self.body.conv2.eval()
        self.body.conv1[0].weight.grad = torch.ones_like(self.body.conv1[0].weight)
        self.seen = 0
        self.body.conv1.register_forward_hook(self.count)

    def count(self, module, args, output):
        self.seen += 1

    def forward(self, x):
        return self.drop(self.body(x))


def state(model):
    """Everything that an ablation must leave alone, as bytes."""
    found = {f"weight {n}": t.detach().numpy().tobytes() for n, t in model.state_dict().items()}
    for n, p in model.named_parameters():
        found[f"flag {n}"] = p.requires_grad
        found[f"grad {n}"] = None if p.grad is None else p.grad.numpy().tobytes()
    for n, m in model.named_modules():
        found[f"mode {n}"] = m.training
        found[f"hooks {n}"] = (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
    found["torch"] = torch.get_rng_state().numpy().tobytes()
    found["numpy"] = np.random.get_state()[1].tobytes()
    found["python"] = random.getstate()
    return found


@contextmanager
def zeroed(model, layer):
    with restored(model):
        zero_weights(model, layer)
        yield


def disturb(model, x):
    """All that a body might do: train, draw, flip flags."""
    model.train()
    model(x).sum().backward()
    torch.randn(3), np.random.rand(), random.random()
    for p in model.parameters():
        p.data.add_(1.0)
        p.requires_grad_(False)


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("kind", [*KINDS, "weights"])
def test_everything_is_as_it_was_also_when_the_body_raises(kind, raises):
    model, x = Awkward().train(), torch.randn(12, 1, 8, 8)
    model.body.conv2.eval()
    before = state(model)
    opened = zeroed(model, "body.conv1") if kind == "weights" else ablated(model, "body.conv1", kind=kind, rng=seeded())
    if raises:
        with pytest.raises(ZeroDivisionError), opened:
            disturb(model, x)
            raise ZeroDivisionError
    else:
        with opened:
            disturb(model, x)
    assert state(model) == before


@pytest.mark.parametrize("layer", ["", "body.conv9"])
def test_a_wrong_layer_changes_nothing_and_says_so(layer):
    model = Awkward()
    before = state(model)
    with pytest.raises(InputError, match="no layer"), ablated(model, layer):
        pass
    with pytest.raises(InputError, match="no layer"), zeroed(model, layer):
        pass
    assert state(model) == before


def caught(model, layer, x):
    found = []
    handle = model.get_submodule(layer).register_forward_hook(lambda m, a, o: found.append(o))
    with torch.no_grad():
        model(x)
    handle.remove()
    return found[0]


def test_each_kind_puts_in_what_it_says_and_leaves_other_units_alone():
    torch.manual_seed(0)
    model, x, other = CNN(1, [4, 6], 10, size=8, halving=[1]), torch.randn(10, 1, 8, 8), torch.randn(30, 1, 8, 8)
    plain, theirs = caught(model, "conv1", x), caught(model, "conv1", other)
    with ablated(model, "conv1", units=[1, 3]):
        zero = caught(model, "conv1", x)
    with ablated(model, "conv1", units=[1, 3], kind="mean", reference=other):
        mean = caught(model, "conv1", x)
    with ablated(model, "conv1", units=[1, 3], kind="resample", rng=seeded()):
        resampled = caught(model, "conv1", x)
    for changed in (zero, mean, resampled):
        assert torch.equal(changed[:, [0, 2]], plain[:, [0, 2]])
    assert (zero[:, [1, 3]] == 0).all()
    torch.testing.assert_close(mean[:, [1, 3]], theirs.mean(0)[[1, 3]].expand(10, -1, -1, -1))
    donors = [[torch.equal(resampled[n, [1, 3]], plain[m, [1, 3]]) for m in range(10)].index(True) for n in range(10)]
    assert sorted(donors) == list(range(10)) and all(n != m for n, m in enumerate(donors))


def test_resampling_from_a_reference_takes_its_samples():
    torch.manual_seed(0)
    model, x, other = MLP(5, [7], 3), torch.randn(8, 5), torch.randn(4, 5)
    theirs = caught(model, "layer1", other)
    with ablated(model, "layer1", kind="resample", reference=other, rng=seeded()):
        found = caught(model, "layer1", x)
    assert all(any(torch.equal(row, donor) for donor in theirs) for row in found)


def test_a_head_is_taken_away_alone():
    torch.manual_seed(0)
    model, x = Decoder(7, 7, length=6, width=8, heads=4, depth=1), torch.randint(7, (5, 6))
    name = "blocks.0.attention.heads_out"
    plain = caught(model, name, x)
    with ablated(model, name, units=[2]):
        found = caught(model, name, x)
        moved = caught(model, "blocks.0", x)
    assert plain.shape == (5, 6, 4, 2)
    assert (found[:, :, 2] == 0).all() and torch.equal(found[:, :, [0, 1, 3]], plain[:, :, [0, 1, 3]])
    # What the head wrote into the stream is its slice of the output projection.
    out = copy.deepcopy(model)
    out.blocks[0].attention.project_out.weight.data[:, 4:6] = 0
    torch.testing.assert_close(moved, caught(out, "blocks.0", x))


def test_a_layer_whose_output_is_a_tuple():
    torch.manual_seed(0)
    model = nn.Sequential(nn.MultiheadAttention(8, 2, batch_first=True))
    model.forward = lambda x: model[0](x, x, x)[0]
    x = torch.randn(3, 4, 8)
    with torch.no_grad(), ablated(model, "0", units=[5]):
        found = model(x)
    assert (found[..., 5] == 0).all() and (found[..., :5] != 0).all()


def test_zeroing_weights_keeps_the_biases_and_the_network_can_learn_again():
    torch.manual_seed(0)
    model, x = MLP(10, [8], 3), torch.randn(40, 10)
    y = (x[:, 0] > 0).long()
    with zeroed(model, "layer1"):
        torch.testing.assert_close(caught(model, "layer1", x), model.layer1[0].bias.relu().expand(40, -1))
    zero_weights(model, "layer1")
    assert trained(model, x, y) > 0.95


def test_zeroing_biases_too_warns_and_indeed_never_recovers():
    torch.manual_seed(0)
    model, x = MLP(10, [8], 3), torch.randn(40, 10)
    y = (x[:, 0] > 0).long()
    with pytest.warns(UserWarning, match="no training recovers it"):
        zero_weights(model, "layer1", bias=True)
    assert trained(model, x, y) < 0.75
    assert (model.layer1[0].weight == 0).all() and (model.layer1[0].bias == 0).all()


def trained(model, x, y):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return float((model(x).argmax(1) == y).float().mean())


@pytest.mark.parametrize(
    ("build", "layer", "warns"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), "0", True),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), "0", False),
        (lambda: Decoder(7, 7, length=6, width=8, heads=4, depth=1), "blocks.0", True),
        (lambda: MLP(3, [4], 2), "head", False),
    ],
)
def test_the_warning_comes_where_it_is_true(build, layer, warns):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        zero_weights(build(), layer, bias=True)
    assert bool(said) == warns


def test_impact_is_accuracy_and_loss_with_the_output_replaced():
    torch.manual_seed(0)
    digits = task("digits")
    model = CNN(1, [6, 8], 10, size=8, halving=[1])
    x, y = digits.probe(100)
    table = ablation_impact(model, ["conv1", "conv2"], x, y, digits, rng=seeded())
    assert table[["layer", "kind"]].to_numpy().tolist() == [[a, k] for a in ("conv1", "conv2") for k in KINDS]
    with torch.no_grad():
        h = model.conv1(x)
        outputs = {"zero": torch.zeros_like(h), "mean": h.mean(0, keepdim=True).expand_as(h)}
        for kind, put in outputs.items():
            row = table[(table["layer"] == "conv1") & (table["kind"] == kind)].iloc[0]
            out = model.head(model.conv2(put))
            assert row["loss"] == pytest.approx(float(digits.loss(out, y)), rel=1e-5)
            assert row["accuracy"] == pytest.approx(float(digits.accuracy(out, y)))
        assert (table["baseline_loss"] - float(digits.loss(model(x), y))).abs().max() < 1e-5


def test_the_one_unit_that_matters_is_the_one_found():
    torch.manual_seed(0)
    parity = task("parity")
    model = MLP(40, [5], 2)
    model.head.weight.data.zero_()
    model.head.weight.data[1, 3], model.head.bias.data[:] = 10.0, torch.tensor([0.0, -1.0])
    x, y = parity.probe(200)
    y = model(x).argmax(1)
    right = []
    for unit in range(5):
        with torch.no_grad(), ablated(model, "layer1", units=[unit], kind="resample", rng=seeded()):
            right.append(float(parity.accuracy(model(x), y)))
    assert [share < 1 for share in right] == [False, False, False, True, False]


def test_a_derangement_moves_everyone():
    for seed in range(20):
        donors = derangement(7, seeded(seed))
        assert sorted(donors) == list(range(7)) and (donors != np.arange(7)).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "nothing"}, "zero, mean, resample"),
        ({"kind": "resample"}, "rng="),
        ({"units": [9]}, "units 0 to 6"),
        ({"kind": "mean", "reference": torch.randn(4, 2, 5)}, "same shape"),
    ],
)
def test_bad_input_is_one_sentence(options, said):
    model = MLP(5, [7], 3)
    model.forward = lambda x: model.head(model.layer1(x))
    with pytest.raises(InputError, match=said), torch.no_grad(), ablated(model, "layer1", **options):
        model(torch.randn(3, 5))
    assert not model.layer1._forward_hooks
