"""The three values behind the short call, and the recorder of a rank that records nothing."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.record import Watch, What
from geophone.record import recorder as module


def noise(n=24, d=6, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def trained(recorder, model, steps=12):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with recorder:
        for step in range(steps):
            loss = model(noise(seed=step + 1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())


def test_the_short_call_and_the_values_make_the_same_run(tmp_path):
    short, long = network(), network()
    heard = {"short": [], "long": []}
    trained(
        gp.Recorder(
            short, noise(), out=tmp_path / "short", every=gp.Schedule(steps=(0, 3, 9)), layers="2", rows=30,
            dimensions=["pcs_90", "stable_rank"], noise_probe=noise(seed=9), noise_every=2, alarms=False,
            on_record=heard["short"].append,
        ),
        short,
    )  # fmt: skip
    what = What(layers="2", rows=30, dimensions=("stable_rank", "pcs_90"), noise=noise(seed=9), noise_every=2)
    watch = Watch(alarms=False, on_record=heard["long"].append)
    when = gp.Schedule(steps=(0, 3, 9))
    trained(gp.Recorder(long, noise(), out=tmp_path / "long", what=what, when=when, watch=watch), long)
    a, b = gp.open(tmp_path / "short"), gp.open(tmp_path / "long")
    assert a.table().equals(b.table()) and a.scalars().equals(b.scalars())
    assert heard["short"] == heard["long"] and len(heard["long"]) == 3
    same = {"layers", "schedule", "rows", "probe", "definitions", "steps", "measurements"}
    assert a.manifest.model_dump(include=same) == b.manifest.model_dump(include=same)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"what": What(), "rows": 64}, "what= says what rows would say again"),
        ({"what": What(), "layers": "0", "noise_probe": noise(seed=4)}, "layers, noise"),
        ({"when": gp.Schedule(3), "every": 3}, "when= says what every"),
        ({"watch": Watch(), "alarms": False}, "watch= says what alarms"),
        ({"what": {"rows": 64}}, "give a geophone.What"),
        ({"when": 5}, "give a geophone.Schedule"),
        ({"watch": print}, "give a geophone.Watch"),
    ],
)
def test_a_thing_said_twice_or_of_another_kind_is_refused(tmp_path, arguments, says):
    with pytest.raises(InputError, match=says):
        gp.Recorder(network(), noise(), out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rows": 1}, "rows=1"),
        ({"rows": 2.5}, "rows=2.5"),
        ({"noise_every": 0}, "noise_every=0"),
        ({"dimensions": ["rank"]}, "unknown dimension"),
        ({"dimensions": []}, "unknown dimension"),
    ],
)
def test_a_what_that_no_model_could_be_recorded_with_is_refused_when_it_is_made(fields, says):
    with pytest.raises(InputError, match=says):
        What(**fields)


def test_a_what_keeps_what_can_be_gone_through_once():
    what = What(layers=(name for name in ("0", "2")), dimensions=(name for name in ("rankme", "stable_rank")))
    assert what.selectors == what.selectors == ("0", "2")
    assert what.names == ("stable_rank", "rankme")


@pytest.mark.parametrize("probe", [noise(), "batch"])
def test_another_rank_gets_a_whole_recorder_that_does_nothing(tmp_path, monkeypatch, probe):
    monkeypatch.setattr(module, "rank", lambda: 1)
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1, resume=True) as recorder:
        assert (recorder.folder, recorder.resumed, recorder.due) == (tmp_path / "run", True, False)
        assert recorder.step(loss=1.0) == []
        assert recorder.checkpoint() is None
        with pytest.raises(InputError, match="one number"):
            recorder.step(loss="low")
    recorder.close(results={"test_accuracy": 1.0})
    assert recorder.step() == []
    assert not (tmp_path / "run").exists()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Random(nn.Module):
    """Draws from every random state that a forward pass can reach, in eval mode too."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 4)

    def forward(self, x):
        return self.inner(x) + torch.rand(1) + random.random() + float(np.random.rand())


def test_no_random_state_is_moved_by_a_measurement(tmp_path):
    """Law: what Python, NumPy and torch draw next is what they would have drawn without a recorder."""

    def drawn():
        return random.random(), float(np.random.rand()), float(torch.rand(1))

    def seed():
        random.seed(5), np.random.seed(5), torch.manual_seed(5)

    model = Random()
    seed()
    expected = [drawn() for _ in range(4)]
    seed()
    recorder = gp.Recorder(model, noise(), out=tmp_path / "run", every=1, noise_probe=noise(seed=3), noise_every=1)
    found = [drawn()]
    for _ in range(3):
        recorder.step()
        found.append(drawn())
    recorder.close()
    assert found == expected


def test_each_layer_draws_positions_of_its_own():
    """Two layers of one shape must not read the same positions: an edge or a stripe would then count in both."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1))
    images = torch.randn(6, 1, 9, 9)
    plans = [module_plan(model, images) for _ in "ab"]
    drawn = [[view.positions for view in plan.views.values()] for plan in plans]
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
    first, second, third = drawn[0]
    for a, b in ((first, second), (second, third), (first, third)):
        shared = np.mean([len(set(x.tolist()) & set(y.tolist())) / len(x) for x, y in zip(a, b, strict=True)])
        assert shared < 0.5  # 5 of 81 positions agree by chance in 6 %


def module_plan(model, images):
    from geophone.record.layers import plan
    from geophone.record.probe import Probe

    return plan(model, Probe(images), What(rows=30))


def test_without_out_every_recorder_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = []
    for _ in range(2):  # within one second: the same time of day
        with gp.Recorder(network(), noise(), every=1) as recorder:
            recorder.step()
        folders.append(recorder.folder)
    assert len(set(folders)) == 2
    assert [gp.open(folder).manifest.name for folder in folders] == [folder.name for folder in folders]
    with pytest.raises(gp.InputError, match="out="):
        gp.Recorder(network(), noise(), resume=True)
