"""A stretch of a run in which something reorganised: the values that the ranker gives."""

from dataclasses import dataclass, field

import pandas as pd

NO_SAMPLES = pd.DataFrame(columns=["sample", "before", "after", "change"])
KINDS = ("learned", "lost", "hidden", "shock", "concept", "transient")


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


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """One transition of a run.

    kind: "learned" (behaviour of some samples rose), "lost" (it fell), "hidden" (a layer's representation changed
    beyond its null while behaviour did not), "shock" (the loss jumped up), "concept" (something labelled became
    readable) or "transient" (the first reorganisation after initialisation).

    `start`, `peak`, `end` are training steps, `index` is
    the peak's measurement.

    `score` orders transitions of one kind within a run and means nothing else. `size` is the change in units of the
    run's own noise, `strength` the change over what the null reaches in one run of twenty: above 1 the null does not
    explain it. `share` is the part of the whole area under the run's score that lies between the valleys on its two
    sides (NaN for shocks, concepts and the transient). `listed` says whether it stands before the end of the list.

    `layers` are in the order of their own peaks; `named` has the greatest share. `samples` has the columns sample,
    before, after, change, the ones that moved most first, and is empty where there is no behaviour; `own` counts those
    that moved by at least half as much as the most. `signals` are those that define it.
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
    signals: tuple[str, ...] = ()
    concept: str = ""
    samples: pd.DataFrame = field(default_factory=lambda: NO_SAMPLES)

    @property
    def named(self) -> LayerShare | None:
        return max(self.layers, key=lambda layer: layer.share, default=None)
