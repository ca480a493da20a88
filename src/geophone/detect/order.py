"""Whether shallow layers settle before deep ones."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats

from geophone.detect.stabilization import stabilization
from geophone.errors import InputError
from geophone.records import ConvergenceOrder, Stabilization

EXACT_UP_TO = 12
FEWEST = 3  # layers that settled; of fewer there is no order, whatever the others that did not settle tie with
LAST = 2**62  # a step that no run reaches
CLEAR = 0.6
_ROUNDING = 1e-9


def convergence_order(table: pd.DataFrame, *, mode: str) -> ConvergenceOrder:
    """Spearman's rho between depth and stabilisation step of the columns of `table` (steps x layers, depth order).

    Layers that did not stabilise do not count in mode "naive"; in mode "calibrated" a censored layer counts as later
    than all that settled, and censored layers tie with each other: in rho, in its exact p and in Kendall's tau-b.
    verdict: rho > 0.6 "bottom-up", rho < -0.6 "top-down", |rho| < 0.3 "simultaneous", otherwise "weak"; "undefined"
    when fewer than 3 layers settled or all of them tie. With few layers a large rho is common by chance (P(rho > 0.6) =
    0.17 for 4 layers): read `p` with it.
    Raises InputError unless `table` is a DataFrame.
    """
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"convergence order is of a table of layers; got {type(table).__name__}.")
    return order_of_layers([stabilization(table[layer], mode=mode) for layer in table.columns])


def order_of_layers(settled: Sequence[Stabilization]) -> ConvergenceOrder:
    """Convergence order of layers in depth order, from when each settled."""
    steps = [found.step if found.status != "censored" else LAST for found in settled]
    depths = [depth for depth, step in enumerate(steps) if step is not None]
    return order_of(depths, [step for step in steps if step is not None])


def order_of(depths: list[int], steps: list[int]) -> ConvergenceOrder:
    """Convergence order of layers at `depths` that settled at `steps`; `LAST` is the step of one that did not."""
    n = len(steps)
    if sum(step < LAST for step in steps) < FEWEST or len(set(steps)) == 1:
        return ConvergenceOrder(math.nan, math.nan, "undefined", math.nan, n, math.nan)
    rho = float(stats.spearmanr(depths, steps).statistic)
    tau = float(stats.kendalltau(depths, steps, variant="b").statistic)
    return ConvergenceOrder(rho, spearman_p(depths, steps), _verdict(rho), tau, n, bottom_up_chance(depths, steps))


def _verdict(rho: float) -> str:
    # Of four layers a rho of 0.6 comes out as 0.6000000000000001, which is not above it.
    if rho > CLEAR + _ROUNDING:
        return "bottom-up"
    if rho < -CLEAR - _ROUNDING:
        return "top-down"
    return "simultaneous" if abs(rho) < 0.3 - _ROUNDING else "weak"


def bottom_up_chance(x, y) -> float:
    """P(rho > 0.6) over all orders of `y`, its ties and those of `x` kept: exact for up to 12 values, by Student's t
    beyond."""
    n = len(x)
    if n > EXACT_UP_TO:
        return float(stats.t.sf(CLEAR * math.sqrt((n - 2) / (1 - CLEAR**2)), n - 2))
    ranks = [_doubled(values) for values in (x, y)]
    counts = _null(*(tuple(sorted(r)) for r in ranks))
    centre = sum(ranks[0]) * sum(ranks[1]) / n
    spread = math.sqrt(math.prod(sum(v * v for v in r) - sum(r) ** 2 / n for r in ranks))
    clear = np.arange(len(counts)) > centre + (CLEAR + _ROUNDING) * spread
    return float(counts[clear].sum() / counts.sum())


def _doubled(values) -> tuple[int, ...]:
    """Twice the ranks, which are whole where values tie, too."""
    return tuple(int(v) for v in 2 * stats.rankdata(values))


def spearman_p(x, y) -> float:
    """Probability, over all orders of `y`, of a Spearman rho at least as far from 0 on its own side; ties kept.

    Exact for up to 12 values, by the distribution of sum r_i s_i over all permutations; beyond, where exactness
    no longer changes the second digit, by Student's t. Twice this is the two-sided probability.
    """
    ranks = [_doubled(values) for values in (x, y)]
    centre = sum(ranks[0]) * sum(ranks[1]) / len(ranks[0])
    found = sum(a * b for a, b in zip(*ranks, strict=True))
    if len(ranks[0]) > EXACT_UP_TO:
        return float(stats.spearmanr(x, y, alternative="greater" if found >= centre else "less").pvalue)
    counts = _null(*(tuple(sorted(r)) for r in ranks))
    return float((counts[found:] if found >= centre else counts[: found + 1]).sum() / counts.sum())


@lru_cache(maxsize=256)
def _null(x: tuple[int, ...], y: tuple[int, ...]) -> np.ndarray:
    """How many permutations s of `y` give each value of sum x_i s_i: element v counts those that give v.

    Level i holds, for every set of values already used, the distribution of the partial sum.
    """
    size = sum(a * b for a, b in zip(x, y, strict=True)) + 1
    level = {0: np.eye(1, size)[0]}
    for a in x:
        following: dict[int, np.ndarray] = {}
        for used, counts in level.items():
            for j, b in enumerate(y):
                if not used >> j & 1:
                    shifted = following.setdefault(used | 1 << j, np.zeros(size))
                    shifted[a * b :] += counts[: size - a * b]
        level = following
    return level[(1 << len(y)) - 1]
