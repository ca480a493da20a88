"""The ranker while a run goes on: it knows the past alone, and says when a transition seems to be under way."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geophone.point.moments import APART

HALF = 4  # measurements whose mean is compared with that of as many before
BEYOND = 6.0  # robust deviations
LEAST_SHARE = 0.08  # of the range that mean behaviour has had so far
LEAST_GAIN = 0.3  # directions
HISTORY = 200
DEAF = 12  # measurements before it can tell a change from the run's noise


@dataclass(frozen=True, slots=True)
class Heard:
    """A transition that seems to be under way: its kind ("learned", "lost" or "hidden"), the `layer` that stands out
    most ("" where no layer was given), and how many of the run's own robust deviations it makes."""

    kind: str
    layer: str
    deviations: float


class CausalRanker:
    """Feed it every measurement; it answers with what it hears, once for each stretch of a kind.

    Learned or lost: the mean behaviour of the last 4 measurements lies 6 robust deviations of such a difference from
    that of the 4 before, and by .08 of its range so far. Hidden: a layer's `readable_gain` lies 6 robust deviations
    above its own median so far and is .3 directions or more, while behaviour does not move. It is deaf in the first 12
    measurements, in which nothing is known of the run's noise, and it hears a transition after it began: about 4
    measurements late. It ranks nothing; the list of a finished run is `point.find.transitions`.
    """

    def __init__(self) -> None:
        self._means: deque[float] = deque(maxlen=HISTORY)
        self._range = (np.inf, -np.inf)
        self._gains: dict[str, deque[float]] = {}
        self._quiet: dict[str, int] = {}

    def update(self, skill: npt.ArrayLike | None, gains: Mapping[str, float]) -> list[Heard]:
        """One measurement: the behaviour of every sample, rising where something is learned (None: not recorded), and
        the readable gain by layer."""
        self._quiet = {kind: left - 1 for kind, left in self._quiet.items() if left > 1}
        standing = {layer: self._above(layer, gain) for layer, gain in gains.items()}
        loudest = max(standing, key=lambda layer: standing[layer], default="")
        moved = self._moved(skill)
        if moved:
            return self._once("learned" if moved > 0 else "lost", loudest, abs(moved))
        if loudest and standing[loudest] >= BEYOND and gains[loudest] >= LEAST_GAIN:
            return self._once("hidden", loudest, standing[loudest])
        return []

    def _once(self, kind: str, layer: str, deviations: float) -> list[Heard]:
        """Nothing while the same goes on, and for 11 measurements after."""
        fresh = kind not in self._quiet
        self._quiet[kind] = APART
        return [Heard(kind, layer, deviations)] if fresh else []

    def _moved(self, skill: npt.ArrayLike | None) -> float:
        """The change of mean behaviour in robust deviations, signed; 0 where it is none."""
        if skill is None:
            return 0.0
        mean = float(np.nanmean(np.asarray(skill, dtype=np.float64)))
        self._means.append(mean)
        self._range = (min(self._range[0], mean), max(self._range[1], mean))
        if len(self._means) < DEAF:
            return 0.0
        course = np.array(self._means)
        noise = 1.4826 * float(np.median(np.abs(np.diff(course)))) / np.sqrt(HALF)
        change = float(course[-HALF:].mean() - course[-2 * HALF : -HALF].mean())
        enough = abs(change) >= max(BEYOND * noise, LEAST_SHARE * (self._range[1] - self._range[0]))
        return change / max(noise, 1e-12) if enough and change else 0.0

    def _above(self, layer: str, gain: float) -> float:
        """How far ln gain lies above its own median so far, in its robust deviations; 0 while too little is known."""
        past = self._gains.setdefault(layer, deque(maxlen=HISTORY))
        if not np.isfinite(gain) or gain <= 0:
            return 0.0
        value = float(np.log(gain))
        known = np.array(past)
        past.append(value)
        if len(known) < DEAF:
            return 0.0
        middle = float(np.median(known))
        return (value - middle) / max(1.4826 * float(np.median(np.abs(known - middle))), 0.05)
