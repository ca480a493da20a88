"""All that the ranker may look at: the signals of one run, as arrays. It carries no truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from geophone.errors import InputError
from geophone.signals import ADDED
from geophone.signals import LAGS as RECORDED_LAGS

Series = npt.NDArray[np.float64]
FADED = "readable_loss"  # readable_change - readable_gain: what could be read and no longer can
PROBABILITY = "probability of the right answer"
MAXIMUM = 2000  # measurements; longer runs are read at this many, evenly spaced
LAGS = {**RECORDED_LAGS, FADED: RECORDED_LAGS["readable_change"]}


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """How well each scored sample is answered: `values` (measurements, samples); `falling` where lower is better (the
    error of a regression); `name` says what they are where they are neither error nor probability. `facts`: what is
    known of the samples (`point.shared.facts`), to say what they share; the score does not look at it."""

    values: Series
    falling: bool = False
    name: str = ""
    facts: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """In words."""
        return self.name or ("error" if self.falling else PROBABILITY)

    @property
    def skill(self) -> Series:
        """`values` with the sign at which rising is learning."""
        return -self.values if self.falling else self.values


@dataclass(frozen=True, slots=True, eq=False)
class RunSignals:
    """The signals of one run at its M measurements.

    `steps` (M,) are training steps, increasing, spaced in any way. `scalars` (M,) by name: loss, gradient_norm,
    weight_norm, update_norm and whatever else the loop gave. `behaviour` and `outputs` (M, D) (a sketch of the
    network's outputs on the probe) are None where nothing was recorded of them. `series` (M, L) by signal name, over
    `layers` in the order in which they run; "blocks.3+" is what block 3 adds. A change is stored at the later of
    the two measurements that it compares (`geophone.signals.LAGS`). `concepts` (M, L) by concept is how well each layer
    tells it, `chances` the same for shuffled labels. Gaps are NaN.

    Raises InputError where shapes do not fit or steps do not increase.
    """

    name: str
    steps: Series
    layers: tuple[str, ...] = ()
    scalars: Mapping[str, Series] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict)
    behaviour: Behaviour | None = None
    outputs: Series | None = None
    concepts: Mapping[str, Series] = field(default_factory=dict)
    chances: Mapping[str, Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length, width = len(self.steps), len(self.layers)
        if length and (np.diff(self.steps) <= 0).any():
            raise InputError(f"{self.name}: the steps of its measurements do not increase.")
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        shapes |= {name: (values.shape, (length,)) for name, values in self.scalars.items()}
        for part in (self.series, self.concepts, self.chances):
            shapes |= {name: (values.shape, (length, width)) for name, values in part.items()}
        if self.outputs is not None:
            shapes["outputs"] = (self.outputs.shape, (length, self.outputs.shape[-1]))
        if self.behaviour is not None:
            shapes["behaviour"] = (self.behaviour.values.shape, (length, self.behaviour.values.shape[-1]))
        for name, (there, wanted) in shapes.items():
            if there != wanted:
                raise InputError(f"{self.name}: {name} has shape {there}; {wanted} is wanted.")

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def streams(self) -> tuple[int, ...]:
        """The columns of `series` that are layers as they are."""
        return tuple(i for i, layer in enumerate(self.layers) if not layer.endswith(ADDED))

    @property
    def updates(self) -> tuple[int, ...]:
        """The columns that are what a block adds; the layers as they are where the network has no such block."""
        added = tuple(i for i, layer in enumerate(self.layers) if layer.endswith(ADDED))
        return added or self.streams

    def layered(self, name: str) -> Series | None:
        """The per-layer signal `name` (M, L), recorded or derived ("readable_loss", the gain of the same change read
        backwards); None where the run does not have it."""
        if name == FADED and {"readable_change", "readable_gain"} <= self.series.keys():
            return self.series["readable_change"] - self.series["readable_gain"]
        return self.series.get(name)

    def centred(self, name: str) -> Series:
        """The per-layer signal `name`, every value of a change moved to the middle of the two measurements it compares.

        A lag is shorter while fewer measurements lie before, so the first L/2 places have changes over less time. The
        last L/2 places and the very first have none and take the nearest value, as gaps do.
        """
        late = self.layered(name)
        if late is None:
            raise InputError(f"{self.name} has no signal {name!r} of its layers; it has {', '.join(self.series)}.")
        lag, places = LAGS.get(name, 0), np.arange(len(self))
        if lag == 0:
            return filled(late)
        reach = np.minimum(lag, 2 * places)
        source = places + reach // 2
        inside = (source < len(self)) & (places > 0)
        middle = np.full(late.shape, np.nan)
        middle[inside] = late[source[inside]]
        return filled(middle)

    def thinned(self, limit: int = MAXIMUM) -> "RunSignals":
        """The same run at no more than `limit` of its measurements, evenly spaced; itself where it is no longer."""
        if len(self) <= limit:
            return self
        kept = np.linspace(0, len(self) - 1, limit).round().astype(int)
        behaviour = self.behaviour and replace(self.behaviour, values=self.behaviour.values[kept])
        return RunSignals(
            name=self.name,
            steps=self.steps[kept],
            layers=self.layers,
            scalars={name: values[kept] for name, values in self.scalars.items()},
            series={name: values[kept] for name, values in self.series.items()},
            behaviour=behaviour,
            outputs=None if self.outputs is None else self.outputs[kept],
            concepts={name: values[kept] for name, values in self.concepts.items()},
            chances={name: values[kept] for name, values in self.chances.items()},
        )


def filled(values: npt.ArrayLike) -> Series:
    """Gaps bridged by straight lines over measurements, the ends by the nearest value; 0 where there is none."""
    out = np.array(values, dtype=np.float64)
    if np.isfinite(out).all():
        return out
    places = np.arange(len(out))
    for column in out.reshape(len(out), -1).T:
        there = np.isfinite(column)
        column[:] = np.interp(places, places[there], column[there]) if there.any() else 0.0
    return out
