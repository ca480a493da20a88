"""Which layers took part in a transition, in which order, with which share."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from geophone.point.rule import LayerPart
from geophone.point.score import SMALL, by_layer, layer_levels
from geophone.point.signals import RunSignals
from geophone.records import LayerShare
from geophone.signals import ADDED

Series = npt.NDArray[np.float64]
BASELINE = 61
STANDS_OUT = 3.0
NEAR = 3
GAIN = "readable_gain"
TIES = 0.1
_TINY = 1e-300


def columns_of(run: RunSignals, part: LayerPart) -> list[int]:
    """The columns of `run.series` that a part is read on, those without any value above 0 left out."""
    values = run.layered(part.signal)
    if values is None:
        return []
    kinds = {"streams": run.streams, "updates": run.updates, "both": tuple(range(len(run.layers)))}
    return [i for i in kinds[part.columns] if (values[:, i] > 0).any()]


def excess(levels: Series) -> Series:
    """ln of every layer's level less its own running median over 61 measurements, in units of its robust deviation."""
    logs = np.log(np.maximum(levels, _TINY))
    rest = logs - median_filter(logs, size=(min(BASELINE, len(logs)), 1), mode="nearest")
    return rest / np.maximum(1.4826 * np.median(np.abs(rest), axis=0), 1e-3)


class LayerMap:
    """How much every layer (a module; what it adds counts as its own) did at every measurement of one run, read once
    and asked for each transition: by the first of the rule's `parts`, ties by the others, and by these alone where the
    run lacks it."""

    def __init__(self, run: RunSignals, parts: Sequence[LayerPart]) -> None:
        self.names = tuple(dict.fromkeys(layer.removesuffix(ADDED) for layer in run.layers))
        self._steps = run.steps
        ranking = np.full((len(parts), len(run), len(self.names)), np.nan)
        standing = np.full(ranking.shape, np.nan)
        for k, part in enumerate(parts):
            columns = columns_of(run, part)
            if not columns:
                continue
            levels = layer_levels(run, part.signal, part.kernel, columns)
            place = [self.names.index(run.layers[i].removesuffix(ADDED)) for i in columns]
            ranking[k][:, place] = np.log(by_layer(levels) + SMALL)
            standing[k][:, place] = excess(levels)
        # A layer in which something is lost gains nothing, and would come last by what it gains.
        lost = np.array([part.signal != GAIN for part in parts], dtype=bool)
        self._gained, self._changed = _decided(ranking), _decided(ranking[lost])
        self._standing = np.fmax.reduce(standing, axis=0) if len(parts) else ranking

    def layers(self, index: int, start: int, stop: int, *, gained: bool = True) -> tuple[LayerShare, ...]:
        """The layers that took part around measurement `index`, within measurements `start` to `stop`: the one that did
        most, and those that stand out of their own course by 3 robust deviations. `gained`: whether something came to
        be, so that what a layer gained counts. Empty where no layer was recorded."""
        ranking = self._gained if gained else self._changed
        if not self.names or not np.isfinite(ranking).any():
            return ()
        near = slice(max(0, index - NEAR), index + NEAR + 1)
        wide = slice(max(0, min(start, index - NEAR)), max(stop, index + NEAR) + 1)
        did = np.exp(np.nan_to_num(ranking[near], nan=-np.inf).max(0))
        standing = np.nan_to_num(self._standing[wide], nan=-np.inf)
        part = (standing.max(0) >= STANDS_OUT) & np.isfinite(ranking).any(0)
        part[int(did.argmax())] = True
        shares = did / did.sum()
        when = wide.start + _middles(standing)
        order = sorted(np.flatnonzero(part), key=lambda i: (when[i], -shares[i]))
        steps = np.interp(when, np.arange(len(self._steps)), self._steps)
        return tuple(LayerShare(self.names[i], round(float(steps[i])), float(shares[i])) for i in order)


def _middles(standing: Series) -> Series:
    """Where each column's peak lies (columns,), finer than its places: the centre of what is above half of it."""
    known = np.isfinite(standing)
    level = np.where(known, standing, 0.0)
    above = np.where(known, np.maximum(level - np.where(known.any(0), standing.max(0), 0.0) / 2, 0.0), 0.0)
    total = above.sum(0)
    places = np.arange(len(standing))[:, None]
    return np.where(total > 0, (above * places).sum(0) / np.where(total > 0, total, 1.0), standing.argmax(0))


def _decided(ranking: Series) -> Series:
    """The first part of `ranking` (parts, M, L), and a little of the others' mean, which decides between layers that
    are level in it; that mean alone where the run does not have the first."""
    first, rest = ranking[0] if len(ranking) else np.zeros((0, 0)), _mean(ranking[1:])
    return first + TIES * np.nan_to_num(rest) if np.isfinite(first).any() else rest


def _mean(stack: Series) -> Series:
    """The mean over axis 0 of what is there; NaN where nothing is."""
    there = np.isfinite(stack)
    count = there.sum(0)
    total = np.where(there, stack, 0.0).sum(0)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
