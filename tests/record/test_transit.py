"""What comes from an accelerator comes in order, whatever is ready first; tests/cuda holds it against a real one."""

import math

import pytest
import torch
from small_loop import network, options, train

import geophone as gp
from geophone.record import rooms
from geophone.record.processing import Measurement
from geophone.record.readers import Caught
from geophone.record.transit import SideCopy, Transit, is_here, plain_numbers


class Slow:
    """A copy that is done when the test says so."""

    made: list["Slow"]

    def __init__(self, tensors):
        self.tensors, self.ready, self.waited = [t.clone() for t in tensors], False, False
        Slow.made.append(self)

    def done(self, *, wait=False):
        self.waited |= wait
        return self.ready or wait


@pytest.fixture(autouse=True)
def none_made():
    Slow.made = []


def measurement(step, **scalars):
    return Measurement(step, step, Caught({"a": torch.full((2, 3), float(step))}), None, scalars)


def test_parcels_arrive_in_the_order_in_which_they_were_put():
    transit = Transit(Slow)
    transit.put("measured", measurement(0))
    transit.put("scalars", {"step": 1, "loss": torch.tensor(0.5)})
    transit.put("scalars", {"step": 2, "loss": 0.25})
    transit.put("measured", measurement(3, loss=torch.tensor(0.125), accuracy=1.0))
    first, second = Slow.made
    second.ready = True
    assert list(transit.arrived()) == []  # the second waits for the first
    first.ready = True
    there = list(transit.arrived())
    assert [kind for kind, _ in there] == ["measured", "scalars", "scalars", "measured"]
    assert there[1][1] == {"step": 1, "loss": 0.5} and there[2][1] == {"step": 2, "loss": 0.25}
    last = there[3][1]
    assert last.scalars == {"loss": 0.125, "accuracy": 1.0}
    assert torch.equal(last.caught.rows["a"], torch.full((2, 3), 3.0))
    assert transit.idle and not (first.waited or second.waited)


def test_rows_wait_for_one_another_and_no_longer_than_they_must():
    transit = Transit(Slow)
    for step in range(100):
        transit.put("scalars", {"step": step, "loss": torch.tensor(float(step))})
    assert len(Slow.made) == 1 and len(Slow.made[0].tensors) == 64
    rows = [row for _, row in transit.arrived(wait=True)]
    assert [row["loss"] for row in rows] == list(range(100)) and transit.idle


def test_who_is_interrupted_is_given_the_others_later():
    transit = Transit(Slow)
    for step in range(3):
        transit.put("scalars", {"step": step, "loss": torch.tensor(float(step))})
    first = transit.arrived(wait=True)
    assert next(first)[1] == {"step": 0, "loss": 0.0}
    first.close()
    assert [row["loss"] for _, row in transit.arrived(wait=True)] == [1.0, 2.0] and transit.idle


def test_what_is_under_way_is_counted_in_bytes():
    transit = Transit(Slow)
    transit.put("measured", measurement(0))
    assert transit.held == 24
    list(transit.arrived(wait=True))
    assert transit.held == 0


@pytest.mark.parametrize("shape", [(0, 3), (), (5,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.float16])
def test_a_copy_has_shape_type_and_values_of_what_was_copied(shape, dtype):
    tensors = [torch.randn(shape).to(dtype), torch.arange(3).to(dtype), torch.randn(4, 6).T]
    copy = SideCopy(tensors)
    assert copy.done()
    for one, other in zip(copy.tensors, tensors, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)
        assert not one.numel() or one.data_ptr() != other.data_ptr()


def test_what_is_on_the_cpu_needs_no_transit():
    assert is_here(measurement(0, loss=1.0)) and not is_here(measurement(0, loss=torch.tensor(1.0)))
    assert plain_numbers({"a": torch.tensor(2.0), "b": 3.0}) == {"a": 2.0, "b": 3.0}


@pytest.mark.parametrize("sync", [True, False])
def test_a_run_that_is_fetched_is_the_run_that_is_not(tmp_path, monkeypatch, sync):
    """As if everything were elsewhere: each measurement is under way until three more calls were made."""

    class Late(Slow):
        def done(self, *, wait=False):
            self.age = getattr(self, "age", 0) + 1
            return super().done(wait=wait) or self.age > 3

    model = network()
    with gp.Recorder(model, **options(tmp_path / "here", sync=True, every=2)) as recorder:
        train(model, recorder, 60)
    monkeypatch.setattr(rooms, "is_here", lambda it: False)
    monkeypatch.setattr(rooms, "Transit", lambda: Transit(Late))
    model = network()
    with gp.Recorder(model, **options(tmp_path / "fetched", sync=sync, every=2)) as recorder:
        train(model, recorder, 60)
    assert len(Slow.made) > 20 and all(made.waited for made in Slow.made) == sync
    here, fetched = (gp.open(tmp_path / name) for name in ("here", "fetched"))
    assert here.table().equals(fetched.table())
    for one, other in zip(here.scalars().to_dict("records"), fetched.scalars().to_dict("records"), strict=True):
        assert all(one[k] == other[k] or (math.isnan(one[k]) and math.isnan(other[k])) for k in one)
