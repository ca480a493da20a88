"""From what a measurement caught to the rows that are written of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from geophone.dimensions import Reading, read_each
from geophone.record.layers import Plan
from geophone.record.readers import Caught, Rows
from geophone.record.what import What
from geophone.rows.series import ROUTED
from geophone.signals import CHANGES, LayerChanges, decodability
from geophone.store.writer import Row, series_row

# Fewer rows than these have no unbiased comparison.
_COMPARABLE = 4


@dataclass(frozen=True, slots=True)
class Rowset:
    """The rows of one measurement: of the series, of concepts, and one each of "behaviour" and "outputs"."""

    series: list[Row]
    concepts: list[Row] = field(default_factory=list)
    lists: Mapping[str, Row] = field(default_factory=dict)


class Measurer:
    """Measures what was caught: dimensions and changes of every layer, concepts, behaviour.

    Remembers the last 8 representations of every layer where the samples are the same at every measurement (`steady`).
    """

    def __init__(self, plan: Plan, what: What, *, steady: bool) -> None:
        # Values alone: a measurer can go to another process.
        self._layers, self._samples, self._names = plan.layers, plan.samples, what.names
        self._single = plan.single
        self._routed = {v.name for v in plan.layers if v.view == "routed"}
        alike = [v for v in plan.layers if steady and what.signals and v.name not in self._routed]
        self._changes = {v.name: LayerChanges() for v in alike if v.rows >= _COMPARABLE}
        self._concepts = plan.concepts
        self._sketch = None if plan.scorer is None else plan.scorer.sketch

    @property
    def signals(self) -> tuple[str, ...]:
        """The columns besides dimensions that the series gets from here."""
        return (*(CHANGES if self._changes else ()), *((ROUTED,) if self._routed else ()))

    def rows(self, index: int, step: int, caught: Caught, norms: Sequence[Mapping[str, float]]) -> Rowset:
        """The rows of measurement `index`; `norms`, one for each layer or none, go with those of the series."""
        series = self._series(index, step, "main", caught.rows, norms)
        if self._routed:
            counts = {name: caught.routed.get(name, 0) for name in self._routed}
            series = [{**row, ROUTED: counts.get(row["layer"], math.nan)} for row in series]
        if caught.noise is not None:
            series += self._series(index, step, "noise", caught.noise, [])
        scored = caught.scored
        behaviour = None if scored is None else scored.halved()
        lists: dict[str, Row] = {}
        if behaviour is not None:
            lists["behaviour"] = {"step": step, "behaviour": behaviour}
        if scored is not None and scored.outputs is not None and self._sketch is not None:
            lists["outputs"] = {"step": step, "outputs": self._sketch(scored.outputs)}
        return Rowset(series, self._readability(step, caught.rows), lists)

    def begin_anew(self) -> None:
        """Forget the representations that the next ones would be compared with."""
        self._changes = {name: LayerChanges() for name in self._changes}

    def failed(self, index: int, step: int) -> Rowset:
        """The rows of a measurement that could not be made."""
        nothing = dict.fromkeys(self._names, math.nan)
        return Rowset([series_row(index, step, layer, "failed", nothing) for layer in self._layers])

    def _series(self, index: int, step: int, probe: str, rows: Rows, norms: Sequence[Mapping[str, float]]) -> list[Row]:
        """A row per layer; a layer that did not run, or on another number of samples, is "absent"."""
        readings = read_each(rows, names=self._names, single=self._single)
        absent = Reading(dict.fromkeys(self._names, math.nan), "absent")
        made: list[Row] = []
        for layer, norm in zip(self._layers, norms or [{}] * len(self._layers), strict=True):
            reading = readings.get(layer.name, absent)
            values = {**reading.values, **norm}
            if probe == "main" and layer.name in self._changes:
                values |= self._change(layer.name, rows.get(layer.name))
            made.append(series_row(index, step, layer, reading.status, values, probe=probe))
        return made

    def _change(self, name: str, rows: torch.Tensor | None) -> dict[str, float]:
        if rows is None:
            return dict.fromkeys(CHANGES, math.nan)
        return self._changes[name].update(rows.detach().float().cpu().numpy())

    def _readability(self, step: int, rows: Rows) -> list[Row]:
        made: list[Row] = []
        for layer, matrix in rows.items() if self._concepts else ():
            if layer in self._routed:
                continue
            # Rows of one sample stand side by side; where a mask left some out, their number differs.
            if len(matrix) % self._samples:
                continue
            pooled = matrix.detach().float().cpu().unflatten(0, (self._samples, -1)).mean(1).numpy()
            for name, labels in self._concepts.items():
                found = decodability(pooled, labels)
                made.append(
                    {"step": step, "layer": layer, "concept": name, "value": found.value, "shuffled": found.shuffled,
                     "chance": found.chance}
                )  # fmt: skip
        return made
