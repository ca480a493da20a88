"""One run as every list of transitions sees it, and what a transition of any kind has."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from geophone.point.kernels import FULL
from geophone.point.layers import LayerMap
from geophone.point.moments import SPREAD, pick
from geophone.point.rule import Rule
from geophone.point.signals import RunSignals, filled
from geophone.point.stretch import Stretch
from geophone.records import Move, Transition

Series = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
MOST = 20  # transitions of one kind that are described
FIRST = 5  # measurements that belong to the initial transient
HEADLINE = ("participation_ratio_unbiased", "stable_rank", "effective_rank")
MEAN = "mean_fraction"  # how much of what a layer puts out is the same for every sample


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What every list of one run needs. `apart` is how many measurements two moments of a list lie apart."""

    run: RunSignals
    rule: Rule
    layers: LayerMap
    apart: int
    rng: np.random.Generator

    def moments(self, score: Series, *, spread: float = SPREAD) -> Index:
        """The moments of a list, best first; what peaks before the sixth measurement belongs to the transient. In a row
        of few measurements, as of checkpoints, what happened before the last but one of them peaks at the very last:
        there is no more behind it."""
        at_end = len(score) < FULL
        return pick(score, self.run.steps, spread=spread, first=FIRST, peaks_only=True, at_end=at_end)[:MOST]


def ratio(value: float, over: float) -> float:
    """`value` / `over`; infinite over nothing, 0 for nothing."""
    return value / over if over > 0 else (float("inf") if value > 0 else 0.0)


def described(scene: Scene, stretch: Stretch, score: Series, *, gained: bool = True) -> Transition:
    """What every kind has: where it lies, its layers (`gained` as for `LayerMap.layers`), and the headline dimensions
    of the layer that is named."""
    run = scene.run
    blank = Transition(
        run=run.name,
        kind="",
        start=int(run.steps[stretch.start]),
        peak=int(run.steps[stretch.peak]),
        end=int(run.steps[stretch.stop]),
        index=stretch.peak,
        score=float(score[stretch.peak]),
        size=float("nan"),
        strength=float("nan"),
        share=float("nan"),
        listed=False,
        layers=scene.layers.layers(stretch.peak, stretch.start, stretch.stop, gained=gained),
    )
    return replace(blank, dimensions=_moves(run, blank.named.layer if blank.named else "", stretch))


def _moves(run: RunSignals, layer: str, stretch: Stretch) -> tuple[Move, ...]:
    if layer not in run.layers:
        return ()
    column = run.layers.index(layer)
    known = {name: run.series[name][:, column] for name in HEADLINE if name in run.series}
    there = {name: filled(y) for name, y in known.items() if np.isfinite(y).any()}
    return tuple(Move(name, layer, *edges(y, stretch)) for name, y in there.items())


def edges(y: Series, stretch: Stretch) -> tuple[float, float]:
    """The level of a series before and after a stretch: medians of the 3 measurements up to its start, from its end."""
    before, after = y[max(0, stretch.start - 2) : stretch.start + 1], y[stretch.stop : stretch.stop + 3]
    return float(np.median(before)), float(np.median(after))
