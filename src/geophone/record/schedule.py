"""When to measure."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from geophone.errors import InputError


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which training steps are measured, as a value; steps count updates done.

    `every`: multiples of it (5, 10, 15 ...). `dense_until`: besides, every step up to this one. `per_decade`: instead
    of `every`, about that many steps in each factor of ten, evenly spaced on a log scale. `steps`: exactly these and
    no others; step 0 is the network before training. `overhead`: besides, a limit on the time that measuring takes,
    as a share of training time (0.05 is 5 %): a due step is passed over while the limit is used up, which
    stretches the interval; which steps were measured then depends on the clock, and is in the series.

    Raises InputError for values that cannot be meant together.
    """

    every: int = 5
    dense_until: int = 0
    per_decade: int | None = None
    steps: tuple[int, ...] | None = None
    overhead: float | None = None

    def __post_init__(self) -> None:
        whole("every", self.every, 1, "steps")
        whole("dense_until", self.dense_until, 0, "steps")
        if self.per_decade is not None:
            whole("per_decade", self.per_decade, 1, "steps")
        if self.steps is not None:
            object.__setattr__(self, "steps", tuple(sorted({whole("steps", s, 0, "steps") for s in self.steps})))
            if not self.steps:
                raise InputError("steps=() measures nothing; name at least one step, or leave it out.")
            if self.per_decade is not None or self.dense_until:
                raise InputError("steps= names every measured step; leave out per_decade and dense_until.")
        if self.overhead is not None and not 0 < self.overhead < 1:
            raise InputError(
                f"overhead={self.overhead!r}: give a share of training time between 0 and 1, such as 0.05."
            )

    def due(self, step: int) -> bool:
        """Whether the network is to be measured after `step` updates (`overhead` aside)."""
        if self.steps is not None:
            return step in self.steps
        if step < 1:
            return False
        if step <= self.dense_until:
            return True
        if self.per_decade is not None:
            nearest = round(math.log10(step) * self.per_decade)
            return any(round(10 ** (k / self.per_decade)) == step for k in (nearest - 1, nearest, nearest + 1))
        return step % self.every == 0

    def as_dict(self) -> dict[str, Any]:
        """What a manifest keeps of it: the settings that are not at their default, and `every` where it is used."""
        kept = {key: value for key, value in asdict(self).items() if value not in (None, 0)}
        if self.steps is not None or self.per_decade is not None:
            kept.pop("every")
        return kept


class Pace:
    """Which steps are measured as the training goes: those that `schedule` says, within its limit on time.

    `grant(step)` decides over the call that comes next, `take(step)` gives the decision when it is done; `passed_over`
    counts the calls that were due and not measured. A call may count several updates: it is due where one of them is,
    and as many are expected of the next. The limit compares the time inside of `measuring` with the time outside.
    """

    def __init__(self, schedule: Schedule, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._schedule, self._clock = schedule, clock
        self._start, self._spent = clock(), 0.0
        self._span, self._expected, self._in_time = 1, 0, False
        self.passed_over = 0

    def due(self, step: int) -> bool:
        return self._schedule.due(step)

    def grant(self, step: int) -> bool:
        """Whether a call for `step` and the next ones would be due, and there is time for a measurement."""
        training = self._clock() - self._start - self._spent
        share = self._schedule.overhead
        self._expected, self._in_time = step, share is None or self._spent <= share * training
        return self._in_time and any(map(self.due, range(step, step + self._span)))

    def granted(self, step: int) -> bool:
        """Whether the call that has come to `step` is measured."""
        return self._in_time and any(map(self.due, range(self._expected, step + 1)))

    def take(self, step: int) -> bool:
        """`granted`, now that the call is done."""
        due = any(map(self.due, range(self._expected, step + 1)))
        self.passed_over += due and not self._in_time
        self._span = max(1, step - self._expected + 1)
        return due and self._in_time

    @contextmanager
    def measuring(self) -> Iterator[None]:
        start = self._clock()
        try:
            yield
        finally:
            self._spent += self._clock() - start

    def as_dict(self) -> dict[str, Any]:
        """`Schedule.as_dict`, and under a limit on time how many measurements it cost."""
        passed_over = {} if self._schedule.overhead is None else {"passed_over": self.passed_over}
        return self._schedule.as_dict() | passed_over


def whole(name: str, value: int, least: int, unit: str) -> int:
    """`value`, if it is a whole number of at least `least`. Raises InputError otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name}={value!r}: give a whole number of {unit}, {least} or more.")
    return value
