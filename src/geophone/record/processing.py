"""What is made of a measurement once it was caught: numbers, alarms and rows on disk, in the order of the steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from geophone.dimensions.spectrum import one_lapack_thread
from geophone.record.faults import Absences, Precision
from geophone.record.measurement import Measurer, Rowset
from geophone.record.norms import Norms, TensorNorms
from geophone.record.readers import Caught
from geophone.record.scoring import Scored
from geophone.record.watch import Alarm, Listener
from geophone.store.writer import Row, RunWriter

# What a tensor of a measurement is of (rows, noise, scored, norms), and its name there.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """Measurement `index`, after `step` updates: what was `caught` (None where that failed), the norms where they are
    read, and the `scalars` of the step, which a norm does not take the place of."""

    index: int
    step: int
    caught: Caught | None
    norms: TensorNorms | None
    scalars: Mapping[str, Any]

    def with_norms(self) -> tuple[dict[str, Any], list[Norms]]:
        """The scalars with the norms of the whole network, and the norms of each layer in the order of the layers."""
        whole, each = ({}, []) if self.norms is None else self.norms.norms()
        return {**{name: value for name, value in whole.items() if not math.isnan(value)}, **self.scalars}, each

    @property
    def tensors(self) -> dict[Key, torch.Tensor]:
        """Everything large that it holds, by kind and name."""
        values = None if self.norms is None else self.norms.values
        parts = {} if values is None else {("norms", "values"): values}
        if self.caught is None:
            return parts
        parts |= {("rows", name): rows for name, rows in self.caught.rows.items()}
        parts |= {("noise", name): rows for name, rows in (self.caught.noise or {}).items()}
        scored = self.caught.scored
        said = {} if scored is None else {"behaviour": scored.behaviour, "outputs": scored.outputs}
        return parts | {("scored", name): each for name, each in said.items() if each is not None}

    def holding(self, tensors: Mapping[Key, torch.Tensor]) -> "Measurement":
        """The same with `tensors`, named as its own are, in the place of these."""
        norms = None if self.norms is None else replace(self.norms, values=tensors.get(("norms", "values")))
        caught = self.caught
        if caught is not None:
            rows, noise = ({n: t for (kind, n), t in tensors.items() if kind == each} for each in ("rows", "noise"))
            said = Scored(*(tensors.get(("scored", name)) for name in ("behaviour", "outputs")))
            scored = None if caught.scored is None else said
            caught = Caught(rows, None if caught.noise is None else noise, scored, caught.routed)
        return replace(self, caught=caught, norms=norms)


@dataclass(frozen=True, slots=True)
class Processed:
    """What came of one measurement: its alarms, the flat `record` of it where somebody asked for one, what went wrong
    on the way (`faults`: what failed, and the error) and sentences that are to be `told`: of layers that are absent, of
    behaviour that cannot be kept as it is."""

    step: int
    alarms: tuple[Alarm, ...] = ()
    record: dict[str, float] | None = None
    faults: tuple[tuple[str, Exception], ...] = ()
    told: tuple[str, ...] = ()


class Processing:
    """Turns one measurement after the other into rows, and listens. It holds no part of the model, so that it can go to
    another process."""

    def __init__(
        self, measurer: Measurer, writer: RunWriter, listener: Listener | None, *, flat: Sequence[str]
    ) -> None:
        self.writer = writer
        self._measurer, self._listener, self._flat = measurer, listener, tuple(flat)
        self._absences, self._precision = Absences(), Precision()

    def measured(self, it: Measurement) -> Processed:
        """Measure, write and listen. A measurement that fails has rows that say so."""
        with one_lapack_thread():
            return self._measured(it)

    def _measured(self, it: Measurement) -> Processed:
        faults: list[tuple[str, Exception]] = []
        rows = self._measurer.failed(it.index, it.step)
        scalars, norms = it.with_norms()
        try:
            if it.caught is not None:
                rows = self._measurer.rows(it.index, it.step, it.caught, norms)
        except Exception as error:  # LAPACK and a layer's values may raise anything; the session tells it
            faults.append(("a measurement", error))
        row = {"index": it.index, "step": it.step, **scalars}
        self.writer.add(rows.series, row, lists=rows.lists, concepts=rows.concepts)
        main = [row for row in rows.series if row["probe"] == "main"]
        told = (*self._absences.count(main), *self._imprecise(it.caught, rows))
        alarms: list[Alarm] = []
        try:
            alarms = [] if self._listener is None else self._listener.hear(it.step, main, rows.lists)
        except Exception as error:  # what listens must not end what it listens to; the session tells it
            faults.append(("what watches the measurements", error))
        return Processed(it.step, tuple(alarms), self._record(it.step, scalars, main), tuple(faults), told)

    def _imprecise(self, caught: Caught | None, rows: Rowset) -> tuple[str, ...]:
        if caught is None or caught.scored is None or caught.scored.behaviour is None or "behaviour" not in rows.lists:
            return ()
        given = caught.scored.behaviour.cpu().double().numpy()
        return self._precision.lost(given, rows.lists["behaviour"]["behaviour"])

    def recall(self, it: Measurement) -> None:
        """Remember a measurement that is written already."""
        with one_lapack_thread():
            if it.caught is not None:
                self._measurer.rows(it.index, it.step, it.caught, [])

    def begin_anew(self) -> None:
        """Forget what was measured before: it is not what the next measurement follows."""
        self._measurer.begin_anew()

    def _record(self, step: int, scalars: Mapping[str, float], rows: Sequence[Row]) -> dict[str, float] | None:
        if not self._flat:
            return None
        flat = {f"{name}/{row['layer']}": row[name] for row in rows for name in self._flat}
        return {"step": step, **scalars, **flat}


class Room(Protocol):
    """Where measurements are processed. What goes in comes out in the same order."""

    def scalars(self, row: Row) -> None:
        """The row of a step that is not measured."""

    def measured(self, it: Measurement) -> None:
        """Take one measurement."""

    def recall(self, it: Measurement) -> None: ...

    def collect(self, *, wait: bool = False) -> list[Processed]:
        """What has been finished since the last call; with `wait`, all that was given."""

    def writer(self, name: str, *args: Any, **fields: Any) -> None:
        """Call the writer's method `name`, after everything that was given before."""

    @property
    def idle(self) -> bool:
        """Whether everything that was given is done, so that a call to the writer waits for nothing."""

    def end(self) -> None:
        """Let everything go."""


@dataclass(slots=True)
class Here:
    """The room that is the training's own process and thread: everything is done at once."""

    processing: Processing
    _done: list[Processed] = field(default_factory=list)

    def scalars(self, row: Row) -> None:
        self.processing.writer.add([], row)

    def measured(self, it: Measurement) -> None:
        self._done.append(self.processing.measured(it))

    def recall(self, it: Measurement) -> None:
        self.processing.recall(it)

    def collect(self, *, wait: bool = False) -> list[Processed]:
        done, self._done = self._done, []
        return done

    def writer(self, name: str, *args: Any, **fields: Any) -> None:
        getattr(self.processing.writer, name)(*args, **fields)

    @property
    def idle(self) -> bool:
        return True

    def end(self) -> None:
        """The writer lets its folder go by itself."""
