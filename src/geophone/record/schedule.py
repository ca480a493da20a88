"""When to measure."""

from dataclasses import dataclass

from geophone.errors import InputError


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which training steps are measured, as a value.

    Every `every` steps, counting updates done: 5, 10, 15 ... Not a time limit and not a number of measurements.
    Raises InputError unless `every` is a whole number of at least 1.
    """

    every: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.every, int) or isinstance(self.every, bool) or self.every < 1:
            raise InputError(f"every={self.every!r}: give a whole number of steps, 1 or more.")

    def due(self, step: int) -> bool:
        """Whether the network is measured after `step` updates."""
        return step % self.every == 0
