"""Which findings hold in every architecture, and which in one: derived by rule, "not enough data" included."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.evidence.numbers import ALPHA, Named, Random, Statistic, adjusted, correlation_number, mean_number
from geophone.stats.heterogeneity import correlations_differ, means_differ

LEAST_RUNS = 6  # of one architecture: with 5, the smallest p of a sign flip is .0625
RULES = (
    f"An architecture takes part with {LEAST_RUNS} or more runs that have the numbers; a finding needs two of them.",
    f"Holds in all: in every architecture that takes part, tested by itself, p < {ALPHA}, all on the same side. No "
    "correction is due, since all must pass; it says nothing of architectures that do not take part.",
    f"Specific to one: architectures differ (adjusted p < {ALPHA}, labels permuted over runs); exactly one has "
    f"p < {ALPHA} after Bonferroni over architectures, and no other has p < {ALPHA} even uncorrected. "
    "That the others show nothing is not a proof that nothing is there.",
    "Undecided: none of these. Not enough data: fewer than two architectures take part.",
)
EACH = "by architecture: each by itself"
DIFFER = "by architecture: do they differ"


@dataclass(frozen=True, slots=True)
class Estimand:
    """A number that can be had of all runs or of those of one architecture.

    `make(named, rows)` makes it, `differ(rows, rng)` tests whether architectures differ, `rows` has the columns `run`
    and `architecture` beside those needed, named in `needs`.
    """

    named: Named
    rows: pd.DataFrame
    needs: tuple[str, ...]
    make: Callable
    differ: Callable


def mean_estimand(named: Named, rows: pd.DataFrame, column: str, random: Random) -> Estimand:
    """A mean over runs."""

    def make(name: Named, part: pd.DataFrame) -> Statistic:
        return mean_number(name, part[column], part["run"], random)

    def differ(part: pd.DataFrame, rng: np.random.Generator):
        values, runs, kinds = (
            part[column].to_numpy(float),
            part["run"].to_numpy(str),
            part["architecture"].to_numpy(str),
        )
        return means_differ(values, clusters=runs, labels=kinds, rng=rng, draws=random.draws)

    return Estimand(named, rows, (column,), make, differ)


def correlation_estimand(named: Named, rows: pd.DataFrame, columns: tuple[str, str], random: Random) -> Estimand:
    """A correlation over rows in runs."""

    def make(name: Named, part: pd.DataFrame) -> Statistic:
        return correlation_number(name, part, columns, random)

    def differ(part: pd.DataFrame, rng: np.random.Generator):
        x, y = (part[c].to_numpy(float) for c in columns)
        runs, kinds = part["run"].to_numpy(str), part["architecture"].to_numpy(str)
        return correlations_differ(x, y, clusters=runs, labels=kinds, rng=rng, draws=random.draws)

    return Estimand(named, rows, columns, make, differ)


def across(findings: list[Estimand], random: Random) -> dict:
    """Every finding by architecture, whether architectures differ, and the lists that `RULES` derive from them.

    Keys: "numbers" (list of Statistic), "holds_in_all", "specific_to_one", "undecided", "not_enough_data" (lists of
    dicts with "finding", "says", "architectures" and, for the second, "only"), "rules".
    """
    of, by_kind, differ = [], [], []
    for finding in findings:
        part = _taking_part(finding)
        for kind in sorted(part["architecture"].unique()):
            named = Named(f"{finding.named.id}/{kind}", f"{finding.named.says}; {kind} only", EACH)
            of.append((finding.named.id, kind))
            by_kind.append(finding.make(named, part[part["architecture"] == kind]))
        differ.append(_differ(finding, part, random))
    by_kind, differ = adjusted(by_kind), adjusted(differ)
    lists: dict[str, list[dict]] = {k: [] for k in ("holds_in_all", "specific_to_one", "undecided", "not_enough_data")}
    for finding, difference in zip(findings, differ, strict=True):
        mine = {kind: n for (name, kind), n in zip(of, by_kind, strict=True) if name == finding.named.id}
        where, row = _judged(mine, difference)
        lists[where].append({"finding": finding.named.id, "says": finding.named.says, **row})
    return {"numbers": [*by_kind, *differ], **lists, "rules": list(RULES)}


def _taking_part(finding: Estimand) -> pd.DataFrame:
    rows = finding.rows
    if not {"run", "architecture", *finding.needs} <= set(rows.columns):
        return pd.DataFrame(columns=["run", "architecture", *finding.needs])
    there = np.isfinite(rows[list(finding.needs)].to_numpy(float)).all(axis=1)
    part = rows[there & (rows["architecture"] != "unknown").to_numpy(bool)]
    counts = part.groupby("architecture")["run"].nunique()
    return part[part["architecture"].isin(counts.index[counts >= LEAST_RUNS])]


def _differ(finding: Estimand, part: pd.DataFrame, random: Random) -> Statistic:
    identity = f"{finding.named.id}/differ"
    test = finding.differ(part, random.stream(identity))
    ok = test.status == "tested"
    return Statistic(
        identity, f"{finding.named.says}: do architectures differ", "calibrated", test.statistic, p=test.p,
        test="labels of architecture permuted over runs" if ok else "", family_of_tests=DIFFER if ok else "",
        n=len(part), runs=test.n, seed=random.seed,
        status="ok" if ok else f"not enough data: needs two architectures with {LEAST_RUNS} runs each",
    )  # fmt: skip


def _judged(mine: dict[str, Statistic], difference: Statistic) -> tuple[str, dict]:
    tested = {kind: n for kind, n in mine.items() if not np.isnan(n.p)}
    row = {"architectures": sorted(tested)}
    if len(tested) < 2:
        return "not_enough_data", row
    passed = [k for k, n in tested.items() if n.p < ALPHA]
    if len(passed) == len(tested) and len({n.value > 0 for n in tested.values()}) == 1:
        return "holds_in_all", row | {"values": {k: n.value for k, n in tested.items()}}
    alone = len(passed) == 1 and tested[passed[0]].p * len(tested) < ALPHA
    if alone and difference.p_adjusted < ALPHA:
        return "specific_to_one", row | {"only": passed[0], "value": tested[passed[0]].value}
    return "undecided", row
