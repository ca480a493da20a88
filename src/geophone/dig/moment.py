"""One layer at one moment: every number of its units, and what changed since the moment before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from geophone.dig import features
from geophone.dig.activations import code_diversity, grouping, unit_statistics
from geophone.dig.factors import factors_of, tuned_to
from geophone.dig.features import UNTYPED, Thresholds, Tuning
from geophone.dig.samples import read
from geophone.dig.stimuli import LEAST_SIDE, Stimuli, bank
from geophone.dig.subject import Specimen
from geophone.record.heads import head_scores, head_types

_UNTRAINED_UNITS = 128
_MOST_UNTRAINED = 16
_GROUPED = 1000


@dataclass(frozen=True)
class UntrainedReference:
    """What every moment of a layer is held against: the bank (None without images), the untrained thresholds of its
    types (none where hardly an untrained unit answers to anything: every unit is "untyped" then), the untrained 95th
    percentile of d', and the scores of an untrained network's heads (None without heads that can be scored)."""

    layer: str
    stimuli: Stimuli | None
    names: tuple[str, ...]
    thresholds: Thresholds
    d_prime: float
    heads: pd.DataFrame | None


@dataclass(frozen=True)
class Moment:
    """A layer after `step` updates: `row` as in moments.parquet, `units` a row a unit, `tuning`, the `heads` inside the
    layer if any, and `every_head` of the network (see `record.heads.head_scores`), both with their types."""

    step: int
    row: Mapping[str, float]
    units: pd.DataFrame
    tuning: Tuning
    heads: pd.DataFrame | None
    every_head: pd.DataFrame | None = None


def untrained_reference(specimen: Specimen, layer: str, *, rng: np.random.Generator) -> UntrainedReference:
    """Measure as many untrained networks as it takes for 128 units of `layer`, 16 at most, or more where that is fewer
    than 20 units."""
    return untrained_references(specimen, [layer], rng=rng)[layer]


def untrained_references(
    specimen: Specimen, layers: Sequence[str], *, rng: np.random.Generator
) -> dict[str, UntrainedReference]:
    """`untrained_reference` of each of `layers`, from the same bank and the same untrained networks: as many as the
    smallest of them takes."""
    x = specimen.samples.x
    drawable = x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[2] == x.shape[3] >= LEAST_SIDE
    images = specimen.kind == "image" and drawable
    stimuli = bank(x.shape[1], x.shape[-1], rng=rng) if images else None
    names = features.TYPES if images else tuple(_factors(specimen))
    tunings: dict[str, list[Tuning]] = {layer: [] for layer in layers}
    d_primes: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    first, number, wanting = specimen.untrained(0), 0, list(layers)
    while wanting:
        model = first if number == 0 else specimen.untrained(number)
        found = _reading(model, wanting, specimen)
        tuned = _tuning(model, specimen, stimuli, found, rng)
        for layer in wanting:
            scored = found[layer].y >= 0
            tunings[layer].append(tuned[layer])
            statistics = unit_statistics(found[layer].a[scored], found[layer].y[scored], rng=rng, draws=1)
            d_primes[layer].append(statistics["d_prime"].to_numpy())
        number += 1
        least = _UNTRAINED_UNITS if number < _MOST_UNTRAINED else features.FEWEST_UNTRAINED
        wanting = [layer for layer in wanting if sum(len(t.vectors) for t in tunings[layer]) < least]
    heads = _heads(first, specimen, rng)
    return {
        layer: UntrainedReference(
            layer, stimuli, names, _thresholds(tunings[layer]), _quantile(np.concatenate(d_primes[layer])), heads
        )
        for layer in layers
    }


def _thresholds(untrained: Sequence[Tuning]) -> Thresholds:
    """Those of untrained units, where enough of them answer to anything; else no unit has a type (of a discriminator's
    last layers nearly all answer to nothing before training)."""
    live = sum(int(t.live.sum()) for t in untrained)
    enough = live >= features.FEWEST_UNTRAINED
    return features.thresholds(untrained) if enough else features.no_thresholds(untrained[0].indices.shape[1])


def _quantile(reached: np.ndarray) -> float:
    return float(np.nanquantile(reached, features.QUANTILE)) if np.isfinite(reached).any() else float("nan")


def measure(
    model: nn.Module,
    step: int,
    specimen: Specimen,
    against: UntrainedReference,
    *,
    before: Moment | None,
    rng: np.random.Generator,
) -> Moment:
    """Everything about the layer at this moment; turnover and new features are since `before` (NaN without one)."""
    before_layers = {} if before is None else {against.layer: before}
    layers = {against.layer: against}
    return measure_layers(model, step, specimen, layers, before=before_layers, rng=rng)[against.layer]


def measure_layers(
    model: nn.Module,
    step: int,
    specimen: Specimen,
    against: Mapping[str, UntrainedReference],
    *,
    before: Mapping[str, Moment],
    rng: np.random.Generator,
) -> dict[str, Moment]:
    """`measure` of several layers, whose references share a bank, in one pass of samples and bank. Two moments that are
    given generators of the same seed are measured on the same draws, whatever either network answers."""
    found = _reading(model, list(against), specimen)
    first = next(iter(against.values()))
    # A generator for each purpose: none takes more or fewer draws for what another has come upon.
    tuning, scoring, *each = rng.spawn(2 + len(against))
    tuned = _tuning(model, specimen, first.stimuli, found, tuning)
    heads = _heads(model, specimen, scoring)
    if heads is not None and first.heads is not None:
        heads["type"] = head_types(heads, first.heads)
    return {
        layer: _measured(found[layer], tuned[layer], step, reference, before.get(layer), heads, own)
        for (layer, reference), own in zip(against.items(), each, strict=True)
    }


def _measured(
    reading: "_Answers",
    tuning: Tuning,
    step: int,
    against: UntrainedReference,
    before: Moment | None,
    heads: pd.DataFrame | None,
    rng: np.random.Generator,
) -> Moment:
    scored = reading.y >= 0
    a, y = reading.a[scored], reading.y[scored]
    statistics, choice, grouped = rng.spawn(3)
    units = unit_statistics(a, y, rng=statistics)
    units["type"] = features.types(tuning, against.thresholds, against.names)
    units["angle"] = _angles(units["type"].to_numpy(), tuning, against.stimuli)
    units["class_unit"] = (units["d_prime"] > against.d_prime) & ~units["dead"]
    units["own_correlation"] = np.nan
    units["new"] = False
    if before is not None:
        units["own_correlation"] = features.turnover(before.tuning.vectors, tuning.vectors)
        typed = (units["type"] != UNTYPED) & (before.units["type"] == UNTYPED)
        units["new"] = typed | (units["own_correlation"] < features.SAME)
    chosen = choice.permutation(len(a))[:_GROUPED] if len(a) > _GROUPED else np.arange(len(a))
    groups = grouping(a[chosen], y[chosen], rng=grouped)
    row = {
        **_layer_row(units, before), **code_diversity(a), "accuracy": reading.accuracy, "loss": reading.loss,
        "probe_accuracy": groups.probe_accuracy, "probe_null": groups.probe_null, "probe_p": groups.probe_p,
        "silhouette": groups.silhouette, "silhouette_null": groups.silhouette_null, "silhouette_p": groups.silhouette_p,
    }  # fmt: skip
    return Moment(step, row, units, tuning, _inside(heads, against.layer), heads)


def _layer_row(units: pd.DataFrame, before: Moment | None) -> dict[str, float]:
    typed = units.loc[units["type"] != UNTYPED, "type"]
    means = ("selectivity", "selectivity_raw", "selectivity_null", "d_prime", "mutual_information")
    row = {
        "units": len(units),
        "dead": int(units["dead"].sum()),
        **{name: float(units[name].mean()) for name in (*means, "sparsity", "treves_rolls", "hoyer")},
        "typed": len(typed),
        "types": typed.nunique(),
        "hill": features.hill(units["type"].to_numpy()),
        "class_units": int(units["class_unit"].sum()),
        "turnover": float("nan"),
        "new_units": float("nan"),
        "new_types": float("nan"),
    }
    if before is not None:
        known = units["own_correlation"].notna()
        row["turnover"] = float((units.loc[known, "own_correlation"] < features.SAME).mean()) if known.any() else np.nan
        row["new_units"] = int(units["new"].sum())
        row["new_types"] = len(set(typed) - set(before.units["type"]))
    return row


@dataclass(frozen=True)
class _Answers:
    """Answers a row with the class of each (-1 where there is none): tokens of sequences, else samples."""

    a: np.ndarray
    y: np.ndarray
    accuracy: float
    loss: float


def _reading(model: nn.Module, layers: Sequence[str], specimen: Specimen) -> dict[str, _Answers]:
    samples, kind = specimen.samples, specimen.task
    found = read(model, list(layers), samples.x, reduce="tokens" if samples.y.ndim == 2 else "mean")
    y = samples.y.numpy().reshape(-1)
    accuracy, loss = (float(of(found.output, samples.answers)) for of in (kind.accuracy, kind.loss))
    return {layer: _Answers(found.answers[layer], np.where(y < 0, -1, y), accuracy, loss) for layer in layers}


def _factors(specimen: Specimen) -> dict[str, np.ndarray]:
    return factors_of(specimen.samples.x.numpy(), specimen.samples.y.numpy())


def _tuning(
    model: nn.Module,
    specimen: Specimen,
    stimuli: Stimuli | None,
    found: Mapping[str, _Answers],
    rng: np.random.Generator,
) -> dict[str, Tuning]:
    if stimuli is not None:
        return features.tuning(model, list(found), stimuli)
    return {layer: tuned_to(answers.a, _factors(specimen), rng=rng) for layer, answers in found.items()}


def _angles(types: np.ndarray, tuning: Tuning, stimuli: Stimuli | None) -> np.ndarray:
    angles = np.full(len(types), np.nan)
    if stimuli is not None:
        for kind, shown in features.ANGLED.items():
            found = features.preferred_angle(tuning.vectors, stimuli.table, shown)
            angles = np.where(types == kind, found, angles)
    return angles


def _heads(model: nn.Module, specimen: Specimen, rng: np.random.Generator) -> pd.DataFrame | None:
    """Scores of all heads, of a network on sequences with an answer at every position."""
    x, anatomy = specimen.samples.x, specimen.anatomy
    if specimen.samples.y.ndim != 2 or specimen.kind != "sequence" or not anatomy.heads(model):
        return None
    scores = head_scores(model, symbols=int(x.max()) + 1, length=x.shape[1], rng=rng, anatomy=anatomy)
    return None if scores.empty else scores


def _inside(heads: pd.DataFrame | None, layer: str) -> pd.DataFrame | None:
    """Those of a layer; None where it has none."""
    own = None if heads is None else heads[heads["layer"].str.startswith(f"{layer}.")]
    return None if own is None or own.empty else own.reset_index(drop=True)
