"""The detectors against their formulas, written out slowly, one number at a time."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from geophone.detect import transitions
from geophone.detect.coordination import coordination, lags, loss_coupling
from geophone.detect.cusum import OnlineCusum
from geophone.detect.jumps import _step_noise, describe
from geophone.detect.nulls import Null, log_series, make_null, peaks, reference_surrogates, scan, scans
from geophone.detect.stabilization import slope_differs
from geophone.detect.synthetic import (
    autoregressive,
)
from geophone.errors import InputError


def at(values, i):
    """values[i], continued point-symmetrically about its first and last value."""
    last = len(values) - 1
    if i < 0:
        return 2 * values[0] - values[-i]
    return 2 * values[last] - values[2 * last - i] if i > last else values[i]


def mirrored(values, i):
    last = len(values) - 1
    return values[-i] if i < 0 else values[2 * last - i] if i > last else values[i]


def scanned(y):
    """The docstring of `scans`, for one series without gaps."""
    n = len(y)
    d = [np.mean(y[i : i + 5]) - np.mean(y[i - 5 : i]) for i in range(5, n - 4)]
    half = min(20, len(d) - 1)
    around = [d[i] - np.median([at(d, j) for j in range(i - half, i + half + 1)]) for i in range(len(d))]
    half = min(50, len(d) - 1)
    found = {kind: np.zeros(n) for kind in ("jump", "velocity", "acceleration")}
    noise = []
    for i in range(len(d)):
        size = [abs(mirrored(around, j)) for j in range(i - half, i + half + 1)]
        noise.append(max(1.4826 * np.median(size), 1.2533 * np.mean(size), 1e-6))
        found["jump"][i + 5], found["velocity"][i + 5] = around[i] / noise[i], d[i] / noise[i]
    for i in range(5, len(d) - 5):
        found["acceleration"][i + 5] = (d[i + 5] - d[i - 5]) / noise[i]
    return found


@pytest.mark.parametrize("length", [20, 21, 33, 150])
def test_scans_are_their_formula(length):
    rng = np.random.default_rng(length)
    y = rng.normal(size=(3, length)).cumsum(1)
    found = scans(y)
    for row in range(3):
        for kind, values in scanned(y[row]).items():
            np.testing.assert_allclose(found[kind][row], values, atol=1e-9, err_msg=kind)
    assert all((z == 0).all() for z in scans(y[:, :19]).values())
    with pytest.raises(InputError, match="unknown scan 'speed'; known are jump, velocity, acceleration"):
        scan(y, kind="speed")


def test_a_gap_silences_every_window_that_it_lies_in_and_no_other():
    y = np.random.default_rng(0).normal(size=(1, 120))
    y[0, 60] = np.nan
    z = scans(y)
    assert [i for i in range(5, 116) if z["velocity"][0, i] == 0] == list(range(56, 66))
    assert [i for i in range(10, 111) if z["acceleration"][0, i] == 0] == list(range(51, 71))
    assert all((scans(np.full((2, 50), np.nan))[kind] == 0).all() for kind in z)


def test_peaks_are_more_than_ten_measurements_apart():
    z = np.zeros(60)
    z[[10, 20, 31, 42]] = 5, -6, 4, 4
    assert peaks(z, 4.0) == [20, 31, 42] and peaks(z, 4.5) == [20] and peaks(z, 6.5) == []
    z[40] = 4.0
    assert peaks(z, 4.0) == [20, 31, 42] or peaks(z, 4.0) == [20, 31]
    assert peaks(np.array([1.0, 1.0]), 1.0) == [0]


def test_a_null_counts_what_it_yields_itself():
    y = np.random.default_rng(1).normal(size=(99, 200))
    found = make_null(y, kind="velocity")
    z = np.abs(scan(y, kind="velocity"))
    np.testing.assert_array_equal(found.maxima, z.max(1))
    assert found.kind == "velocity" and found.expected == np.mean([len(peaks(row, found.threshold)) for row in z])
    assert (found.maxima >= found.threshold).sum() == 4  # (1 + 4) / (1 + 99) = .05
    assert Null("jump", np.arange(1.0, 20), 0.0).p(19.0) == 2 / 20


def test_reference_surrogates_shrink_and_drift_as_they_say():
    y = reference_surrogates(60, count=4000, drift=False, rng=np.random.default_rng(2))
    assert y.shape == (4000, 60) and y[:, 0].std() == pytest.approx(1, abs=0.05)
    assert y[-400:, -1].std() == pytest.approx(np.exp(-4 * 0.95), rel=0.2)
    assert y[:400, -1].std() == pytest.approx(1, abs=0.25)
    steady = reference_surrogates(60, count=400, drift=False, rng=np.random.default_rng(3))[:20]
    assert np.mean([np.corrcoef(r[1:], r[:-1])[0, 1] for r in steady]) == pytest.approx(0.45, abs=0.15)
    drift = reference_surrogates(60, count=4000, drift=True, rng=np.random.default_rng(4))
    # Noise of variance 1 and drift of up to 10 deviations: 1 + E[u^2] 100, u uniform; at the start nothing has shrunk.
    assert drift[:, 0].var() == pytest.approx(1 + 100 / 3, rel=0.1)
    assert drift[:400, 30].var() == pytest.approx(1 + 100 / 3, rel=0.4)


def test_logarithms_of_what_has_one():
    found = log_series(["1", "0", "-2", "nan", "inf", "10"])
    np.testing.assert_allclose(found, [0, np.nan, np.nan, np.nan, np.nan, np.log(10)])


def heard(values, threshold=6.0, gain=0.15):
    """The causal detector by its docstring, one series, plain numbers."""
    out, seen, level, slope, before, square, product, scale, up, down = [], 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for v in values:
        if not (math.isfinite(v) and v > 0):
            out.append(0.0)
            continue
        y = math.log(v)
        if seen == 0:
            level = y
        predicted, warm = level + slope, seen >= 20
        error = y - predicted
        r = min(max(product / square, 0.0), 0.95) if warm and square > 0 else 0.0
        innovation, score = error - r * before, 0.0
        if warm and scale > 0:
            u = min(max(innovation / scale, -4), 4)
            up, down = max(0.0, up + u - 0.5), max(0.0, down - u - 0.5)
            score = up if up >= down else -down
            score = score if abs(score) > threshold else 0.0
            up, down = (0.0, 0.0) if score else (up, down)
        old = scale
        if seen > 0:
            weight = max(1 / max(seen, 1), 0.03)
            size = min(abs(innovation), 3 * old) if warm else abs(innovation)
            cut = min(max(error, -3 * old), 3 * old) if warm else error
            scale += weight * (size / 0.798 - scale)
            square += weight * (cut**2 - square)
            product += weight * (cut * before - product)
        level = y if score else predicted + gain * error
        if seen > 1 and not score:
            slope += gain**2 / 4 * min(max(error, -2 * scale), 2 * scale)
        before = 0.0 if score else error
        seen += 1
        out.append(score)
    return out


@pytest.mark.parametrize("gain", [0.15, 0.4])
def test_the_causal_detector_is_its_docstring(gain):
    rng = np.random.default_rng(8)
    y = autoregressive(0.6, (6, 250), rng) + 9 * (np.arange(250) >= 120) - 30 * (np.arange(250) >= 200)
    values = np.exp(0.02 * y)
    values[2, [40, 130]] = np.nan
    values[3, 0] = 0.0
    detector = OnlineCusum(6, threshold=5.0, level_gain=gain)
    found = np.stack([detector.update(column) for column in values.T], axis=1)
    assert (found != 0).any()
    for row, series in zip(found, values, strict=True):
        np.testing.assert_allclose(row, heard(series, 5.0, gain), atol=1e-9)
    for wrong in ({"series": 0}, {"series": 1, "level_gain": 0.0}, {"series": 1, "level_gain": 1.0}):
        with pytest.raises(InputError, match="a gain between 0 and 1"):
            OnlineCusum(**wrong)


def test_the_noise_beneath_drift_is_found_and_a_jump_is_measured():
    rng = np.random.default_rng(9)
    assert _step_noise(np.linspace(0, 500, 4000) + 0.3 * rng.normal(size=4000)) == pytest.approx(0.3, rel=0.06)
    x, steps = np.r_[np.full(10, 2.0), np.full(10, 6.0)], 5 * np.arange(1, 21)
    jump = describe(x, steps, 10, total=200, score=0.5, p=0.02)
    assert (jump.index, jump.step, jump.magnitude, jump.speed, jump.sign, jump.p) == (10, 55, 4.0, 0.4, 1, 0.02)
    assert jump.log_ratio == pytest.approx(np.log(3)) and jump.phase == 55 / 200
    assert describe(x, steps, 18, total=200, score=-0.5).speed == 0.0 and np.isnan(
        describe(-x, steps, 10, total=9, score=-1).log_ratio
    )
    assert describe(x, steps, 10, total=1, score=-0.5).sign == -1


def straight(x):
    """Whether the slope's interval excludes 0: SciPy's line, its error widened for autocorrelation."""
    n, t = len(x), np.arange(len(x))
    line = stats.linregress(t, x)
    rest = x - line.intercept - line.slope * t
    r = min(max((rest[1:] @ rest[:-1]) / (rest @ rest), 0.0), 0.99)
    effective = max(n * (1 - r) / (1 + r), 3.0)
    return abs(line.slope) > stats.t.ppf(0.975, effective - 2) * line.stderr * np.sqrt(n / effective)


def test_a_slope_differs_when_its_widened_interval_excludes_zero():
    rng = np.random.default_rng(10)
    told = []
    for coefficient, n, slope in itertools.product((0.0, 0.5, 0.9), (4, 10, 40), (0.0, 0.05, 0.3)):
        for row in autoregressive(coefficient, (12, n), rng) + slope * np.arange(n) + 5:
            told.append(straight(row))
            assert slope_differs(row) == told[-1]
    assert 0.1 < np.mean(told) < 0.9
    assert slope_differs(np.arange(9.0)) and not slope_differs(np.full(9, 3.0)) and not slope_differs(np.arange(3.0))


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_turning_points_do_not_depend_on_units_and_may_lie_at_the_first_place(scale):
    x = np.random.default_rng(12).normal(size=80)
    x[1] += 20
    plain, scaled = transitions(x, mode="naive"), transitions(scale * x, mode="naive")
    assert [t.index for t in plain] == [t.index for t in scaled] and plain[0].index == 1
    assert [t.acceleration * scale for t in plain] == pytest.approx([t.acceleration for t in scaled])
    drawn = transitions(np.exp(0.01 * x), mode="calibrated", rng=np.random.default_rng(0))
    assert isinstance(drawn, list)


def test_coordination_is_the_shared_part_of_the_fastest_tenth():
    rng = np.random.default_rng(13)
    velocity = rng.normal(size=(3, 3, 50))
    velocity[1, 1, :4] = np.nan
    found = coordination(velocity, rng=rng, draws=999)
    size = np.where(np.isfinite(velocity), np.abs(velocity), -1)
    top = [[set(np.argsort(-size[r, k], kind="stable")[:5]) for k in range(3)] for r in range(3)]
    pairs = [len(top[r][i] & top[r][j]) / 5 for r in range(3) for i, j in itertools.combinations(range(3), 2)]
    assert found.overlap == pytest.approx(np.mean(pairs)) and (found.runs, found.layers) == (3, 3)
    orders = list(itertools.product(itertools.permutations(range(3)), repeat=3))
    null = [
        np.mean(
            [
                len(top[o[i][r]][i] & top[o[j][r]][j]) / 5
                for r in range(3)
                for i, j in itertools.combinations(range(3), 2)
            ]
        )
        for o in orders
    ]
    assert found.expected == pytest.approx(np.mean(null), abs=0.02) and found.status == "tested"
    above, tied = (np.array(null) > found.overlap + 1e-9).mean(), (np.abs(np.array(null) - found.overlap) < 1e-9).mean()
    assert above - 0.03 <= found.p <= above + tied + 0.03
    for shape, status in (((2, 3, 50), "too few runs"), ((5, 1, 50), "one layer")):
        few = coordination(np.ones(shape), rng=rng)
        assert np.isnan([few.overlap, few.expected, few.p]).all() and few.status == status
        assert (few.runs, few.layers) == shape[:2]


def test_lags_are_correlations_of_what_the_past_does_not_say():
    rng = np.random.default_rng(14)
    velocity = autoregressive(0.7, (3 * 3, 60), rng).reshape(3, 3, 60)
    velocity[:, 1, 3:] -= 3 * velocity[:, 0, :-3]
    velocity[0, 2, 7] = np.nan
    values = np.nan_to_num(velocity)

    def white(x):
        c = x - x.mean()
        rest = c[1:] - (c[1:] @ c[:-1]) / (c[:-1] @ c[:-1]) * c[:-1]
        return (rest - rest.mean()) / rest.std()

    for lag in lags(velocity, rng=rng, draws=99):
        curves = {}
        for shift in range(-20, 21):
            each = []
            for r in range(3):
                a, b = white(values[r, lag.first]), white(values[r, lag.second])
                each.append(np.mean([a[t] * b[t + shift] for t in range(59) if 0 <= t + shift < 59]))
            curves[shift] = np.mean(each)
        best = max(curves, key=lambda s: abs(curves[s]))
        assert lag.lag == best and lag.correlation == pytest.approx(curves[best]) and 0.01 <= lag.p <= 1
    (first, *_) = lags(velocity, rng=rng, draws=99)
    assert (first.first, first.second, first.lag) == (0, 1, 3) and first.correlation < 0
    assert lags(velocity[:, :, :59], rng=rng) == [] == lags(velocity[:2], rng=rng) == lags(velocity[:, :1], rng=rng)
    assert all(lag.correlation == 0 for lag in lags(np.ones((3, 2, 60)), rng=rng, draws=9))


def test_coupling_is_the_mean_fall_around_events():
    rng = np.random.default_rng(15)
    loss = np.exp(rng.normal(size=(3, 50)).cumsum(1) / 10)
    loss[1, 30] = 0.0
    events = [np.array([0, 25]), np.array([29]), np.array([49])]
    found = loss_coupling(events, loss, rng=rng, draws=99)
    logs = np.log(np.where(loss > 0, loss, np.nan))
    for lag, value in zip(found.lags, found.average, strict=True):
        there = [
            logs[r, i + lag - 1] - logs[r, i + lag]
            for r, places in enumerate(events) for i in places if 1 <= i + lag < 50
        ]  # fmt: skip
        there = [v for v in there if np.isfinite(v)]
        assert value == pytest.approx(np.mean(there)) if there else np.isnan(value)
    assert (found.runs, found.events, found.status) == (3, 4, "tested") and found.lags.tolist() == list(range(-20, 21))
    alone = loss_coupling(events, loss, rng=np.random.default_rng(18), draws=1)
    order = np.random.default_rng(18).permutation(3)
    other = loss_coupling(events, loss[order], rng=rng, draws=1)
    np.testing.assert_allclose(alone.expected, other.average)
    for given, losses, status in (([events[0]] * 2, loss[:2], "too few runs"), ([[]] * 3, loss, "no events")):
        few = loss_coupling(given, losses, rng=rng)
        assert few.status == status and np.isnan(few.p) and np.isnan(few.average).all() and len(few.expected) == 41
    with pytest.raises(InputError, match="2 runs of events"):
        loss_coupling(events[:2], loss, rng=rng)
