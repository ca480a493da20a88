"""Do early units carry late ones: a ladder from correlation to causal effect, for pairs of layers."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import nn

from geophone.dig.ablation import derangement
from geophone.dig.effects import Link, early_output, effects, link, mixed, pooled, step_of
from geophone.dig.samples import passes
from geophone.errors import InputError
from geophone.record.anatomy import Anatomy, anatomy_of
from geophone.record.probe import bare, undisturbed

SEED_R = 0.7
FDR = 0.05
SAMPLES = 32  # for effects; half of that of sequences of tokens
DRAWS = 10
_ENDS = ("early", "early_unit", "late", "late_unit")
_VALUES = ("pearson", "partial", "path", "effect", "q")
# Multiplications and additions that the effects of one pair of layers may take; beyond, in networks of more than a
# million weights or so whose layers cannot be run by themselves, they would take minutes each, and are left out.
MOST_WORK = 1e12
FEWEST = 20  # degrees of freedom that a correlation within class must rest on


@dataclass(frozen=True)
class Rungs:
    """What is known of each pair of units of two layers, as matrices (early units, late units).

    `pearson`: correlation over samples. `partial`: the same within class. `path`: the share of a late unit's incoming
    path weight that comes from the early unit (NaN where the path is not linear or convolutional). `effect`: E_ij, and
    `q` its p adjusted by Benjamini-Hochberg over the pairs of the two layers (NaN where it was not measured).
    `null_edges`: how many edges a network with mixed weights has by the same rule, on average.
    """

    early: str
    late: str
    pearson: np.ndarray
    partial: np.ndarray
    path: np.ndarray
    effect: np.ndarray
    q: np.ndarray
    null_edges: float

    @property
    def edges(self) -> np.ndarray:
        """Where the effect is significant at a false discovery rate of 5 %."""
        return self.q < FDR


def composition_table(ladder: Sequence[Rungs]) -> pd.DataFrame:
    """How far each layer carries the later ones, from what `rungs` measured: one row per pair, early before late.

    Columns: early, late, pairs (of units), naive_edges (Pearson > 0.7), partial_edges (within-class partial correlation
    > 0.7), path_strength (the strongest path into a late unit beside an even share of its paths, mean over late units:
    1 when all are equal), effect_edges (significant E_ij) and effect_null (how many mixed weights have); and
    compositional_depth, the greatest number of significant edges in a row, the same in every row. The effects are
    measured between neighbouring layers only, and are NaN for other pairs: where nothing bypasses a recorded layer,
    every path from layer to layer goes through those between.
    """
    depth = compositional_depth(edge_table(ladder))
    rows = []
    for r in ladder:
        rows.append(
            {
                "early": r.early, "late": r.late, "pairs": r.pearson.size,
                "naive_edges": int((r.pearson > SEED_R).sum()), "partial_edges": _count(r.partial > SEED_R, r.partial),
                "path_strength": _path_strength(r.path),
                "effect_edges": _count(r.edges, r.q), "effect_null": r.null_edges,
                "compositional_depth": depth,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def edge_table(ladder: Sequence[Rungs], *, every: bool = False) -> pd.DataFrame:
    """The significant edges of all pairs of layers, one row each, or with `every` all pairs of units: early,
    early_unit, late, late_unit, pearson, partial, path, effect, q, edge (q < 0.05)."""
    parts = []
    for r in ladder:
        i, j = np.nonzero(r.edges | every)
        values = {name: getattr(r, name)[i, j] for name in _VALUES}
        parts.append(pd.DataFrame({"early": r.early, "early_unit": i, "late": r.late, "late_unit": j, **values}))
        parts[-1]["edge"] = r.edges[i, j]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*_ENDS, *_VALUES, "edge"])


def compositional_depth(edges: pd.DataFrame) -> int:
    """The greatest number of edges in a row: 0 without an edge, 3 when a unit of the fourth layer rests on a chain of
    one in each layer before.

    `edges` has columns early, early_unit, late, late_unit (layer names and unit numbers), one row per edge; where it
    has a column `edge`, only rows with True there count. Raises InputError when the edges go round in a circle.
    """
    if "edge" in edges:
        edges = edges[edges["edge"].astype(bool)]
    sources: dict[tuple, set[tuple]] = {}
    for row in edges[list(_ENDS)].itertuples(index=False):
        sources.setdefault((row.late, row.late_unit), set()).add((row.early, row.early_unit))
    depth: dict[tuple, int] = {}
    try:
        for node in TopologicalSorter(sources).static_order():
            depth[node] = max((depth[source] + 1 for source in sources.get(node, ())), default=0)
    except CycleError as error:
        raise InputError("the edges go round in a circle; give edges from early layers to late ones.") from error
    return max(depth.values(), default=0)


def rungs(
    model: nn.Module,
    layers: Sequence[str],
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    rng: np.random.Generator,
    draws: int = DRAWS,
    samples: int | None = None,
    null: str = "rotated",
    anatomy: Anatomy | None = None,
) -> list[Rungs]:
    """The ladder for every pair of `layers`, early before late; effects for neighbours in the list only.

    A unit is a channel (mean over positions), a stream dimension (mean over tokens) or a feature. Correlations use all
    of `x` (N, ...) and `y` (N,); of labels (N, T), those of the last position; within class NaN with fewer than 20
    samples beyond one a class. Effects use `samples` of `x`, drawn with `rng`: early unit i of each sample becomes
    another sample's, E_ij = E|dh_j| / sd(h_j) (see `effects.effects`). Whether j draws on i in particular is judged by
    the share E_ij / sum_i E_ij, in which sd(h_j) cancels. Its null are the shares after every weight between the
    layers was mixed (`effects.mixed`), `draws` times; p is the part of all null values that are as large, once as they
    are and once in units of the null's mean for the same early unit (so that one unit of great variance does not hide
    the others), and q is twice the lesser of the two adjusted p. Unit k to unit k is taken in units of such pairs
    alone, so that what a residual stream carries on is no composition. They are NaN for a pair of layers that
    would take more than `MOST_WORK` operations. Nothing of the model is changed. Raises InputError for fewer than 2
    layers or samples, or layers out of order.
    """
    if len(layers) < 2 or len(x) < 2 or draws < 2:
        raise InputError("composition wants 2 or more layers, 2 or more samples and 2 or more draws.")
    inner = bare(model)
    anatomy = anatomy or anatomy_of(inner)
    with undisturbed(inner), torch.no_grad():
        answers = _answers(inner, anatomy, layers, x)
        count = min(len(x), samples or (SAMPLES if x.is_floating_point() else SAMPLES // 2))
        chosen = torch.from_numpy(np.sort(rng.choice(len(x), count, replace=False)))
        few, donors = x[chosen], torch.from_numpy(derangement(len(chosen), rng))
        links = [link(inner, anatomy, a, b, x[:2]) for a, b in itertools.pairwise(layers)]
        found = []
        for i, early in enumerate(layers):
            path: np.ndarray | None = np.eye(answers[i].shape[1])
            for j in range(i + 1, len(layers)):
                path = _onwards(path, links[j - 1])
                shape = (answers[i].shape[1], answers[j].shape[1])
                effect, q, null_edges = np.full(shape, np.nan), np.full(shape, np.nan), np.nan
                if j == i + 1 and links[i].work(few) * (draws + 1) <= MOST_WORK:
                    effect, q, null_edges = _judged(links[i], few, donors, draws=draws, null=null, rng=rng)
                pearson, partial = correlations(answers[i], answers[j]), _partial(answers[i], answers[j], y)
                shares = np.full(shape, np.nan) if path is None or path.shape != shape else _shares(path)
                found.append(Rungs(early, layers[j], pearson, partial, shares, effect, q, null_edges))
    return found


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's r of each column of `a` (N, I) with each of `b` (N, J): (I, J); NaN for a column that does not vary."""
    a, b = (_standard(values.astype(np.float64)) for values in (a, b))
    return a.T @ b / len(a)


def _standard(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(0)
    spread = centred.std(0)
    least = 1e-6 * np.abs(values).max(0, initial=0.0)
    return centred / np.where(spread > least, spread, np.nan)


def _partial(a: np.ndarray, b: np.ndarray, y: torch.Tensor) -> np.ndarray:
    """Correlation of what is left of both when each class's mean is taken off."""
    labels = y.cpu().numpy()
    labels = labels if labels.ndim == 1 else labels[:, -1]
    _, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    kept = counts[codes] > 1
    if kept.sum() - (counts > 1).sum() < FEWEST:
        return np.full((a.shape[1], b.shape[1]), np.nan)
    rest = []
    for values in (a.astype(np.float64), b.astype(np.float64)):
        sums = np.zeros((len(counts), values.shape[1]))
        np.add.at(sums, codes, values)
        varies = values.std(0) > 1e-6 * np.abs(values).max(0, initial=0.0)
        rest.append(np.where(varies, values - (sums / counts[:, None])[codes], np.nan)[kept])
    return correlations(*rest)


def _answers(model: nn.Module, anatomy: Anatomy, layers: Sequence[str], x: torch.Tensor) -> list[np.ndarray]:
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    for capture, _ in passes(model, [model.get_submodule(name) for name in layers], x):
        lacking = [name for name in layers if name not in capture]
        if lacking:
            raise InputError(f"{', '.join(lacking)} put out no tensor; choose other layers.")
        for name, found in parts.items():
            found.append(pooled(capture[name], anatomy.unit_axis(model, name, capture[name])))
    return [torch.cat(found).double().cpu().numpy() for found in parts.values()]


def _judged(
    found: Link, x: torch.Tensor, donors: torch.Tensor, *, draws: int, null: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """E_ij, its q, and the mean number of edges of a null draw that is judged by the others."""
    first = early_output(found, x)
    effect = effects(found, x, first, donors)
    drawn = []
    for _ in range(draws):
        with mixed(found, null=null, rng=rng):
            drawn.append(effects(found, x, first, donors))
    nulls, shares = _among(np.stack(drawn)), _among(effect)
    scales = [_scale(nulls, by_unit=by_unit) for by_unit in (True, False)]
    pairs = [(shares / scale, nulls / scale) for scale in scales]
    alone = [
        float((_least_q([(scaled[d], np.delete(scaled, d, axis=0)) for _, scaled in pairs]) < FDR).sum())
        for d in range(draws)
    ]
    return effect, _least_q(pairs), float(np.mean(alone))


def _among(effect: np.ndarray) -> np.ndarray:
    """Effects as shares of all effects on the late unit; early units are the last axis but one."""
    total = np.where(np.isfinite(effect), effect, 0).sum(-2, keepdims=True)
    return effect / np.where(total > 0, total, np.nan)


def _least_q(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The least q of several ways to compare with the null, times their number."""
    return np.minimum(1.0, len(pairs) * np.min([_q(*pair) for pair in pairs], axis=0))


def _scale(nulls: np.ndarray, *, by_unit: bool) -> np.ndarray:
    """What effects are measured in, (early units, late units): the null's mean effect, of each early unit or of all.

    On the diagonal of a square it is greater by what diagonals are greater by. NaN for an early unit without effect.
    """
    square = nulls.shape[1] == nulls.shape[2] > 1
    same = (np.eye(*nulls.shape[1:]) if square else np.zeros(nulls.shape[1:])) > 0
    there = np.isfinite(nulls) & ~same
    sums, counts = np.where(there, nulls, 0).sum((0, 2)), there.sum((0, 2))
    alive = sums > 0
    means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=alive)
    if not by_unit and alive.any():
        means[alive] = sums.sum() / counts[alive].sum()
    scale = np.repeat(means[:, None], nulls.shape[2], axis=1)
    diagonal = (nulls / scale)[:, same]
    if square and np.isfinite(diagonal).any() and np.nanmean(diagonal) > 0:
        scale[same] *= np.nanmean(diagonal)
    return scale


def _q(relative: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg over the finite entries of `relative`, p by rank among all finite null values."""
    null = np.sort(scaled[np.isfinite(scaled)])
    q, there = np.full(relative.shape, np.nan), np.isfinite(relative)
    if len(null) and there.any():
        reached = len(null) - np.searchsorted(null, relative[there] * (1 - 1e-9))
        q[there] = stats.false_discovery_control((1 + reached) / (1 + len(null)))
    return q


def _onwards(path: np.ndarray | None, found: Link) -> np.ndarray | None:
    """The path weights one layer further: times the sums of |weight| of each unit to each; None where it is no step."""
    step = step_of(found.model.get_submodule(found.late), found.anatomy)
    if path is None or step is None or found.between != (step.weight,):
        return None
    w = step.weight.weight.detach().abs()
    if w.shape[1] % path.shape[1]:
        return None
    one = w.reshape(len(w), path.shape[1], -1).sum(2).T.double().cpu().numpy()
    return path @ (one + np.eye(len(one)) if step.residual and one.shape[0] == one.shape[1] else one)


def _shares(path: np.ndarray) -> np.ndarray:
    total = path.sum(0)
    return np.divide(path, total, out=np.full(path.shape, np.nan), where=total > 0)


def _count(found: np.ndarray, values: np.ndarray) -> float:
    return float(found.sum()) if np.isfinite(values).any() else float("nan")


def _path_strength(shares: np.ndarray) -> float:
    there = np.isfinite(shares).all(0)
    return float(len(shares) * shares[:, there].max(0).mean()) if there.any() else float("nan")
