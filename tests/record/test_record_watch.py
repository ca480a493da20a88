"""Which weights are kept around an alarm, and how much memory and disk that may take."""

import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.record.watch import BY_DEFAULT, Alarm, SnapshotRing, Snapshots, Watch


def kept(limits, *, alarms, measurements):
    """The steps that are left, in order of writing, with what the weight was then; measurement m is made at step
    10 m + 7, `alarms` holds measurements, or what they are worth by measurement."""
    model, written = nn.Linear(1, 1, bias=False), {}
    worth = alarms if isinstance(alarms, dict) else dict.fromkeys(alarms, 9.0)
    save = lambda step, weights: written.update({step: weights["weight"].item()})  # noqa: E731
    ring = SnapshotRing(model, limits, save, written.pop)
    for m in range(measurements):
        with torch.no_grad():
            model.weight.fill_(float(m))
        ring.hear(10 * m + 7, [Alarm(10 * m + 7, "learned", "0", worth[m])] if m in worth else [])
    return list(written.items())


@pytest.mark.parametrize(("every", "count"), [(1, 4), (3, 4), (2, 1), (5, 3)])
def test_before_during_and_after_lie_count_times_every_measurements_apart(every, count):
    """Law: an alarm at measurement m (a multiple of `every`) keeps m - count x every, m and m + count x every, each
    with the weights of its own moment."""
    m = 10 * every * count
    written = kept(Snapshots(every=every, count=count), alarms={m}, measurements=3 * m)
    moments = [m - every * count, m, m + every * count]
    assert written == [(10 * moment + 7, float(moment)) for moment in moments]


def test_no_moment_is_written_twice_and_none_without_an_alarm():
    assert kept(Snapshots(count=3), alarms=set(), measurements=50) == []
    steps = [step for step, _ in kept(Snapshots(count=3), alarms={20, 23, 26}, measurements=50)]
    assert steps == [10 * m + 7 for m in (17, 20, 23, 26, 29)]


def test_memory_and_disk_are_bounded_in_bytes():
    size = 4 / 1e6
    two_fit = Snapshots(count=50, memory_mb=2.5 * size)
    assert [step for step, _ in kept(two_fit, alarms={20}, measurements=30)] == [187, 207]
    none_fits = Snapshots(count=4, memory_mb=0.5 * size)
    assert [step for step, _ in kept(none_fits, alarms={20}, measurements=30)] == [207, 247]
    one_on_disk = Snapshots(count=4, disk_mb=1.5 * size)
    assert [step for step, _ in kept(one_on_disk, alarms={20}, measurements=30)] == [167]


def test_where_the_disk_is_full_the_strongest_stay():
    """Law: of any sequence of alarms that lie apart, with room for n of them, the n strongest are kept whole."""
    room = Snapshots(count=2, disk_mb=6.5 * 4 / 1e6)  # two alarms of three weights each
    worth = {10: 7.0, 20: 30.0, 30: 8.0, 40: 12.0, 50: 9.0}
    left = sorted(step for step, _ in kept(room, alarms=worth, measurements=60))
    assert left == [10 * m + 7 for m in (18, 20, 22, 38, 40, 42)]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"snapshots": 5}, "snapshots=5"),
        ({"on_record": "print"}, "on_record='print'"),
    ],
)
def test_a_watch_that_cannot_be_meant_is_refused_when_it_is_made(fields, says):
    with pytest.raises(InputError, match=says):
        Watch(**fields)


def test_a_dimension_to_listen_to_is_of_0_1():
    with pytest.warns(FutureWarning, match="alarms=True"):
        assert Watch(alarms="stable_rank").alarms is True
    assert Watch(alarms=None).alarms is False


def test_a_checkpoint_that_was_asked_for_makes_room_for_nothing(tmp_path):
    """The ring may only take away what it wrote itself."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4))
    with gp.Recorder(
        model, torch.randn(20, 4), out=tmp_path / "run", every=1, snapshots=Snapshots(count=1)
    ) as recorder:
        for step in range(1, 6):
            recorder.step()
            if step == 3:
                recorder.checkpoint()
        session = recorder._work
        session._keep(3, model.state_dict())
        session._keep(5, model.state_dict())
        for step in (3, 5):
            session._forget(step)
    assert list(gp.open(tmp_path / "run").manifest.checkpoints) == [3]
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000003.safetensors"]


def test_by_default_the_weights_around_a_collapse_are_kept_within_the_stated_bounds(tmp_path):
    assert (BY_DEFAULT.memory_mb, BY_DEFAULT.disk_mb) == (64, 256)
    torch.manual_seed(0)
    model, probe = nn.Sequential(nn.Linear(10, 30)), torch.randn(40, 10)
    alarms = []
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1) as recorder:
        for step in range(1, 81):
            with torch.no_grad():
                model[0].weight += 0.003 * torch.randn(30, 10, generator=torch.Generator().manual_seed(step))
                if step == 50:
                    model[0].weight[:] = torch.outer(torch.ones(30), model[0].weight[0]) + 0.1 * model[0].weight
            alarms += recorder.step()
    kept = sorted(gp.open(tmp_path / "run").manifest.checkpoints)
    first = alarms[0].step
    assert first in kept and first - 9 <= kept[0] <= first - 7 and any(first + 7 <= step <= first + 9 for step in kept)
    with gp.Recorder(model, probe, out=tmp_path / "none", every=1, snapshots=None) as recorder:
        recorder.step()
