"""Which weights are kept around an alarm, and how much memory and disk that may take."""

import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import InputError
from geophone.record.watch import BY_DEFAULT, Alarm, SnapshotRing, Snapshots, Watch


def kept(limits, *, alarms, measurements):
    """The steps written, in order, with what the weight was then; measurement m is made at step 10 m + 7."""
    model, written = nn.Linear(1, 1, bias=False), []
    ring = SnapshotRing(model, limits, lambda step, weights: written.append((step, weights["weight"].item())))
    for m in range(measurements):
        with torch.no_grad():
            model.weight.fill_(float(m))
        ring.hear(10 * m + 7, [Alarm(10 * m + 7, "0", "stable_rank", 9.0)] if m in alarms else [])
    return written


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


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"alarms": "rank"}, "unknown dimension"),
        ({"snapshots": 5}, "snapshots=5"),
        ({"on_record": "print"}, "on_record='print'"),
    ],
)
def test_a_watch_that_cannot_be_meant_is_refused_when_it_is_made(fields, says):
    with pytest.raises(InputError, match=says):
        Watch(**fields)


def test_auto_listens_to_the_participation_ratio_where_it_is_there():
    assert Watch().dimension(["stable_rank", "participation_ratio"]) == "participation_ratio"
    assert Watch().dimension(["stable_rank"]) is None
    assert Watch(alarms="stable_rank").dimension(["stable_rank"]) == "stable_rank"
    with pytest.raises(InputError, match="not recorded"):
        Watch(alarms="rankme").dimension(["stable_rank"])


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
