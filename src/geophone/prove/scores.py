"""From signals to a score at every measurement, and from a score to ranked moments."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from geophone.errors import InputError
from geophone.prove.events import ANY
from geophone.prove.signals import LEVELS, TURNS, Signals
from geophone.prove.targeting import Moments, pick, random_moments

WIDTHS = (("step", 1.0), ("step", 2.0), ("step", 4.0), ("step", 8.0), ("log", 0.05), ("log", 0.1), ("log", 0.2))
SPREAD = 0.2
GRIDS = ("random", "uniform", "log_uniform")
_FLOOR = {"mean": None, "log": 0.01}


@dataclass(frozen=True, slots=True)
class Part:
    """How one signal becomes a score.

    A Gaussian window of `width`, in measurements (axis "step") or in ln step (axis "log"), gives the signal's mean and
    slope around every measurement; the score is exp(mean) for norms and turns, |slope| for everything else, and its
    square root where `root` is set.
    """

    signal: str
    axis: str
    width: float
    root: bool


@dataclass(frozen=True, slots=True)
class Method:
    """Some parts and how they are joined: each divided by its greatest value in the run, averaged over layers, then
    "mean", or "log": the mean of ln(score + 0.01), which is high only where all parts are."""

    name: str
    parts: tuple[Part, ...]
    join: str = "mean"

    def __post_init__(self) -> None:
        if not self.parts or self.join not in _FLOOR:
            raise InputError(f"method {self.name!r}: give parts, and join them by {' or '.join(_FLOOR)}.")


def part_score(run: Signals, part: Part, *, causal: bool = False) -> np.ndarray:
    """The score of one part, (measurements, layers), 1 at its greatest.

    `causal`: the window reaches back only, twice as far, and the greatest value is that of the past; a turn, which lies
    between two measurements, is read at the later one. Raises InputError for a signal that the run does not have.
    """
    if part.signal not in run.signals:
        raise InputError(f"{run.name} has no signal {part.signal!r}; it has {', '.join(run.signals)}.")
    y = run.signals[part.signal].y
    if causal and part.signal in TURNS:
        late = TURNS[part.signal] // 2
        y = np.concatenate([np.repeat(y[:1], late, axis=0), y[: len(y) - late]])
    mean, slope = _window(tuple(run.steps), part.axis, part.width, causal)
    score = np.exp(mean @ y) if part.signal in LEVELS else np.abs(slope @ y)
    score = np.sqrt(score) if part.root else score
    greatest = np.maximum.accumulate(score, axis=0) if causal else score.max(axis=0)
    return score / np.maximum(greatest, 1e-300)


@lru_cache(maxsize=256)
def _window(steps: tuple[float, ...], axis: str, width: float, causal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Matrices that turn a series into its local mean and its local slope: weighted least squares of a line around
    every measurement (Fan & Gijbels 1996), with Gaussian weights that give every stretch of the axis its length."""
    t = np.asarray(steps)
    u = np.arange(len(t), dtype=np.float64) if axis == "step" else np.log(t)
    distance = u[None] - u[:, None]
    weight = np.exp(-0.5 * (distance / (2 * width if causal else width)) ** 2) * np.gradient(u)
    if causal:
        weight = np.where(distance > 0, 0.0, weight)
    mean = weight / weight.sum(1, keepdims=True)
    off = distance - (mean * distance).sum(1, keepdims=True)
    spread = (mean * off**2).sum(1, keepdims=True)
    return mean, np.divide(mean * off, spread, out=np.zeros_like(mean), where=spread > 1e-300)


def joined(parts: Sequence[np.ndarray], join: str) -> np.ndarray:
    """One score (measurements,) of parts (measurements, layers), as `Method` says."""
    means = [part.mean(axis=1) for part in parts]
    return np.mean(means if join == "mean" else [np.log(m + _FLOOR["log"]) for m in means], axis=0)


def moments(run: Signals, method: Method, *, causal: bool = False) -> Moments:
    """The moments of `run` that `method` points at, best first. A moment's layer is the one with the highest score
    there, averaged over the parts that have layers."""
    parts = [part_score(run, part, causal=causal) for part in method.parts]
    index = pick(joined(parts, method.join), spread=SPREAD)
    layered = [
        score for score, part in zip(parts, method.parts, strict=True) if run.signals[part.signal].layers == run.layers
    ]
    if not layered:
        return Moments(index, (ANY,) * len(index))
    loudest = np.mean(layered, axis=0)[index].argmax(axis=1)
    return Moments(index, tuple(run.layers[i] for i in loudest))


def grid(kind: str, run: Signals, *, k: int, apart: int, rng: np.random.Generator) -> Moments:
    """k moments without looking: "uniform" over the run, "log_uniform" over ln step from the 10th measurement on, in
    the middles of k equal parts, or "random". Raises InputError for another kind."""
    if kind not in GRIDS:
        raise InputError(f"unknown grid {kind!r}; known are {', '.join(GRIDS)}.")
    length, middles = len(run.steps), (np.arange(k) + 0.5) / k
    if kind == "random":
        index = random_moments(length, k=k, apart=apart, rng=rng)
    elif kind == "uniform":
        index = np.round(middles * length - 0.5).astype(int)
    else:
        first, last = np.log(run.steps[9]), np.log(run.steps[-1])
        index = np.abs(run.steps[:, None] - np.exp(first + middles * (last - first))).argmin(axis=0)
    return Moments(index, (ANY,) * k)
