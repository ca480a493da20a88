"""Units made by hand come out as what they are, noise comes out as nothing; the bank is what it says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden import columns, kept
from hand_built import SIDE, filters, noise_layer

from geophone.dig.features import (
    TYPES,
    UNTYPED,
    Thresholds,
    Tuning,
    hill,
    no_thresholds,
    preferred_angle,
    thresholds,
    tuned,
    tuning,
    turnover,
    types,
    wording,
)
from geophone.dig.stimuli import bank
from geophone.errors import InputError


def seeded(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def stimuli():
    return bank(3, SIDE, rng=seeded())


@pytest.fixture(scope="module")
def small():
    return bank(1, 16, rng=seeded())


def share(found, truth, kind):
    return float((found[truth == kind] == kind).mean())


def typed(built, stimuli, untrained):
    found = tuning(built.model, ["1"], stimuli)["1"]
    return found, types(found, thresholds([tuning(untrained, ["1"], stimuli)["1"]]))


@pytest.mark.slow
def test_hand_built_units_are_typed_as_they_were_built_and_one_noise_filter_in_twenty_at_most(stimuli):
    built = filters(noise=400, rng=seeded())
    _, found = typed(built, stimuli, noise_layer(400, rng=seeded(1)))
    for kind in ("orientation", "centre-surround", "curvature", "colour"):
        assert share(found, built.truth, kind) >= 0.9
    assert share(found, built.truth, UNTYPED) >= 0.95


def test_hand_built_units_are_typed_as_they_were_built(stimuli):
    built = filters(noise=0, rng=seeded())
    tunings, found = typed(built, stimuli, noise_layer(60, rng=seeded(1)))
    for kind in ("orientation", "centre-surround", "curvature", "colour"):
        assert share(found, built.truth, kind) >= 0.9
    angle = preferred_angle(tunings.vectors, stimuli.table, "grating")[built.truth == "orientation"]
    off = angle - np.repeat(np.arange(8) * np.pi / 8, 4)
    # The bank's own steps are 15 degrees.
    assert np.abs((off + np.pi / 2) % np.pi - np.pi / 2).max() < np.radians(8.5)


def test_the_bank_has_every_condition_as_often_as_it_says(stimuli):
    table = stimuli.table
    counts = table["kind"].value_counts()
    assert len(stimuli.images) == len(table) and stimuli.images.shape[1:] == (3, SIDE, SIDE)
    assert counts["grating"] == 12 * 4 * 4 and counts["edge"] == 24 * 4 and counts["line"] == 12 * 2 * 2 * 4
    assert counts["curve"] == 24 * 3 * 2 * 2 and counts["corner"] == 24 * 2 and counts["disc"] == 4 * 2 * 4
    assert counts["texture"] == counts["scrambled"] == 7 * 4
    assert counts["colour grating"] == 3 * 6 * 2 * 4 and counts["colour patch"] == 3 * 2 * 4
    assert table.groupby(["kind", "colour", "angle", "scale"])["half"].nunique().eq(2).all()


def test_the_bank_stays_in_range_and_its_colours_have_no_luminance(stimuli):
    assert np.abs(stimuli.images).max() <= 2 and stimuli.images[stimuli.table["kind"] == "blank"].max() == 0
    grey = stimuli.images[stimuli.table["colour"] == "grey"]
    assert np.abs(grey - grey[:, :1]).max() == 0
    coloured = stimuli.images[stimuli.table["kind"] == "colour grating"]
    assert np.abs(coloured.mean(1)).max() < 0.75 and np.abs(coloured[:, 0]).max() > 0.5
    unclipped = coloured[np.abs(coloured).max((1, 2, 3)) < 2]
    assert np.abs(unclipped.mean(1)).max(initial=0) < 1e-6


def test_gratings_repeat_as_often_as_their_frequency_says(small):
    rows = small.table[(small.table["kind"] == "grating") & (small.table["angle"] == 0)]
    for index, frequency in zip(rows.index, rows["scale"], strict=True):
        power = np.abs(np.fft.rfft(small.images[index, 0, :, 0], 512)) ** 2
        assert np.argmax(power[8:]) + 8 == pytest.approx(512 * frequency, abs=14)


def test_scrambled_textures_keep_their_amplitudes(stimuli):
    images, table = stimuli.images[:, 0], stimuli.table
    pairs = [images[table["kind"] == kind] for kind in ("texture", "scrambled")]
    for form, scrambled in zip(*pairs, strict=True):
        if max(np.abs(form).max(), np.abs(scrambled).max()) < 2:
            amplitudes = [np.abs(np.fft.fft2(image)) for image in (form, scrambled)]
            assert np.allclose(*amplitudes, atol=1e-3 * amplitudes[0].max())
            assert abs(np.corrcoef(form.ravel(), scrambled.ravel())[0, 1]) < 0.5


def test_no_bank_for_images_it_cannot_draw():
    for channels, side in ((2, 16), (1, 4)):
        with pytest.raises(InputError, match="no stimuli"):
            bank(channels, side, rng=seeded())


def test_an_index_does_not_move_with_a_units_bias_or_scale(small):
    responses = seeded().random((5, len(small.table)))
    first, second = tuned(responses, small.table), tuned(3 * responses + 7, small.table)
    assert np.allclose(first.indices, second.indices, equal_nan=True)
    assert np.isnan(first.indices[:, TYPES.index("colour")]).all()


def test_a_unit_that_answers_to_one_orientation_alone_reads_one_and_to_all_alike_reads_none(small):
    table = small.table
    oriented = table["kind"].isin(["grating", "line"]) & np.isclose(table["angle"], 0)
    oriented |= (table["kind"] == "edge") & np.isclose(table["angle"] % np.pi, np.pi / 2)
    even = table["kind"].isin(["grating", "line", "edge"])
    found = tuned(np.stack([oriented, even]).astype(float), table).indices[:, TYPES.index("orientation")]
    assert found == pytest.approx([1, 0], abs=1e-9)


def test_a_silent_layer_has_no_types_and_no_thresholds(small):
    silent = tuned(np.zeros((30, len(small.table))), small.table)
    assert not silent.live.any()
    with pytest.raises(InputError, match="20 or more"):
        thresholds([silent])
    lively = thresholds([tuned(seeded().random((200, len(small.table))), small.table)])
    assert (types(silent, lively) == UNTYPED).all()


def test_units_of_the_untrained_network_itself_are_typed_in_one_of_forty(small):
    untrained = [tuned(seeded(k).random((400, len(small.table))), small.table) for k in range(2)]
    assert (types(untrained[1], thresholds([untrained[0]])) != UNTYPED).mean() <= 0.05


def test_turnover_is_the_correlation_with_oneself_before():
    a = seeded().standard_normal((4, 200))
    b = np.stack([2 * a[0] + 1, -a[1], seeded(1).standard_normal(200), np.zeros(200)])
    found = turnover(a, b)
    assert found[:2] == pytest.approx([1, -1]) and abs(found[2]) < 0.3 and np.isnan(found[3])


def test_hill_counts_types_that_are_equally_common_and_leaves_untyped_units_out():
    assert hill(np.array(["a", "b", "c", UNTYPED, UNTYPED])) == pytest.approx(3)
    assert 1 < hill(np.array(["a"] * 9 + ["b"])) < 2
    assert hill(np.array([UNTYPED])) == 0


def test_types_in_words_name_the_direction():
    eighth = np.pi / 4
    ways = ["right", "down right", "down", "down left", "left", "up left", "up", "up right", "right"]
    bars = ["horizontal", "diagonal (down)", "vertical", "diagonal (up)", "horizontal"]
    for off in (-0.4, 0.0, 0.4):
        assert [wording("curvature", (i + off) * eighth) for i in range(9)] == [f"curves bulging {w}" for w in ways]
        assert [wording("corner", (i + off) * eighth) for i in range(9)] == [f"corners opening {w}" for w in ways]
        assert [wording("orientation", (i + off) * eighth) for i in range(5)] == [f"{bar} edges" for bar in bars]
    others = ("centre-surround", "colour", "texture", "token", UNTYPED)
    assert [wording(kind, 0.0) for kind in others] == ["spots", "colours", "textures", "token", UNTYPED]
    assert wording("centre-surround", 0.0) == "spots"


def test_a_unit_without_an_image_layer_answers_too(small):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 6))
    found = tuning(model, ["1"], small)["1"]
    expected = model(torch.from_numpy(small.images)).detach().numpy()
    blank = expected[(small.table["kind"] == "blank").to_numpy()].mean(0)
    row = small.table.query("kind == 'uniform' and scale == 1").index
    assert found.vectors.shape[0] == 6
    assert np.isclose(found.vectors, (expected[row].mean(0) - blank)[:, None], atol=1e-5).any(1).all()


def test_a_type_needs_both_halves_of_the_bank_and_the_greatest_lead():
    curved, count = TYPES.index("curvature"), len(TYPES)
    against = Thresholds(np.full(count, 0.5), np.full((2, count), 0.5), greatest=0.4)
    indices, halves = np.zeros((5, count)), np.zeros((2, 5, count))
    indices[:, curved] = [0.9, 0.9, 0.9, 0.9, 0.6]
    halves[:, :, curved] = [[0.9, 0.9, 0.1, 0.1, 0.9], [0.9, 0.1, 0.9, 0.1, 0.9]]
    untyped = [UNTYPED] * 4
    assert list(types(Tuning(np.eye(5), indices, halves), against)) == ["curvature", *untyped]


def test_without_thresholds_no_unit_has_a_type():
    """Untrained units that answer to nothing set no measure: nothing is called an edge detector for lack of one."""
    rng = np.random.default_rng(0)
    indices = rng.uniform(size=(30, len(TYPES)))
    made = Tuning(rng.normal(size=(30, 9)), indices, rng.uniform(size=(2, 30, len(TYPES))))
    assert set(types(made, no_thresholds(len(TYPES)))) == {"untyped"}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_bank_is_drawn_as_it_was(channels):
    """Every kind of image, by its size, its parts and how much of it is light and dark."""
    made = bank(channels, 16, rng=np.random.default_rng(3))
    side = np.linspace(-1, 1, 16)
    weighed = made.images * (side[:, None] + 2 * side[None] + side[:, None] * side[None])
    sums = {
        "sum": made.images,
        "size": np.abs(made.images),
        "place": weighed,
        "edge": np.abs(np.diff(made.images, axis=-1)),
    }
    table = made.table.assign(**{name: each.sum((1, 2, 3)) for name, each in sums.items()})
    by_kind = {
        f"{kind}, {colour}": columns(rows.drop(columns=["kind", "colour"]).reset_index(drop=True))
        for (kind, colour), rows in table.groupby(["kind", "colour"], sort=False)
    }
    there, wanted = kept(Path(__file__).parent / "stimuli.json", str(channels), by_kind)
    assert list(there) == list(wanted)
    for kind, of in wanted.items():
        for name, values in of.items():
            # What adds up to nothing is rounding.
            close = np.allclose(there[kind][name], values, rtol=1e-3, atol=2e-2) if isinstance(values, list) else None
            assert close or there[kind][name] == values, (kind, name, there[kind][name], values)
