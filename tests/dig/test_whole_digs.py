"""Digs of three made networks in all their tables, as they came out when each had been looked at: nothing is trained,
the weights of a step are drawn and mixed, so that they are the same on every machine.

    SAID=write python -m pytest tests/dig/test_whole_digs.py -q; git diff tests/dig/digs.json
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from golden import columns, drawn, hold, kept, near
from PIL import Image
from torch import nn

import geophone as gp
from geophone.dig.census import _known_factors, _readable
from geophone.dig.run import dig
from geophone.dig.subject import specimen_of
from geophone.records import DigOptions, Target, Window
from geophone.zoo.tasks import task
from geophone.zoo.transformer import Decoder

FILE = Path(__file__).parent / "digs.json"
OPTIONS = DigOptions(per_class=12, units=3, steps=2)


def mixed(build, step):
    """The weights after `step`: drawn ones that go over into others by step 30."""
    share = min(step, 30) / 30
    state = build().state_dict()
    return {
        name: (1 - share) * drawn(t.shape, i, 0) + share * drawn(t.shape, i, 1) if t.is_floating_point() else t
        for i, (name, t) in enumerate(state.items())
    }


class Bars(nn.Module):
    """Two convolutions and a readout that is fitted to the classes, the more of it the later."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(5, 6, 3), nn.ReLU())
        self.out = nn.Linear(6 * 36, 3)

    def forward(self, x):
        return self.out(self.second(self.first(x)).flatten(1))


def images():
    """Bars across, upright and none."""
    y = torch.arange(90) % 3
    x = drawn((90, 1, 10, 10), 11, scale=0.3)
    x[y == 0, :, 4], x[y == 1, :, :, 4] = 2.0, 2.0
    return x, y


def bars_at(step):
    state, model = mixed(Bars, step), Bars()
    model.load_state_dict(state)
    x, y = images()
    with torch.no_grad():
        seen = model.second(model.first(x)).flatten(1).double()
    hot = torch.eye(3, dtype=torch.float64)[y] - 1 / 3
    gram = seen.T @ seen + 5.0 * torch.eye(seen.shape[1], dtype=torch.float64)
    state["out.weight"] = (min(step, 30) / 6 * torch.linalg.solve(gram, seen.T @ hot).T).float()
    state["out.bias"] = torch.zeros(3)
    return state


def decoder():
    return Decoder(12, 12, length=10, width=16, heads=2, depth=2)


def tokens():
    rows = np.random.default_rng(12).integers(12, size=(40, 5))
    return torch.from_numpy(np.concatenate([rows, rows], axis=1)), "next-token"


def regression():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 1))


def answers():
    x = drawn((80, 6), 13, scale=1.0)
    return x, (x[:, :1] * x[:, 1:2]).sin()


CASES = {
    "images": (Bars, images, bars_at, "second"),
    "tokens": (decoder, tokens, lambda step: mixed(decoder, step), "blocks.1"),
    "numbers": (regression, answers, lambda step: mixed(regression, step), "2"),
}


def made(name, folder):
    """The dig of a case, of steps 5, 15 and 28 with a control at 40."""
    build, data, weights, layer = CASES[name]
    model = build()
    model.load_state_dict(weights(30))
    with gp.Recorder(model, data()[0][:20], out=folder / "runs" / name, every=1, sync=True) as recorder:
        recorder.step()
    run = gp.open(folder / "runs" / name)
    target = Target(
        1, name, layer, 1, "stable_rank", Window(5, 15, 28), None, Window(40, 45, 50), "transitions", 1.0, "because.",
        kind="learned",
    )  # fmt: skip
    subject = gp.Subject(model=build, data=data, weights=weights)
    return run, subject, dig(run, target, options=OPTIONS, subject=subject)


def seen(path):
    """Height, width, and the mean of each third of a picture from left to right, and from top to bottom."""
    pixels = np.asarray(Image.open(path).convert("L"), dtype=float)
    parts = [part.mean() for axis in (1, 0) for part in np.array_split(pixels, 3, axis=axis)]
    return [*pixels.shape, *(round(float(mean), 2) for mean in parts)]


@pytest.mark.parametrize("name", CASES)
def test_a_dig_has_the_tables_that_it_had(name, tmp_path):
    _, _, found = made(name, tmp_path)
    hold(FILE, name, {table: columns(found[table]) for table in sorted(found.tables)}, rel=2e-3)
    words = {"words": re.sub(r"[-+−]?\d+(\.\d+)?", "#", found.notes).splitlines()}
    there, wanted = kept(FILE, f"{name}, notes", words)
    assert there == wanted
    pictures = {path.name: seen(path) for path in sorted((found.folder / "images").glob("*.png"))}
    there, wanted = kept(FILE, f"{name}, pictures", pictures)
    assert list(there) == list(wanted) and all(near(there[one], wanted[one], rel=0.03) for one in wanted)
    shown = {line.partition("(")[2].rstrip(")") for line in found.notes.splitlines() if line.startswith("![")}
    assert shown == {f"images/{path}" for path in pictures}


@pytest.mark.parametrize("name", CASES)
def test_moments_of_one_network_have_one_set_of_numbers(name, tmp_path):
    """The weights of steps 40, 45 and 50, where the control is, are the same."""
    _, _, found = made(name, tmp_path)
    since = ["turnover", "new_units", "new_types", "own_correlation", "new", "step", "moment"]
    there = {"moments", "units", "ablation", "composition", "edges", "heads"} & set(found.tables)
    assert len(there) >= 5
    for table in there:
        rows = found[table]
        rows = rows[rows["role"] == "control"]
        moments = [own.drop(columns=since, errors="ignore").reset_index(drop=True) for _, own in rows.groupby("moment")]
        assert len(moments) == 3 or table == "edges"
        for other in moments[1:]:
            pd.testing.assert_frame_equal(moments[0], other)


def test_what_was_made_is_in_the_tables():
    """So that the file holds more than what noise made."""
    known = json.loads(FILE.read_text())
    assert all({"units", "moments", "swap", "movers"} <= set(known[name]) for name in CASES)
    movers = known["images"]["movers"]
    assert movers["before"][3] < movers["after"][3] and known["images"]["units"]["moment"]["before"] == 12
    assert "heads" in known["tokens"] and known["tokens"]["movers"]["position"][4] > 0


class Telling(nn.Module):
    """One layer puts out what it is given, row by row, whatever comes in, another noise."""

    def __init__(self, rows):
        super().__init__()
        self.rows, self.told, self.noise = rows, nn.Identity(), nn.Identity()

    def forward(self, x):
        mine, self.rows = self.rows[: len(x)], self.rows[len(x) :]
        self.noise(drawn((len(x), 5), 14, len(self.rows)))
        return self.told(mine)


def test_factors_of_shapes_are_read_from_a_layer_that_holds_them_and_from_noise_hardly():
    specimen = type("Shapes", (), {"task": task("shapes")})
    x, rows, factors = _known_factors(specimen, np.random.default_rng(0))
    assert x.shape[0] == len(rows) == 400 and abs(float(x.mean())) < 1.5
    names = {"label", "orientation", "x", "y", "size", "frequency"}
    assert set(factors) == names | {f"{part}ground {i}" for part in ("fore", "back") for i in range(3)}
    assert all(len(values) == 400 and len(np.unique(values)) > 1 for values in factors.values())
    assert np.abs(factors["orientation"]).max() <= 1 and np.ptp(factors["orientation"]) > 1.5
    hot = np.eye(int(factors["label"].max()) + 1)[factors["label"].astype(int)]
    held = np.column_stack([hot, *(values for name, values in factors.items() if name != "label")])
    held = torch.from_numpy(((held - held.mean(0)) / held.std(0)).astype(np.float32))
    count = _readable(Telling(held), ["told", "noise"], (x, rows, factors))
    assert count["told"] == len(factors) and count["noise"] <= 1


def test_factors_of_sequences_are_read_from_tokens(tmp_path):
    run, subject, _ = made("tokens", tmp_path)
    specimen = specimen_of(run, subject, rng=np.random.default_rng(0), per_class=12)
    x, rows, factors = _known_factors(specimen, np.random.default_rng(0))
    assert set(factors) == {"token", "position", "answer"} and len(rows) <= 400 and (np.diff(rows) > 0).all()
    assert (factors["token"] == x.numpy().reshape(-1)[rows]).all() and (factors["answer"] >= 0).all()
    found = _readable(specimen.at([30])[30], ["embed"], (x, rows, factors))
    assert found["embed"] >= 2  # the token and its position are what the embedding holds


def test_untrained_networks_are_numbered(tmp_path):
    run, subject, _ = made("numbers", tmp_path)
    build = specimen_of(run, subject, rng=np.random.default_rng(0), per_class=12).untrained
    one, other, again = (build(k)[0].weight for k in (1, 2, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    torch.manual_seed(2**31 + 2)
    assert torch.equal(other, regression()[0].weight)
