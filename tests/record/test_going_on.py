"""Runs that are gone on with, and what a recorder must not lose, mistake or leave behind."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.record.checkpoints import load_state
from geophone.record.probe import Probe
from geophone.record.schedule import Schedule
from geophone.store.check import state_path


def noise(n=32, d=6, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def recorded(folder, *, steps=10, **options):
    model = network()
    with gp.Recorder(model, noise(), out=folder, every=1, **options) as recorder:
        for _ in range(steps):
            recorder.step()
    return model


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dimensions": ["pcs_90"]}, "other layers or dimensions"),
        ({"layers": ["0"]}, "other layers or dimensions"),
        ({"probe": noise(seed=1)}, "another probe"),
        ({"noise_probe": noise(seed=2)}, "another noise probe"),
    ],
)
def test_going_on_with_something_else_is_refused_and_nothing_is_lost(tmp_path, change, says):
    model = recorded(tmp_path / "run")
    before = {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()}
    options = {"probe": noise(), "every": 1} | change
    with pytest.raises(InputError, match=says):
        gp.Recorder(model, out=tmp_path / "run", start=3, resume=True, **options)
    assert {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()} == before
    with gp.Recorder(model, noise(), out=tmp_path / "run", every=1, start=10, resume=True) as recorder:
        recorder.step()
    assert gp.open(tmp_path / "run").series("stable_rank").index.tolist() == list(range(1, 12))


def test_in_band_a_step_passed_over_leaves_no_row(tmp_path):
    model, x = network(), noise()
    with gp.Recorder(model, "batch", out=tmp_path / "run", every=Schedule(1, overhead=1e-9)) as recorder:
        for _ in range(6):
            model(x).sum().backward()
            recorder.step()
    run = gp.open(tmp_path / "run")
    table = run.series("stable_rank")
    assert len(table) + run.manifest.schedule["passed_over"] == 6 and 1 <= len(table) < 6
    assert np.isfinite(table.to_numpy()).all()


class Averaging(nn.Module):
    """Puts a new tensor into its buffer at every pass, also in eval mode, and keeps one that is written in place."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 4)
        self.register_buffer("ema", torch.zeros(4))
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        out = self.inner(x)
        self.ema = 0.9 * self.ema + 0.1 * out.detach().mean(0)
        self.count += 1
        return out


def test_buffers_that_a_pass_replaces_are_put_back(tmp_path):
    model = Averaging()
    ema, before = model.ema, copy.deepcopy(model.state_dict())
    with gp.Recorder(model, noise(), out=tmp_path / "run", every=1) as recorder:
        recorder.step()
    assert model.ema is ema
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


ANSWERS = torch.arange(32) % 3
SCORED = {"labels": ANSWERS, "concepts": {"odd": ANSWERS % 2, "word": list("abcd" * 8)}}


def own(output, probe):
    return output[:, 0]


@pytest.mark.parametrize(
    ("then", "change", "says"),
    [
        (SCORED, {"labels": (ANSWERS + 1) % 3}, "scored by other labels"),
        (SCORED, {"labels": None}, "scored by labels=, and now by nothing"),
        (SCORED, {"labels": None, "behaviour": own}, "scored by labels=, and now by behaviour="),
        (SCORED, {"labels": noise(d=3)}, "scored by other labels"),
        (SCORED, {"concepts": None}, r"other concepts \(odd, word\)"),
        (SCORED, {"concepts": {**SCORED["concepts"], "word": list("abdc" * 8)}}, r"other concepts \(word\)"),
        (SCORED, {"concepts": {**SCORED["concepts"], "new": ANSWERS}}, r"other concepts \(new\)"),
        (SCORED, {"signals": False}, "recorded with signals=True, and now signals=False"),
        ({}, {"labels": ANSWERS}, "scored by nothing, and now by labels="),
        ({"signals": False}, {"signals": True}, "recorded with signals=False, and now signals=True"),
    ],
)
def test_going_on_with_another_question_is_refused_and_nothing_is_lost(tmp_path, then, change, says):
    model = recorded(tmp_path / "run", **then)
    before = {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()}
    again = {"out": tmp_path / "run", "every": 1, "resume": True, **then}
    with pytest.raises(InputError, match=f"{says}; one run has one meaning"):
        gp.Recorder(model, noise(), start=3, **(again | change))
    assert {p: p.read_bytes() for p in sorted((tmp_path / "run").rglob("*")) if p.is_file()} == before
    # The same answers, as other kinds of numbers and lists.
    if "labels" in then:
        again |= {"labels": ANSWERS.tolist(), "concepts": {"odd": (ANSWERS % 2).numpy().astype("int8")} | {
            "word": np.array(list("abcd" * 8), dtype=object)}}  # fmt: skip
    with gp.Recorder(model, noise(), start=10, **again) as recorder:
        recorder.step()
    assert gp.open(tmp_path / "run").series("stable_rank").index.tolist() == list(range(1, 12))


@pytest.mark.parametrize(("then", "is_scored"), [(SCORED, True), ({}, False)])
def test_a_run_whose_manifest_does_not_say_what_was_asked_is_gone_on_with(tmp_path, then, is_scored):
    model = recorded(tmp_path / "run", **then)
    path = tmp_path / "run" / "run.json"
    manifest = json.loads(path.read_text())
    for key in ("scored_by", "labels_digest", "concept_digests", "signals"):
        manifest["probe"].pop(key, None)
    path.write_text(json.dumps(manifest))
    again = {"out": tmp_path / "run", "every": 1, "resume": True, "start": 10}
    if is_scored:  # which it says in other words
        with pytest.raises(InputError, match="scored by labels=, and now by nothing"):
            gp.Recorder(model, noise(), **again)
    with gp.Recorder(model, noise(), **again, **then) as recorder:
        recorder.step()
    run = gp.open(tmp_path / "run")
    assert run.series("stable_rank").index.tolist() == list(range(1, 12))
    assert not is_scored or len(run.behaviour()) == 11


@pytest.mark.parametrize("labels", [["a"] * 32, {"a": 1}, 3])
def test_labels_that_are_none_are_refused_in_words(tmp_path, labels):
    with pytest.raises(InputError, match="^labels="):
        gp.Recorder(network(), noise(), out=tmp_path / "run", labels=labels)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_samples_are_told_apart_in_every_number_format(dtype):
    x = (
        (torch.arange(12).reshape(6, 2) * 37 % 11 > 4).to(dtype)
        if dtype == torch.bool
        else torch.arange(12).reshape(6, 2)
    )
    probe = Probe((x.to(dtype), torch.arange(6)))
    assert len(probe.digests()) == 6 and probe.digests() == Probe((x.to(dtype).clone(), torch.arange(6))).digests()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.LBFGS(p, max_iter=3, history_size=4),
        lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    ],
)
def test_a_checkpoint_brings_any_optimizer_back_to_where_it_was(tmp_path, make):
    x, model = noise(), network()
    optimizer = make(model.parameters())

    def step(model, optimizer):
        def closure():
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)

    with gp.Recorder(model, x, out=tmp_path / "run", every=5) as recorder:
        for _ in range(3):
            step(model, optimizer)
            recorder.step()
        recorder.checkpoint(optimizer)
    other = copy.deepcopy(model)
    again = make(other.parameters())
    load_state(state_path(tmp_path / "run", 3), again)
    for _ in range(2):
        step(model, optimizer)
        step(other, again)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        # A product of vectors depends in its last bits on where in memory they lie, and L-BFGS takes many.
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-9)


def test_a_view_for_a_layer_that_is_not_there_is_a_mistake():
    with pytest.raises(InputError, match="'conv1', which no recorded layer matches; recorded are 0, 2"):
        gp.layers(network(), noise(), views={"conv1": "flat"})
    assert [layer.view for layer in gp.layers(network(), noise(), views={"**": "flat"})] == ["flat", "flat"]
