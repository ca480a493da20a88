"""The calibrated detectors on nulls, on planted truth and on hard input."""

import numpy as np
import pandas as pd
import pytest
import ruptures
from scipy import stats

from geophone.detect import convergence_order, critical_periods, jumps, stabilization, transitions
from geophone.detect.critical import change_null
from geophone.detect.jumps import change_points, jump_null, pelt_penalty
from geophone.detect.nulls import block_surrogates, log_series, peaks, reference_surrogates, residuals, scan
from geophone.detect.order import LAST, order_of
from geophone.detect.synthetic import NULLS, null_series, planted_jumps, planted_plateau, planted_ramps
from geophone.errors import InputError

NULL = jump_null(400, rng=np.random.default_rng(0))
HELD = ("white", "ar5", "decaying", "drift")


def share(kind, series=400):
    values = null_series(kind, series=series, rng=np.random.default_rng([1, NULLS.index(kind)])).values
    return float((np.abs(scan(log_series(values), kind="jump")).max(axis=1) >= NULL.threshold).mean())


@pytest.mark.parametrize("kind", HELD)
def test_family_wise_error_is_at_most_eight_percent(kind):
    # 400 series here; benchmarks/phenomena.py has 1,000 of each kind.
    assert share(kind) <= 0.08


@pytest.mark.parametrize(("size", "least"), [(6, 0.9), (4, 0.6)])
@pytest.mark.parametrize("kind", ["white", "decaying", "drift"])
def test_planted_jumps_are_found_where_they_are(size, least, kind):
    made = planted_jumps(size=size, series=300, kind=kind, rng=np.random.default_rng(size))
    z = scan(log_series(made.values), kind="jump")
    found = [
        any(abs(i - at[0]) <= 3 for i in peaks(row, NULL.threshold)) for row, at in zip(z, made.jumps, strict=True)
    ]
    assert np.mean(found) >= least


def test_a_jump_is_described_and_its_p_is_family_wise():
    made = planted_jumps(size=8, series=1, rng=np.random.default_rng(3))
    (jump,) = jumps(pd.Series(made.values[0], index=5 * np.arange(1, 401)), mode="calibrated", nulls=[NULL])
    at = made.jumps[0][0]
    assert abs(jump.index - at) <= 1 and jump.step == 5 * (jump.index + 1) and jump.p <= 0.05
    assert jump.sign == np.sign(made.values[0, at + 3] - made.values[0, at - 3]) == np.sign(jump.magnitude)
    again = jumps(made.values[0], mode="calibrated", rng=np.random.default_rng(0))
    assert [j.index for j in again] == [jump.index]


def test_the_threshold_and_p_agree():
    z = np.linspace(0, 10, 2001)
    assert ((NULL.p(z) <= 0.05) == (z >= NULL.threshold)).all()
    assert NULL.p(0.0) == 1.0 and NULL.p(1e9) == 1 / 1000
    assert 0.03 <= NULL.expected <= 0.07


def test_scale_and_direction_do_not_matter():
    y = log_series(planted_jumps(size=5, series=3, rng=np.random.default_rng(4)).values)
    z = scan(y, kind="jump")
    np.testing.assert_allclose(scan(7 * y + 3, kind="jump"), z, atol=1e-6)
    np.testing.assert_allclose(scan(-y, kind="jump"), -z, atol=1e-9)


def test_the_scan_is_the_formula_of_its_docstring():
    y = np.random.default_rng(5).normal(size=(1, 120)).cumsum(1)
    i = 60
    d = [y[0, j : j + 5].mean() - y[0, j - 5 : j].mean() for j in range(5, 116)]
    drift = [np.median(d[max(k - 20, 0) : k + 21]) for k in range(20, len(d) - 20)]
    around = np.array(d[20:-20]) - drift
    velocity, jump = scan(y, kind="velocity")[0, i], scan(y, kind="jump")[0, i]
    assert jump / velocity == pytest.approx(around[i - 25] / d[i - 5])


@pytest.mark.parametrize("kind", ["velocity", "acceleration"])
def test_periods_and_turns_are_rare_in_noise_and_there_on_a_ramp(kind):
    null = change_null(kind, 400, rng=np.random.default_rng(6))
    quiet = np.abs(scan(log_series(null_series("white", series=300, rng=np.random.default_rng(7)).values), kind=kind))
    assert (quiet.max(1) >= null.threshold).mean() <= 0.13
    made = planted_ramps(size=450, length=150, series=20, rng=np.random.default_rng(8))
    for values, ((start, stop),) in zip(made.values, made.ramps, strict=True):
        if kind == "velocity":
            found = critical_periods(values, mode="calibrated", null=null)
            assert any(p.start <= start + 15 and p.stop >= stop - 15 for p in found)
        else:
            found = transitions(values, mode="calibrated", null=null)
            assert {np.sign(t.acceleration) for t in found} >= {1.0, -1.0}
            assert any(abs(t.index - start) <= 12 for t in found) and any(abs(t.index - stop) <= 12 for t in found)


def test_calibrated_stabilisation_finds_the_plateau_and_censors_what_still_moves():
    made = planted_plateau(settles=150, series=60, rng=np.random.default_rng(9))
    found = [stabilization(values, mode="calibrated") for values in made.values]
    stable = [f.index for f in found if f.status == "stable"]
    # Noise alone leaves the band of 2.7 deviations now and then; one tail in twenty has a slope by chance.
    assert len(stable) >= 50 and 75 <= np.median(stable) <= 160
    calm = 3 + np.exp(-np.log(100) * np.arange(400) / 150) + 0.001 * np.random.default_rng(9).normal(size=400)
    low, high = np.percentile(calm, [5, 95])
    assert abs(stabilization(calm, mode="calibrated").index - 150 * np.log(10 / (high - low)) / np.log(100)) <= 4
    assert stabilization(np.exp(np.linspace(1, 2, 200)), mode="calibrated").status == "censored"
    assert stabilization(np.full(50, 3.0), mode="calibrated").index == 0


def test_censored_layers_count_as_last_and_tie():
    depths, steps = [0, 1, 2, 3, 4], [10, 20, 30, 99, 99]
    rho, tau = stats.spearmanr(depths, steps), stats.kendalltau(depths, steps)
    found = order_of(depths, [10, 20, 30, LAST, LAST])
    assert found.rho == pytest.approx(rho.statistic) and found.tau == pytest.approx(tau.statistic)
    assert found.layers == 5 and found.verdict == "bottom-up"
    assert order_of([0, 1, 2], [LAST] * 3).verdict == "undefined"


def test_one_or_two_layers_that_settled_are_no_order_whatever_the_others_tie_with():
    for steps in ([10, LAST, LAST, LAST], [10, 20, LAST, LAST], [LAST, LAST, LAST, 10]):
        found = order_of([0, 1, 2, 3], steps)
        assert found.verdict == "undefined" and found.layers == 4 and np.isnan([found.rho, found.p, found.chance]).all()


def test_pelt_is_ruptures():
    y = log_series(planted_jumps(size=10, count=3, series=1, rng=np.random.default_rng(10)).values[0])
    step = np.diff(y)
    noise = 1.4826 * np.median(np.abs(step - np.median(step))) / np.sqrt(2)
    direct = ruptures.Pelt(model="l2", min_size=5, jump=1).fit(y / noise).predict(pen=40.0)
    assert [i for i, _, _ in change_points(y, penalty=40.0)] == direct[:-1] and len(direct) == 4


def test_pelts_penalty_keeps_noise_quiet_and_lets_jumps_through():
    rng = np.random.default_rng(11)
    noise = log_series(null_series("ar5", series=150, rng=rng).values)
    penalty = pelt_penalty(residuals(noise[:30]), 400, rng=rng)
    assert np.mean([bool(change_points(row, penalty=penalty)) for row in noise[30:]]) <= 0.08
    made = planted_jumps(size=6, series=1, rng=rng)
    found = jumps(made.values[0], mode="pelt", rng=rng)
    assert any(abs(j.index - made.jumps[0][0]) <= 3 for j in found)


@pytest.mark.parametrize("measurements", [20, 47, 130])
@pytest.mark.parametrize("kind", ["ar9", "decaying", "white"])
def test_pelts_penalty_is_the_same_as_when_every_surrogate_is_asked(kind, measurements):
    made = log_series(null_series(kind, series=30, rng=np.random.default_rng(5)).values)
    rest, seed = residuals(made), 11

    def saved(row):
        step = np.diff(row)
        row = row / (1.4826 * np.median(np.abs(step - np.median(step))) / np.sqrt(2))
        ends = [ruptures.KernelCPD("linear", 5).fit(row[:, None]).predict(n_bkps=k)[:-1] for k in (1, 2, 3)]
        left = [sum(part.var() * len(part) for part in np.split(row, each)) for each in ends]
        return max((row.var() * len(row) - cost) / k for k, cost in enumerate(left, start=1))

    rng = np.random.default_rng(seed)
    surrogates = [
        block_surrogates(rest, measurements, count=199, rng=rng),
        reference_surrogates(measurements, count=199, drift=False, rng=rng),
    ]
    asked = max(np.quantile([saved(row) for row in rows], 0.95, method="higher") for rows in surrogates)
    penalty = pelt_penalty(rest, measurements, rng=np.random.default_rng(seed))
    assert penalty == pytest.approx(asked, rel=1e-9)


def test_blocks_are_of_the_residuals_with_either_sign():
    rest = np.arange(60.0)[None]
    made = block_surrogates(rest, 100, count=50, rng=np.random.default_rng(12))
    assert made.shape == (50, 100) and set(np.abs(made).ravel()) <= set(rest.ravel())
    assert {1.0, -1.0} <= set(np.sign(made[made != 0]))
    within = np.abs(np.diff(np.abs(made), axis=1)) == 1
    assert within.mean() > 0.9


def test_blocks_begin_anywhere_in_a_series_and_seams_fall_anywhere():
    rng = np.random.default_rng(16)
    whole = np.abs(block_surrogates(np.arange(1.0, 26.0)[None], 50, count=5000, rng=rng))
    # Every block is the whole series, so that the first value says where in the first block a surrogate begins.
    first = np.bincount(whole[:, 0].astype(int), minlength=26)[1:]
    assert len(first) == 25 and stats.chisquare(first).pvalue > 1e-3
    assert np.array_equal((whole[:, 0] + 24) % 25 + 1, whole[:, 25])
    cut = np.abs(block_surrogates(np.arange(1.0, 61.0)[None], 25, count=5000, rng=rng))
    starts = cut[:, 0][(np.diff(cut) == 1).all(axis=1)].astype(int)
    assert set(starts) == set(range(1, 37))


def test_the_drift_of_the_reference_null_forgets_itself_over_100_measurements_of_400():
    t, count = np.linspace(0, 1, 400), 6000
    made = reference_surrogates(400, count=count, drift=True, rng=np.random.default_rng(17))
    y = made / np.exp(-4 * np.linspace(0, 1, count)[:, None] * t)

    def together(lag):
        return (y[:, : 400 - lag] * y[:, lag:]).mean()

    # Bumps of deviation w correlate by exp(-lag^2 / 4 w^2); w is 50 measurements, and the noise has gone by lag 20.
    for lag in (60, 100, 140):
        assert together(lag) / together(20) == pytest.approx(np.exp(-(lag**2 - 20**2) / (4 * 50**2)), abs=0.04)


@pytest.mark.parametrize("mode", ["calibrated", "pelt", "online"])
@pytest.mark.parametrize(
    "series",
    [[1.0, 2.0, 3.0], [np.nan] * 50, [2.0] * 50, [0.0] * 50, [-1.0] * 50, [1.0, np.nan] * 40, [], [5.0], [np.inf] * 30],
)
def test_hard_series_give_nothing_and_raise_nothing(mode, series):
    given = np.array(series)
    assert jumps(given, mode=mode, rng=np.random.default_rng(0)) == []


def test_gaps_hide_only_their_own_surroundings():
    made = planted_jumps(size=9, series=1, rng=np.random.default_rng(13))
    values, at = made.values[0].copy(), made.jumps[0][0]
    values[(at + 60) % 380 : (at + 60) % 380 + 3] = np.nan
    assert [abs(j.index - at) <= 3 for j in jumps(values, mode="calibrated", nulls=[NULL])] == [True]


def test_surrogates_need_a_generator():
    for mode in ("calibrated", "pelt"):
        with pytest.raises(InputError, match="rng="):
            jumps(np.random.default_rng(0).random(100) + 1, mode=mode)
    with pytest.raises(InputError, match="rng="):
        critical_periods(np.arange(1.0, 50), mode="calibrated")


def test_one_layer_has_no_order():
    assert convergence_order(pd.DataFrame({"a": np.linspace(1, 2, 100)}), mode="calibrated").verdict == "undefined"
