"""The ladder finds planted wiring and nothing else; effects are those of taking the unit away by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from geophone.dig.ablation import derangement
from geophone.dig.composition import composition_table, compositional_depth, correlations, edge_table, rungs
from geophone.dig.effects import early_output, effects, link, mixed, rotation
from geophone.errors import InputError
from geophone.record.anatomy import anatomy_of
from geophone.record.checkpoints import weights_digest
from geophone.zoo.catalogue import experiment
from geophone.zoo.cnn import CNN
from geophone.zoo.mlp import MLP
from geophone.zoo.tasks import task
from geophone.zoo.transformer import Decoder, VisionTransformer


def seeded(seed=0):
    return np.random.default_rng(seed)


def composition_of(*args, **options):
    return composition_table(rungs(*args, **options))


def unit_edges(model, x, y, **options):
    return edge_table(rungs(model, ["layer1", "layer2"], x, y, **options), every=True)


def chain(width, depth, *, kernel=None):
    """Layers in which unit k reads unit k of the layer before and no other."""
    torch.manual_seed(0)
    eye = torch.eye(width)
    if kernel is None:
        model = MLP(width, [width] * depth, 2)
        for name, part in model.named_children():
            if name != "head":
                part[0].weight.data.copy_(1.5 * eye)
                part[0].bias.data.fill_(0.3)
        return model
    model = CNN(width, [width] * depth, 2, size=8, halving=())
    for name, part in model.named_children():
        if name != "head":
            part[0].weight.data.copy_(eye[:, :, None, None] * torch.rand(width, width, 3, 3))
            part[0].bias.data.fill_(0.1)
    return model


@pytest.mark.parametrize(("width", "kernel", "shape"), [(8, None, (8,)), (24, None, (24,)), (16, 3, (16, 8, 8))])
def test_a_planted_chain_of_four_layers_is_recovered_exactly(width, kernel, shape):
    model, x = chain(width, 4, kernel=kernel), torch.randn(96, *shape, generator=torch.manual_seed(1))
    layers = [name for name, _ in model.named_children() if name != "head"]
    for seed in range(3):
        found = edge_table(rungs(model, layers, x, torch.zeros(96, dtype=torch.long), rng=seeded(seed)))
        edges = set(zip(found["early"], found["early_unit"], found["late"], found["late_unit"], strict=True))
        truth = {(a, k, b, k) for a, b in itertools.pairwise(layers) for k in range(width)}
        assert edges == truth
        assert compositional_depth(found) == 3


def test_permuted_weights_cannot_show_a_sparse_chain():
    # Each draw has as many and as strong edges as the network itself, in other places.
    x = torch.randn(96, 16, generator=torch.manual_seed(1))
    table = unit_edges(chain(16, 2), x, torch.zeros(96, dtype=torch.long), rng=seeded(), null="permuted")
    assert table["edge"].sum() == 0


@pytest.mark.parametrize("name", ["mlp_4_mnist", "cnn_4_mnist", "cnn_3_digits"])
def test_random_weights_give_hardly_any_edge(name):
    spec = experiment(name)
    x, y = task(spec.task).probe(64)
    for seed in range(2):
        torch.manual_seed(seed)
        table = composition_of(spec.build(), spec.layers, x, y, rng=seeded(seed), draws=4)
        measured = table[table["effect_edges"].notna()]
        assert (measured["effect_edges"] / measured["pairs"]).max() <= 0.05
        assert measured["effect_edges"].sum() / measured["pairs"].sum() <= 0.005
        assert table["naive_edges"].sum() > 10 * measured["effect_edges"].sum()


def test_two_unrelated_units_of_one_class_fool_pearson_and_not_the_ladder():
    # Inputs 0 and 1 both carry class 0, with noise of their own; unit 0 of layer2 reads input 0 alone, unit 1 input 1.
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 4
    signal = 3.0 * (y == 0).float()
    x = torch.stack([signal + torch.randn(400, generator=draw) for _ in range(2)], 1)
    x = torch.cat([x, torch.randn(400, 22, generator=draw)], 1)
    model = chain(24, 2)
    for part in (model.layer1[0], model.layer2[0]):
        part.bias.data.fill_(4.0)
    table = unit_edges(model, x, y, rng=seeded()).set_index(["early_unit", "late_unit"])
    unrelated, related = table.loc[(0, 1)], table.loc[(1, 1)]
    assert unrelated["pearson"] > 0.6 > 0.15 > abs(unrelated["partial"])
    assert unrelated["path"] == unrelated["effect"] == 0 and not unrelated["edge"]
    assert related["pearson"] > 0.99 and related["partial"] > 0.99 and related["path"] == 1 and related["edge"]


def by_hand(model, early, late, x, donors, unit, axis, pool):
    """E_ij from two plain forward passes, with a hook that swaps one unit."""
    caught = {}

    def swap(module, args, output):
        output = output.clone()
        output.select(axis, unit).copy_(output[donors].select(axis, unit))
        return output

    handle = model.get_submodule(late).register_forward_hook(lambda m, a, o: caught.update(h=o))
    model(x)
    plain = pool(caught["h"])
    other = model.get_submodule(early).register_forward_hook(swap)
    model(x)
    moved = pool(caught["h"])
    handle.remove(), other.remove()
    return ((moved - plain).abs().mean(0) / plain.std(0, correction=0)).numpy()


IMAGE = (3, 8, 8)
CASES = {
    "linear": (lambda: MLP(10, [12, 9], 4), "layer1", "layer2", (10,), 1),
    "residual": (lambda: MLP(10, [12, 12, 12], 4, residual=True), "layer1", "layer2", (10,), 1),
    "layer norm": (lambda: MLP(10, [12, 9], 4, norm=True), "layer1", "layer2", (10,), 1),
    "convolution": (lambda: CNN(3, [5, 7], 4, size=8, halving=[2]), "conv1", "conv2", IMAGE, 1),
    "pooled": (lambda: CNN(3, [5, 7], 4, size=8, halving=[2], pool=True, norm=True), "conv1", "conv2", IMAGE, 1),
    "residual convolution": (lambda: CNN(3, [5, 5], 4, size=8, halving=[], residual=True), "conv1", "conv2", IMAGE, 1),
    "flattened": (lambda: CNN(3, [5, 7], 4, size=8, halving=[1]), "conv2", "head", IMAGE, 1),
    "skipping": (lambda: CNN(3, [5, 7], 4, size=8, halving=[1]), "conv1", "head", IMAGE, 1),
    "plain sequence": (lambda: nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5)), "0", "2", (6,), 1),
    "block": (
        lambda: VisionTransformer(3, 4, size=8, patch=4, width=8, heads=2, depth=2), "blocks.0", "blocks.1", IMAGE, 2,
    ),
    "behind a norm": (
        lambda: VisionTransformer(3, 4, size=8, patch=4, width=8, heads=2, depth=2), "blocks.1", "head", IMAGE, 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_effects_are_those_of_swapping_a_unit_by_hand(case):
    build, early, late, shape, axis = CASES[case]
    torch.manual_seed(3)
    model, x = build().eval(), torch.randn(20, *shape)
    donors = torch.from_numpy(derangement(20, seeded()))
    pool = {2: lambda h: h, 3: lambda h: h.mean(1), 4: lambda h: h.mean((2, 3))}
    with torch.no_grad():
        found = link(model, anatomy_of(model), early, late, x[:2])
        table = effects(found, x, early_output(found, x), donors)
        for unit in (0, 3, 4):
            hand = by_hand(model, early, late, x, donors, unit, axis, lambda h: pool[h.ndim](h))
            np.testing.assert_allclose(np.nan_to_num(table[unit]), np.nan_to_num(hand, posinf=0), rtol=2e-3, atol=2e-5)


class Tupled(nn.Module):
    """Puts out more than a tensor, as recurrent and attention layers do."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x[0] if isinstance(x, tuple) else x), None


@pytest.mark.parametrize(("early", "late"), [("0", "1"), ("0", "2")])
def test_layers_that_put_out_tuples_have_the_same_effects(early, late):
    torch.manual_seed(1)
    parts, x = [nn.Linear(6, 7), nn.Linear(7, 5), nn.Linear(5, 4)], torch.randn(20, 6)
    donors = torch.from_numpy(derangement(20, seeded()))
    tables = []
    for model in (nn.Sequential(*parts), nn.Sequential(*map(Tupled, parts))):
        with torch.no_grad():
            pair = link(model.eval(), anatomy_of(model), early, late, x[:2])
            tables.append(effects(pair, x, early_output(pair, x), donors))
    np.testing.assert_allclose(*tables, rtol=1e-4)


class Shifted(nn.Module):
    """A layer that is told more than its input."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 7), Told(nn.Linear(7, 5))

    def forward(self, x):
        return self.second(self.first(x), shift=torch.ones(7))


class Told(Tupled):
    def forward(self, x, *, shift):
        return self.layer(x + shift)


def test_a_layer_that_reads_more_than_the_layer_before_is_run_with_the_network():
    torch.manual_seed(1)
    model, x, donors = Shifted().eval(), torch.randn(20, 6), torch.from_numpy(derangement(20, seeded()))
    with torch.no_grad():
        pair = link(model, anatomy_of(model), "first", "second", x[:2])
        table = effects(pair, x, early_output(pair, x), donors)
        hand = by_hand(model, "first", "second", x, donors, 3, 1, lambda h: h)
    assert not pair.direct
    np.testing.assert_allclose(table[3], hand, rtol=1e-4)


def test_a_sole_gaussian_source_has_the_effect_of_its_formula():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    for part in model:
        part.weight.data.copy_(torch.eye(3))
    x = torch.randn(4000, 3, generator=torch.manual_seed(0))
    with torch.no_grad():
        found = link(model, anatomy_of(model), "0", "1", x[:2])
        effect = effects(found, x, early_output(found, x), torch.from_numpy(derangement(4000, seeded())))
    np.testing.assert_allclose(effect, 2 / np.sqrt(np.pi) * np.eye(3), atol=0.03)


def test_dead_units_are_missing_and_never_edges():
    # Late unit 2 has no other source than the dead early unit 2.
    model = chain(24, 2)
    model.layer1[0].bias.data[2], model.layer2[0].bias.data[5] = -1e3, -1e3
    x = torch.randn(64, 24, generator=torch.manual_seed(0))
    table = unit_edges(model, x, torch.arange(64) % 4, rng=seeded())
    dead = (table["early_unit"] == 2) | table["late_unit"].isin([2, 5])
    assert table.loc[dead, ["pearson", "partial", "effect", "q"]].isna().all().all()
    assert not table.loc[dead, "edge"].any() and table.loc[~dead, "effect"].notna().all()
    assert table["edge"].sum() == 22


def test_a_residual_stream_that_only_carries_on_is_no_composition():
    torch.manual_seed(0)
    model = MLP(16, [16, 16], 2, residual=True)
    model.layer2.inner[0].weight.data.mul_(0.05)
    x = torch.randn(64, 16)
    table = unit_edges(model, x, torch.arange(64) % 4, rng=seeded())
    same = table["early_unit"] == table["late_unit"]
    assert table.loc[same, "effect"].mean() > 10 * table.loc[~same, "effect"].mean()
    assert not table.loc[same, "edge"].any()


def test_mixing_keeps_sums_and_squares_and_is_undone():
    model = chain(8, 2)
    x = torch.randn(8, 8)
    before = weights_digest(model)
    with torch.no_grad():
        found = link(model, anatomy_of(model), "layer1", "layer2", x)
        w = model.layer2[0].weight.clone()
        for null in ("rotated", "permuted"):
            with pytest.raises(KeyError), mixed(found, null=null, rng=seeded()):
                now = model.layer2[0].weight.clone()
                raise KeyError
            assert not torch.equal(now, w)
            torch.testing.assert_close(now.sum(1), w.sum(1))
            torch.testing.assert_close((now**2).sum(1), (w**2).sum(1))
    assert weights_digest(model) == before
    q = rotation(6, seeded())
    np.testing.assert_allclose(q @ q.T, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(q.sum(0), 1, atol=1e-12)


def test_composition_leaves_the_model_as_it_was_and_is_decided_by_its_generator():
    torch.manual_seed(0)
    model = CNN(1, [6, 8], 10, size=8, halving=[1], norm=True).train()
    x, y = task("digits").probe(40)
    before, state = weights_digest(model), torch.get_rng_state()
    tables = [composition_of(model, ["conv1", "conv2", "head"], x, y, rng=seeded(), draws=3) for _ in range(2)]
    pd.testing.assert_frame_equal(*tables)
    assert weights_digest(model) == before and model.training and torch.equal(state, torch.get_rng_state())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert tables[0][["early", "late"]].to_numpy().tolist() == [
        ["conv1", "conv2"], ["conv1", "head"], ["conv2", "head"],
    ]  # fmt: skip
    assert tables[0]["effect_edges"].isna().tolist() == [False, True, False]


def test_correlations_are_numpys_and_path_weights_multiply():
    rng = seeded()
    a, b = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    np.testing.assert_allclose(correlations(a, b), np.corrcoef(a.T, b.T)[:4, 4:], atol=1e-12)
    torch.manual_seed(0)
    model = CNN(1, [3, 4], 2, size=4, halving=[])
    x = torch.randn(40, 1, 4, 4)
    found = {(r.early, r.late): r for r in rungs(model, ["conv1", "conv2", "head"], x, torch.zeros(40).long(),
                                                 rng=rng, draws=2)}  # fmt: skip
    one = model.conv2[0].weight.detach().abs().sum((2, 3)).T.double()
    two = model.head[1].weight.detach().abs().view(2, 4, 16).sum(2).T.double()
    whole = (one @ two).numpy()
    np.testing.assert_allclose(found["conv1", "head"].path, whole / whole.sum(0), rtol=1e-6)
    table = composition_table(list(found.values())).set_index(["early", "late"])
    even = (3 * (one / one.sum(0)).max(0).values.mean()).item()
    assert table.loc[("conv1", "conv2"), "path_strength"] == pytest.approx(even)


def test_sequences_and_decoders_are_read_by_stream_dimension():
    torch.manual_seed(0)
    model = Decoder(7, 7, length=6, width=8, heads=2, depth=1)
    x = torch.randint(7, (40, 6))
    table = composition_of(model, ["embed", "blocks.0", "head"], x, x, rng=seeded(), draws=2)
    assert table["pairs"].tolist() == [64, 56, 56]
    assert table["effect_edges"].notna().tolist() == [True, False, True]


def frame(*edges):
    return pd.DataFrame(edges, columns=["early", "early_unit", "late", "late_unit"])


def test_depth_is_the_longest_path():
    assert compositional_depth(frame()) == 0
    assert compositional_depth(frame(("a", 0, "b", 1), ("b", 0, "c", 1))) == 1
    assert compositional_depth(frame(("a", 0, "b", 1), ("b", 1, "c", 0), ("a", 0, "c", 0))) == 2
    table = frame(("a", 0, "b", 1), ("b", 1, "c", 0)).assign(edge=[True, False])
    assert compositional_depth(table) == 1
    with pytest.raises(InputError, match="circle"):
        compositional_depth(frame(("a", 0, "b", 0), ("b", 0, "a", 0)))


def test_bad_input_is_one_sentence():
    model, x, y = chain(8, 2), torch.randn(8, 8), torch.zeros(8).long()
    with pytest.raises(InputError, match="does not run before"):
        composition_of(model, ["layer2", "layer1"], x, y, rng=seeded())
    with pytest.raises(InputError, match="2 or more layers"):
        composition_of(model, ["layer1"], x, y, rng=seeded())
    with pytest.raises(InputError, match="rotated, permuted"):
        unit_edges(model, x, y, rng=seeded(), null="other")


def test_q_is_twice_the_lesser_of_two_adjusted_ranks_among_the_null_shares():
    torch.manual_seed(2)
    model, x, y = MLP(7, [6, 5], 3).eval(), torch.randn(40, 7), torch.arange(40) % 3
    for part in (model.layer1[0], model.layer2[0]):
        part.bias.data.fill_(5.0)  # nobody is ever off
    [found] = rungs(model, ["layer1", "layer2"], x, y, rng=seeded(), draws=6)
    rng = seeded()
    few = x[torch.from_numpy(np.sort(rng.choice(40, 32, replace=False)))]
    donors = torch.from_numpy(derangement(32, rng))
    with torch.no_grad():
        pair = link(model, anatomy_of(model), "layer1", "layer2", few[:2])
        first = early_output(pair, few)
        effect, nulls = effects(pair, few, first, donors), []
        for _ in range(6):
            with mixed(pair, null="rotated", rng=rng):
                nulls.append(effects(pair, few, first, donors))
    shares, null = effect / effect.sum(0), np.stack([each / each.sum(0) for each in nulls])
    assert found.effect == pytest.approx(effect) and shares.size == 30
    adjusted = []
    for scale in (np.ones((6, 1)), null.mean((0, 2))[:, None]):
        p = [(1 + (null / scale >= value - 1e-9).sum()) / (1 + null.size) for value in (shares / scale).ravel()]
        adjusted.append(stats.false_discovery_control(p).reshape(shares.shape))
    assert found.q == pytest.approx(np.minimum(1, 2 * np.minimum(*adjusted)))
    assert (found.q < 1).any()


@pytest.mark.parametrize(("many", "said"), [(20, False), (21, True)])
def test_a_correlation_within_class_rests_on_20_samples_beyond_one_per_class(many, said):
    y = torch.tensor([0] * many + [1, 2, 3, 4, 5])
    x = torch.randn(len(y), 6, generator=torch.Generator().manual_seed(0))
    [found] = rungs(MLP(6, [5, 4], 2).eval(), ["layer1", "layer2"], x, y, rng=seeded(), draws=2)
    assert np.isfinite(found.partial).any() == said
