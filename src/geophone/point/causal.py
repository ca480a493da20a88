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
LEAST_GAIN, LEAST_LOSS = 0.3, 1.0  # directions that came; that went and were not replaced
LEAST_SIZE = 0.01  # directions; fewer are as none
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
    that of the 4 before, and by .08 of its range so far. Where nothing is known of behaviour: the outputs' last step
    lies 6 robust deviations above the median of such steps, which cannot tell learned from lost. Hidden: a layer's
    `readable_gain` lies 6 robust deviations above its own median so far and is .3 directions or more, or what it lost
    does and is 1 direction more than what it gained, while behaviour does not move. It is deaf in the first 12
    measurements, in which nothing is known of the run's noise, and it hears a transition after it began: about 4
    measurements late. It ranks nothing; the list of a finished run is `point.find.transitions`.
    """

    def __init__(self) -> None:
        self._means: deque[float] = deque(maxlen=HISTORY)
        self._range = (np.inf, -np.inf)
        self._sizes: dict[str, deque[float]] = {}
        self._quiet: dict[str, int] = {}
        self._outputs: npt.NDArray[np.float64] | None = None

    def update(
        self,
        skill: npt.ArrayLike | None,
        gains: Mapping[str, float],
        losses: Mapping[str, float] | None = None,
        *,
        outputs: npt.ArrayLike | None = None,
    ) -> list[Heard]:
        """One measurement: the behaviour of every sample, rising where something is learned (None: not recorded), the
        directions that every layer gained (`readable_gain`) and lost (`readable_change` less that), and the sketch of
        the outputs, which is listened to where there is no behaviour."""
        self._quiet = {kind: left - 1 for kind, left in self._quiet.items() if left > 1}
        went = losses or {}
        came = {layer: self._above(f"+{layer}", gain) for layer, gain in gains.items()}
        gone = {layer: self._above(f"-{layer}", loss) for layer, loss in went.items()}
        standing = {layer: max(value, gone.get(layer, 0.0)) for layer, value in came.items()}
        loudest = max(standing, key=lambda layer: standing[layer], default="")
        moved = self._moved(skill) if skill is not None else self._stepped(outputs)
        if moved:
            return self._once("learned" if moved > 0 else "lost", loudest, abs(moved))
        if loudest and (
            (came[loudest] >= BEYOND and gains[loudest] >= LEAST_GAIN)
            or (gone.get(loudest, 0.0) >= BEYOND and went[loudest] - gains[loudest] >= LEAST_LOSS)
        ):
            return self._once("hidden", loudest, standing[loudest])
        return []

    def _once(self, kind: str, layer: str, deviations: float) -> list[Heard]:
        """Nothing while the same goes on, and for 11 measurements after."""
        fresh = kind not in self._quiet
        self._quiet[kind] = APART
        return [Heard(kind, layer, deviations)] if fresh else []

    def _stepped(self, outputs: npt.ArrayLike | None) -> float:
        """How many robust deviations the outputs' last step is above the others; 0 where it is no more than they."""
        if outputs is None:
            return 0.0
        now, self._outputs = self._outputs, np.asarray(outputs, dtype=np.float64)
        standing = 0.0 if now is None else self._above("", float(np.linalg.norm(self._outputs - now)), least=0.0)
        return standing if standing >= BEYOND else 0.0

    def _moved(self, skill: npt.ArrayLike) -> float:
        """The change of mean behaviour in robust deviations, signed; 0 where it is none."""
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

    def _above(self, name: str, size: float, *, least: float = LEAST_SIZE) -> float:
        """How far ln size lies above its own median so far, in its robust deviations; 0 while too little is known."""
        past = self._sizes.setdefault(name, deque(maxlen=HISTORY))
        if not np.isfinite(size) or max(size, least) <= 0:
            return 0.0
        value = float(np.log(max(size, least)))
        known = np.array(past)
        past.append(value)
        if len(known) < DEAF:
            return 0.0
        middle = float(np.median(known))
        return (value - middle) / max(1.4826 * float(np.median(np.abs(known - middle))), 0.05)
