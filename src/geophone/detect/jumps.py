"""Abrupt changes of a series."""

from collections.abc import Sequence

import numpy as np

from geophone.detect.cusum import OnlineCusum
from geophone.detect.nulls import (
    BLOCK,
    FLOOR,
    HALF_WINDOW,
    Null,
    block_surrogates,
    log_series,
    make_null,
    peaks,
    reference_surrogates,
    residuals,
    scan,
)
from geophone.detect.series import as_series, known_mode
from geophone.errors import InputError
from geophone.records import Jump

MODES = ("naive", "calibrated", "pelt", "online")
Z = 2.0
ALPHA = 0.05
SURROGATES = 999
PELT_SURROGATES = 199
PELT_SEGMENT = 5
MOST_POINTS = 3


def jumps(
    series,
    *,
    mode: str,
    total_steps: int | None = None,
    rng: np.random.Generator | None = None,
    nulls: Sequence[Null] | None = None,
) -> list[Jump]:
    """Jumps of `series`, in order of time.

    mode "naive": measurements whose first difference lies more than 2 standard deviations from the mean
    difference, |z| > 2; `score` is z, `p` is NaN. On Gaussian noise it flags 4.6 % of the differences (18 of
    399), whatever the series: it is a list of the largest changes, not a finding. Source: the founding study,
    step 1.2.

    mode "calibrated": peaks of the scan of the log series (`nulls.scan`: the difference of means of 5 measurements on
    each side, less its drift, over its local noise) whose family-wise p, over the whole series, is at most .05 under
    every one of `nulls`; by default 999 surrogates of the hardest reference null (`reference_surrogates`), drawn with
    `rng`. `score` is the scan, `p` the greatest p. Assumes that noise and drift change slowly beside 10 measurements.

    mode "pelt": PELT (Killick et al. 2012, `ruptures`) on the log series in units of its noise, segments of 5 or
    more, with the least penalty at which 95 % of surrogates have no change point (`pelt_penalty`, drawn with `rng`);
    `score` is the change of the segments' means, `p` is NaN. It assumes a level that is constant between jumps: it
    cuts drift into stairs.

    mode "online": the alarms of `OnlineCusum`, which come after the change; `score` is its sum, `p` is NaN.

    `total_steps` (default: the last step of the series) turns steps into phases. Gaps (NaN) neither count nor raise.
    Raises InputError for another mode, for what is not a series, and where surrogates are needed without `rng` or
    `nulls`.
    """
    mode = known_mode(mode, MODES)
    values, steps = as_series(series)
    if len(values) < 3:
        return []
    total = total_steps or max(int(steps[-1]), 1)
    found = _FINDERS[mode](values, rng, nulls)
    return [describe(values, steps, i, total=total, score=score, p=p) for i, score, p in found]


Found = list[tuple[int, float, float]]


def _seed(values: np.ndarray, rng, nulls) -> Found:
    difference = np.diff(values)
    finite = difference[np.isfinite(difference)]
    if len(finite) < 2 or finite.std() == 0:
        return []
    z = (difference - finite.mean()) / finite.std()
    return [(int(i) + 1, float(z[i]), np.nan) for i in np.flatnonzero(np.abs(np.nan_to_num(z)) > Z)]


def _calibrated(values: np.ndarray, rng, nulls) -> Found:
    y = log_series(values)[None]
    nulls = nulls or [jump_null(len(values), rng=_needed(rng, "calibrated"))]
    return significant(scan(y, kind="jump")[0], nulls)


def jump_null(measurements: int, *, rng: np.random.Generator, surrogates: int = SURROGATES) -> Null:
    """The reference null of the calibrated detector for series of that many measurements."""
    return make_null(reference_surrogates(measurements, count=surrogates, drift=True, rng=rng), kind="jump")


def significant(z: np.ndarray, nulls: Sequence[Null]) -> Found:
    """Peaks of one scan with a family-wise p of at most .05 under every null: index, scan and greatest p."""
    places = peaks(z, max(null.threshold for null in nulls))
    return [(i, float(z[i]), float(max(null.p(z[i]) for null in nulls))) for i in places]


def _online(values: np.ndarray, rng, nulls) -> Found:
    return alarms(values[None])[0]


def alarms(values: np.ndarray) -> list[Found]:
    """The alarms of the causal detector in each row of `values` (series, measurements)."""
    detector = OnlineCusum(len(values))
    scores = np.stack([detector.update(column) for column in values.T], axis=1)
    return [[(int(i), float(row[i]), np.nan) for i in np.flatnonzero(row)] for row in scores]


def _pelt(values: np.ndarray, rng, nulls) -> Found:
    y = log_series(values)
    rest = residuals(y[np.isfinite(y)][None])
    if not len(rest):
        return []
    return change_points(y, penalty=pelt_penalty(list(rest), len(rest[0]), rng=_needed(rng, "pelt")))


def pelt_penalty(rest: np.ndarray | Sequence[np.ndarray], measurements: int, *, rng: np.random.Generator) -> float:
    """The least penalty at which at most 5 % of surrogates have a change point, both of 199 stitched of blocks of the
    residuals `rest` (which have lost their slow part) and of 199 of the reference null without drift."""
    stitched = block_surrogates(rest, measurements, count=PELT_SURROGATES, rng=rng)
    shrinking = reference_surrogates(measurements, count=PELT_SURROGATES, drift=False, rng=rng)
    return _least_penalty(stitched, least=_least_penalty(shrinking))


def _least_penalty(surrogates: np.ndarray, *, least: float = 0.0) -> float:
    """The 95th percentile of max over k = 1, 2, 3 of the cost that k change points save, over k, of each surrogate in
    units of its own noise; `least` where it is below that.

    Only the highest 5 % have to be known: surrogates are asked in order of what they could save at most, until the
    others cannot be among those.
    """
    rows = np.stack([row / _step_noise(row) for row in surrogates])
    bounds = _most_saved(rows)
    highest = len(rows) - int(np.ceil((1 - ALPHA) * (len(rows) - 1)))
    gains = np.full(highest, least)
    for i in np.argsort(bounds)[::-1]:
        if bounds[i] <= gains.min():
            break
        gains[gains.argmin()] = max(gains.min(), _gain(rows[i]))
    return float(gains.min())


def _most_saved(rows: np.ndarray) -> np.ndarray:
    """What `_gain` of each row cannot pass: k change points leave all but k of any blocks whole, and cannot save what
    lies within those."""
    blocks = np.array_split(rows, max(rows.shape[1] // BLOCK, MOST_POINTS + 1), axis=1)
    within = np.sort([((block - block.mean(1, keepdims=True)) ** 2).sum(1) for block in blocks], axis=0)
    whole = ((rows - rows.mean(1, keepdims=True)) ** 2).sum(1)
    return np.max([(whole - within[:-k].sum(0)) / k for k in range(1, MOST_POINTS + 1)], axis=0) * (1 + 1e-9)


def _gain(row: np.ndarray) -> float:
    from ruptures import KernelCPD

    detector = KernelCPD(kernel="linear", min_size=PELT_SEGMENT).fit(row[:, None])
    most = min(MOST_POINTS, len(row) // PELT_SEGMENT - 1)
    # The most change points first: one pass finds the best places of fewer, too, and ruptures keeps them.
    whole = _cost(row, [len(row)])
    return max((whole - _cost(row, detector.predict(n_bkps=k))) / k for k in range(most, 0, -1))


def _cost(row: np.ndarray, ends: Sequence[int]) -> float:
    """Squared distance of `row` from the means of its parts, which end at `ends`."""
    return float(sum(((part - part.mean()) ** 2).sum() for part in np.split(row, ends[:-1])))


def change_points(y: np.ndarray, *, penalty: float) -> Found:
    """PELT's change points of one log series `y`, gaps left out: index, change of the means in units of noise, NaN."""
    from ruptures import KernelCPD

    there = np.flatnonzero(np.isfinite(y))
    x = y[there]
    if len(x) < 2 * PELT_SEGMENT:
        return []
    noise = _step_noise(x)
    ends = KernelCPD(kernel="linear", min_size=PELT_SEGMENT).fit(x[:, None] / noise).predict(pen=penalty)
    means = [part.mean() / noise for part in np.split(x, ends[:-1])]
    return [(int(there[end]), float(means[k + 1] - means[k]), np.nan) for k, end in enumerate(ends[:-1])]


def _step_noise(x: np.ndarray) -> float:
    """1.4826 median |x_i+1 - x_i - their median| / sqrt 2: the noise beneath drift and jumps."""
    step = np.diff(x)
    return max(1.4826 * float(np.median(np.abs(step - np.median(step)))) / np.sqrt(2), FLOOR)


def _needed(rng: np.random.Generator | None, mode: str) -> np.random.Generator:
    if rng is None:
        raise InputError(f"jumps(mode={mode!r}) draws surrogates: pass rng=numpy.random.default_rng(seed).")
    return rng


_FINDERS = {"naive": _seed, "calibrated": _calibrated, "pelt": _pelt, "online": _online}


def describe(values: np.ndarray, steps: np.ndarray, index: int, *, total: int, score: float, p: float = np.nan) -> Jump:
    """The `Jump` at `index`, measured over 5 measurements on each side, fewer at the ends of the series."""
    low, high = max(0, index - HALF_WINDOW), min(len(values) - 1, index + HALF_WINDOW)
    before, after = values[low], values[high]
    positive = before > 0 and after > 0
    return Jump(
        index=index,
        step=int(steps[index]),
        magnitude=float(after - before),
        log_ratio=float(np.log(after / before)) if positive else np.nan,
        speed=float(after - before) / (high - low),
        phase=float(steps[index]) / total,
        sign=1 if score > 0 else -1,
        score=score,
        p=p,
    )
