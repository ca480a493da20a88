"""From a row a run to the tables that are read: means with intervals, paired differences, and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.prove.choice import ALL_RIVALS, BEST_RIVALS, GEOPHONE, PRODUCT, Choice
from geophone.prove.evaluate import OFFLINE
from geophone.prove.runs import MAIN
from geophone.prove.scores import GRIDS
from geophone.prove.signals import RIVALS
from geophone.prove.targeting import CURVE

DRAWS = 4000
POOLED = "main testbeds"
AIM_RECALL, AIM_GAIN = 0.8, 0.1
AIM_RECALL_BEDS, AIM_GAIN_BEDS = 4, 3
_CURVES = [f"curve_{i + 1}" for i in range(len(CURVE))]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over runs and its 95 % interval: percentiles of the bootstrap over runs."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the confirmatory runs say by the rule of the preregistration. `answer` is "better" when the interval of the
    pooled difference lies above 0, "worse" when it lies below, "no better" otherwise; `reached` and `gained` are the
    testbeds on which the product's recall is 0.8, and its gain on the best rival 0.1, or more."""

    answer: str
    rival: str
    difference: Interval
    reached: tuple[str, ...]
    gained: tuple[str, ...]


def interval(groups: Sequence[np.ndarray], *, rng: np.random.Generator, draws: int = DRAWS) -> Interval:
    """The mean over groups of the mean over each one's runs, runs drawn again within their group (Efron 1979). NaN
    values are left out."""
    kept = [np.asarray(g, dtype=np.float64)[np.isfinite(g)] for g in groups]
    kept = [g for g in kept if len(g)]
    if not kept:
        return Interval(np.nan, np.nan, np.nan)
    drawn = np.mean([g[rng.integers(len(g), size=(draws, len(g)))].mean(axis=1) for g in kept], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(np.mean([g.mean() for g in kept])), float(low), float(high))


def method_table(rows: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """A row a testbed (and `POOLED`: the main ones together, each with equal weight), method and track: `runs`,
    `recall` with `low` and `high`, and the means of the other columns of `evaluate`. `needed` is the median k / E, and
    `within` the share of runs in which 80 % recall is reached at all with 4 E moments."""
    found = []
    for (method, track), part in rows.groupby(["method", "track"], sort=False):
        beds = dict(list(part.groupby("bed", sort=False)))
        main = {bed: runs for bed, runs in beds.items() if bed in MAIN}
        for name, members in [*((bed, {bed: runs}) for bed, runs in beds.items()), (POOLED, main)]:
            if members:
                found.append({"bed": name, "method": method, "track": track, **_summary(members, rng)})
    return pd.DataFrame(found)


def _summary(members: dict[str, pd.DataFrame], rng: np.random.Generator) -> dict[str, float]:
    runs = list(members.values())
    recall = interval([part["recall"].to_numpy() for part in runs], rng=rng)
    means = ["recall_half", "recall_double", "precision", "chance", "layer_rate", "area", "strict", "other_run"]
    within = [(part["needed"] <= CURVE[-1]).mean() for part in runs]
    found = {"runs": sum(len(part) for part in runs), "recall": recall.mean, "low": recall.low, "high": recall.high}
    found |= {name: float(np.mean([part[name].mean() for part in runs])) for name in [*means, *_CURVES]}
    found["lift"] = found["recall"] / found["chance"]
    needed = pd.concat([part["needed"].fillna(np.inf) for part in runs]).median()
    return found | {"needed": float(needed) if np.isfinite(needed) else np.nan, "within": float(np.mean(within))}


def comparison_table(rows: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """The product's scores against every rival and grid, offline, recall at k = E, paired by run: a row a testbed (and
    `POOLED`), product and rival: `runs`, `difference`, `low`, `high`, `p` (sign flips of the runs' differences,
    two-sided, 4,000 draws)."""
    offline = rows[rows["track"] == OFFLINE]
    wide = offline.pivot(index=["bed", "seed"], columns="method", values="recall")
    found = []
    for product in PRODUCT:
        for rival in (*RIVALS, ALL_RIVALS, BEST_RIVALS, *GRIDS):
            paired = (wide[product] - wide[rival]).groupby("bed", sort=False)
            groups = {bed: values.to_numpy() for bed, values in paired}
            main = [values for bed, values in groups.items() if bed in MAIN]
            for bed, members in [*((bed, [values]) for bed, values in groups.items()), (POOLED, main)]:
                if members:
                    found.append({"bed": bed, "product": product, "rival": rival, **_difference(members, rng)})
    return pd.DataFrame(found)


def _difference(groups: Sequence[np.ndarray], rng: np.random.Generator) -> dict[str, float]:
    found = interval(groups, rng=rng)
    flipped = np.mean([(rng.choice((-1, 1), (DRAWS, len(g))) * g).mean(axis=1) for g in groups], axis=0)
    p = (1 + np.sum(np.abs(flipped) >= abs(found.mean) - 1e-12)) / (1 + DRAWS)
    count = sum(len(g) for g in groups)
    return {"runs": count, "difference": found.mean, "low": found.low, "high": found.high, "p": float(p)}


def verdict(methods: pd.DataFrame, comparisons: pd.DataFrame, choice: Choice) -> Verdict:
    """The answer to the primary question: `geophone` against the best frozen rival, recall at k = E, offline."""
    mine = comparisons[(comparisons["product"] == GEOPHONE) & (comparisons["rival"] == choice.best_rival)]
    gain = mine.set_index("bed")
    pooled = gain.loc[POOLED]
    recall = methods[(methods["method"] == GEOPHONE) & (methods["track"] == OFFLINE)].set_index("bed")["recall"]
    answer = "better" if pooled["low"] > 0 else "worse" if pooled["high"] < 0 else "no better"
    there = [bed for bed in MAIN if bed in gain.index]
    return Verdict(
        answer=answer,
        rival=choice.best_rival,
        difference=Interval(float(pooled["difference"]), float(pooled["low"]), float(pooled["high"])),
        reached=tuple(bed for bed in there if recall[bed] >= AIM_RECALL),
        gained=tuple(bed for bed in there if gain.loc[bed, "difference"] >= AIM_GAIN),
    )
