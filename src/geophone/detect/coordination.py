"""Whether layers change together, in which order, and together with the loss: all against swapped runs.

Layers of one run share a learning rate, a schedule and a decaying envelope; two independent layers under one envelope
overlap far beyond chance. So the null is not a shift in time but another run: layer i of run A is set beside layer j of
run B of the same configuration, which shares everything but the run itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geophone.errors import InputError

SHARE = 0.1
MOST_LAG = 20
WINDOW = 20


@dataclass(frozen=True, slots=True)
class Coordination:
    """`overlap`: the mean share, over runs and pairs of layers, of one layer's fastest 10 % of measurements that are
    also among the other's; `expected` its mean under swapped runs (both NaN when untested); `p` one-sided.

    status: "tested" | "too few runs" (fewer than 3) | "one layer".
    """

    overlap: float
    expected: float
    p: float
    runs: int
    layers: int
    status: str


@dataclass(frozen=True, slots=True)
class Lag:
    """Layer `second` follows layer `first` by `lag` measurements (negative: leads), where the mean over runs of the
    cross-correlation of their prewhitened velocities is greatest in size (`correlation`); `p` against swapped runs."""

    first: int
    second: int
    lag: int
    correlation: float
    p: float


@dataclass(frozen=True, slots=True, eq=False)
class Coupling:
    """How fast the loss falls around events: `average` of -d ln(loss) per measurement at `lags`, the same `expected`
    with the events of one run laid on the loss of another, and `p` for the mean within 2 measurements of the events.

    status: "tested" | "too few runs" | "no events".
    """

    lags: np.ndarray
    average: np.ndarray
    expected: np.ndarray
    p: float
    runs: int
    events: int
    status: str


def coordination(velocity: np.ndarray, *, rng: np.random.Generator, draws: int = 999) -> Coordination:
    """Whether the layers' fast measurements coincide. `velocity` (runs, layers, measurements), of one configuration;
    only the order of |velocity| within a series counts, and NaN is slow. Assumes that runs are exchangeable.
    Raises InputError for another shape."""
    size = _three_axes(velocity)
    runs, layers, length = size.shape
    if layers < 2 or runs < 3:
        return Coordination(np.nan, np.nan, np.nan, runs, layers, "one layer" if layers < 2 else "too few runs")
    fast = np.zeros(size.shape, dtype=np.int32)
    most = max(1, round(SHARE * length))
    np.put_along_axis(fast, np.argsort(-size, axis=2, kind="stable")[:, :, :most], 1, axis=2)
    pairs = runs * layers * (layers - 1) / 2 * most

    def overlap(order: np.ndarray) -> float:
        together = np.take_along_axis(fast, order[:, :, None], axis=0).sum(axis=1)
        return float((together * (together - 1) / 2).sum() / pairs)

    found = overlap(np.tile(np.arange(runs)[:, None], layers))
    null = np.array([overlap(_swapped(runs, layers, rng)) for _ in range(draws)])
    # Ties are split at random: overlaps are counts, and a discrete test would otherwise reject too seldom.
    reached = (null > found + 1e-12).sum() + rng.integers(0, 1 + (np.abs(null - found) <= 1e-12).sum())
    return Coordination(found, float(null.mean()), (1 + reached) / (1 + draws), runs, layers, "tested")


def lags(velocity: np.ndarray, *, rng: np.random.Generator, draws: int = 199) -> list[Lag]:
    """The lag of every pair of layers; `velocity` as for `coordination`, with at least 3 runs and 60 measurements, else
    there is nothing to say (an empty list).

    Velocities are prewhitened by their own first-order autoregression, cross-correlated at lags up to 20, and averaged
    over runs; p compares the greatest |correlation| with that of pairs of layers from swapped runs.
    """
    values = np.nan_to_num(_three_axes(velocity, signed=True))
    runs, layers, length = values.shape
    if runs < 3 or layers < 2 or length < 3 * MOST_LAG:
        return []
    white = _whitened(values)
    orders = [np.arange(runs), *(rng.permutation(runs) for _ in range(draws))]
    found = []
    for first in range(layers):
        for second in range(first + 1, layers):
            crossed = _crossed(white[:, first], white[:, second])
            curves = np.stack([crossed[np.arange(runs), order].mean(axis=0) for order in orders])
            greatest = np.abs(curves).max(axis=1)
            at = int(np.abs(curves[0]).argmax())
            p = (1 + (greatest[1:] >= greatest[0]).sum()) / len(orders)
            found.append(Lag(first, second, at - MOST_LAG, float(curves[0, at]), float(p)))
    return found


def loss_coupling(
    events: Sequence[np.ndarray], loss: np.ndarray, *, rng: np.random.Generator, draws: int = 999
) -> Coupling:
    """Whether the loss falls faster at events than at the same moments of other runs.

    `events` holds the indices of one run's events each, `loss` (runs, measurements) the loss of the same runs at the
    same steps, so that swapping runs keeps the step. Raises InputError when their numbers differ.
    """
    loss = np.asarray(loss, dtype=np.float64)
    if loss.ndim != 2 or len(events) != len(loss):
        raise InputError(f"{len(events)} runs of events with losses of shape {loss.shape}: give (runs, measurements).")
    runs, around = len(loss), np.arange(-WINDOW, WINDOW + 1)
    count = sum(len(e) for e in events)
    if runs < 3 or count == 0:
        nothing = np.full(len(around), np.nan)
        return Coupling(around, nothing, nothing, np.nan, runs, count, "too few runs" if runs < 3 else "no events")
    logs = np.log(np.where(loss > 0, loss, np.nan))
    fall = np.full(logs.shape, np.nan)
    fall[:, 1:] = -np.diff(logs, axis=1)
    padded = np.pad(fall, ((0, 0), (WINDOW, WINDOW)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(around), axis=1)
    owners = np.repeat(np.arange(runs), [len(e) for e in events])
    places = np.concatenate([np.asarray(e, dtype=int) for e in events])
    curves = np.stack(
        [_mean_over(windows[order[owners], places]) for order in [np.arange(runs), *_swaps(runs, draws, rng)]]
    )
    near = _mean_over(curves[:, np.abs(around) <= 2].T)
    p = (1 + (near[1:] >= near[0]).sum()) / len(near)
    return Coupling(around, curves[0], _mean_over(curves[1:]), float(p), runs, count, "tested")


def _three_axes(velocity: np.ndarray, *, signed: bool = False) -> np.ndarray:
    values = np.asarray(velocity, dtype=np.float64)
    if values.ndim != 3:
        raise InputError(f"velocity is (runs, layers, measurements); got shape {values.shape}.")
    return values if signed else np.where(np.isfinite(values), np.abs(values), -1.0)


def _swapped(runs: int, layers: int, rng: np.random.Generator) -> np.ndarray:
    return np.stack([rng.permutation(runs) for _ in range(layers)], axis=1)


def _swaps(runs: int, draws: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.permutation(runs) for _ in range(draws)]


def _whitened(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=2, keepdims=True)
    power = (centred[:, :, :-1] ** 2).sum(axis=2, keepdims=True)
    product = (centred[:, :, 1:] * centred[:, :, :-1]).sum(axis=2, keepdims=True)
    ratio = np.divide(product, power, out=np.zeros_like(power), where=power > 0)
    rest = centred[:, :, 1:] - ratio * centred[:, :, :-1]
    spread = rest.std(axis=2, keepdims=True)
    return np.divide(rest - rest.mean(axis=2, keepdims=True), spread, out=np.zeros_like(rest), where=spread > 0)


def _crossed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The correlation of a[t] of one run with b[t + lag] of another, for lags -20 ... 20: (runs, runs, lags)."""
    length = a.shape[1]
    curves = []
    for lag in range(-MOST_LAG, MOST_LAG + 1):
        early, late = (a[:, : length - lag], b[:, lag:]) if lag >= 0 else (a[:, -lag:], b[:, : length + lag])
        curves.append(early @ late.T / early.shape[1])
    return np.stack(curves, axis=2)


def _mean_over(rows: np.ndarray) -> np.ndarray:
    """Mean down the first axis, over what is there; NaN where nothing is."""
    there = np.isfinite(rows)
    count = there.sum(axis=0)
    total = np.where(there, rows, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
