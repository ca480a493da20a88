"""The causal detector: quiet on series without a change, quick on planted ones, and blind to the future."""

import numpy as np
import pytest

from geophone.detect.cusum import THRESHOLD, OnlineCusum, cusum_threshold, false_alarm_rate
from geophone.detect.synthetic import NULLS, standard_null
from geophone.errors import InputError

LENGTH, SERIES = 400, 300


def null(kind, rng):
    return standard_null(kind, series=SERIES, measurements=LENGTH, rng=rng)


def alarms(x):
    """Scores (series, measurements) of log series with noise of 2 %."""
    detector = OnlineCusum(len(x))
    return np.stack([detector.update(values) for values in np.exp(1 + 0.02 * x).T], axis=1)


@pytest.mark.parametrize("kind", NULLS)
def test_at_most_one_false_alarm_in_a_thousand_measurements(kind):
    x = null(kind, np.random.default_rng([7, len(kind)]))
    assert false_alarm_rate(np.exp(1 + 0.02 * x)) <= 1e-3


@pytest.mark.parametrize(("height", "share", "delay"), [(6, 0.99, 1), (4, 0.97, 2), (-6, 0.99, 1)])
def test_planted_steps_are_heard_soon_with_their_direction(height, share, delay):
    x = np.random.default_rng(3).normal(size=(SERIES, 300))
    x[:, 200:] += height
    found = alarms(x)[:, 200:]
    first = np.argmax(found != 0, axis=1)
    heard = (found != 0).any(1) & (first <= 10)
    assert heard.mean() >= share
    assert np.median(first[heard]) <= delay
    assert (np.sign(found[heard, first[heard]]) == np.sign(height)).all()


def test_the_scale_of_the_series_does_not_matter():
    x = np.random.default_rng(4).normal(size=(20, 300))
    x[:, 150:] += 8
    one, other = OnlineCusum(20), OnlineCusum(20)
    for values in np.exp(0.02 * x).T:
        np.testing.assert_allclose(one.update(values), other.update(1e6 * values), atol=1e-6)


def test_the_past_alone_decides():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(10, 200))
    changed = x.copy()
    changed[:, 120:] = rng.normal(size=(10, 80)) + 30
    np.testing.assert_array_equal(alarms(x)[:, :120], alarms(changed)[:, :120])


def test_gaps_zeros_and_constant_series_are_passed_over():
    x = np.random.default_rng(6).normal(size=(1, 300))
    x[:, 200:] += 8
    values = np.exp(0.02 * x[0])
    with_gaps = np.insert(values, [50, 120, 121], [np.nan, 0.0, -1.0])
    plain, gaps = OnlineCusum(1), OnlineCusum(1)
    expected = [plain.update([v])[0] for v in values]
    found = [gaps.update([v])[0] for v in with_gaps]
    assert [s for s, v in zip(found, with_gaps, strict=True) if v > 0] == expected
    flat = OnlineCusum(1)
    assert all(flat.update([3.0])[0] == 0 for _ in range(100))


def test_the_threshold_is_the_least_that_keeps_the_rate():
    x = np.exp(1 + 0.02 * null("ar5", np.random.default_rng(8)))
    found = cusum_threshold(x, rate=1e-3)
    assert found <= THRESHOLD
    assert false_alarm_rate(x, threshold=found) <= 1e-3 < false_alarm_rate(x, threshold=found - 0.5)


def test_wrong_shapes_and_settings_are_refused():
    with pytest.raises(InputError, match="follows 2 series"):
        OnlineCusum(2).update([1.0])
    with pytest.raises(InputError, match="positive threshold"):
        OnlineCusum(2, threshold=0)
