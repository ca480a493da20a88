"""Clocks: a logistic's crossings are known in closed form."""

import numpy as np
import pandas as pd
import pytest

from geophone.errors import InputError
from geophone.prove.events import Event, clock, event_list, event_table, merged, rises

STEPS = np.arange(1, 501) * 4.0


def logistic(middle, scale):
    return 1 / (1 + np.exp(-(STEPS - middle) / scale))


def test_a_logistic_is_clocked_where_it_crosses():
    found = clock(STEPS, logistic(900, 50), name="mode")
    assert found.t50 == pytest.approx(900, abs=0.5)
    assert found.t10 == pytest.approx(900 - 50 * np.log(9), abs=1) and found.t90 == pytest.approx(
        900 + 50 * np.log(9), abs=1
    )


def test_noise_of_one_reading_does_not_move_the_clock():
    curve = logistic(900, 50)
    curve[100] = 1.0
    assert clock(STEPS, curve, name="mode").t50 == pytest.approx(900, abs=0.5)


def test_what_never_gets_there_or_was_there_from_the_start_is_no_event():
    assert clock(STEPS, 0.8 * logistic(900, 50), name="x") is None
    assert clock(STEPS, np.ones(500), name="x") is None
    with pytest.raises(InputError, match="5 or more"):
        clock(STEPS[:3], np.ones(3), name="x")


def test_falling_curves_rise_between_their_ends():
    table = pd.DataFrame({"loss": 5 - 3 * logistic(700, 40)}, index=STEPS)
    (found,) = rises(table, start=5.0, end=2.0, layers={"loss": "layer1"})
    assert found.t50 == pytest.approx(700, abs=0.5) and found.layer == "layer1"


def test_events_too_close_to_be_told_apart_are_one():
    events = [Event("b", "l1", 90, 130, 150), Event("a", "l1", 80, 100, 120), Event("c", "l2", 390, 400, 410)]
    one, other = merged(events, apart=50)
    assert (one.name, one.layer, one.t10, one.t50, one.t90) == ("a+b", "l1", 80, 115, 150) and other == events[2]
    assert merged(events, apart=20) == [events[1], events[0], events[2]]
    assert event_list(event_table(events)) == events
