"""Images show what a unit was built to look for, other networks recognise them, and the network is left alone;
attribution finds what decides."""

import numpy as np
import pytest
import torch
from hand_built import layer_of
from torch import nn

from geophone.dig.attribution import attribution
from geophone.dig.visualize import Canvas, Style, _Reader, chosen_units, top_inputs, units_of, visualize
from geophone.errors import InputError
from geophone.record.checkpoints import weights_digest
from geophone.training import training_of
from geophone.zoo.catalogue import experiment
from geophone.zoo.cnn import CNN
from geophone.zoo.mlp import MLP
from geophone.zoo.tasks import task

SIDE = 28
GREY = Canvas((1, SIDE, SIDE), -1.0, 1.0, 0.0, np.eye(1))


def seeded(seed=0):
    return np.random.default_rng(seed)


def templates():
    """Two windowed gratings, a spot and a curve of 11 x 11 pixels."""
    axis = np.arange(11) - 5.0
    x, y = np.meshgrid(axis, axis)
    window = np.exp(-(x**2 + y**2) / 11.5)
    off = np.hypot(x + 4, y) - 4
    made = [
        window * np.cos(2 * np.pi * 0.18 * (0.92 * y - 0.39 * x)),
        window * np.sin(2 * np.pi * 0.11 * (0.6 * y + 0.8 * x)),
        np.exp(-(x**2 + y**2) / 3) - np.exp(-(x**2 + y**2) / 9) / 3,
        (np.exp(-(off**2) / 2) - np.exp(-((off - 2.5) ** 2) / 2) / 2) * window,
    ]
    return np.stack([m - m.mean() for m in made])[:, None]


def magnitude(image):
    return np.abs(np.fft.fft2(image - image.mean(), (SIDE, SIDE))).ravel()


def alike(image, template):
    return np.corrcoef(magnitude(image), magnitude(template))[0, 1]


def test_the_image_of_a_matched_filter_is_its_template():
    planted = templates()
    style = Style(where="neuron", contrast=0.2)
    [images] = visualize([layer_of(list(planted))], "1", units_of(range(4), 4), GREY, rng=seeded(), style=style)
    found = np.array([[alike(image[0], template[0]) for template in planted] for image in images])
    assert np.diag(found).min() >= 0.8
    # The spectra of a spot and a curve are alike; those of gratings are like no other.
    assert found[0, 1:].max() < 0.7 and found[1, [0, 2, 3]].max() < 0.7


@pytest.mark.parametrize(("where", "bounded"), [("neuron", True), ("channel", False)])
def test_contrast_is_bounded_where_that_is_nearer_to_what_was_planted(where, bounded):
    model, planted = layer_of(list(templates())), templates()
    match = {}
    for contrast in (None, 0.5):
        style = Style(where=where, contrast=contrast, steps=256)
        [images] = visualize([model], "1", units_of(range(4), 4), GREY, rng=seeded(), style=style)
        match[contrast] = np.mean(
            [alike(image[0], template[0]) for image, template in zip(images, planted, strict=True)]
        )
    assert (match[0.5] > match[None] + 0.05) == bounded and abs(match[0.5] - match[None]) > 0.05
    assert Style(where=where).bound == (0.5 if bounded else None)


def test_without_a_bound_on_contrast_the_image_is_black_and_white():
    model = layer_of(list(templates()))
    make = {c: visualize([model], "1", units_of([0], 4), GREY, rng=seeded(), style=Style(steps=200, contrast=c,
            where="neuron"))[0, 0, 0] for c in (None, 0.2)}  # fmt: skip
    middle = slice(SIDE // 2 - 4, SIDE // 2 + 5)
    assert np.median(np.abs(make[None][middle, middle])) > 0.9
    assert np.median(np.abs(make[0.2][middle, middle])) < 0.6


def test_images_excite_most_units_more_than_any_of_the_data_do():
    torch.manual_seed(0)
    model, x = CNN(1, [8, 8], 4, size=SIDE, halving=(2,)), task("mnist").probe(128)[0]
    [images] = visualize([model], "conv2", units_of(range(8), 8), Canvas.of(x), rng=seeded(), style=Style(steps=400))
    assert images.min() >= x.min() and images.max() <= x.max()
    with torch.no_grad():
        answer = [model.conv2(model.conv1(i)).mean((2, 3)).numpy() for i in (torch.from_numpy(images), x)]
    # With the random transformations in the way, a bright image of the data can do better.
    assert (np.diag(answer[0]) > answer[1].max(0)).sum() >= 6


def test_a_batch_of_models_gives_each_its_own_images():
    models = [layer_of(list(templates()[order])) for order in ([0, 1], [1, 0])]
    style = Style(where="neuron", steps=160, contrast=0.2)
    images = visualize(models, "1", units_of(range(2), 2), GREY, rng=seeded(), style=style)
    assert images.shape == (2, 2, 1, SIDE, SIDE)
    found = [[alike(i[0], t[0]) for t in templates()[:2]] for i in images.reshape(4, 1, SIDE, SIDE)]
    assert np.argmax(found, axis=1).tolist() == [0, 1, 1, 0]


def test_two_moments_of_one_network_have_one_image():
    model = layer_of(list(templates())[:4])
    one, other = visualize([model, model], "1", units_of([1], 4), GREY, rng=seeded(), style=Style(steps=8))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_network_and_the_random_state_are_as_they_were():
    model = experiment("cnn_batchnorm_4_shapes").build().train()
    next(model.parameters()).requires_grad_(False)
    digest, state = weights_digest(model), torch.get_rng_state()
    flags = [p.requires_grad for p in model.parameters()]
    shape = (3, 32, 32)
    canvas = Canvas(shape, 0.0, 1.0, 0.5, np.eye(3))
    visualize([model], "conv2", units_of([0, 1], 32), canvas, rng=seeded(), style=Style(steps=3))
    attribution(model, "conv2", torch.rand(2, *shape, generator=torch.Generator()), [0, 1])
    assert weights_digest(model) == digest and torch.equal(torch.get_rng_state(), state)
    assert [p.requires_grad for p in model.parameters()] == flags and model.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


def test_the_same_generator_gives_the_same_images_and_another_one_others():
    model = layer_of(list(templates()))
    a, b, c = (
        visualize([model], "1", units_of([0], 4), GREY, rng=seeded(seed), style=Style(steps=8)) for seed in (0, 0, 1)
    )
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_diversity_keeps_the_copies_of_a_unit_apart():
    torch.manual_seed(0)
    model = CNN(1, [8, 8], 4, size=16, halving=())
    canvas = Canvas((1, 16, 16), -1.0, 1.0, 0.0, np.eye(1))
    found = []
    for diversity in (0.0, 5.0):
        style = Style(steps=96, copies=3, diversity=diversity)
        [images] = visualize([model], "conv2", units_of([0], 8), canvas, rng=seeded(), style=style)
        with torch.no_grad():
            flat = nn.functional.normalize(model.conv2(model.conv1(torch.from_numpy(images))).flatten(1), dim=1)
        found.append(float((flat @ flat.T).sum() - 3) / 6)
    assert found[1] < found[0]


def test_colours_are_drawn_as_they_go_together_in_the_data():
    draw = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [0.0, 0.0, 0.5]])
    x = torch.einsum("dc,nchw->ndhw", mixing, torch.randn(50, 3, 12, 12, generator=draw))
    colour = Canvas.of(x).colour
    covariance, expected = colour @ colour.T, (mixing @ mixing.T).numpy()
    assert np.allclose(covariance / covariance[0, 0], expected / expected[0, 0], atol=0.05)


def test_top_inputs_are_those_of_the_greatest_answers():
    x = torch.rand(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = CNN(1, [6], 2, size=12, halving=())
    with torch.no_grad():
        a = model.conv1(x).mean((2, 3)).numpy()
    assert top_inputs(model, "conv1", [4, 1], x, most=5).tolist() == [
        sorted(range(40), key=lambda i: -a[i, unit])[:5] for unit in (4, 1)
    ]


def test_units_are_named_or_drawn_once_each():
    assert units_of([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    drawn = chosen_units(64, rng=seeded())
    assert len(set(drawn)) == 20 and drawn == sorted(drawn) and max(drawn) < 64
    assert chosen_units(5, rng=seeded()) == [0, 1, 2, 3, 4]


def test_what_cannot_be_visualised_is_refused():
    model = layer_of(list(templates()))
    with pytest.raises(InputError, match="no layer"):
        visualize([model], "7", units_of([0], 4), GREY, rng=seeded(), style=Style(steps=1))
    with pytest.raises(InputError, match="over 5 units"):
        visualize([model], "1", units_of([0], 5), GREY, rng=seeded(), style=Style(steps=1))
    with pytest.raises(InputError, match="give 0 to 3"):
        units_of([4], 4)
    for wrong in ({"where": "everywhere"}, {"steps": 0}, {"contrast": 0.0}, {"contrast": "low"}):
        with pytest.raises(InputError):
            Style(**wrong)


@pytest.mark.parametrize(("name", "layer"), [("mlp_4_mnist", "layer2"), ("cnn_batchnorm_4_shapes", "conv2")])
def test_a_layer_cut_to_some_units_gives_those_units(name, layer):
    torch.manual_seed(0)
    model, x = experiment(name).build(), task(name.rsplit("_", 1)[1]).probe(64)[0]
    count = dict(model.named_modules())[layer][0].weight.shape[0]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0), nn.init.normal_(module.running_mean)
    whole, some = _Reader(model, layer), _Reader(model, layer)
    assert some.narrow(np.array([3, 17, 9]), count)
    assert torch.allclose(some(x), whole(x)[:, [3, 17, 9]], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", ["elsewhere", "flat"])
def test_layers_that_mix_units_or_are_used_twice_are_computed_whole(shape):
    conv = nn.Conv2d(1, 6, 3, padding=1)
    last = nn.Sequential(conv, nn.ReLU(), nn.Flatten()) if shape == "flat" else nn.Sequential(conv, nn.ReLU())
    model = nn.Sequential(nn.Sequential(conv, nn.Conv2d(6, 1, 1)) if shape == "elsewhere" else nn.Identity(), last)
    reader, x = _Reader(model, "1"), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert not reader.narrow(np.array([2]), 6)
    assert torch.allclose(reader(x), model(x), atol=1e-6)


def test_a_relu_that_is_off_passes_a_tenth_of_the_gradient_and_keeps_its_value():
    model = nn.Sequential(nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU()))
    with torch.no_grad():
        model[0][0].weight.copy_(torch.tensor([[3.0], [-2.0]]))
    x = torch.ones(1, 1, requires_grad=True)
    read = _Reader(model, "0")(x)
    assert read.tolist() == [[3.0, 0.0]]
    (gradient,) = torch.autograd.grad(read.sum(), x)
    assert gradient.item() == pytest.approx(3.0 - 0.1 * 2.0)


@pytest.mark.slow
def test_images_of_class_units_are_recognised_by_a_network_trained_on_its_own():
    trained = []
    for seed in (0, 1):
        training = training_of(experiment("cnn_4_mnist"), seed=seed)
        for _ in range(600):
            training.step()
        trained.append(training.model.eval())
    canvas = Canvas.of(task("mnist").probe(256)[0])
    [images] = visualize(trained[:1], "head", units_of(range(10), 10), canvas, rng=seeded())
    with torch.no_grad():
        guesses = trained[1](torch.from_numpy(images)).argmax(1).numpy()
    assert (guesses == np.arange(10)).sum() >= 8


def test_gradcam_points_at_the_patch_that_decides():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        model[0].weight[0].fill_(1.0)
        model[0].weight[1].fill_(-1.0)
    x = torch.zeros(2, 1, 16, 16)
    x[:, :, 2:6, 3:7], x[:, :, 10:14, 9:13] = 1.0, -1.0
    maps = attribution(model, "1", x, [0, 1])
    assert maps.shape == (2, 16, 16)
    for found, (rows, columns) in zip(maps, ((slice(1, 7), slice(2, 8)), (slice(9, 15), slice(8, 14))), strict=True):
        assert found[rows, columns].sum() == pytest.approx(found.sum()) and found.sum() > 0


def test_the_conductance_of_a_layer_adds_up_to_what_the_logit_gained():
    torch.manual_seed(0)
    model, x = MLP(12, [16, 16], 3), torch.randn(5, 12, generator=torch.Generator().manual_seed(1))
    found = attribution(model, "layer1", x, [0, 1, 2, 0, 1])
    with torch.no_grad():
        gained = (model(x) - model(torch.zeros(5, 12)))[torch.arange(5), [0, 1, 2, 0, 1]].numpy()
    assert found.shape == (5, 16)
    assert found.sum(1) == pytest.approx(gained, abs=0.03 * float(np.abs(gained).max()))


def test_attribution_to_a_layer_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no layer"):
        attribution(MLP(4, [4], 2), "conv9", torch.zeros(1, 4), [0])
