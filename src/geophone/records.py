"""The values that pass between the rooms: frozen and typed; what they can say of themselves follows from their fields.

`index` counts measurements from 0, `step` counts training steps (updates done), `depth` counts layers in the
order in which they run, from 0.
"""

import re
from dataclasses import dataclass, field
from math import isnan, log
from typing import TYPE_CHECKING, Protocol

from geophone.errors import InputError

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

CONCEPT = "concept "  # with the name of one: a column of what is known of samples, their label of it
REVISIONS = "Hugging Face revisions"  # what a manifest says of the source of a run that was measured on such
MOMENTS = ("before", "during", "after")
ADDED = "+"  # after a block's name, the layer that holds what the block adds: "blocks.3+"
KINDS = ("learned", "lost", "hidden", "shock", "concept", "transient")


@dataclass(frozen=True, slots=True)
class Layer:
    """One recorded layer: where it is, and how its output is read as a matrix of `rows` x `features`.

    `view` is one of channels, pooled, flat (images), tokens, last, mean (sequences), flat (vectors) or routed (an
    expert's positions, `rows` at most); `shape` is the output's shape for one sample, without the batch axis.
    `canonical` is the name that it has in every architecture ("blocks.3", "blocks.3+attention"; "" where there is
    none); `name` is the module's own.
    """

    name: str
    depth: int
    view: str
    features: int
    rows: int
    shape: tuple[int, ...]
    canonical: str = ""

    @property
    def said(self) -> str:
        """The module's own name, and the canonical one where that is another."""
        return self.name if self.canonical in ("", self.name) else f"{self.name} ({self.canonical})"


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
class Window:
    """A stretch of a run, in training steps: where it begins, its middle (what is looked at during it), its end."""

    before: int
    step: int
    after: int

    @property
    def steps(self) -> dict[str, int]:
        """The three moments to look at, by name, as every dig has them."""
        return dict(zip(MOMENTS, (self.before, self.step, self.after), strict=True))


@dataclass(frozen=True, slots=True)
class Target:
    """A place worth digging: a layer of a run, the window in which its `dimension` changed, why, and where to compare.

    `earlier` and `later` are windows of the same length in which nothing of the kind happens, before and after the
    target's own (None where there is none). `method` is what pointed here: the ranker (transitions) or a form of the
    detector of jumps (naive, calibrated, online, pelt); `kind` is that of the transition, or jump. `rank` is 1 for the
    best, 0 before there is an order; a rank is an order in which to look, not a probability.
    """

    rank: int
    run: str
    layer: str
    depth: int
    dimension: str
    window: Window
    earlier: Window | None
    later: Window | None
    method: str
    score: float
    reason: str
    kind: str = "jump"

    @property
    def name(self) -> str:
        """The name of the target and of its dig."""
        return target_name(self.run, self.layer, self.window.step)

    @property
    def control(self) -> Window | None:
        """The control that lies nearer in ln step, the earlier one where both are as near; None where there is none."""
        there = [window for window in (self.earlier, self.later) if window is not None]
        return min(there, key=lambda window: abs(log(max(window.step, 1) / max(self.window.step, 1))), default=None)

    @property
    def windows(self) -> dict[str, Window]:
        """The windows that are dug, by role: "target", and "control" where there is one."""
        return {"target": self.window} | ({} if self.control is None else {"control": self.control})


def target_name(run: str, layer: str, step: int) -> str:
    """The name of a target, and of its folder in digs/: "cnn_4_mnist-seed0.conv2.step00000400"; what cannot stand in
    a folder's name is written as "_"."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{run}.{layer}.step{step:08d}").lstrip(".")


@dataclass(frozen=True, slots=True)
class DigOptions:
    """`per_class` samples of each class; `units` to show, so many at random or these by number, their images made in
    `steps` optimisation steps; `recovery` to ablate and train on as well (minutes per target), compared at `horizons`
    (steps, or "plateau"); `seed` is where all randomness comes from."""

    per_class: int = 200
    units: int | tuple[int, ...] = 20
    steps: int = 512
    recovery: bool = False
    horizons: tuple[int | str, ...] = (100, 500, "plateau")
    seed: int = 0


def _no_samples() -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(columns=["sample", "before", "after", "change"])


@dataclass(frozen=True, slots=True)
class LayerShare:
    """A layer that took part: the step at which it moved fastest, and its share of what all layers did then."""

    layer: str
    peak: int
    share: float


@dataclass(frozen=True, slots=True)
class Move:
    """A dimension of the layer that is named, read before and after."""

    dimension: str
    layer: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Shared:
    """What the samples of a transition have in common, in words that end "most of them are ..." ("second occurrences",
    "of label 3 or 5"): the share of them that have it, and of all other samples (NaN where there is no other)."""

    what: str
    own: float
    others: float

    def __str__(self) -> str:
        beside = "" if isnan(self.others) else f" ({100 * self.others:.0f} % of the others)"
        return f"{100 * self.own:.0f} % of them {self.what}{beside}"


class Drawn(Protocol):
    """What draws one transition; the run that it was asked of knows the series."""

    def plot(self, what: str | None) -> "alt.TopLevelMixin": ...

    def html(self) -> str: ...


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """One transition of a run.

    kind: "learned" (behaviour of some samples rose, or the outputs moved where nothing is known of it), "lost" (it
    fell, or they collapsed), "hidden" (a layer's representation changed beyond its null while behaviour did not),
    "shock" (the loss jumped up), "concept" (something labelled became readable) or "transient" (the first
    reorganisation after initialisation).

    `start`, `peak`, `end` are training steps, `index` is
    the peak's measurement.

    `score` orders transitions of one kind within a run and means nothing else. `size` is the change in units of the
    run's own noise, `strength` the change over what the null reaches in one run of twenty: above 1 the null does not
    explain it. `share` is the part of the whole area under the run's score that lies between the valleys on its two
    sides (NaN for shocks, concepts and the transient). `listed` says whether it stands before the end of the list.

    `layers` are in the order of their own peaks; `named` has the greatest share. `samples` has the columns sample,
    before, after, change, the ones that moved most first, and is empty where there is no behaviour; `own` counts those
    that moved by at least half as much as the most, and `shared` says what those have in common, where something tells
    them from the others. `signals` are those that define it.
    `drawn` is what `plot` asks; a transition that `run.transition` gave has it.
    """

    run: str
    kind: str
    start: int
    peak: int
    end: int
    index: int
    score: float
    size: float
    strength: float
    share: float
    listed: bool
    layers: tuple[LayerShare, ...] = ()
    dimensions: tuple[Move, ...] = ()
    own: int = 0
    shared: Shared | None = None
    signals: tuple[str, ...] = ()
    concept: str = ""
    samples: "pd.DataFrame" = field(default_factory=_no_samples)
    drawn: Drawn | None = field(default=None, repr=False)

    @property
    def named(self) -> LayerShare | None:
        return max(self.layers, key=lambda layer: layer.share, default=None)

    def plot(self, what: str | None = None) -> "alt.TopLevelMixin":
        """A dimension of every layer around the transition, those that take part in colour, with bands over it and its
        controls; beneath, where behaviour was recorded, its mean over the samples that moved and over the others. An
        altair chart. `what` is the dimension (default: the stable rank, or the first that the run has). Raises
        InputError for one that it lacks, and for a transition that was not had from `run.transition`.
        """
        if self.drawn is None:
            raise InputError(
                "this transition knows no run to draw from; take it from geophone.open(...).transition(n)."
            )
        return self.drawn.plot(what)

    def __repr__(self) -> str:
        where = f"; layers {', '.join(layer.layer for layer in self.layers)}" if self.layers else ""
        samples = f"; {self.own} of {len(self.samples)} samples" if self.own else ""
        steps = f"steps {self.start} to {self.end}, fastest at {self.peak}"
        return f"<Transition {self.kind} of {self.run}: {steps}{where}{samples}>"

    def _repr_html_(self) -> str | None:
        return self.drawn.html() if self.drawn else None
