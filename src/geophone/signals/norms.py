"""Euclidean norms of gradients, weights and updates: of the whole network and of each of its layers."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from geophone.rows.series import LAYER_NORMS as LAYER_NORMS
from geophone.rows.series import NORMS as NORMS


def total_norm(tensors: Sequence[torch.Tensor]) -> float:
    """Euclidean norm over all entries of `tensors`."""
    return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors)))))


def grouped_norms(tensors: Sequence[torch.Tensor | None], groups: npt.NDArray[np.intp], count: int) -> np.ndarray:
    """The norm over each group's tensors, then over all of them: (count + 1,).

    `groups` (len(tensors),) says which of `count` layers every tensor belongs to, -1 for none (it counts in the whole
    only). A None (a parameter without a gradient) counts as nothing; a group that has nothing else is NaN.
    """
    there = [i for i, tensor in enumerate(tensors) if tensor is not None]
    squares = np.full(len(tensors), -1.0)
    squares[there] = np.square(each_norm([t for t in tensors if t is not None]).cpu().numpy())
    return by_group(squares, groups, count)


@torch.no_grad()
def each_norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The norm of each tensor, (len(tensors),) in float64, where they are; those of several devices on the CPU."""
    sizes = torch._foreach_norm(list(tensors)) if tensors else ()
    if len({size.device for size in sizes}) > 1:
        sizes = tuple(size.cpu() for size in sizes)
    same = sizes if len({size.dtype for size in sizes}) == 1 else [size.double() for size in sizes]
    return torch.stack(list(same)).double() if sizes else torch.empty(0, dtype=torch.float64)


def by_group(squares: npt.NDArray[np.float64], groups: npt.NDArray[np.intp], count: int) -> np.ndarray:
    """`grouped_norms` of tensors whose norms have these `squares`, -1 for a None."""
    there = ~(squares < 0)
    owned = there & (groups >= 0)
    sums = np.full(count + 1, np.nan)
    totals = np.bincount(groups[owned], weights=squares[owned], minlength=count)
    some = np.bincount(groups[owned], minlength=count) > 0
    sums[:count][some] = totals[some]
    if there.any():
        sums[count] = squares[there].sum()
    return np.sqrt(sums)


def owners(parameters: Sequence[str], layers: Sequence[str]) -> npt.NDArray[np.intp]:
    """Which of `layers` (module paths) every parameter name belongs to: the deepest module around it, -1 for none.

    A layer that is a block update, "blocks.3+", owns what its block owns.
    """
    places: dict[str, int] = {}
    for index, layer in enumerate(layers):
        places.setdefault(layer.removesuffix("+"), index)
    owner = []
    for name in parameters:
        path = name
        while path and path not in places:
            path = path.rpartition(".")[0]
        owner.append(places.get(path, -1))
    return np.array(owner, dtype=np.intp)
