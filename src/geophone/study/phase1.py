"""Phase 1 over a whole study: nulls from all of its series, and what only many runs can say."""

import zlib
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from geophone.detect.critical import change_null
from geophone.detect.jumps import jump_null, pelt_penalty
from geophone.detect.nulls import BLOCK, LEAST, Null, block_surrogates, log_series, make_null, residuals
from geophone.detect.tables import SeriesNulls
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.study.file import DetectOptions

Series = dict[str, dict[str, pd.DataFrame]]


def stream(seed: int, *words: str) -> np.random.Generator:
    """The random stream of `seed` for one purpose, so that a new purpose does not move the others."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])


def read_series(study: Study, on_run: Callable[[str], None] = lambda name: None) -> tuple[list[Run], Series]:
    """Every run that has measurements, and its series by run and dimension."""
    runs, found = [], {}
    for run in study:
        if run.has_series:
            runs.append(run)
            found[run.name] = run.all_series()
        on_run(run.name)
    return runs, found


class StudyNulls:
    """The nulls of every dimension of a study, by length of the series.

    For jumps: the reference null; sign-flipped blocks of the residuals of all series of that dimension in the study;
    and, where the study has fork replicates, the same of the forks' distance from their mean, which is the noise of
    SGD itself. A jump must pass all of them.
    """

    def __init__(self, study: Study, series: Series, options: DetectOptions) -> None:
        self._options = options
        self._general: dict[int, tuple[Null, Null, Null]] = {}
        self._pools = {d: _pool(series, d) for d in _dimensions(series)}
        self._forks = {d: _fork_pool(study, d) for d in self._pools}
        self._blocks: dict[tuple[str, int], tuple[tuple[Null, ...], float | None]] = {}

    def of(self, dimension: str, measurements: int) -> SeriesNulls:
        jump, velocity, acceleration = self._general_nulls(measurements)
        key = (dimension, measurements)
        if key not in self._blocks:
            self._blocks[key] = self._block_nulls(dimension, measurements)
        blocks, penalty = self._blocks[key]
        return SeriesNulls((jump, *blocks), velocity, acceleration, penalty)

    def _general_nulls(self, measurements: int) -> tuple[Null, Null, Null]:
        if measurements not in self._general:
            count, length = self._options.surrogates, max(measurements, LEAST)
            rng = stream(self._options.seed, "reference", str(measurements))
            self._general[measurements] = (
                jump_null(length, rng=rng, surrogates=count),
                change_null("velocity", length, rng=rng, surrogates=count),
                change_null("acceleration", length, rng=rng, surrogates=count),
            )
        return self._general[measurements]

    def _block_nulls(self, dimension: str, measurements: int) -> tuple[tuple[Null, ...], float | None]:
        rng = stream(self._options.seed, "blocks", dimension, str(measurements))
        pools = [pool for pool in (self._pools[dimension], self._forks[dimension]) if pool]
        if measurements < LEAST or not pools:
            return (), None
        nulls = tuple(
            make_null(
                block_surrogates(pool, measurements, count=self._options.surrogates, rng=rng),
                kind="jump",
            )
            for pool in pools
        )
        return nulls, pelt_penalty(pools[0], measurements, rng=rng)


def _dimensions(series: Series) -> list[str]:
    return list(dict.fromkeys(d for tables in series.values() for d in tables))


def _pool(series: Series, dimension: str) -> list[np.ndarray]:
    tables = [tables[dimension] for tables in series.values() if dimension in tables]
    return [row for table in tables for row in _residuals(table)]


def _residuals(table: pd.DataFrame) -> Iterable[np.ndarray]:
    values = table.to_numpy(dtype=float).T
    return residuals(log_series(values)) if values.shape[1] >= BLOCK else []


def _fork_pool(study: Study, dimension: str) -> list[np.ndarray]:
    """Distances of forks from the mean of the forks of the same run and step, rows scaled to unit noise."""
    found: list[np.ndarray] = []
    for group in fork_groups(study):
        tables = [run.series(dimension) for run in group if dimension in run.dimensions]
        tables = [table for table in tables if len(table) >= BLOCK]
        if len(tables) < 2 or len({len(table) for table in tables}) > 1:
            continue
        logs = np.stack([log_series(table.to_numpy(dtype=float).T) for table in tables])
        apart = (logs - logs.mean(axis=0)) * np.sqrt(len(tables) / (len(tables) - 1))
        found += [row for block in apart for row in residuals(block)]
    return found


def fork_groups(study: Study) -> list[list[Run]]:
    """The fork replicates of a study: runs that left one run at one step, group by group."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in study.forks:
        made = run.manifest.about.get("fork", {})
        if run.has_series and made:
            groups.setdefault((made["of"], made["at"]), []).append(run)
    return [group for group in groups.values() if len(group) > 1]
