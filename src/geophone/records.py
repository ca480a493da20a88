"""The values that pass between the rooms: frozen, typed, and without behaviour.

`index` counts measurements from 0, `step` counts training steps (updates done), `depth` counts layers in the
order in which they run, from 0.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """One recorded layer: where it is, and how its output is read as a matrix of `rows` x `features`.

    `view` is one of channels, pooled, flat (images), tokens, last, mean (sequences) or flat (vectors); `shape`
    is the output's shape for one sample, without the batch axis.
    """

    name: str
    depth: int
    view: str
    features: int
    rows: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stabilization:
    """When a series settled. `index` and `step` are None unless `status` is "stable".

    status: "stable" | "not reached" (the criterion never held) | "censored" (the run ended before it can be said) |
    "dead" (no finite value) | "too short".
    """

    index: int | None
    step: int | None
    status: str


@dataclass(frozen=True, slots=True)
class ConvergenceOrder:
    """Whether shallow layers settle before deep ones.

    `rho` is Spearman's correlation of depth with stabilisation step, `p` the exact probability under no order of a
    rho at least as far from 0 on the same side, `tau` Kendall's tau-b, `layers` the number of layers that count,
    `chance` the probability of a verdict "bottom-up" had these layers settled in any order, with the ties they have
    (NaN where undefined).
    verdict: "bottom-up" | "top-down" | "simultaneous" | "weak" | "undefined".
    """

    rho: float
    p: float
    verdict: str
    tau: float
    layers: int
    chance: float


@dataclass(frozen=True, slots=True)
class Jump:
    """One abrupt change of a series.

    `magnitude` = x[index+5] - x[index-5], the window cut at the ends of the series, `log_ratio` = ln of their ratio
    (NaN unless both are positive), `speed` = magnitude per measurement of the window (10 of them), `phase` = step /
    total steps, `sign` of the step itself, `score` the detector's own statistic, `p` its family-wise adjusted
    probability (NaN where the detector has none).
    """

    index: int
    step: int
    magnitude: float
    log_ratio: float
    speed: float
    phase: float
    sign: int
    score: float
    p: float


@dataclass(frozen=True, slots=True)
class CriticalPeriod:
    """A stretch of fast change, in training steps, both ends included; `peak` is its fastest step."""

    start: int
    stop: int
    peak: int


@dataclass(frozen=True, slots=True)
class AccelerationPeak:
    """A local peak of |acceleration|; `acceleration` is signed, in units of the series per step squared."""

    index: int
    step: int
    acceleration: float


@dataclass(frozen=True, slots=True)
class Target:
    """A place worth digging: a window of one layer of one run, why, and where to look for comparison.

    `before`, `step` and `after` are the moments to look at; the `control_*` moments are the same three of the
    nearest window (in log step) of the same layer without a jump, or None where there is no such window.
    """

    rank: int
    run: str
    layer: str
    depth: int
    dimension: str
    step: int
    before: int
    after: int
    score: float
    reason: str
    control_step: int | None
    control_before: int | None
    control_after: int | None


def target_name(run: str, layer: str, step: int) -> str:
    """The name of a target, and of its folder in digs/: "cnn_4_mnist-seed0.conv2.step00000400"; what cannot stand in
    a folder's name is written as "_"."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{run}.{layer}.step{step:08d}").lstrip(".")
