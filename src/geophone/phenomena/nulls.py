"""What nothing looks like in these runs: the nulls of every dimension, by length of the series."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.detect.critical import change_null
from geophone.detect.jumps import jump_null, pelt_penalty
from geophone.detect.nulls import BLOCK, LEAST, Null, block_surrogates, log_series, make_null, residuals
from geophone.phenomena.runs import Draws

Series = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, slots=True)
class SeriesNulls:
    """What nothing looks like, for the series of one dimension: the nulls of the calibrated forms, and PELT's penalty
    (None leaves PELT out)."""

    jump: tuple[Null, ...]
    velocity: Null
    acceleration: Null
    penalty: float | None = None


class Nulls:
    """The nulls of every dimension of `runs`, each drawn when it is first asked for.

    For jumps: the reference null; sign-flipped blocks of the residuals of all series of that dimension; and, where
    there are fork replicates (`forks`: groups of runs that left one run at one step), the same of the forks' distance
    from their mean, which is the noise of SGD itself. A jump must pass all of them.
    """

    def __init__(self, runs: Sequence[Series], forks: Sequence[Sequence[Series]], draws: Draws) -> None:
        self._draws = draws
        dimensions = dict.fromkeys(dimension for run in runs for dimension in run)
        self._pools = {d: [list(_of_runs(runs, d)), list(_of_forks(forks, d))] for d in dimensions}
        self._general: dict[int, tuple[Null, Null, Null]] = {}
        self._blocks: dict[tuple[str, int], tuple[tuple[Null, ...], float | None]] = {}

    def of(self, dimension: str, measurements: int) -> SeriesNulls:
        """The nulls of a series of `measurements` of `dimension`."""
        if measurements not in self._general:
            self._general[measurements] = self._reference(measurements)
        if (dimension, measurements) not in self._blocks:
            self._blocks[dimension, measurements] = self._stitched(dimension, measurements)
        jump, velocity, acceleration = self._general[measurements]
        blocks, penalty = self._blocks[dimension, measurements]
        return SeriesNulls((jump, *blocks), velocity, acceleration, penalty)

    def _reference(self, measurements: int) -> tuple[Null, Null, Null]:
        count, length = self._draws.surrogates, max(measurements, LEAST)
        rng = self._draws.stream("reference", str(measurements))
        return (
            jump_null(length, rng=rng, surrogates=count),
            change_null("velocity", length, rng=rng, surrogates=count),
            change_null("acceleration", length, rng=rng, surrogates=count),
        )

    def _stitched(self, dimension: str, measurements: int) -> tuple[tuple[Null, ...], float | None]:
        rng = self._draws.stream("blocks", dimension, str(measurements))
        pools = [pool for pool in self._pools[dimension] if pool]
        if measurements < LEAST or not pools:
            return (), None
        surrogates = (block_surrogates(p, measurements, count=self._draws.surrogates, rng=rng) for p in pools)
        nulls = tuple(make_null(each, kind="jump") for each in surrogates)
        return nulls, pelt_penalty(pools[0], measurements, rng=rng)


def _of_runs(runs: Sequence[Series], dimension: str) -> Iterator[np.ndarray]:
    for table in (run[dimension] for run in runs if dimension in run):
        if len(table) >= BLOCK:
            yield from residuals(_logs(table))


def _of_forks(forks: Sequence[Sequence[Series]], dimension: str) -> Iterator[np.ndarray]:
    """Distances of forks from the mean of the forks of the same run and step, rows scaled to unit noise."""
    for group in forks:
        tables = [run[dimension] for run in group if dimension in run and len(run[dimension]) >= BLOCK]
        if len(tables) < 2 or len({len(table) for table in tables}) > 1:
            continue
        logs = np.stack([_logs(table) for table in tables])
        for apart in (logs - logs.mean(axis=0)) * np.sqrt(len(tables) / (len(tables) - 1)):
            yield from residuals(apart)


def _logs(table: pd.DataFrame) -> np.ndarray:
    return log_series(table.to_numpy(dtype=float).T)
