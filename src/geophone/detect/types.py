"""Whether jumps fall into types, and which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geophone.errors import InputError

MOST = 6
REFERENCES = 50
BOOTSTRAPS = 50
STABLE = 0.75


@dataclass(frozen=True, slots=True, eq=False)
class JumpTypes:
    """`labels` (jumps,) from 0; `names` and `centroids` (k, 3: phase, magnitude, depth, in their own units) by label.

    status: "stable" | "no stable taxonomy" (more than one type, but other runs give others) | "one type" (the gap
    statistic prefers k = 1) | "too few". `stability` is the mean adjusted Rand index over bootstrapped runs (NaN for
    one type); `gaps` the gap statistic for k = 1, 2, ...
    """

    status: str
    labels: np.ndarray
    names: tuple[str, ...]
    centroids: np.ndarray
    stability: float
    gaps: tuple[float, ...]


def jump_types(
    phase: np.ndarray,
    log_ratio: np.ndarray,
    depth: np.ndarray,
    *,
    runs: Sequence,
    rng: np.random.Generator,
) -> JumpTypes:
    """k-means on standardised (phase, |log ratio|, relative depth), one jump an entry; `runs` names each jump's run.

    k is the least of 1 ... 6 with Gap(k) >= Gap(k+1) - s(k+1) (Tibshirani et al. 2001; 50 references, uniform in the
    box of the principal axes). The types are stable when the adjusted Rand index between the labels and those of
    centroids fitted to bootstrapped runs is .75 or more in the mean. Names follow the centroid: phase below 1/3 "early
    rapid expansion" or "early rapid compression" (by the members' mean log ratio), below 2/3 "mid refinement", else
    "late stabilisation"; equal names are told apart by depth, then by number. Not a test of whether types exist in
    nature: it describes these jumps. Raises InputError when the arrays differ in length.
    """
    columns = [np.asarray(c, dtype=np.float64) for c in (phase, np.abs(log_ratio), depth)]
    run_of = np.asarray(runs)
    if len({len(c) for c in (*columns, run_of)}) != 1:
        raise InputError("phase, log_ratio, depth and runs must have one entry a jump each.")
    raw = np.stack(columns, axis=1)
    if len(raw) < 10 or not np.isfinite(raw).all():
        return JumpTypes("too few", np.zeros(len(raw), int), (), np.empty((0, 3)), np.nan, ())
    spread = raw.std(axis=0)
    x = (raw - raw.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    gaps, k = _gap_choice(x, rng)
    labels = _fit(x, k, rng).labels_
    centroids = np.stack([raw[labels == j].mean(axis=0) for j in range(k)])
    names = _names(centroids, [float(np.mean(np.asarray(log_ratio)[labels == j])) for j in range(k)])
    stability = _stability(x, labels, run_of, k, rng) if k > 1 else np.nan
    status = "one type" if k == 1 else "stable" if stability >= STABLE else "no stable taxonomy"
    return JumpTypes(status, labels, names, centroids, stability, tuple(gaps))


def _fit(x: np.ndarray, k: int, rng: np.random.Generator):
    from sklearn.cluster import KMeans

    return KMeans(n_clusters=k, n_init=5, random_state=int(rng.integers(2**31))).fit(x)


def _gap_choice(x: np.ndarray, rng: np.random.Generator) -> tuple[list[float], int]:
    """Gap(k) for k up to one past the chosen one, and the chosen k."""
    most = min(MOST, len(np.unique(x, axis=0)))
    axes = np.linalg.svd(x, full_matrices=False)[2]
    turned = x @ axes.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    references = [rng.uniform(low, high, x.shape) @ axes for _ in range(REFERENCES)]
    gaps: list[float] = []
    for k in range(1, most + 1):
        logs = np.array([_log_inertia(_fit(reference, k, rng)) for reference in references])
        gaps.append(float(logs.mean() - _log_inertia(_fit(x, k, rng))))
        error = logs.std() * np.sqrt(1 + 1 / REFERENCES)
        if k > 1 and gaps[-2] >= gaps[-1] - error:
            return gaps, k - 1
    return gaps, most


def _log_inertia(fitted) -> float:
    return float(np.log(max(fitted.inertia_, np.finfo(float).tiny)))


def _stability(x: np.ndarray, labels: np.ndarray, runs: np.ndarray, k: int, rng: np.random.Generator) -> float:
    from sklearn.metrics import adjusted_rand_score

    names = np.unique(runs)
    members = {name: np.flatnonzero(runs == name) for name in names}
    scores = []
    for _ in range(BOOTSTRAPS):
        drawn = x[np.concatenate([members[name] for name in rng.choice(names, len(names))])]
        if len(np.unique(drawn, axis=0)) >= k:
            scores.append(adjusted_rand_score(labels, _fit(drawn, k, rng).predict(x)))
    return float(np.mean(scores)) if scores else np.nan


def _names(centroids: np.ndarray, directions: Sequence[float]) -> tuple[str, ...]:
    plain = []
    for (phase, _, _), direction in zip(centroids, directions, strict=True):
        early = "early rapid expansion" if direction > 0 else "early rapid compression"
        plain.append(early if phase < 1 / 3 else "mid refinement" if phase < 2 / 3 else "late stabilisation")
    where = ["shallow" if d < 1 / 3 else "middle" if d < 2 / 3 else "deep" for d in centroids[:, 2]]
    told = [f"{n}, {w} layers" if plain.count(n) > 1 else n for n, w in zip(plain, where, strict=True)]
    return tuple(f"{n} ({told[: i + 1].count(n)})" if told.count(n) > 1 else n for i, n in enumerate(told))


def representatives(types: JumpTypes, points: np.ndarray, experiments: Sequence[str], *, most: int = 3) -> list[int]:
    """Indices of the `most` jumps nearest to each type's centroid, from different experiments, type after type.

    `points` (jumps, 3) holds phase, |log ratio| and depth; distances are in units of their standard deviations.
    """
    spread = points.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    chosen: list[int] = []
    for label, centroid in enumerate(types.centroids):
        distance = np.linalg.norm((points - centroid) / scale, axis=1)
        seen: set[str] = set()
        for i in np.argsort(distance, kind="stable"):
            if types.labels[i] == label and experiments[i] not in seen and len(seen) < most:
                seen.add(experiments[i])
                chosen.append(int(i))
    return chosen
