"""Checkpoints whose weights are not their own: those of another step, whole or in part."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.ndimage import median_filter
from torch import nn

from geophone.record.checkpoints import tensor_digest
from geophone.store.writer import Row

Values = npt.NDArray[np.float64]

# So many entries of a tensor stand for it, drawn once from this seed and its size.
SAMPLED, _SEED = 64, 0xD16E
# So many of them must differ; single entries come back to a value that they had.
_FEWEST = 8
# In 16 bits, of which bfloat16 is the coarsest, whole tensors may: so many must differ, by 4 of its places.
_FEWEST_COARSE, _COARSE = 32, 4 * 2.0**-8
# Out of line is what lies so many times as far from its neighbours as they lie from one another ...
_FAR, _AROUND = 3.0, 9
# ... in two tensors, or in one that holds at least this part of all weights.
_PART = 0.1


def weight_rows(step: int, network: nn.Module) -> list[Row]:
    """A row per tensor of the state dict of `network`: its name, size and digest, and of a parameter `SAMPLED` of its
    entries, the same ones at every step. Tied weights are one tensor."""
    trained = {id(parameter) for parameter in network.parameters()}
    rows: list[Row] = []
    seen: set[int] = set()
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor) or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        flat = tensor.detach().reshape(-1)
        places = _places(flat.numel() if id(tensor) in trained else 0)
        sample = flat[places.to(flat.device)].float().cpu().numpy()
        rows.append(
            {"step": step, "tensor": name, "size": flat.numel(), "digest": tensor_digest(tensor), "sample": sample}
        )
    return rows


@lru_cache(maxsize=1024)
def _places(size: int) -> torch.Tensor:
    drawn = np.random.default_rng([_SEED, size]).choice(size, min(size, SAMPLED), replace=False)
    return torch.from_numpy(np.sort(drawn))


@dataclass(frozen=True, slots=True, eq=False)
class _Tensor:
    """One tensor at every step: `digests` (S,), and `values` (S, k) of its entries (none of a buffer)."""

    name: str
    size: int
    digests: tuple[str, ...]
    values: Values

    def apart(self, one: int, other: int) -> float:
        """The sum of squares by which two steps differ."""
        return float(np.square(self.values[one] - self.values[other]).mean()) * self.size if self.values.size else 0.0

    def differs(self, one: int, other: int) -> bool:
        """Whether coming back from one to the other by chance is out of the question."""
        a, b = self.values[one], self.values[other]
        if (self.values.astype(np.float32).view(np.uint32) & 0x1FFF).any():
            return int((a != b).sum()) >= _FEWEST
        return int((np.abs(a - b) > _COARSE * np.maximum(np.abs(a), np.abs(b))).sum()) >= _FEWEST_COARSE


def misplaced(weights: pd.DataFrame) -> dict[int, str]:
    """The steps whose weights are not their own, each with what was found; `weights` are rows of `weight_rows`.

    Equal to another step's in every tensor: of those steps the one stays that lies nearest to its neighbours (of
    neighbouring ones the first, at the end of the series the last). Or some tensors are: more than 3 times as far from
    the two steps before and the two after as these lie from one another; or equal to those of a step from which the
    steps between differ. A tensor that stays what it was is neither. The first and the last step have neighbours on one
    side only: of them alone what equals another step's is found, and a tensor of the step right before or after cannot
    be told from one that was frozen for that while.
    """
    steps, tensors = _tensors(weights)
    found: dict[int, str] = {}
    left = list(range(len(steps)))
    for index, original in _copies(tensors, left):
        found[steps[index]] = f"all its weights are those of step {steps[original]}"
    left = [index for index in left if steps[index] not in found]
    wrong = _out_of_line(tensors, left)
    left = [index for index in left if index not in wrong]
    wrong |= _returned(tensors, left)
    for index, those in wrong.items():
        found[steps[index]] = _sentence(steps, tensors, index, those)
    return dict(sorted(found.items()))


def _tensors(weights: pd.DataFrame) -> tuple[list[int], list[_Tensor]]:
    steps = sorted({int(step) for step in weights["step"]})
    made: list[_Tensor] = []
    for name, rows in weights.groupby("tensor", sort=False):
        rows = rows.sort_values("step")
        samples = list(rows["sample"])
        # What only some checkpoints have says nothing of their order.
        if len(rows) == len(steps) and len({len(sample) for sample in samples}) == 1:
            values = np.stack(samples).astype(np.float64)
            made.append(_Tensor(str(name), int(rows["size"].iloc[0]), tuple(rows["digest"]), values))
    return steps, made


def _copies(tensors: Sequence[_Tensor], left: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(step, step that it equals), as indices, for every step that equals another in all tensors."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for index in left if tensors else ():
        groups.setdefault(tuple(tensor.digests[index] for tensor in tensors), []).append(index)
    for group in groups.values():
        if len(group) > 1:
            run = _nearest(tensors, _runs(group, left), left)
            original = run[-1] if run[-1] == left[-1] and run[0] != left[0] else run[0]
            yield from ((index, original) for index in group if index != original)


def _runs(group: Sequence[int], left: Sequence[int]) -> list[list[int]]:
    """`group` in stretches of steps that follow one another in `left`."""
    members = set(group)
    return [list(run) for inside, run in groupby(left, key=members.__contains__) if inside]


def _nearest(tensors: Sequence[_Tensor], runs: Sequence[list[int]], left: Sequence[int]) -> list[int]:
    """The stretch that lies nearest to the steps around it."""
    place = {index: i for i, index in enumerate(left)}

    def distance(run: list[int]) -> float:
        ends = [(run[0], place[run[0]] - 1), (run[-1], place[run[-1]] + 1)]
        around = [(own, left[i]) for own, i in ends if 0 <= i < len(left)]
        each = [np.sqrt(sum(tensor.apart(own, other) for tensor in tensors)) for own, other in around]
        return float(np.mean(each)) if each else 0.0

    return min(runs, key=distance)


def _out_of_line(tensors: Sequence[_Tensor], left: Sequence[int]) -> dict[int, list[_Tensor]]:
    """The tensors that are far from their neighbours, by step. One that is makes its neighbours look well: the one that
    stands out most is taken away, and the rest looked at again."""
    every, kept, found = sum(tensor.size for tensor in tensors), list(left), {}
    while len(kept) > 2:
        excess = np.stack([_excess(tensor.values[kept]) for tensor in tensors]) if tensors else np.zeros((0, len(kept)))
        sizes = np.array([tensor.size for tensor in tensors])
        far = excess > _FAR
        enough = (far.sum(0) > 1) | (sizes @ far > _PART * every)
        if not enough.any():
            break
        worst = int(np.argmax(np.where(enough, np.where(far, excess, 0.0).max(0, initial=0.0), -1.0)))
        found[kept[worst]] = [tensor for tensor, is_far in zip(tensors, far[:, worst], strict=True) if is_far]
        del kept[worst]
    return found


def _excess(x: Values) -> Values:
    """How far every step (S, k) lies from the nearest of its four neighbours (S,), in the greatest of: their distances
    on one side and over the gap, and the usual one from step to step around there. 0 where fewer than 8 entries differ,
    and at both ends."""
    if not x.size:
        return np.zeros(len(x))
    near, wide = (x[lag:] - x[:-lag] for lag in (1, 2))
    with np.errstate(invalid="ignore", over="ignore"):
        one, two = (np.sqrt(np.square(d).mean(1)) for d in (near, wide))
    differ, differ_2 = (np.count_nonzero(d, axis=1) >= _FEWEST for d in (near, wide))
    moved, moved_2 = np.where(differ, one, 0.0), np.where(differ_2, two, 0.0)
    nothing, far = np.zeros(2), np.full(2, np.inf)
    # Before and after step i; what is not there is no neighbour.
    away = np.minimum.reduce([
        np.append(np.inf, moved), np.append(moved, np.inf), np.append(far, moved_2), np.append(moved_2, far),
    ])  # fmt: skip
    spread = np.maximum.reduce([
        np.concatenate([[0.0], two, [0.0]]), np.append(nothing, one[:-1]), np.append(one[1:], nothing),
        np.append(0.0, median_filter(one, size=_AROUND, mode="nearest")),
    ])  # fmt: skip
    away[[0, -1]] = 0.0
    return np.divide(away, spread, out=np.where(away > 0, np.inf, 0.0), where=spread > 0)


def _returned(tensors: Iterable[_Tensor], left: Sequence[int]) -> dict[int, list[_Tensor]]:
    """The tensors that are what they were at a step from which those between differ, by step."""
    found: dict[int, list[_Tensor]] = {}
    for tensor in tensors:
        groups: dict[str, list[int]] = {}
        for index in left:
            groups.setdefault(tensor.digests[index], []).append(index)
        wrong: set[int] = set()
        for group in groups.values():
            runs = _runs(group, left)
            if len(runs) < 2 or not tensor.values.size:
                continue
            gaps = [[i for i in left if one[-1] < i < other[0]] for one, other in pairwise(runs)]
            if not all(tensor.differs(group[0], i) for gap in gaps for i in gap):
                continue
            # Long the same on both sides of a short while: it was frozen, and the while is what is wrong.
            if all(len(gap) < min(len(a), len(b)) for gap, (a, b) in zip(gaps, pairwise(runs), strict=True)):
                wrong |= {i for gap in gaps for i in gap}
            else:
                wrong |= set(group) - set(_nearest([tensor], runs, left))
        for index in sorted(wrong):
            found.setdefault(index, []).append(tensor)
    return found


def _sentence(steps: Sequence[int], tensors: Sequence[_Tensor], index: int, those: Sequence[_Tensor]) -> str:
    others = [i for i in range(len(steps)) if i != index and all(t.digests[i] == t.digests[index] for t in those)]
    names = ", ".join(tensor.name for tensor in those[:2]) + (" and others" if len(those) > 2 else "")
    whose = f"are those of step {steps[others[-1]]}" if others else "are far from those of the steps before and after"
    return f"{len(those)} of {len(tensors)} tensors ({names}) {whose}"
