"""Reading a layer's output as a matrix of samples x features."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.axes import FIRST, Samples, Shape, features_last, words
from geophone.record.naming import matches
from geophone.record.nested import Placed
from geophone.record.what import Views
from geophone.records import ADDED

MEANS = ("pooled", "mean")
VIEWS = ("channels", "pooled", "flat", "tokens", "last", "mean")
# Values that are made wider at a time.
_TOGETHER = 1 << 16
_FOR_THREE = ("tokens", "last", "mean", "flat", "channels", "pooled")
_FOR_MORE = ("channels", "pooled", "flat", "tokens", "mean")


@dataclass(frozen=True, slots=True)
class View:
    """Turns one layer's output into rows x features, the same way at every step.

    The output is brought to (N, positions, features) first: `samples` says where the samples stand, `order` the axes of
    what is left of a layout in words; `kind` is one of `VIEWS`. `positions` is None where all rows are read, else
    (N, k): the k positions drawn for each sample, of `count`; `real` (N, k) says which of them are not padding, where a
    mask says so. Positions of one sample are not independent of one another; drawing few of them per sample keeps the
    rows spread over the probe. In a batch of shorter samples, positions past their end are counted from the start
    again.
    """

    kind: str
    samples: Samples = FIRST
    order: tuple[int, ...] | None = None
    positions: torch.Tensor | None = None
    count: int = 0
    real: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    _placed: Placed = field(default_factory=Placed, init=False, repr=False, compare=False)

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        x = self.arranged(output)
        if self.kind == "routed":
            return x
        if self.kind == "flat":
            return x.flatten(1)
        if self.kind == "pooled":
            return _means(x.flatten(2).transpose(1, 2))
        if self.kind == "channels":
            return self._channels(x)
        tokens = x.flatten(1, -2)
        if self.kind == "tokens":
            return self._rows(tokens)
        return self._last(tokens) if self.kind == "last" else self._mean(tokens)

    def arranged(self, output: torch.Tensor) -> torch.Tensor:
        """The output with the samples first, and of a layout in words the features last."""
        if self.samples.fold > 1:
            return output.unflatten(0, (-1, self.samples.fold))
        if self.order is not None:
            return output.permute(self.order)
        return output if self.samples.axis == 0 else output.movedim(self.samples.axis, 0)

    def fits(self, output: torch.Tensor, samples: int) -> bool:
        """Whether `output` is of `samples` samples; of what is routed, whether it is rows x features."""
        if self.kind == "routed":
            return output.ndim == 2
        axis = self.order[0] if self.order is not None else self.samples.axis
        return axis < output.ndim and output.shape[axis] == samples * self.samples.fold

    def part(self, samples: slice) -> "View":
        """The view of some of the samples."""
        cut = [None if each is None else each[samples] for each in (self.positions, self.real, self.mask)]
        return replace(self, positions=cut[0], real=cut[1], mask=cut[2])

    def _rows(self, tokens: torch.Tensor) -> torch.Tensor:
        every, count = tokens.flatten(0, 1), tokens.shape[1]
        return every if self.positions is None else every.index_select(0, self._index(count, tokens.device))

    def _channels(self, x: torch.Tensor) -> torch.Tensor:
        last = x.movedim(1, -1)
        if self.positions is None:
            return last.flatten(0, -2)
        count = last[0, ..., 0].numel()
        if last.is_contiguous():
            # What convolutions put out on a CPU lies channels-last: its rows can be picked without a copy of it all.
            return last.flatten(0, -2).index_select(0, self._index(count, x.device))
        within = self._placed.on(x.device, ("within", count), lambda: self._within(count))
        index = within.unsqueeze(1).expand(-1, x.shape[1], -1)
        return x.flatten(2).gather(2, index).transpose(1, 2).flatten(0, 1)

    def _last(self, tokens: torch.Tensor) -> torch.Tensor:
        if self.mask is None or self.mask.shape[1] != tokens.shape[1]:
            return tokens[:, -1]
        mask, width, device = self.mask, tokens.shape[1], tokens.device
        ends = self._placed.on(device, ("ends", width), lambda: (torch.arange(width) * mask).argmax(1))
        return tokens[torch.arange(len(tokens), device=device), ends]

    def _mean(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = self.mask
        if mask is None or mask.shape[1] != tokens.shape[1]:
            return _means(tokens)
        return _means(tokens, self._placed.on(tokens.device, "mask", lambda: mask))

    def _within(self, count: int) -> torch.Tensor:
        """The positions (N, k) in an output of `count`."""
        assert self.positions is not None
        return self.positions if count >= self.count else self.positions % count

    def _index(self, count: int, device: torch.device) -> torch.Tensor:
        """Which rows of all N x `count` stand at the positions."""

        def made() -> torch.Tensor:
            within = self._within(count)
            rows = within + torch.arange(0, len(within) * count, count).unsqueeze(1)
            return rows.flatten() if self.real is None else rows[self.real]

        return self._placed.on(device, ("rows", count), made)


def kind_of(names: Sequence[str], module: nn.Module, shape: Shape, views: Views) -> str:
    """How the output of `module`, of `shape` with the samples first, is read: as `views` say of one of its `names` (its
    own first), else images by channel, sequences by token, vectors flat. Raises InputError for a view that does not
    fit."""
    if isinstance(views, str):
        views = {"**": views} if len(shape) > 2 else None
    for pattern, kind in (views or {}).items():
        if is_meant(pattern, names):
            return _checked(kind, shape, names[0])
    if len(shape) == 2:
        return "flat"
    return "tokens" if features_last(module, shape) else "channels"


def is_meant(pattern: str, names: Sequence[str]) -> bool:
    """Whether `pattern` matches one of the names of a layer, or of the block whose update it is."""
    return any(matches(pattern, each) for name in names for each in (name, name.removesuffix(ADDED)))


def _checked(kind: str, shape: Shape, layer: str) -> str:
    if " " in kind.strip():
        if words(kind, len(shape)) is None:
            raise InputError(
                f"layer {layer!r} has {len(shape)} axes, shape {shape}; views= says {kind!r}: name each of them "
                "once, N for the samples and C or D for the features."
            )
        return kind
    fitting = {2: ("flat",), 3: _FOR_THREE}.get(len(shape), _FOR_MORE)
    if kind not in fitting:
        raise InputError(
            f"layer {layer!r} has output of shape {shape}, which cannot be read as view {kind!r}; "
            f"use one of {', '.join(fitting)}, or name the axes, such as 'N H W C'."
        )
    return kind


def view_of(
    kind: str,
    shape: Shape,
    *,
    rows: int,
    rng: np.random.Generator,
    samples: Samples = FIRST,
    mask: torch.Tensor | None = None,
) -> View:
    """The view of an output of `shape`, drawing about `rows` rows in all where there are positions.

    With a `mask` (N, positions), True at what is real, only real positions are drawn; a sample that has fewer than its
    share gives all it has.
    """
    order: tuple[int, ...] | None = None
    layout = words(kind, len(shape)) if " " in kind else None
    if layout is not None:
        axes, positions = layout
        kind, order = ("tokens" if positions else "flat"), tuple(axes)
    bare = View(kind, samples, order, mask=mask)
    if kind not in ("channels", "tokens"):
        return bare
    arranged = tuple(bare.arranged(torch.empty(shape, device="meta")).shape)
    places = arranged[1:-1] if kind == "tokens" else arranged[2:]
    number, count = arranged[0], int(np.prod(places))
    masked = mask is not None and tuple(mask.shape) == (number, count) and not bool(mask.all())
    per_sample = max(1, rows // number)
    if per_sample >= count and not masked:
        return bare
    order_of_drawing = rng.random((number, count))
    if masked:
        order_of_drawing[~np.asarray(mask)] = 2.0
    drawn = np.sort(order_of_drawing.argsort(1)[:, :per_sample], axis=1)
    real = torch.from_numpy(np.take_along_axis(np.asarray(mask), drawn, axis=1)) if masked else None
    return View(kind, samples, order, torch.from_numpy(drawn), count, real, mask)


def size_of(view: View, shape: Shape) -> Sequence[int]:
    """Rows and features of what `view` makes of an output of `shape`."""
    view = View(view.kind, view.samples, view.order, view.positions, view.count, view.real)
    return view(torch.empty(shape, device="meta")).shape


def _means(x: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
    """Means over the positions of `x` (N, positions, features), or over those that are `real` (N, positions).

    In float64, and kept so, where the device has it: where samples differ by a thousandth of what they have in common,
    the rounding of a mean to float32 shows in their spectrum.
    """
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    # On a CPU, values are made wider in a copy; of a few samples at a time it stays in the processor's cache.
    few = len(x) if x.device.type != "cpu" else max(1, _TOGETHER // max(1, x[0].numel()))
    if real is None:
        return torch.cat([part.sum(1, dtype=wide) for part in x.split(few)]) / x.shape[1]
    of = real.unsqueeze(2)
    pieces = zip(x.split(few), of.split(few), strict=True)
    sums = torch.cat([torch.where(is_real, part, 0).sum(1, dtype=wide) for part, is_real in pieces])
    return sums / of.sum(1).clamp(min=1)
