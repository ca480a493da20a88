"""The census of a run: every layer's feature measures at moments spread over the whole training, without pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.dig.ablation import ablation_impact
from geophone.dig.composition import composition_table, rungs
from geophone.dig.factors import factors_of
from geophone.dig.moment import Moment, measure_layers, untrained_references
from geophone.dig.samples import read
from geophone.dig.subject import Specimen, specimen_of
from geophone.rows.model import frame
from geophone.rows.windows import SCORES, CensusRow
from geophone.signals import concept, decodability
from geophone.store.run import Run
from geophone.zoo.shapes import draw_factors, render
from geophone.zoo.tasks import SHAPES_NOISE, Task

_SEQUENCES, _ROWS, _ABLATED = 64, 400, 128
_SHAPES = 400
_EFFECTS = 16  # samples for effects, half of what a dig takes
_CLEAR = 1.5  # times 1 / root n: three standard errors of an accuracy at its widest


def census_steps(measured: Sequence[int], checkpoints: Iterable[int], number: int) -> tuple[int, ...]:
    """`number` moments of a run, spread evenly in ln step as far as there are such: among its measured steps up to its
    first checkpoint after the start, and from there on among its checkpoints that were measured, so that no moment
    costs more than one stretch between checkpoints. Fewer where there are no more."""
    kept = sorted(step for step in checkpoints if step in set(measured))
    there = np.array([step for step in measured if not kept or step < kept[0]] + kept)
    chosen: np.ndarray = there[:0]
    for count in range(number, 20 * number):
        wanted = np.geomspace(max(there[0], 1), there[-1], count)
        near = np.abs(np.log(np.maximum(there, 1))[None] - np.log(wanted)[:, None]).argmin(1)
        chosen = there[np.unique(near)]
        if len(chosen) >= min(number, len(there)):
            break
    return tuple(int(step) for step in chosen[:number])


def census(run: Run, steps: Sequence[int], *, deep: int, per_class: int, seed: int) -> pd.DataFrame:
    """A `CensusRow` for every layer of `run` at each of `steps`, the networks as they were, bit for bit.

    Feature types by the untrained networks' threshold, class units, selectivity, sparsity, diversity, turnover since
    the moment before, linear probe, the factors that can be read, head scores, ablation by resampling, all on
    `per_class` samples of each class (64 sequences); compositional depth at `deep` of the moments, pairs of neighbours
    evenly spaced so that a window has its change, NaN at the others. The same seed gives the same numbers. Raises
    InputError for a run that geophone did not train, ReplayError when a network cannot be had again.
    """
    rng = np.random.default_rng(seed)
    specimen = _thinned(specimen_of(run, rng=rng, per_class=per_class))
    depths = {layer.name: layer.depth for layer in run.layers}
    against = untrained_references(specimen, specimen.layers, rng=rng)
    known = _known_factors(specimen, rng)
    at_depth = _pairs(steps, deep)
    before: dict[str, Moment] = {}
    rows = []
    drawn = int(rng.integers(2**62))
    for step, model in specimen.at(steps).items():
        # The same draws at every moment: two moments differ as their networks do.
        measuring, ablating, composing = np.random.default_rng(drawn).spawn(3)
        before = measure_layers(model, step, specimen, against, before=before, rng=measuring)
        lost = _lost(model, specimen, ablating)
        factors = _readable(model, specimen.layers, known)
        depth = _depth(model, specimen, composing) if step in at_depth else float("nan")
        rows += [
            {
                **moment.row, "step": step, "layer": layer, "depth": depths[layer], **lost[layer],
                "compositional_depth": depth, "factors": factors[layer], **_heads(moment.heads),
            }
            for layer, moment in before.items()
        ]  # fmt: skip
    return frame(rows, CensusRow)


def _pairs(steps: Sequence[int], deep: int) -> set[int]:
    first = np.linspace(0, max(len(steps) - 2, 0), max(min(deep, len(steps)) // 2, 1)).round().astype(int)
    return {steps[i] for i in (*first, *(first + 1)) if i < len(steps)} if deep else set()


def _thinned(specimen: Specimen) -> Specimen:
    samples = specimen.samples
    if samples.y.ndim == 1:
        return specimen
    return replace(specimen, samples=replace(samples, x=samples.x[:_SEQUENCES], y=samples.y[:_SEQUENCES]))


def _lost(model: nn.Module, specimen: Specimen, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """What each layer's resampling costs."""
    x, right = specimen.samples.x[:_ABLATED], specimen.samples.answers[:_ABLATED]
    table = ablation_impact(
        model, specimen.layers, x, right, specimen.task, rng=rng, kinds=("resample",), anatomy=specimen.anatomy
    )
    impact, loss = table["baseline_accuracy"] - table["accuracy"], table["loss"] - table["baseline_loss"]
    return {
        layer: {"ablation_impact": float(a), "ablation_loss": float(b)}
        for layer, a, b in zip(table["layer"], impact, loss, strict=True)
    }


def _depth(model: nn.Module, specimen: Specimen, rng: np.random.Generator) -> float:
    layers = list(specimen.layers)
    if len(layers) < 2:
        return float("nan")
    x, y = specimen.samples.x, specimen.samples.y
    few = _EFFECTS if x.is_floating_point() else _EFFECTS // 2
    climbed = rungs(model, layers, x, y, rng=rng, samples=few, anatomy=specimen.anatomy)
    return float(composition_table(climbed)["compositional_depth"].iloc[0])


def _heads(scores: pd.DataFrame | None) -> dict[str, float]:
    return {} if scores is None else {f"head_{name}": float(scores[name].max()) for name in SCORES}


Known = tuple[torch.Tensor, np.ndarray, Mapping[str, np.ndarray]]


def _known_factors(specimen: Specimen, rng: np.random.Generator) -> Known:
    """Inputs, which rows of a layer's answers to them count, and the factors of those: of shapes all that images are
    made of, drawn anew; else those of the samples."""
    if isinstance(specimen.task, Task) and specimen.task.name == "shapes":
        made = draw_factors(rng, _SHAPES)
        images = render(made, noise=SHAPES_NOISE, rng=rng)
        known: dict[str, np.ndarray] = {"label": made.label, "orientation": np.cos(2 * made.orientation)}
        known |= {name: getattr(made, name) for name in ("x", "y", "size", "frequency")}
        for name in ("foreground", "background"):
            known |= {f"{name} {i}": getattr(made, name)[:, i] for i in range(3)}
        return torch.from_numpy((images - 0.5) / 0.3), np.arange(_SHAPES), known
    x, y = specimen.samples.x, specimen.samples.y
    named = factors_of(x.numpy(), y.numpy())
    there = np.flatnonzero(np.min(list(named.values()), axis=0) >= 0)
    chosen = np.sort(rng.permutation(there)[:_ROWS])
    return x, chosen, {name: values[chosen] for name, values in named.items()}


def _readable(model: nn.Module, layers: Sequence[str], known: Known) -> dict[str, float]:
    """How many factors a ridge reads from each layer: held-out accuracy above that of the most frequent class and of
    shuffled labels (numbers: R^2 above 0 and the same) by 1.5 / root n."""
    x, rows, factors = known
    found = read(model, list(layers), x, reduce="mean" if x.is_floating_point() else "tokens").answers
    count = dict.fromkeys(layers, 0.0)
    for values in factors.values():
        what = concept(values, rng=np.random.default_rng(0))
        for layer in layers:
            a = found[layer] if len(found[layer]) == len(values) else found[layer][rows]
            told = decodability(a, what)
            count[layer] += told.value > max(told.shuffled, told.chance) + _CLEAR / np.sqrt(len(values))
    return count
