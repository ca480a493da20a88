"""What a case draws from the network itself: attention at three moments, and decisions over a plane."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.dig.heads import attention_layers
from geophone.dig.subject import Subject
from geophone.record.capture import ActivationCapture
from geophone.record.probe import undisturbed

INPUTS, PLANES, SIDE, TOKENS = 64, 20, 48, 40
_BEYOND = 0.35  # how far the plane reaches beyond the triangle of its samples, in its own size


@dataclass(frozen=True)
class Attention:
    """What heads attend to. `maps`: moment -> the pattern (T, T) of the head that changed most, on one input.

    `entropy`: role and moment -> mean entropy of attention over heads, queries and inputs, in nats. `moved`: role ->
    mean total variation distance between the patterns before and after, over the same (0: the same attention, 1:
    nothing in common).
    """

    layer: str
    head: int
    maps: dict[str, np.ndarray]
    entropy: dict[tuple[str, str], float]
    moved: dict[str, float]


@dataclass(frozen=True)
class Planes:
    """`cells`: moment, x, y, class over one plane through three samples of different classes (in units of the first two
    sides). `changed`: role -> the share of `PLANES` such planes on which the decided class differs between before and
    after. `classes`: role and moment -> mean number of classes decided on a plane. `samples` are the labels drawn."""

    cells: pd.DataFrame
    samples: tuple[int, ...]
    changed: dict[str, float]
    classes: dict[tuple[str, str], float]


def attention(
    subject: Subject, steps: Mapping[str, Mapping[str, int]], *, rng: np.random.Generator
) -> Attention | None:
    """How attention differs between the moments in `steps` (role -> moment -> step); None for a network without
    attention layers of the zoo."""
    models = subject.at([s for at in steps.values() for s in at.values()])
    layers = list(attention_layers(next(iter(models.values()))))
    if not layers:
        return None
    x = subject.samples.x[rng.permutation(len(subject.samples.x))[:INPUTS]]
    found = {step: _patterns(model, layers, x) for step, model in models.items()}
    target = steps["target"]
    moved = {role: _moved(found[at["before"]], found[at["after"]]) for role, at in steps.items()}
    layer = max(layers, key=lambda name: float(moved["target"][name].max()))
    head = int(moved["target"][layer].argmax())
    return Attention(
        layer, head,
        {moment: found[step][layer][0, head, :TOKENS, :TOKENS] for moment, step in target.items()},
        {(role, m): _entropy(found[step]) for role, at in steps.items() for m, step in at.items()},
        {role: float(np.mean(np.concatenate(list(each.values())))) for role, each in moved.items()},
    )  # fmt: skip


def planes(subject: Subject, steps: Mapping[str, Mapping[str, int]], *, rng: np.random.Generator) -> Planes | None:
    """What class the network decides on planes through three samples; None for fewer than three classes."""
    x, y = subject.samples.x, subject.samples.y
    if y.ndim != 1 or not x.is_floating_point() or subject.samples.classes < 3:
        return None
    models = subject.at([s for at in steps.values() for s in at.values()])
    labels, inputs = [], []
    for _ in range(PLANES):
        drawn = rng.choice(subject.samples.classes, 3, replace=False)
        corners = [int(rng.choice(np.flatnonzero(y.numpy() == label))) for label in drawn]
        labels.append(tuple(int(label) for label in drawn))
        inputs.append(_plane(x[corners], SIDE))
    decided = {step: [_decided(model, each) for each in inputs] for step, model in models.items()}
    grid = _grid(SIDE)
    cells = pd.concat(
        [
            pd.DataFrame({"moment": m, "x": grid[:, 0], "y": grid[:, 1], "class": decided[s][0]})
            for m, s in steps["target"].items()
        ],
        ignore_index=True,
    )
    return Planes(
        cells, labels[0],
        {role: _changed(decided[at["before"]], decided[at["after"]]) for role, at in steps.items()},
        {(role, m): float(np.mean([len(np.unique(each)) for each in decided[s]]))
         for role, at in steps.items() for m, s in at.items()},
    )  # fmt: skip


def _changed(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    return float(np.mean([(a != b).mean() for a, b in zip(before, after, strict=True)]))


def _patterns(model: nn.Module, layers: list[str], x: torch.Tensor) -> dict[str, np.ndarray]:
    names = [f"{name}.pattern" for name in layers]
    with undisturbed(model), torch.no_grad(), ActivationCapture(model, names) as capture:
        model(x)
        return {layer: capture[name].numpy() for layer, name in zip(layers, names, strict=True)}


def _moved(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Layer -> total variation distance a head, means over inputs and queries."""
    return {name: 0.5 * np.abs(after[name] - before[name]).sum(-1).mean((0, 2)) for name in before}


def _entropy(patterns: Mapping[str, np.ndarray]) -> float:
    return float(np.mean([-(p * np.log(np.maximum(p, 1e-12))).sum(-1).mean() for p in patterns.values()]))


def _grid(side: int) -> np.ndarray:
    """Coordinates (side^2, 2) over the triangle of the samples and somewhat beyond."""
    line = np.linspace(-_BEYOND, 1 + _BEYOND, side)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


def _plane(corners: torch.Tensor, side: int) -> torch.Tensor:
    """Inputs at every point of the grid: first + x (second - first) + y (third - first)."""
    at = torch.from_numpy(_grid(side)).to(corners.dtype)
    along = torch.stack([corners[1] - corners[0], corners[2] - corners[0]]).flatten(1)
    return (corners[0].flatten() + at @ along).view(len(at), *corners.shape[1:])


def _decided(model: nn.Module, inputs: torch.Tensor) -> np.ndarray:
    with undisturbed(model), torch.no_grad():
        return model(inputs).argmax(1).numpy()
