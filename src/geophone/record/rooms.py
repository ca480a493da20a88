"""Where the measurements of a recorder are processed: in the training's own thread, and later perhaps behind it."""

import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from geophone.record.behind import MEMORY, Behind, Child, Lost, is_on_accelerator, is_worth_it, size_of
from geophone.record.processing import Here, Measurement, Processed, Processing, Room
from geophone.record.transit import Transit, is_here
from geophone.store.writer import Row

# Measuring has to have taken so long before a process is started for it, which takes seconds itself.
_PATIENCE = 2.0
# Measurements of more bytes are LAPACK's work, which needs no interpreter: a thread will do, and copies nothing. Beside
# a training on an accelerator it would not: what launches the work there wants the interpreter all the time.
_LARGE = MEMORY // 2
_Value = TypeVar("_Value")


class Thread:
    """The room that is another thread of the training's process, with one measurement in it at a time."""

    def __init__(self, processing: Processing) -> None:
        self._processing, self._pool = processing, ThreadPoolExecutor(1, "geophone")
        self._given: deque[Future[Processed | None]] = deque()
        self._done: list[Processed] = []

    def scalars(self, row: Row) -> None:
        self._given.append(self._pool.submit(self._processing.writer.add, [], row))

    def measured(self, it: Measurement) -> None:
        self._give(self._processing.measured, it)

    def recall(self, it: Measurement) -> None:
        self._give(self._processing.recall, it)

    def collect(self, *, wait: bool = False) -> list[Processed]:
        while self._given and (wait or self._given[0].done()):
            outcome = self._given.popleft().result()
            self._done += [] if outcome is None else [outcome]
        done, self._done = self._done, []
        return done

    def writer(self, name: str, *args: Any, **fields: Any) -> None:
        self._done = self.collect(wait=True)
        getattr(self._processing.writer, name)(*args, **fields)

    @property
    def idle(self) -> bool:
        return all(given.done() for given in self._given)

    def end(self) -> None:
        self._pool.shutdown()

    def _give(self, make: Callable[[Measurement], Processed | None], it: Measurement) -> None:
        self._done = self.collect(wait=True)
        self._given.append(self._pool.submit(make, it))


class Rooms:
    """A room that moves: `settle` after each measurement decides whether the next ones go on behind the training: large
    ones in a thread, others in a process.

    `sync`: True stays here; False moves at the first measurement; None moves where the training leaves a core free, to
    a process once measuring has taken some seconds. A process that is lost is told of in a warning; measurements are
    processed here from then on. What was caught on an accelerator comes to the CPU first, whatever the room, so that
    the numbers do not depend on it; behind the training, nobody waits for that.
    """

    def __init__(self, processing: Processing, model: nn.Module, sync: bool | None) -> None:
        self._room: Room = Here(processing)
        self._processing, self._model, self._sync = processing, model, sync
        self._child: Child | None = None
        self._transit = Transit()
        self._spent, self._settled = 0.0, sync is True

    @property
    def is_behind(self) -> bool:
        return not isinstance(self._room, Here)

    def settle(self, it: Measurement, seconds: float) -> None:
        """Take note of a measurement that took `seconds` here; `it` tells how much room the next ones need."""
        if self._settled or it.caught is None:
            return
        self._spent += seconds
        size = size_of(it)
        if self._child is None and (self._sync is False or self._spent > _PATIENCE or size > _LARGE):
            self._settled = self._sync is None and not is_worth_it(self._model)
            if not self._settled and size > _LARGE and not is_on_accelerator(self._model):
                self._room, self._settled = Thread(self._processing), True
            elif not self._settled:
                self._child = self._started(size)
        self._move()

    def _started(self, size: int) -> Child | None:
        try:
            return Child(size)
        except OSError as error:  # no more processes or memory to be had
            self._stay(str(error))
            return None

    def _move(self) -> None:
        """Go on behind the training once the process there is ready."""
        if self._child is None:
            return
        try:
            if self._child.is_ready(wait=self._sync is False):
                self._room, self._settled = Behind(self._child, self._processing), True
        except Lost:
            self._child.end()
            self._stay("it ended before it began")

    def _stay(self, why: str) -> None:
        self._settled, self._child = True, None
        if self._sync is False:
            warnings.warn(f"geophone: no process could be had that measures behind the training: {why}.", stacklevel=2)

    def scalars(self, row: Row) -> None:
        """The row of a step that is not measured."""
        if self._transit.idle and not any(isinstance(value, torch.Tensor) for value in row.values()):
            self._tried(lambda room: room.scalars(row))
        else:
            self._transit.put("scalars", row)

    def measured(self, it: Measurement) -> None:
        """Take one measurement."""
        self._take("measured", it)

    def recall(self, it: Measurement) -> None:
        """Remember a measurement that is written already."""
        self._take("recall", it)

    def _take(self, kind: str, it: Measurement) -> None:
        if self._transit.idle and is_here(it):
            self._tried(partial(_give, kind=kind, content=it))
            return
        if self._transit.held + size_of(it) > MEMORY:  # one always may be under way
            self._hand_on(wait=True)
        self._transit.put(kind, it)
        self._hand_on(wait=not self.is_behind)

    def collect(self, *, wait: bool = False) -> list[Processed]:
        """What has been finished since the last call; with `wait`, all that was given."""
        self._hand_on(wait=wait)
        return self._tried(lambda room: room.collect(wait=wait))

    def writer(self, name: str, *args: Any, **fields: Any) -> None:
        """Call the writer's method `name`, after everything that was given before."""
        self._hand_on(wait=True)
        self._tried(lambda room: room.writer(name, *args, **fields))

    @property
    def idle(self) -> bool:
        """Whether everything that was given is done."""
        return self._transit.idle and self._room.idle

    def end(self) -> None:
        """Let everything go."""
        self._room.end()
        if self._child is not None and isinstance(self._room, Here):
            self._child.end()

    def _hand_on(self, *, wait: bool) -> None:
        """Give the room what has come to the CPU; with `wait`, all of it."""
        for kind, content in self._transit.arrived(wait=wait):
            self._tried(partial(_give, kind=kind, content=content))

    def _tried(self, act: Callable[[Room], _Value]) -> _Value:
        try:
            return act(self._room)
        except Lost:
            assert isinstance(self._room, Behind)
            self._processing.begin_anew()
            self._room.abandon()
            self._room = Here(self._processing)
            warnings.warn(
                "geophone: the process that measured behind the training has ended; what it had not written is lost, "
                "changes are compared anew, and measurements are made beside the training from here on.",
                stacklevel=2,
            )
            return act(self._room)


def _give(room: Room, *, kind: str, content: Any) -> None:
    getattr(room, kind)(content)
