"""What a recording says of itself and puts back: small parts that larger tests go through without looking."""

from collections import deque, namedtuple

import numpy as np
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.record.nested import mapped
from geophone.record.state import changed_by, refill, restored, snapshot


class Stateful(nn.Module):
    """Holds everything that a forward pass may change."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.inner.seen = [1, 2]
        self.count, self.word, self.gone = 1, "a", None
        self.queue, self.names, self.members = deque([1, 2], maxlen=4), {"a": 1}, {3, 4}
        self.kept = torch.ones(3)


def change(model):
    model.count, model.word, model.new = 2, "b", True
    model.inner.seen.append(3)
    model.queue.append(5)
    model.names["b"] = 2
    model.members.discard(3)
    model.kept.add_(1)
    del model.gone


@pytest.mark.parametrize("how", ["changed_by", "restored"])
def test_state_of_every_kind_is_put_back_in_its_place(how):
    model = Stateful()
    held = [model.inner.seen, model.queue, model.names, model.members, model.kept]
    before = snapshot(model)
    change(model)
    found = changed_by(model, before)
    names = ["count", "gone", "kept", "members", "names", "new", "queue", "word", "inner.seen"]
    assert [str(attribute) for attribute in found] == names and found[-1].module is model.inner
    if how == "restored":
        with restored(found):
            change(model)
    assert (model.count, model.word, model.gone, hasattr(model, "new")) == (1, "a", None, False)
    assert (list(model.inner.seen), list(model.queue), model.names, model.members) == ([1, 2], [1, 2], {"a": 1}, {3, 4})
    assert model.kept.tolist() == [1, 1, 1] and model.queue.maxlen == 4
    now = [model.inner.seen, model.queue, model.names, model.members, model.kept]
    assert all(a is b for a, b in zip(held, now, strict=True)) and changed_by(model, snapshot(model)) == ()


def test_a_tensor_that_nothing_changed_keeps_its_version_and_one_that_was_gets_its_content():
    tensor = torch.ones(3)
    version = tensor._version
    refill(tensor, torch.ones(3))
    assert tensor._version == version
    refill(tensor, torch.zeros(3))
    assert tensor.tolist() == [0, 0, 0] and tensor._version > version


Point = namedtuple("Point", "x y")


def test_a_change_goes_into_every_kind_of_nest():
    one = torch.ones(1)
    nest = {"a": [one, (one, "word")], "b": Point(one, [one, None])}
    twice = mapped(nest, lambda tensor: 2 * tensor)
    assert twice == {"a": [2 * one, (2 * one, "word")], "b": Point(2 * one, [2 * one, None])}
    assert type(twice["b"]) is Point and nest["a"][0] is one and one.item() == 1


def test_names_that_the_recorder_counts_itself_are_all_told(tmp_path):
    with gp.Recorder(
        nn.Sequential(nn.Linear(2, 2)), torch.ones(4, 2), out=tmp_path / "run", every=1, sync=True
    ) as recorder:
        with pytest.raises(InputError, match="called index, step; the recorder"):
            recorder.step(index=1, step=2)
        recorder.step()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: gp.Schedule(every=2, dense_until=-1), "dense_until=-1: .*steps"),
        (lambda: gp.Schedule(every=0), "every=0"),
        (lambda: gp.What(batch=0), "batch=0: .*samples"),
        (lambda: gp.What(noise_every=0), "noise_every=0"),
    ],
)
def test_a_number_that_cannot_be_is_named_with_its_unit(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_a_manifest_says_how_it_was_recorded(tmp_path):
    x = torch.randn(8, 3)
    given = {"noise_probe": torch.randn(8, 3), "noise_every": 3, "behaviour": lambda output, batch: output[:, 0]}
    with gp.Recorder(nn.Sequential(nn.Linear(3, 2)), x, out=tmp_path / "run", every=1, sync=True, **given) as recorder:
        for _ in range(4):
            recorder.step()
    manifest = gp.open(tmp_path / "run").manifest
    assert manifest.probe["noise_every"] == 3 and manifest.probe["samples"] == 8
    assert manifest.behaviour["kind"] == "own"


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6)])
def test_outputs_of_every_rank_are_sketched(shape, tmp_path):
    class Shaped(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, int(np.prod(shape)))

        def forward(self, x):
            return self.layer(x).reshape(len(x), *shape)

    model, x = Shaped(), torch.randn(5, 3)
    with gp.Recorder(model, x, out=tmp_path / "run", every=1, sync=True) as recorder:
        recorder.step()
    whole = model(x).detach().flatten().numpy()
    found = gp.open(tmp_path / "run").outputs().to_numpy()[0]
    if whole.size <= 256:  # kept as they are
        np.testing.assert_allclose(found, whole, rtol=2e-3, atol=1e-4)
