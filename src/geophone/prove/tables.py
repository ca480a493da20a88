"""From one row per run to the tables that are read: means with intervals, paired differences, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.prove.choice import Choice
from geophone.prove.evaluate import BEST
from geophone.prove.targeting import CURVE
from geophone.prove.trials import BEHAVIOUR, GROUPS, PRIMARY
from geophone.stats.clusters import Interval, stratified_interval

RANKER = "geophone"
POOLED = "primary"
ALL_GROUPS: Mapping[str, Sequence[str]] = {**GROUPS, "behaviour": BEHAVIOUR, POOLED: PRIMARY}
ENDPOINTS = ("recall", "net", "f1", "layer_rate", "sample_auc")
_MEANS = (
    "recall_half", "recall_double", "strict", "chance", "other", "precision", "found", "listed", "shocked",
    "shock_recall", *(f"curve_{i + 1}" for i in range(len(CURVE))),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """Net recall at k = E over the primary testbeds, the ranker's less that of the best frozen rival for each kind of
    events: "better" where the interval lies above 0, "worse" below, else "no better". `worse_in` are the groups whose
    interval lies below 0."""

    answer: str
    difference: Interval
    worse_in: tuple[str, ...]


def within(name: str) -> Sequence[str]:
    """The testbeds of a group, or the testbed itself."""
    return ALL_GROUPS.get(name, (name,))


def _samples(table: pd.DataFrame, column: str, name: str) -> list[np.ndarray]:
    there = table[table["bed"].isin(within(name))]
    return [part[column].to_numpy() for _, part in there.groupby("bed", sort=False)]


def method_table(rows: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """One row per testbed, or group of them (`ALL_GROUPS`: the mean of its testbeds' means), and method: `runs`; for
    every endpoint its mean with `_low` and `_high` (`stratified_interval`), `low` and `high` being those of recall; and
    the means of the other columns of `evaluate`. NaN runs are left out of each mean."""
    found = []
    for name in _names(rows):
        for method, part in rows[rows["bed"].isin(within(name))].groupby("method", sort=False):
            row: dict[str, object] = {"bed": name, "method": method, "runs": len(part)}
            for endpoint in ENDPOINTS:
                interval = stratified_interval(_samples(part, endpoint, name), rng=rng)
                ends = ("low", "high") if endpoint == "recall" else (f"{endpoint}_low", f"{endpoint}_high")
                row |= {endpoint: interval.statistic, ends[0]: interval.low, ends[1]: interval.high}
            means = part.reindex(columns=["bed", *_MEANS]).groupby("bed").mean().mean()
            found.append(row | means.to_dict())
    return pd.DataFrame(found)


def _names(rows: pd.DataFrame) -> list[str]:
    beds = list(dict.fromkeys(rows["bed"]))
    return beds + [group for group, members in ALL_GROUPS.items() if set(members) & set(beds)]


def comparison_table(rows: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """The ranker less every other method, paired by run: one row per testbed or group, rival and endpoint ("net",
    "recall"): `runs`, `difference`, `low`, `high`."""
    found = []
    for endpoint in ("net", "recall"):
        wide = rows.pivot(index=["bed", "seed"], columns="method", values=endpoint)
        for rival in (method for method in wide if method != RANKER):
            paired = (wide[RANKER] - wide[rival]).rename("difference").reset_index()
            for name in _names(paired):
                interval = stratified_interval(_samples(paired, "difference", name), rng=rng)
                row = {"bed": name, "rival": rival, "endpoint": endpoint, "runs": interval.n}
                found.append(row | {"difference": interval.statistic, "low": interval.low, "high": interval.high})
    return pd.DataFrame(found)


def layer_table(named: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """One row per testbed (and their mean, "all") and way of naming the layer: `found` and `true` as in
    `evaluate.layers_named`, each with its interval."""
    found = []
    for name in (*dict.fromkeys(named["bed"]), "all"):
        for way, part in named[(named["bed"] == name) | (name == "all")].groupby("way", sort=False):
            row: dict[str, object] = {"bed": name, "way": way}
            for column in ("found", "true"):
                groups = [values[column].to_numpy() for _, values in part.groupby("bed", sort=False)]
                interval = stratified_interval(groups, rng=rng)
                row |= {column: interval.statistic, f"{column}_low": interval.low, f"{column}_high": interval.high}
            found.append(row)
    return pd.DataFrame(found)


def verdict(comparisons: pd.DataFrame) -> Verdict:
    """The answer to the primary question."""
    mine = comparisons[(comparisons["rival"] == BEST) & (comparisons["endpoint"] == "net")].set_index("bed")
    row = mine.loc[POOLED]
    answer = "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "no better"
    difference = Interval(
        row["difference"], row["low"], row["high"], float("nan"), int(row["runs"]), int(row["runs"]), "ok"
    )
    worse = tuple(group for group in GROUPS if group in mine.index and mine.loc[group, "high"] < 0)
    return Verdict(answer, difference, worse)


def trust_table(methods: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """Where to trust which signal: one row per testbed and group: the ranker's recall, the frozen rival with the
    highest recall there (`rival`, `rival_recall`, with its interval; the best of many in hindsight, so it flatters),
    chance, and what another run's moments hit (`other`)."""
    found = []
    for bed, part in methods.groupby("bed", sort=False):
        rows = part.set_index("method")
        rivals = rows.loc[[name for name in choice.rivals if name in rows.index]]
        best = rivals["recall"].idxmax()
        row = {"bed": bed, "runs": int(rows.loc[RANKER, "runs"]), "recall": rows.loc[RANKER, "recall"], "rival": best}
        row |= {f"rival_{key}": rivals.loc[best, key] for key in ("recall", "low", "high")}
        found.append(row | {"chance": rows.loc[RANKER, "chance"], "other": rows.loc[RANKER, "other"]})
    return pd.DataFrame(found)


def verdict_table(found: Verdict) -> pd.DataFrame:
    """The verdict as a table of one row: answer, runs, difference, low, high, worse_in."""
    gap = found.difference
    row = {"answer": found.answer, "runs": gap.n, "difference": gap.statistic}
    return pd.DataFrame([row | {"low": gap.low, "high": gap.high, "worse_in": ", ".join(found.worse_in)}])
