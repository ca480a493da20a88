"""One number of the statistics: its value, interval, test, and what they rest on. And how it is made."""

import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from geophone.stats.clusters import LEAST, Interval, correlation_interval, mean_interval, score_flip
from geophone.stats.paired import sign_flip
from geophone.stats.power import smallest_effect
from geophone.stats.regression import r2_in_sample, r2_left_out

ALPHA = 0.05
BOOTSTRAP = "95 %, symmetric bootstrap-t over runs"
FLIPS = "sign flips over runs"
SCORES = "sign-flipped scores over runs"
TOO_FEW = f"not enough data: needs {LEAST} runs and some spread"


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number. `form`: "naive" (as the founding document wrote it; rows taken as independent) or "calibrated" (the
    run is the unit). `family_of_tests` names the tests among which `p_adjusted` (Benjamini-Hochberg) was worked out;
    without one the p stands as it is. `smallest`: the smallest true value that so many runs with this error find four
    times in five. status: "ok" or what is missing; NaN where nothing can be said.
    """

    id: str
    says: str
    form: str
    value: float
    low: float = np.nan
    high: float = np.nan
    interval: str = ""
    p: float = np.nan
    p_adjusted: float = np.nan
    test: str = ""
    family_of_tests: str = ""
    n: int = 0
    runs: int = 0
    smallest: float = np.nan
    status: str = "ok"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Random:
    """Where every number gets its randomness: a stream of its own, by its id, so that no number moves another."""

    seed: int
    draws: int

    def stream(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    @property
    def flips(self) -> int:
        return 5 * self.draws + 4


@dataclass(frozen=True, slots=True)
class Named:
    """What a number is about: id, a sentence, the family of tests ("" for none)."""

    id: str
    says: str
    family: str = ""


def mean_number(named: Named, values: pd.Series, runs: pd.Series, random: Random) -> Statistic:
    """The mean over runs of `values`, each run counting once, tested by sign flips of the runs' means."""
    rng = random.stream(named.id)
    found = mean_interval(values.to_numpy(float), clusters=runs.to_numpy(str), rng=rng, draws=random.draws)
    means = values.groupby(runs.to_numpy(str)).mean().dropna().to_numpy(float)
    tested = sign_flip(means, rng=rng, draws=random.flips)
    p = tested.p if found.status == "ok" else np.nan
    return calibrated(named, found, p, random, test=FLIPS, smallest=smallest_effect(found.error, found.clusters))


def correlation_number(
    named: Named, rows: pd.DataFrame, columns: tuple[str, str], random: Random, *, method: str = "pearson"
) -> Statistic:
    """The correlation of two columns over rows that come in runs (column `run`)."""
    rng = random.stream(named.id)
    x, y = (rows[c].to_numpy(float) for c in columns)
    runs = rows["run"].to_numpy(str)
    found = correlation_interval(x, y, clusters=runs, rng=rng, method=method, draws=random.draws)
    tested = score_flip(x, y, clusters=runs, rng=rng, method=method, draws=random.flips)
    p = tested.p if found.status == "ok" else np.nan
    smallest = float(np.tanh(smallest_effect(found.error, found.clusters)))
    return calibrated(named, found, p, random, test=SCORES, smallest=smallest)


def r2_number(
    named: Named,
    rows: pd.DataFrame,
    columns: tuple[str, ...],
    random: Random,
    *,
    parts: np.ndarray | None = None,
) -> Statistic:
    """R^2 of the last of `columns` on the others: in-sample with its interval (and its test where `named` has a
    family), or left out part by part, without either, where `parts` are given."""
    rng = random.stream(named.id)
    x, y = rows[list(columns[:-1])].to_numpy(float), rows[columns[-1]].to_numpy(float)
    runs = rows["run"].to_numpy(str)
    if parts is not None:
        return calibrated(
            named, r2_left_out(x, y, clusters=runs, parts=parts), np.nan, random, test="", smallest=np.nan
        )
    found = r2_in_sample(x, y, clusters=runs, rng=rng, draws=random.draws)
    tested = score_flip(x, y, clusters=runs, rng=rng, draws=random.flips) if named.family else None
    p = tested.p if tested is not None and found.status == "ok" else np.nan
    return calibrated(named, found, p, random, test=SCORES if tested else "", smallest=np.nan)


def calibrated(named: Named, found: Interval, p: float, random: Random, *, test: str, smallest: float) -> Statistic:
    """A calibrated number from its interval and p."""
    ok = found.status == "ok"
    return Statistic(
        id=named.id, says=named.says, form="calibrated", value=found.statistic, low=found.low, high=found.high,
        interval=BOOTSTRAP if np.isfinite(found.low) else "", p=p, test=test if ok else "",
        family_of_tests=named.family if ok and not np.isnan(p) else "", n=found.n, runs=found.clusters,
        smallest=smallest, status="ok" if ok else TOO_FEW, seed=random.seed,
    )  # fmt: skip


def adjusted(numbers: Iterable[Statistic]) -> list[Statistic]:
    """`numbers` with `p_adjusted`, family by family; those without a family keep NaN."""
    numbers = list(numbers)
    families = [number.family_of_tests for number in numbers]
    for family in sorted(set(families) - {""}):
        at = [i for i, f in enumerate(families) if f == family]
        for i, p in zip(at, stats.false_discovery_control([numbers[i].p for i in at]), strict=True):
            numbers[i] = replace(numbers[i], p_adjusted=float(p))
    return numbers


def plain(value):
    """`value` as JSON has it: NaN and infinities null, floats to 8 digits, numbers as dicts."""
    if isinstance(value, Statistic):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.8g}") if np.isfinite(value) else None
    return value
