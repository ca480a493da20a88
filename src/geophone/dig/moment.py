"""One layer at one moment: every number of its units, and what changed since the moment before."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn

from geophone.dig import features
from geophone.dig.activations import code_diversity, grouping, unit_statistics
from geophone.dig.factors import factors_of, tuned_to
from geophone.dig.features import UNTYPED, Thresholds, Tuning
from geophone.dig.heads import attention_layers, head_scores, head_types
from geophone.dig.samples import read
from geophone.dig.stimuli import LEAST_SIDE, Stimuli, bank
from geophone.dig.subject import Subject

_UNTRAINED_UNITS = 128
_MOST_UNTRAINED = 16
_GROUPED = 1000


@dataclass(frozen=True)
class UntrainedReference:
    """What every moment of a layer is held against: the bank (None without images), the untrained thresholds of its
    types, and the untrained 95th percentile of d'; of a layer with attention also untrained heads."""

    layer: str
    stimuli: Stimuli | None
    names: tuple[str, ...]
    thresholds: Thresholds
    d_prime: float
    heads: pd.DataFrame | None


@dataclass(frozen=True)
class Moment:
    """A layer after `step` updates: `row` as in moments.parquet, `units` a row a unit, `tuning`, heads if any."""

    step: int
    row: Mapping[str, float]
    units: pd.DataFrame
    tuning: Tuning
    heads: pd.DataFrame | None


def untrained_reference(subject: Subject, layer: str, *, rng: np.random.Generator) -> UntrainedReference:
    """Measure as many untrained networks as it takes for 128 units of `layer`, 16 at most."""
    x = subject.samples.x
    images = subject.task.kind == "image" and x.shape[-1] >= LEAST_SIDE
    stimuli = bank(x.shape[1], x.shape[-1], rng=rng) if images else None
    tunings, d_primes, first = [], [], subject.untrained(0)
    names = features.TYPES if images else tuple(_factors(subject))
    number, units, model = 0, 0, first
    while units < _UNTRAINED_UNITS and number < _MOST_UNTRAINED:
        model = first if number == 0 else subject.untrained(number)
        reading = _reading(model, layer, subject)
        scored = reading.y >= 0
        tunings.append(_tuning(model, layer, subject, stimuli, reading, rng))
        d_primes.append(unit_statistics(reading.a[scored], reading.y[scored], rng=rng, draws=1)["d_prime"])
        units, number = units + len(tunings[-1].vectors), number + 1
    return UntrainedReference(
        layer, stimuli, names, features.thresholds(tunings),
        float(np.nanquantile(np.concatenate(d_primes), features.QUANTILE)), _heads(first, layer, subject, rng),
    )  # fmt: skip


def measure(
    model: nn.Module,
    step: int,
    subject: Subject,
    against: UntrainedReference,
    *,
    before: Moment | None,
    rng: np.random.Generator,
) -> Moment:
    """Everything about the layer at this moment; turnover and new features are since `before` (NaN without one)."""
    reading = _reading(model, against.layer, subject)
    scored = reading.y >= 0
    a, y = reading.a[scored], reading.y[scored]
    units = unit_statistics(a, y, rng=rng)
    tuning = _tuning(model, against.layer, subject, against.stimuli, reading, rng)
    units["type"] = features.types(tuning, against.thresholds, against.names)
    units["angle"] = _angles(units["type"].to_numpy(), tuning, against.stimuli)
    units["class_unit"] = (units["d_prime"] > against.d_prime) & ~units["dead"]
    units["own_correlation"] = np.nan
    units["new"] = False
    if before is not None:
        units["own_correlation"] = features.turnover(before.tuning.vectors, tuning.vectors)
        typed = (units["type"] != UNTYPED) & (before.units["type"] == UNTYPED)
        units["new"] = typed | (units["own_correlation"] < features.SAME)
    chosen = rng.permutation(len(a))[:_GROUPED] if len(a) > _GROUPED else np.arange(len(a))
    groups = grouping(a[chosen], y[chosen], rng=rng)
    row = {
        **_layer_row(units, before), **code_diversity(a), "accuracy": reading.accuracy, "loss": reading.loss,
        "probe_accuracy": groups.probe_accuracy, "probe_null": groups.probe_null, "probe_p": groups.probe_p,
        "silhouette": groups.silhouette, "silhouette_null": groups.silhouette_null, "silhouette_p": groups.silhouette_p,
    }  # fmt: skip
    heads = _heads(model, against.layer, subject, rng)
    if heads is not None and against.heads is not None:
        heads["type"] = head_types(heads, against.heads)
    return Moment(step, row, units, tuning, heads)


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


def _reading(model: nn.Module, layer: str, subject: Subject) -> _Answers:
    samples, kind = subject.samples, subject.task
    found = read(model, [layer], samples.x, reduce="tokens" if samples.y.ndim == 2 else "mean")
    y = samples.y.numpy().reshape(-1)
    return _Answers(
        found.answers[layer], np.where(y < 0, -1, y), float(kind.accuracy(found.output, samples.y)),
        float(kind.loss(found.output, samples.y)),
    )  # fmt: skip


def _factors(subject: Subject) -> dict[str, np.ndarray]:
    return factors_of(subject.samples.x.numpy(), subject.samples.y.numpy())


def _tuning(
    model: nn.Module, layer: str, subject: Subject, stimuli: Stimuli | None, found: _Answers, rng: np.random.Generator
) -> Tuning:
    if stimuli is not None:
        return features.tuning(model, [layer], stimuli)[layer]
    return tuned_to(found.a, _factors(subject), rng=rng)


def _angles(types: np.ndarray, tuning: Tuning, stimuli: Stimuli | None) -> np.ndarray:
    angles = np.full(len(types), np.nan)
    if stimuli is not None:
        for kind, shown in features.ANGLED.items():
            found = features.preferred_angle(tuning.vectors, stimuli.table, shown)
            angles = np.where(types == kind, found, angles)
    return angles


def _heads(model: nn.Module, layer: str, subject: Subject, rng: np.random.Generator) -> pd.DataFrame | None:
    """Scores of the heads inside `layer`, of a network on sequences with an answer at every position."""
    if subject.samples.y.ndim != 2 or not any(n.startswith(f"{layer}.") for n in attention_layers(model)):
        return None
    x = subject.samples.x
    scores = head_scores(model, symbols=int(x.max()) + 1, length=x.shape[1], rng=rng)
    return scores[scores["layer"].str.startswith(f"{layer}.")].reset_index(drop=True)
