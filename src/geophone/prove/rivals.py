"""What a researcher can have without geophone's ranker, each as a score of every measurement, with its price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from geophone.dimensions import NAMES
from geophone.errors import InputError
from geophone.point import score as parts
from geophone.point.kernels import Kernel, operators
from geophone.point.moments import pick
from geophone.point.signals import RunSignals, filled
from geophone.prove.events import ANY
from geophone.prove.targeting import Moments, random_moments
from geophone.prove.truth import APART

KERNELS = (
    *(Kernel("step", width) for width in (1.0, 2.0, 4.0, 8.0)),
    *(Kernel("log", width) for width in (0.05, 0.1, 0.2)),
)
GRIDS = ("random", "uniform", "log_uniform")
AFTER = 8
CLUSTERS = 8
_WHOLE = {
    "mean_p": parts.mean_skill,
    "sample_votes": parts.votes,
    "sample_steepest": parts.steepest,
    "sample_quanta": parts.quanta,
    "output_components": parts.output_components,
    "output_speed": parts.output_speed,
    "output_concentration": parts.concentration,
}


@dataclass(frozen=True, slots=True)
class Part:
    """How one signal becomes a score: "level" exp(mean of ln), "speed" |slope of ln|, "slope" |slope of the plain
    value|, "fall" that of a fall alone, or "own", for what is computed from behaviour or outputs as a whole.

    Signals of layers are read on `columns` ("streams", "updates" or "both"; "": those that have values, as norms) and
    joined over them by `pool`: "mean", "max", or "contrast", the greatest of what each has beyond the layers' mean.
    """

    signal: str
    how: str
    kernel: Kernel
    columns: str = ""
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Rival:
    """Some parts, each over its greatest value in the run, joined by their mean logarithm or their "mean"."""

    name: str
    parts: tuple[Part, ...]
    join: str = "log"

    @property
    def price(self) -> float:
        """Forward passes of the probe that a measurement needs; training gives losses and norms for nothing."""
        return max(price(part.signal) for part in self.parts)


def price(signal: str) -> float:
    """Forward passes of the probe that one signal needs per measurement."""
    return 0.0 if signal in ("loss", "main_loss") or signal.endswith("_norm") else 1.0


def scalar(run: RunSignals, name: str) -> np.ndarray:
    """A scalar signal of the run (M,); "probe_loss" is -mean ln p of the probe's answers, or half their mean squared
    error. Raises InputError for one that is not there."""
    if name != "probe_loss":
        if name not in run.scalars:
            raise InputError(f"{run.name} has no signal {name!r}; it has {', '.join(run.scalars)}.")
        return run.scalars[name]
    if run.behaviour is None:
        raise InputError(f"{run.name} has no behaviour to take the probe's loss from.")
    values = run.behaviour.values
    return 0.5 * np.square(values).mean(1) if run.behaviour.falling else -np.log(np.maximum(values, 1e-7)).mean(1)


def columns(run: RunSignals, part: Part) -> tuple[int, ...]:
    """The columns of a layer signal that `part` reads."""
    if not part.columns:
        return tuple(np.flatnonzero(np.isfinite(run.series[part.signal]).any(0)))
    return {"streams": run.streams, "updates": run.updates, "both": tuple(range(len(run.layers)))}[part.columns]


def layered(run: RunSignals, part: Part) -> np.ndarray:
    """The part layer by layer, (M, columns), not yet over its greatest value."""
    which = columns(run, part)
    if part.how == "level":
        levels = parts.layer_levels(run, part.signal, part.kernel, which)
    else:
        values = filled(run.series[part.signal][:, list(which)])
        plain = part.how == "slope" or part.signal in ("mean_fraction", "dead_fraction")
        slope = operators(run.steps, part.kernel).slope
        levels = np.abs(slope @ (values if plain else parts.logarithm(values)))
    return parts.contrast(levels) if part.pool == "contrast" else levels


def part_score(run: RunSignals, part: Part) -> np.ndarray:
    """The score of one part, (M,)."""
    if part.signal in _WHOLE:
        return _WHOLE[part.signal](run, part.kernel)
    if part.signal == "sample_clusters":
        return clusters(run, part.kernel)
    if part.signal in run.series:
        return parts.over_layers(layered(run, part), "mean" if part.pool == "mean" else "max")
    values, of = scalar(run, part.signal), operators(run.steps, part.kernel)
    if part.how == "fall":
        return np.maximum(-(of.slope @ filled(values)), 0.0)
    if part.how == "slope":
        return np.abs(of.slope @ filled(values))
    logs = parts.logarithm(values)
    return np.exp(of.mean @ logs) if part.how == "level" else np.abs(of.slope @ logs)


def rival_score(run: RunSignals, rival: Rival) -> np.ndarray:
    """The score of a rival, (M,)."""
    return parts.joined([part_score(run, part) for part in rival.parts], rival.join)


def rival_moments(run: RunSignals, rival: Rival, *, share: float) -> Moments:
    """The moments that a rival points at, best first, its layers where one of its parts has layers, and the rise of
    every scored sample over each. Its list ends where its score falls below `share` of its greatest."""
    score = rival_score(run, rival)
    index = pick(score, run.steps)
    return Moments(index, _loudest(run, rival, index), tuple(risen(run, i) for i in index), ending(score, index, share))


def ending(score: np.ndarray, index: np.ndarray, share: float) -> int:
    """How many of the moments `index` reach `share` of the greatest score, 1 at least."""
    return max(1, int((score[index] >= share * score.max()).sum()))


def _loudest(run: RunSignals, rival: Rival, index: np.ndarray) -> tuple[str, ...]:
    part = next((part for part in rival.parts if part.signal in run.series), None)
    return (ANY,) * len(index) if part is None else name_layers(run, part, index)


def name_layers(run: RunSignals, part: Part, index: Sequence[int] | np.ndarray) -> tuple[str, ...]:
    """The layer that is greatest, by its own greatest value, within 3 measurements of each moment."""
    own, names = parts.scaled(layered(run, part)), [run.layers[i] for i in columns(run, part)]
    near = [own[max(i - 3, 0) : i + 4].max(0) for i in index]
    return tuple(names[int(values.argmax())] for values in near)


def risen(run: RunSignals, index: int) -> np.ndarray:
    """How much every scored sample's behaviour rose from 8 measurements before to 8 after."""
    if run.behaviour is None:
        return np.zeros(0)
    skill = run.behaviour.skill
    return skill[min(index + AFTER, len(skill) - 1)] - skill[max(index - AFTER, 0)]


def clusters(run: RunSignals, kernel: Kernel) -> np.ndarray:
    """Samples whose learning curves have one shape, 8 groups by k-means of their standardised speeds ("quanta
    discovery": Michaud et al. 2023); each group votes for its own fast moments, by the root of its size."""
    if run.behaviour is None:
        raise InputError(f"{run.name} has no behaviour; its samples have no curves.")
    slope = operators(run.steps, kernel).slope
    speeds = slope @ run.behaviour.skill
    length = np.linalg.norm(speeds, axis=0)
    moving = length > 0.05 * length.max()
    if moving.sum() <= CLUSTERS:
        return np.abs(speeds).mean(1)
    shapes = (speeds[:, moving] / length[moving]).T
    label = KMeans(CLUSTERS, n_init=2, random_state=0).fit_predict(shapes)
    curves = run.behaviour.skill[:, moving]
    groups = [
        parts.scaled(np.abs(slope @ curves[:, label == g].mean(1))) * (label == g).sum() ** 0.5 for g in set(label)
    ]
    return np.max(groups, axis=0)


def grid(kind: str, run: RunSignals, *, k: int, rng: np.random.Generator) -> Moments:
    """k moments without looking: "uniform" over the run, "log_uniform" over ln step from the 10th measurement on, in
    the middles of k equal parts, or "random", as many as fit. Raises InputError for another kind."""
    if kind not in GRIDS:
        raise InputError(f"unknown grid {kind!r}; known are {', '.join(GRIDS)}.")
    length, middles = len(run.steps), (np.arange(k) + 0.5) / k
    if kind == "random":
        most = (length + APART - 1) // APART
        return random_moments(length, k=min(k, most), apart=APART, rng=rng)
    if kind == "uniform":
        return Moments(np.round(middles * length - 0.5).astype(int))
    first, last = np.log(run.steps[9]), np.log(run.steps[-1])
    return Moments(np.abs(run.steps[:, None] - np.exp(first + middles * (last - first))).argmin(axis=0))


def candidates() -> Mapping[str, tuple[Part, ...]]:
    """For every single rival the forms that development seeds choose from."""
    forms: dict[str, list[Part]] = {
        name: [Part(signal, how, kernel) for kernel in KERNELS]
        for name, signal, how in [
            ("loss", "loss", "speed"), ("loss_falls", "loss", "fall"), ("main_loss", "main_loss", "speed"),
            ("probe_loss", "probe_loss", "speed"), ("gradient_norm", "gradient_norm", "level"),
            ("weight_norm", "weight_norm", "speed"), ("update_norm", "update_norm", "level"),
            *((name, name, "own") for name in (*_WHOLE, "sample_clusters")),
        ]
    }  # fmt: skip
    where, pools = ("streams", "updates", "both"), ("mean", "max", "contrast")
    for name in ("gradient_norm", "update_norm", "weight_norm"):
        how = "speed" if name == "weight_norm" else "level"
        forms[f"layer_{name}"] = [Part(f"layer_{name}", how, w, pool=p) for w in KERNELS for p in pools]
    for name in ("cka_change_1", "cka_change_4", "subspace_change", "readable_change", "readable_gain"):
        forms[name] = [Part(name, "level", w, c, p) for w in KERNELS[:4] for c in where for p in pools]
    for name in NAMES:
        forms[name] = [Part(name, "speed", w, c, p) for w in KERNELS for c in where[:2] for p in pools[:2]]
    return {name: tuple(these) for name, these in forms.items()}


def pilots() -> tuple[Rival, ...]:
    """Combinations that were frozen before this edition: those of the first one (`first_score`, `first_rivals`), and
    three of a pilot on other seeds."""
    step, log = Kernel("step", 4.0), Kernel("log", 0.05)
    probe, gradient = Part("probe_loss", "speed", KERNELS[1]), Part("gradient_norm", "level", KERNELS[1])
    entropy = Part("spectral_entropy_rank", "speed", step, "streams", "mean")
    cka = Part("cka_change_4", "level", KERNELS[0], "streams", "mean")
    outputs, steepest = Part("output_components", "own", log), Part("sample_steepest", "own", step)
    mean_p = tuple(Part("mean_p", "own", kernel) for kernel in (KERNELS[1], log))
    return (
        Rival("first_score", (entropy, probe, gradient, Part("update_norm", "level", KERNELS[0]))),
        Rival("first_rivals", (probe, gradient, cka)),
        Rival("mean_p_weight_norm", (*mean_p, Part("weight_norm", "speed", KERNELS[0]))),
        Rival("outputs_samples", (outputs, steepest), "mean"),
        Rival("outputs_samples_quanta", (outputs, steepest, Part("sample_quanta", "own", step))),
    )
