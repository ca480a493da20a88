"""When something that the user labelled became readable, and in which layer first."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from geophone.point.signals import RunSignals, filled
from geophone.records import LayerShare, Transition
from geophone.signals import ADDED

Series = npt.NDArray[np.float64]
SMOOTH = 5
BEYOND = 4.0  # robust deviations of the shuffled labels' values that a rise must make
LEAST = 0.1
PART = 0.5
_LEVELS = (0.1, 0.5, 0.9)


def concept_transitions(run: RunSignals) -> list[Transition]:
    """One transition of kind "concept" for every concept that rose from chance in some layer, the earliest first.

    In each layer the value goes from that of shuffled labels to the greatest that it reaches (running median of 5); a
    layer has it where that rise is at least .1, 4 deviations of the shuffled values, and half of the greatest rise of
    any layer: what hints at it is not what forms it. start, peak and end are the measured steps nearest to where the
    first such layer had a tenth (of what it had not at its lowest before), half and nine tenths; `layers` are in the
    order of their own halves, with shares of the rise. A concept that can be read from the first measurement on has no
    onset.
    """
    listing = [t for name in run.concepts if (t := _onset(run, name)) is not None]
    return sorted(listing, key=lambda t: t.peak)


def _onset(run: RunSignals, name: str) -> Transition | None:
    values, chances = filled(run.concepts[name]), filled(run.chances[name])
    smooth = median_filter(values, size=(SMOOTH, 1), mode="nearest")
    base, noise = np.median(chances, axis=0), 1.4826 * np.median(np.abs(chances - np.median(chances, axis=0)), axis=0)
    rise = smooth.max(0) - base
    crossings: dict[int, tuple[float, float, float]] = {}
    for column in np.flatnonzero(rise >= np.maximum(np.maximum(LEAST, BEYOND * noise), rise.max() * PART)):
        times = _times(run.steps, (smooth[:, column] - base[column]) / rise[column])
        if times is not None:
            crossings[int(column)] = times
    if not crossings:
        return None
    order = sorted(crossings, key=lambda c: (crossings[c][1], not run.layers[c].endswith(ADDED), c))
    start, half, end = crossings[order[0]]
    total = sum(float(rise[c]) for c in order)
    first, index, last = (int(np.abs(run.steps - step).argmin()) for step in (start, half, end))
    size = float(rise[order[0]] / max(noise[order[0]], 1e-9))
    return Transition(
        run=run.name,
        kind="concept",
        start=int(run.steps[first]),
        peak=int(run.steps[index]),
        end=int(run.steps[last]),
        index=index,
        score=float(rise[order[0]]),
        size=size,
        strength=size / BEYOND,
        share=float("nan"),
        listed=True,
        layers=tuple(LayerShare(run.layers[c], round(crossings[c][1]), float(rise[c]) / total) for c in order),
        signals=(name,),
        concept=name,
    )


def _times(steps: Series, progress: Series) -> tuple[float, float, float] | None:
    """The steps of the rise through a half: the crossing of a tenth before it, its own, that of nine tenths behind."""
    half = int(np.argmax(progress >= _LEVELS[1]))
    if half == 0:
        return None
    # What can be read a little from the first measurement on has not risen yet.
    least = max(float(progress[:half].min()), 0.0)
    low = least + _LEVELS[0] * (1 - least)
    early = np.flatnonzero(progress[:half] < low)
    late = np.flatnonzero(progress[half:] >= _LEVELS[2])
    begin = int(early[-1]) + 1 if len(early) else 0
    end = half + int(late[0]) if len(late) else len(steps) - 1
    _, middle, high = _LEVELS
    return (
        _crossing(steps, progress, begin, low),
        _crossing(steps, progress, half, middle),
        _crossing(steps, progress, end, high),
    )


def _crossing(steps: Series, progress: Series, index: int, level: float) -> float:
    if index == 0 or progress[index] == progress[index - 1]:
        return float(steps[index])
    part = np.clip((level - progress[index - 1]) / (progress[index] - progress[index - 1]), 0, 1)
    return float(steps[index - 1] + part * (steps[index] - steps[index - 1]))
