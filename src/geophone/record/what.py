"""What of a model is recorded, as one value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from geophone.dimensions import NAMES, VERSIONS, chosen
from geophone.errors import InputError

Selector = str | type | nn.Module
Views = str | Mapping[str, str] | None


@dataclass(frozen=True, slots=True, eq=False)
class What:
    """What a `Recorder` reads at a measurement; checked when it is made, as far as can be without the model.

    `layers`: module paths, globs over paths, modules or types (None: the blocks, and the weight layers outside
    them). `views`: one view for all layers, or a mapping from path or glob to view. `rows`: about how many rows a
    layer with positions draws in all, the same ones at every step. `dimensions`: names from the catalogue (None: all).
    `noise`: a second batch of as many other samples, read at every `noise_every`-th measurement, whose distance from
    the probe's values is the measurement noise.

    Raises InputError for a value that no model could be recorded with.
    """

    layers: Selector | Iterable[Selector] | None = None
    views: Views = None
    rows: int = 1024
    dimensions: Iterable[str] | None = None
    noise: Any = None
    noise_every: int = 10

    def __post_init__(self) -> None:
        # What can be gone through only once, such as a generator, is kept.
        if not isinstance(self.layers, str | type | nn.Module | None):
            object.__setattr__(self, "layers", tuple(self.layers))
        if self.dimensions is not None:
            object.__setattr__(self, "dimensions", tuple(d.name for d in chosen(tuple(self.dimensions))))
        whole("rows", self.rows, 2, "rows")
        whole("noise_every", self.noise_every, 1, "measurements")

    @property
    def selectors(self) -> tuple[Selector, ...] | None:
        """`layers`, one or several, as several; None where the default ones are meant."""
        if isinstance(self.layers, str | type | nn.Module):
            return (self.layers,)
        return None if self.layers is None else tuple(self.layers)

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions that are read, in the catalogue's order."""
        return NAMES if self.dimensions is None else tuple(self.dimensions)

    @property
    def definitions(self) -> dict[str, int]:
        """The version of each dimension that is read."""
        return {name: VERSIONS[name] for name in self.names}


def whole(name: str, value: int, least: int, unit: str) -> int:
    """`value`, if it is a whole number of at least `least`. Raises InputError otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name}={value!r}: give a whole number of {unit}, {least} or more.")
    return value
