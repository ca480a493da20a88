"""What the axes of a layer's output are: samples, positions, features."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

# Modules whose features stand on the second axis of what they put out.
CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention, nn.modules.rnn.RNNBase)
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """Where the samples stand: on axis `axis`, or folded with `fold` positions each into the first one (fold > 1),
    sample by sample; or nowhere (fold 0), where the rows are those that were routed there."""

    axis: int = 0
    fold: int = 1

    def of(self, samples: int, shape: Shape) -> Shape:
        """The shape that an output of `shape` has on so many `samples`; as it is where nobody can say."""
        if not self.fold:
            return shape
        return (*shape[: self.axis], samples * self.fold, *shape[self.axis + 1 :])


FIRST = Samples()
ROUTED = Samples(0, 0)


def samples_axis(shape: Shape, samples: int, fewer: Shape | None, few: int) -> Samples | None:
    """Where the samples stand in an output of `shape` on `samples` samples that has the shape `fewer` on `few` of them.

    The axis whose length follows the number of samples; None where there is none. Without a second pass (`fewer` is
    None) it is the first axis or none.
    """
    if fewer is None or len(fewer) != len(shape):
        return FIRST if shape[0] == samples else None
    for axis, (length, less) in enumerate(zip(shape, fewer, strict=True)):
        if (length, less) == (samples, few):
            return Samples(axis)
    fold = shape[0] // samples
    return Samples(0, fold) if (shape[0], fewer[0]) == (fold * samples, fold * few) and fold > 1 else None


def is_routed(shape: Shape, fewer: Shape | None) -> bool:
    """Whether an output of `shape`, of which no axis follows the samples, is of as many of their positions as a router
    sent there: rows x features, of other rows where fewer samples went forward (None: of none)."""
    return len(shape) == 2 and (fewer is None or (fewer[1:] == shape[1:] and fewer[0] < shape[0]))


def features_last(module: nn.Module, shape: Shape) -> bool:
    """Whether the features of an output of `shape` (samples first, three or more axes) stand on its last axis; else on
    its second.

    A module without parts is known by its kind: convolutions, batch norm and pooling have them second, what works on
    the last axis has them last. For one with parts, the width of the last part with weights decides where only one of
    the two axes has it; otherwise three axes are (samples, positions, features) and more are an image, channels
    first, unless no part is a convolution.
    """
    leaves = [m for m in module.modules() if isinstance(m, CHANNELS_FIRST + _LAST)]
    if isinstance(module, CHANNELS_FIRST):
        return False
    if isinstance(module, _LAST) or not leaves:
        return len(shape) == 3 or isinstance(module, _LAST)
    convolutions = [m for m in leaves if isinstance(m, nn.modules.conv._ConvNd)]
    if not convolutions:
        return len(shape) == 3 or not any(isinstance(m, CHANNELS_FIRST) for m in leaves)
    widths = [w for w in map(_width, leaves) if w]
    second, last = (bool(widths) and widths[-1] == length for length in (shape[1], shape[-1]))
    if second != last:
        return last
    return len(shape) == 3 and not isinstance(leaves[-1], CHANNELS_FIRST)


def _width(module: nn.Module) -> int:
    for name in ("out_features", "out_channels", "num_features", "num_channels", "embedding_dim"):
        width = getattr(module, name, None)
        if isinstance(width, int):
            return width
    return 0


def words(layout: str, axes: int) -> tuple[Sequence[int], bool] | None:
    """The axes of a layout in words, such as "N H W C" or "T N D", in the order samples, positions, features, and
    whether there are features; None where it does not fit so many axes. N is the samples, C or D the features."""
    names = layout.split()
    features = [i for i, name in enumerate(names) if name in ("C", "D")]
    if len(names) != axes or len(set(names)) != axes or "N" not in names or len(features) != 1:
        return None
    positions = [i for i in range(axes) if i != names.index("N") and i not in features]
    return [names.index("N"), *positions, *features], bool(positions)
