"""From signals to how much happens at every measurement: the parts of the ranking score.

Every function takes a `RunSignals` (and a `Kernel`) and gives (M,) numbers of 0 or more, at most 1 at the run's
greatest where `scaled` was applied; only their order and their ratios within one run mean anything.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geophone.errors import InputError
from geophone.point.kernels import Kernel, Operators, operators
from geophone.point.signals import RunSignals, filled
from geophone.signals import components

Series = npt.NDArray[np.float64]
SMALL = 0.01
COMPONENTS = 4
QUANTA, UPDATES = 8, 150
FAINT = 0.1
_TINY = 1e-300


def scaled(values: Series) -> Series:
    """Divided by the greatest value over the run (axis 0); 0 where there is none above 0."""
    most = np.nanmax(values, axis=0, initial=0.0)
    return values / np.where(most > 0, most, 1.0)


def joined(parts: Sequence[Series], join: str = "log") -> Series:
    """One score of several, each over its own greatest value: "log", the mean of ln(part + .01), high only where all
    are; or "mean"."""
    stack = np.stack([scaled(part) for part in parts])
    if join == "mean":
        return stack.mean(0)
    if join == "log":
        return np.exp(np.log(stack + SMALL).mean(0)) - SMALL
    raise InputError(f"parts are joined by 'log' or 'mean'; got {join!r}.")


def _of(run: RunSignals, kernel: Kernel) -> Operators:
    return operators(run.steps, kernel)


def speed(run: RunSignals, name: str, kernel: Kernel) -> Series:
    """|slope of ln| of a scalar."""
    return np.abs(_of(run, kernel).slope @ logarithm(run.scalars[name]))


def level(run: RunSignals, name: str, kernel: Kernel) -> Series:
    """exp(mean of ln) of a scalar, such as the gradient norm."""
    return np.exp(_of(run, kernel).mean @ logarithm(run.scalars[name]))


def fall(run: RunSignals, name: str, kernel: Kernel) -> Series:
    """How fast a scalar falls, 0 where it rises: the one-sided slope of the plain value."""
    return np.maximum(-(_of(run, kernel).slope @ filled(run.scalars[name])), 0.0)


def logarithm(values: Series) -> Series:
    positive = np.isfinite(values) & (values > 0)
    return filled(np.where(positive, np.log(np.where(positive, values, 1.0)), np.nan))


def skill(run: RunSignals) -> Series:
    """Behaviour (M, n), rising where something is learned; where the run has none, the components of its outputs."""
    if run.behaviour is not None:
        return filled(run.behaviour.skill)
    if run.outputs is not None:
        return components(filled(run.outputs), COMPONENTS)
    raise InputError(f"{run.name} has neither behaviour nor outputs; only its layers can be scored.")


def mean_skill(run: RunSignals, kernel: Kernel) -> Series:
    """|slope of the mean behaviour|."""
    return np.abs(_of(run, kernel).slope @ skill(run).mean(1))


def rising_skill(run: RunSignals, kernel: Kernel) -> Series:
    """How fast the mean behaviour rises; 0 where it falls."""
    return np.maximum(_of(run, kernel).slope @ skill(run).mean(1), 0.0)


def _movement(run: RunSignals, kernel: Kernel) -> tuple[Series, Series]:
    """|slope| of every sample's behaviour (M, n) and the range of its level (n,)."""
    values, of = skill(run), _of(run, kernel)
    smooth = of.mean @ values
    return np.abs(of.slope @ values), smooth.max(0) - smooth.min(0)


def votes(run: RunSignals, kernel: Kernel) -> Series:
    """Every sample votes for its own fast moments, (|slope| over its greatest)^2, weighted by how far it moved."""
    speeds, ranges = _movement(run, kernel)
    return (scaled(speeds) ** 2) @ ranges / max(float(ranges.sum()), _TINY)


def steepest(run: RunSignals, kernel: Kernel) -> Series:
    """Every sample's one steepest moment, weighted by how far it moved, as a density over the kernel."""
    speeds, ranges = _movement(run, kernel)
    tops = np.bincount(speeds.argmax(0), weights=ranges, minlength=len(run))
    return _of(run, kernel).mean @ tops


def quanta(run: RunSignals, kernel: Kernel) -> Series:
    """Groups of samples that move at the same time: a non-negative factorisation (rank 8, multiplicative updates from a
    fixed start: Lee & Seung 2001) of the samples' speeds, each over its own sum; a group votes for where its profile is
    high, weighted by how far its samples moved."""
    speeds, ranges = _movement(run, kernel)
    share = speeds / np.maximum(speeds.sum(0), _TINY) * ranges
    profile, weight = _factors(share, QUANTA)
    mass = profile.max(0) * weight.sum(1)
    return (scaled(profile) ** 2) @ mass


def _factors(share: Series, rank: int) -> tuple[Series, Series]:
    rng = np.random.default_rng(0)
    size = np.sqrt(share.mean() / rank + 1e-30)
    profile = size * (rng.random((len(share), rank)) + 0.1)
    weight = size * (rng.random((rank, share.shape[1])) + 0.1)
    for _ in range(UPDATES):
        profile *= (share @ weight.T) / np.maximum(profile @ (weight @ weight.T), 1e-12)
        weight *= (profile.T @ share) / np.maximum((profile.T @ profile) @ weight, 1e-12)
    return profile, weight


def skill_components(run: RunSignals, kernel: Kernel) -> Series:
    """The speeds of the leading components of behaviour over time (groups of samples that move together), each over its
    greatest, squared and added."""
    return _component_speeds(run, components(skill(run), COMPONENTS), kernel)


def _component_speeds(run: RunSignals, path: Series, kernel: Kernel) -> Series:
    return (scaled(np.abs(_of(run, kernel).slope @ path)) ** 2).sum(1)


def output_components(run: RunSignals, kernel: Kernel) -> Series:
    """The speeds of the leading components of the outputs over time, each over its greatest, squared and added."""
    return _component_speeds(run, _path(run, COMPONENTS), kernel)


def output_speed(run: RunSignals, kernel: Kernel) -> Series:
    """The square root of how fast the outputs move on the probe."""
    return np.sqrt(np.linalg.norm(_of(run, kernel).slope @ _path(run, None), axis=1))


def concentration(run: RunSignals, kernel: Kernel) -> Series:
    """How much of all movement along the present direction of the outputs happens now, times the root of its speed."""
    velocity = _of(run, kernel).slope @ _path(run, None)
    gram = velocity @ velocity.T
    length = np.sqrt(np.maximum(gram.diagonal(), _TINY))
    along = (np.abs(gram) / length[:, None]).sum(1)
    return length / np.maximum(along, _TINY) * np.sqrt(length / max(float(length.max()), _TINY))


def _path(run: RunSignals, count: int | None) -> Series:
    if run.outputs is None:
        raise InputError(f"{run.name} has no outputs recorded.")
    path = filled(run.outputs)
    return path if count is None else components(path, count)


def layer_levels(run: RunSignals, name: str, kernel: Kernel, columns: Sequence[int]) -> Series:
    """exp(mean of ln) of a per-layer signal (M, L), changes put at the middle of what they compare; what is not above 0
    counts as the smallest value that is."""
    values = run.centred(name)[:, list(columns)]
    floor = np.where(values > 0, values, np.inf).min(0)
    floor = np.where(np.isfinite(floor), floor, 1.0)
    return np.exp(_of(run, kernel).mean @ np.log(np.maximum(values, floor)))


def contrast(levels: Series) -> Series:
    """Per-layer levels less what all layers share at that moment: ln x_l minus its mean over layers, back in levels."""
    logs = np.log(np.maximum(levels, _TINY))
    return np.exp(logs - logs.mean(1, keepdims=True))


def over_layers(levels: Series, pool: str) -> Series:
    """One series of several layers, each as by `by_layer`: their "mean", their "max", or the greatest
    "contrast" of one with what all of them do."""
    if pool not in ("mean", "max", "contrast"):
        raise InputError(f"layers are pooled by 'mean', 'max' or 'contrast'; got {pool!r}.")
    own = by_layer(contrast(levels) if pool == "contrast" else levels)
    return own.mean(1) if pool == "mean" else own.max(1)


def by_layer(levels: Series) -> Series:
    """Every layer's levels (M, L) over its own greatest, or over a tenth of the greatest of all layers where its own is
    less: a layer in which hardly anything ever happens is not scaled up to those in which something does."""
    most = levels.max(0, initial=0.0)
    most = np.maximum(most, FAINT * most.max(initial=0.0))
    return levels / np.where(most > 0, most, 1.0)
