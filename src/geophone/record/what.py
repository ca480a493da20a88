"""What of a model is recorded, as one value."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from geophone.dimensions import NAMES, VERSIONS, chosen
from geophone.errors import InputError
from geophone.record.schedule import whole

Selector = str | type | nn.Module
Views = str | Mapping[str, str] | None
# What tokens are in words, by number, or from numbers.
Texts = Sequence[str] | Mapping[int, str] | Callable[[list[int]], Sequence[str]] | None
NEXT_TOKEN = "next-token"


@dataclass(frozen=True, slots=True, eq=False)
class What:
    """What a `Recorder` reads at a measurement; checked when it is made, as far as can be without the model.

    `layers`: module paths, canonical names ("blocks.3+attention"), globs over either, in which `*` stops at a dot and
    `**` does not, modules or types (None: the blocks, and the weight layers outside them). `views`: one view for all
    layers, or a mapping from path, name or glob to view. `rows`: about how many rows a layer with positions draws in
    all, the same ones at every step. `dimensions`: names from the catalogue (None: all). `noise`: a second batch of as
    many other samples, read at every `noise_every`-th measurement, whose distance from the probe's values is the
    measurement noise.

    `labels` say how well each sample of the probe is answered (behaviour): classes (samples,) or (samples, positions)
    as whole numbers, -100 where nothing is scored; numbers of the output's shape; or "next-token". `behaviour` is a
    function instead, of the model's output and the probe, to one number per sample, rising with learning. `concepts`
    are labels of the probe's samples by name, classes or numbers, whose readability from every layer is followed.
    `updates`: what each block adds to its input is a layer of its own, "blocks.3+" (None: of the default layers yes, of
    named ones those that are named so). `signals`: the change of every layer, the norms and a sketch of the output.
    `texts`: what the probe's tokens are in words, by number, or a function of numbers such as a tokenizer's
    `convert_ids_to_tokens`; for people to read, nothing is computed from them.
    `batch`: how many samples of the probe go forward at a time (None: all); the numbers are the same, the memory is
    not. It is for networks that answer every sample by itself.

    Raises InputError for a value that no model could be recorded with.
    """

    layers: Selector | Iterable[Selector] | None = None
    views: Views = None
    rows: int = 1024
    dimensions: Iterable[str] | None = None
    noise: Any = None
    noise_every: int = 10
    labels: Any = None
    behaviour: Callable[[Any, Any], Any] | None = None
    concepts: Mapping[str, Any] | None = None
    updates: bool | None = None
    signals: bool = True
    batch: int | None = None
    texts: Texts = None

    def __post_init__(self) -> None:
        # What can be gone through only once, such as a generator, is kept.
        if not isinstance(self.layers, str | type | nn.Module | None):
            object.__setattr__(self, "layers", tuple(self.layers))
        if self.dimensions is not None:
            object.__setattr__(self, "dimensions", tuple(d.name for d in chosen(tuple(self.dimensions))))
        whole("rows", self.rows, 2, "rows")
        if self.batch is not None:
            whole("batch", self.batch, 1, "samples")
        whole("noise_every", self.noise_every, 1, "measurements")
        if self.labels is not None and self.behaviour is not None:
            raise InputError("labels= and behaviour= both say how samples are scored; give one of the two.")
        if isinstance(self.labels, str) and self.labels != NEXT_TOKEN:
            raise InputError(f'labels={self.labels!r}: give labels of the probe\'s samples, or "{NEXT_TOKEN}".')
        if self.behaviour is not None and not callable(self.behaviour):
            raise InputError(f"behaviour={self.behaviour!r}: give a function of the output and the probe.")
        if self.concepts is not None and not isinstance(self.concepts, Mapping):
            raise InputError(f"concepts= is a mapping from names to labels; got {type(self.concepts).__name__}.")

    @property
    def selectors(self) -> tuple[Selector, ...] | None:
        """`layers`, one or several, as several; None where the default ones are meant."""
        if isinstance(self.layers, str | type | nn.Module):
            return (self.layers,)
        return None if self.layers is None else tuple(self.layers)

    @property
    def of_probe(self) -> tuple[str, ...]:
        """The fields in use that speak of a probe's own samples."""
        fields = {"noise": self.noise, "labels": self.labels, "behaviour": self.behaviour, "batch": self.batch}
        return (
            *(name for name, value in fields.items() if value is not None),
            *(["concepts"] if self.concepts else []),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The dimensions that are read, in the catalogue's order."""
        return NAMES if self.dimensions is None else tuple(self.dimensions)

    @property
    def definitions(self) -> dict[str, int]:
        """The version of each dimension that is read."""
        return {name: VERSIONS[name] for name in self.names}
