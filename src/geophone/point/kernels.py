"""Level and slope of a series around every measurement, on an axis that need not be even."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from geophone.errors import InputError

Series = npt.NDArray[np.float64]
AXES = ("step", "log")
# A row of fewer measurements, as of checkpoints, has its windows in proportion, down to the second number: with those
# of a long series a transition between two of 40 checkpoints would be smoothed over half of the run.
FULL, LEAST_WIDTH = 88, 0.75


def fitted(size: float, measurements: int, *, least: float = LEAST_WIDTH) -> float:
    """`size`, in measurements of a full series, for a run of so many of them."""
    return min(size, max(least, size * min(1.0, measurements / FULL)))


@dataclass(frozen=True, slots=True)
class Kernel:
    """A Gaussian window of `width` measurements (axis "step"; `fitted` to runs of fewer than 88) or of `width` in ln
    step (axis "log")."""

    axis: str
    width: float

    def __post_init__(self) -> None:
        if self.axis not in AXES or not self.width > 0:
            raise InputError(f"a kernel has an axis ({' or '.join(AXES)}) and a width above 0; got {self}.")


@dataclass(frozen=True, slots=True, eq=False)
class Operators:
    """Matrices (M, M): `mean @ y` and `slope @ y` are the level and slope of y around every measurement."""

    mean: Series
    slope: Series


def operators(steps: Series, kernel: Kernel, *, causal: bool = False) -> Operators:
    """Weighted least squares of a line around every measurement (Fan & Gijbels 1996), with Gaussian weights that give
    every stretch of the axis its length. On axis "log" a step 0 stands as far before the first other step as the second
    stands behind it. `causal`: the window reaches back only, twice as far. O(M^2) memory."""
    return _operators(tuple(np.asarray(steps, dtype=np.float64).tolist()), kernel, causal)


def of_unit_noise(matrix: Series) -> Series:
    """An operator in units of what it makes of white noise of deviation 1, which is 1 at every measurement."""
    return np.asarray(matrix / np.sqrt(np.square(matrix).sum(1, keepdims=True)))


@lru_cache(maxsize=24)
def _operators(steps: tuple[float, ...], kernel: Kernel, causal: bool) -> Operators:
    places = np.arange(len(steps), dtype=np.float64) if kernel.axis == "step" else log_steps(np.array(steps))
    if len(places) < 2:
        return Operators(np.ones((len(places),) * 2), np.zeros((len(places),) * 2))
    distance = places[None] - places[:, None]
    width = fitted(kernel.width, len(places)) if kernel.axis == "step" else kernel.width
    weight = np.exp(-0.5 * (distance / (width * (2 if causal else 1))) ** 2) * np.gradient(places)
    if causal:
        weight = np.where(distance > 0, 0.0, weight)
    mean = weight / weight.sum(1, keepdims=True)
    off = distance - (mean * distance).sum(1, keepdims=True)
    spread = (mean * off**2).sum(1, keepdims=True)
    slope = np.divide(mean * off, spread, out=np.zeros_like(mean), where=spread > 1e-300)
    return Operators(mean, slope)


def log_steps(steps: Series) -> Series:
    """ln of every step, with a step 0 (or below) at the same distance before the first as the second is behind it."""
    first = int(np.argmax(steps > 0)) if (steps > 0).any() else len(steps)
    logs = np.log(np.maximum(steps, 1e-300))
    if first < len(steps):
        gap = logs[first + 1] - logs[first] if first + 1 < len(steps) else 1.0
        logs[:first] = logs[first] - gap * np.arange(first, 0, -1)
    else:
        logs = np.arange(len(steps), dtype=np.float64)
    return logs
