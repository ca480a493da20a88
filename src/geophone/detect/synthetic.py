"""Series whose truth is known: planted jumps, ramps and plateaus, and nulls in which nothing happens.

All are positive, as dimensions are: x = exp(1 + noise * y), with y in units of the noise's standard deviation.
"""

from dataclasses import dataclass

import numpy as np

from geophone.errors import InputError

NOISE = 0.02
NULLS = ("white", "ar5", "ar9", "random_walk", "decaying", "drift", "curve")


@dataclass(frozen=True, slots=True, eq=False)
class Synthetic:
    """`values` (series, measurements), and what is true of each: the index of the first measurement after every
    jump (`jumps`), first and last index of every ramp (`ramps`) and of every plateau (`plateaus`)."""

    values: np.ndarray
    jumps: tuple[tuple[int, ...], ...] = ()
    ramps: tuple[tuple[tuple[int, int], ...], ...] = ()
    plateaus: tuple[tuple[tuple[int, int], ...], ...] = ()


def null_series(
    kind: str, *, series: int, rng: np.random.Generator, measurements: int = 400, noise: float = NOISE
) -> Synthetic:
    """Series in which no jump happens.

    kind: "white"; "ar5" and "ar9", first-order autoregressive with coefficient .5 and .9; "random_walk";
    "decaying", white noise that shrinks 55-fold; "drift", a slow sine of 8 noise deviations beneath white noise;
    "curve", the usual course of a layer's dimension: a fast collapse, then a slow expansion, beneath white noise. The
    logarithm's noise is `noise`. Raises InputError for another kind.
    """
    return Synthetic(_positive(standard_null(kind, series=series, rng=rng, measurements=measurements), noise))


def standard_null(kind: str, *, series: int, rng: np.random.Generator, measurements: int = 400) -> np.ndarray:
    """The logarithm of `null_series` in units of its noise, (series, measurements)."""
    shape = (series, measurements)
    t = np.arange(measurements) * 400 / measurements
    if kind in ("ar5", "ar9"):
        return autoregressive(0.5 if kind == "ar5" else 0.9, shape, rng)
    white = rng.normal(size=shape)
    if kind == "white":
        return white
    if kind == "random_walk":
        return white.cumsum(1)
    if kind == "decaying":
        return _decay(measurements) * white
    if kind == "drift":
        turns, phase = rng.uniform(0.5, 1.5, (series, 1)), rng.uniform(0, 6, (series, 1))
        return 8 * np.sin(2 * np.pi * t / 400 * turns + phase) + white
    if kind == "curve":
        return 60 * np.exp(-t / 15) + 20 * (1 - np.exp(-t / 120)) + white
    raise InputError(f"unknown null {kind!r}; known are {', '.join(NULLS)}.")


def autoregressive(coefficient: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """First-order autoregressive rows of variance 1, in their stationary state from the first value on."""
    shocks = rng.normal(size=shape)
    shocks[:, 1:] *= np.sqrt(1 - coefficient**2)
    # As scipy.signal.lfilter does, which takes half a second to import.
    for now in range(1, shape[1]):
        shocks[:, now] += coefficient * shocks[:, now - 1]
    return shocks


def planted_jumps(
    *,
    size: float,
    series: int,
    rng: np.random.Generator,
    count: int = 1,
    kind: str = "white",
    measurements: int = 400,
    noise: float = NOISE,
) -> Synthetic:
    """Series of the null `kind` with `count` jumps each, up or down by `size` local noise deviations, at random places
    at least 30 measurements from each other and from the ends. Raises InputError when they do not fit in."""
    y = standard_null(kind, series=series, rng=rng, measurements=measurements)
    places = _places(count, series, measurements, gap=30, rng=rng)
    for row, at in zip(y, places, strict=True):
        for start in at:
            local = _decay(measurements)[start] if kind == "decaying" else 1.0
            row[start:] += size * local * rng.choice((-1, 1))
    return Synthetic(_positive(y, noise), jumps=places)


def planted_ramps(
    *, size: float, length: int, series: int, rng: np.random.Generator, measurements: int = 400, noise: float = NOISE
) -> Synthetic:
    """White noise with one straight ramp of `size` noise deviations over `length` measurements in each series; before
    and after it the series is level (its plateaus)."""
    y = rng.normal(size=(series, measurements))
    starts = [at[0] for at in _places(1, series, measurements - length, gap=30, rng=rng)]
    for row, start in zip(y, starts, strict=True):
        row += rng.choice((-1, 1)) * size * np.clip((np.arange(measurements) - start) / length, 0, 1)
    ramps = tuple(((s, s + length),) for s in starts)
    plateaus = tuple(((0, s), (s + length, measurements - 1)) for s in starts)
    return Synthetic(_positive(y, noise), ramps=ramps, plateaus=plateaus)


def planted_plateau(
    *, settles: int, series: int, rng: np.random.Generator, measurements: int = 400, noise: float = NOISE
) -> Synthetic:
    """An approach to a level that is left by less than 1 % of its height after `settles` measurements, beneath white
    noise; the height is 50 noise deviations."""
    approach = 50 * np.exp(-np.log(100) * np.arange(measurements) / settles)
    y = approach + rng.normal(size=(series, measurements))
    return Synthetic(_positive(y, noise), plateaus=(((settles, measurements - 1),),) * series)


def _decay(measurements: int) -> np.ndarray:
    return 5 * np.exp(-np.arange(measurements) * 400 / measurements / 100)


def _positive(y: np.ndarray, noise: float) -> np.ndarray:
    return np.exp(1 + noise * y)


def _places(count: int, series: int, length: int, *, gap: int, rng: np.random.Generator) -> tuple[tuple[int, ...], ...]:
    room = length - (count + 1) * gap
    if count < 1 or room < 1:
        raise InputError(f"{count} event(s) at least {gap} measurements apart do not fit into {length} measurements.")
    spread = np.sort(rng.integers(0, room, (series, count)), axis=1) + gap * np.arange(1, count + 1)
    return tuple(tuple(int(v) for v in row) for row in spread)
