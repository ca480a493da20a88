"""The swap test: which layer's weights carry what was learned between two checkpoints of one network.

Layers rewound to an earlier checkpoint: Zhang, Bengio & Singer, Are all layers created equal?, JMLR 2022; patching
across models: Prakash et al. 2024.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from geophone.errors import InputError
from geophone.signals import ADDED

Weights = Mapping[str, torch.Tensor]
Answers = Callable[[Weights], npt.ArrayLike]
ENOUGH = 0.9  # a set of parts that carries this much is whole
_LEAST_GAIN = 0.02


@dataclass(frozen=True, slots=True)
class Piece:
    """What is swapped as one: `entries` are names in the state dict, each with the part's rows along axis 0 (None:
    the whole tensor), such as the rows of one attention head."""

    name: str
    entries: tuple[tuple[str, slice | None], ...]


@dataclass(frozen=True, slots=True)
class Swap:
    """One part swapped. With A after and B before, p the mean behaviour of the transition's own samples:

    `share` = (p(A) - p(A with the part of B)) / (p(A) - p(B)); `spill` the fall of the mean behaviour of the other
    samples that A answers; `reverse` = (p(B with the part of A) - p(B)) / (p(A) - p(B)); `controls` the same fall as in
    `share`, between the checkpoints of each control, over the same gain.
    """

    part: str
    share: float
    spill: float
    reverse: float
    controls: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SwapTest:
    """All parts, in the order given; `named` has the greatest share. `gain` = p(A) - p(B). `together` is the smallest
    set that greedy search reaches `enough` (.9) of the gain with (all parts, where none does), `together_share` its
    share: shares need not add to 1, a circuit spans parts, and parts back each other up."""

    swaps: tuple[Swap, ...]
    gain: float
    together: tuple[str, ...]
    together_share: float

    @property
    def named(self) -> Swap:
        return max(self.swaps, key=lambda swap: swap.share)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The weights of one network at two moments."""

    before: Weights
    after: Weights


def parts_of(layers: Sequence[str], weights: Weights) -> tuple[Piece, ...]:
    """A part per layer that has weights or buffers in `weights`; what a block adds ("blocks.3+") is its block's."""
    parts = []
    for layer in dict.fromkeys(name.removesuffix(ADDED) for name in layers):
        entries = tuple((key, None) for key in weights if key.startswith(layer + ".") or key == layer)
        if entries:
            parts.append(Piece(layer, entries))
    return tuple(parts)


def mixed(into: Weights, out_of: Weights, parts: Sequence[Piece]) -> dict[str, torch.Tensor]:
    """`into` with `parts` of `out_of`; neither is changed."""
    mixture = dict(into)
    for part in parts:
        for key, rows in part.entries:
            if rows is None:
                mixture[key] = out_of[key]
            else:
                mixture[key] = mixture[key].clone()
                mixture[key][rows] = out_of[key][rows]
    return mixture


def swap_test(
    pair: Pair,
    answers: Answers,
    parts: Sequence[Piece],
    *,
    own: npt.ArrayLike,
    controls: Sequence[Pair] = (),
    enough: float = ENOUGH,
) -> SwapTest:
    """Which of `parts` carries the gain of the samples `own` (indices) between `pair.before` and `pair.after`.

    `answers(weights)` gives the behaviour of every sample, rising where something is learned, of the network with those
    weights: one forward pass of the probe (`torch.func.functional_call` does it without touching the network). It is
    called 2 + 2 parts times, once per part and control, and for the greedy set. The test is causal, but only where
    the two checkpoints are near enough that layers of the one still fit the other: the controls show it.
    Raises InputError for no parts, no samples, or a gain of less than .02, which no share can be taken of.
    """
    indices = np.asarray(own, dtype=np.intp)
    if not parts or not len(indices):
        raise InputError("a swap test wants one part or more, and the samples that the transition moved.")
    before, after = (np.asarray(answers(weights), dtype=np.float64) for weights in (pair.before, pair.after))
    gain = float(after[indices].mean() - before[indices].mean())
    if abs(gain) < _LEAST_GAIN:
        raise InputError(f"the samples' behaviour differs by {gain:.3f} between the two checkpoints: nothing to share.")
    others = np.setdiff1d(np.flatnonzero(after >= _middle(after)), indices)

    def share(chosen: Sequence[Piece]) -> tuple[float, float]:
        moved = after - np.asarray(answers(mixed(pair.after, pair.before, chosen)), dtype=np.float64)
        return float(moved[indices].mean()) / gain, float(moved[others].mean()) if len(others) else float("nan")

    def given(part: Piece) -> float:
        moved = np.asarray(answers(mixed(pair.before, pair.after, [part])), dtype=np.float64) - before
        return float(moved[indices].mean()) / gain

    quiet = [_control_falls(control, answers, parts, indices) for control in controls]
    swaps = tuple(
        Swap(part.name, *share([part]), given(part), tuple(falls[i] / gain for falls in quiet))
        for i, part in enumerate(parts)
    )
    together, carried = _greedy(parts, swaps, lambda chosen: share(chosen)[0], enough)
    return SwapTest(swaps, gain, together, carried)


def _middle(values: npt.NDArray[np.float64]) -> float:
    return float(values.min() + values.max()) / 2


def _control_falls(control: Pair, answers: Answers, parts: Sequence[Piece], own: npt.NDArray[np.intp]) -> list[float]:
    whole = float(np.asarray(answers(control.after), dtype=np.float64)[own].mean())
    return [
        whole - float(np.asarray(answers(mixed(control.after, control.before, [part])), dtype=np.float64)[own].mean())
        for part in parts
    ]


def _greedy(
    parts: Sequence[Piece], swaps: Sequence[Swap], share: Callable[[Sequence[Piece]], float], enough: float
) -> tuple[tuple[str, ...], float]:
    """The part with the greatest share, then whichever adds most, until `enough` is reached."""
    order = [part for _, part in sorted(zip(swaps, parts, strict=True), key=lambda each: -each[0].share)]
    chosen, carried = [order[0]], max(swap.share for swap in swaps)
    while carried < enough and len(chosen) < len(order):
        rest = [part for part in order if part not in chosen]
        shares = [share([*chosen, part]) for part in rest]
        best = int(np.argmax(shares))
        chosen.append(rest[best])
        carried = shares[best]
    return tuple(part.name for part in chosen), carried
