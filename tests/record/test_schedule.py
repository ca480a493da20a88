import pytest

from geophone.errors import InputError
from geophone.record import Schedule
from geophone.record.schedule import Pace


def steps(schedule, last=100):
    return [s for s in range(last + 1) if schedule.due(s)]


def test_every_dense_log_and_explicit():
    assert steps(Schedule(every=25)) == [25, 50, 75, 100]
    assert steps(Schedule(every=50, dense_until=3)) == [1, 2, 3, 50, 100]
    assert steps(Schedule(per_decade=3), 1000) == [1, 2, 5, 10, 22, 46, 100, 215, 464, 1000]
    assert steps(Schedule(steps=(7, 0, 7, 30))) == [0, 7, 30]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"every": True}, "every=True"),
        ({"dense_until": -1}, "dense_until=-1"),
        ({"steps": ()}, "measures nothing"),
        ({"steps": (1,), "per_decade": 3}, "leave out per_decade"),
        ({"overhead": 5}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        Schedule(**wrong)


def test_the_manifest_keeps_what_was_set():
    assert Schedule().as_dict() == {"every": 5}
    assert Schedule(per_decade=4).as_dict() == {"per_decade": 4}
    assert Schedule(steps=(3, 1)).as_dict() == {"steps": (1, 3)}


def test_pace_keeps_measuring_within_its_share_of_training():
    """A clock by hand: each step trains for 1 s, each measurement takes 2 s, the limit is 5 %."""
    now = [0.0]
    pace = Pace(Schedule(every=1, overhead=0.05), clock=lambda: now[0])
    measured = []
    for step in range(1, 401):
        granted = pace.grant(step)
        now[0] += 1.0
        assert pace.take(step) == granted
        if granted:
            with pace.measuring():
                now[0] += 2.0
            measured.append(step)
    # The first is free; from then on one after every 2 s / 5 % = 40 s of training.
    assert measured == list(range(1, 401, 40))
    assert pace.passed_over == 400 - len(measured)
    assert pace.as_dict() == {"every": 1, "overhead": 0.05, "passed_over": 390}
