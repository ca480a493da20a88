"""What a run's own noise would make of a statistic: surrogates that keep its noise and lose its transitions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Series = npt.NDArray[np.float64]
SURROGATES = 99
BLOCK = 7
CLIP = 3.0
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class NoiseNull:
    """`threshold` is what the greatest value over a run reaches in one surrogate of twenty, `yields` how many separate
    moments a surrogate has above it on average."""

    threshold: float
    yields: float


def clipped(values: Series) -> Series:
    """`values` (M, C) held within 3 robust deviations (1.4826 median |x|) of 0: what rises above is what is
    looked for."""
    scale = 1.4826 * np.median(np.abs(values), axis=0)
    return np.clip(values, -CLIP * scale, CLIP * scale)


def flipped(values: Series, rng: np.random.Generator) -> Series:
    """`values` (M, C) in blocks of 7 measurements, each block with one random sign for all columns: noise keeps its
    size, its neighbours and its ties between columns."""
    signs = rng.choice([-1.0, 1.0], -(-len(values) // BLOCK) + 1)
    offset = int(rng.integers(BLOCK))
    return values * np.repeat(signs, BLOCK)[offset : offset + len(values), None]


def noise_null(
    rest: Series, statistic: Callable[[Series], Series], *, apart: int, rng: np.random.Generator
) -> NoiseNull:
    """The null of what is left (M, C) of a series without its slow course: the same, clipped, with random signs."""
    held = clipped(rest)
    return _null(lambda: statistic(flipped(held, rng)), apart)


def redrawn_null(
    rest: Series, statistic: Callable[[Series], Series], *, apart: int, rng: np.random.Generator
) -> NoiseNull:
    """The null of what is left (M,) of one series, in its own deviations: noise of the same correlation from one
    measurement to the next, whose steps are drawn from those of the series, both held within 3 (robust deviations,
    where that is more). A bump that is looked for is spread over all of it; turned round as a block, it would be as
    large a jump as it is itself."""
    from scipy.signal import lfilter  # 26 MB, which no recording needs that only listens for alarms

    most = CLIP * max(1.0, 1.4826 * float(np.median(np.abs(rest))))
    held = np.clip(rest, -most, most)
    tie = float(np.clip(held[1:] @ held[:-1] / max(float(held @ held), 1e-12), 0.0, 0.95))
    steps = np.clip(held[1:] - tie * held[:-1], -most, most)
    steps = steps - steps.mean()
    return _null(lambda: statistic(lfilter([1.0], [1.0, -tie], rng.choice(steps, len(rest)))), apart)


def _null(draw: Callable[[], Series], apart: int) -> NoiseNull:
    drawn = [draw() for _ in range(SURROGATES)]
    threshold = float(np.quantile([values.max(initial=0.0) for values in drawn], LEVEL, method="higher"))
    return NoiseNull(threshold, float(np.mean([_separate(values, threshold, apart) for values in drawn])))


def _separate(values: Series, threshold: float, apart: int) -> int:
    places = np.flatnonzero(values > threshold)
    return 0 if not len(places) else 1 + int((np.diff(places) >= apart).sum())
