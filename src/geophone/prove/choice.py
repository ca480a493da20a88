"""What development seeds choose, and the file that freezes it."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from geophone.errors import StoreError
from geophone.prove.runs import MAIN
from geophone.prove.scores import SPREAD, WIDTHS, Method, Part, joined, part_score
from geophone.prove.signals import DIMENSIONS, RIVALS, TURNS, Signals
from geophone.prove.targeting import budget, match, pick
from geophone.store.tables import write_text

MOST_PARTS = 4
JOINS = ("mean", "log")
GEOPHONE, WITHOUT_SCALARS, DIMENSIONS_ONLY = "geophone", "geophone_without_scalars", "dimensions_only"
ALL_RIVALS, BEST_RIVALS = "rivals_all", "rivals_best"
PRODUCT = (GEOPHONE, WITHOUT_SCALARS, DIMENSIONS_ONLY)
# Counts and fractions are tuned by themselves, but do not enter combinations: most of the time they do not move.
_JOINING = tuple(
    name for name in DIMENSIONS if name not in ("pcs_90", "numerical_rank", "mean_fraction", "dead_fraction")
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The frozen methods by name, the best single rival and the best rival of all, and each method's recall at k = E on
    the development seeds, the mean over the main testbeds."""

    methods: Mapping[str, Method]
    best_rival: str
    seeds: tuple[int, ...]
    recall: Mapping[str, float]


def recall_at(run: Signals, score: np.ndarray) -> float:
    """Recall at k = E of a score (measurements,)."""
    events = run.truth.events
    index = pick(score, spread=SPREAD)[: budget(1.0, len(events))]
    return len(match(run.steps[index], events, run.truth.reach)) / len(events)


def by_bed(runs: Sequence[Signals], values: Iterable[float]) -> float:
    """The mean over testbeds of the mean over each one's runs."""
    beds = np.array([run.bed for run in runs])
    numbers = np.fromiter(values, dtype=np.float64)
    return float(np.mean([numbers[beds == bed].mean() for bed in dict.fromkeys(beds)]))


def choose(runs: Sequence[Signals]) -> Choice:
    """Tune every signal by itself, then find the best combination of at most 4 of them in every pool.

    Pools: the rivals; the dimensions; dimensions and turns ("geophone_without_scalars"); everything ("geophone"). The
    product's combinations hold a dimension, the second and third pools nothing else that a rival has but turns.
    Tuning is by recall at k = E, the mean over the main testbeds. Ties go to fewer parts, then to the order of names.
    """
    runs = [run for run in runs if run.bed in MAIN and run.truth.events]
    parts = {name: tune(runs, name) for name in (*DIMENSIONS, *RIVALS)}
    scores = {name: [part_score(run, part).mean(axis=1)[:, None] for run in runs] for name, part in parts.items()}
    pools = {
        DIMENSIONS_ONLY: _JOINING,
        WITHOUT_SCALARS: (*_JOINING, *TURNS),
        GEOPHONE: (*_JOINING, *RIVALS),
        BEST_RIVALS: RIVALS,
    }
    methods = {name: Method(name, (part,)) for name, part in parts.items()}
    methods[ALL_RIVALS] = Method(ALL_RIVALS, tuple(parts[name] for name in RIVALS), "log")
    for label, pool in pools.items():
        names, join = _best(runs, scores, pool, must=() if label == BEST_RIVALS else _JOINING)
        methods[label] = Method(label, tuple(parts[name] for name in names), join)
    recall = {name: by_bed(runs, _recalls(runs, method)) for name, method in methods.items()}
    best = max((*RIVALS, ALL_RIVALS, BEST_RIVALS), key=lambda name: recall[name])
    return Choice(methods, best, tuple(sorted({run.seed for run in runs})), recall)


def _recalls(runs: Sequence[Signals], method: Method) -> list[float]:
    return [recall_at(run, joined([part_score(run, part) for part in method.parts], method.join)) for run in runs]


def tune(runs: Sequence[Signals], signal: str) -> Part:
    """The window and root with the highest recall at k = E for one signal alone."""
    candidates = [Part(signal, axis, width, root) for axis, width in WIDTHS for root in (False, True)]
    return max(candidates, key=lambda part: by_bed(runs, _recalls(runs, Method(signal, (part,)))))


def _best(
    runs: Sequence[Signals], scores: Mapping[str, list[np.ndarray]], pool: Sequence[str], *, must: Sequence[str]
) -> tuple[tuple[str, ...], str]:
    best: tuple[float, tuple[str, ...], str] = (-1.0, (), "mean")
    for count in range(1, MOST_PARTS + 1):
        for names in combinations(pool, count):
            if must and not set(names) & set(must):
                continue
            for join in JOINS[: 1 if count == 1 else None]:
                together = ([scores[name][i] for name in names] for i in range(len(runs)))
                found = by_bed(runs, (recall_at(run, joined(p, join)) for run, p in zip(runs, together, strict=True)))
                if found > best[0] + 1e-12:
                    best = (found, names, join)
    return best[1], best[2]


def freeze(choice: Choice, path: Path) -> str:
    """Write `choice` with the SHA-256 of its content beside it; returns the digest."""
    content = asdict(choice)
    digest = _digest(content)
    write_text(path, json.dumps({"choice": content, "digest": digest}, indent=1) + "\n")
    return digest


def frozen(path: Path) -> Choice:
    """The choice in a file that `freeze` wrote. Raises StoreError when it is missing or was changed since."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        content, digest = read["choice"], read["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not a frozen choice: {error}.") from error
    if _digest(content) != digest:
        raise StoreError(f"{path} was changed after it was frozen: its digest is not {digest[:12]}. Nothing was run.")
    methods = {
        name: Method(m["name"], tuple(Part(**part) for part in m["parts"]), m["join"])
        for name, m in content["methods"].items()
    }
    return Choice(methods, content["best_rival"], tuple(content["seeds"]), content["recall"])


def _digest(content: dict) -> str:
    plain = json.loads(json.dumps(content))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
