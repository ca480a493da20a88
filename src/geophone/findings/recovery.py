"""What came of ablating a layer and training on: during a jump beside the control moment."""

import numpy as np
import pandas as pd

from geophone.findings.finding import Finding, Phrase, Quantity, counted, finding, joined, phrase
from geophone.findings.number import probability
from geophone.findings.tables import Tables
from geophone.records import MOMENTS
from geophone.stats.clusters import mean_interval
from geophone.stats.paired import sign_flip
from geophone.stats.verdict import above


def recovery_rows(evidence: pd.DataFrame) -> pd.DataFrame:
    """What was missing beside the sham at each run's longest horizon: pair, run, role, moment, deficit."""
    if evidence.empty:
        return pd.DataFrame(columns=["pair", "run", "role", "moment", "deficit"])
    parts = [
        evidence[["pair", "run", "role"]].assign(moment=m, deficit=evidence[f"recovery_deficit_{m}"].astype(float))
        for m in MOMENTS
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset="deficit")


def recovery(tables: Tables) -> Finding:
    """Whether a layer ablated during a jump recovers less than one ablated at the control."""
    rows, source, claim = recovery_rows(tables.evidence), "evidence.parquet, recovery_deficit", "disruption harms more"
    if rows.empty:
        said = Phrase(
            "No layer was ablated and trained on, so whether disruption during a jump does lasting harm is untested."
        )
        return finding("recovery", said, source=source, claim=claim, verdict="untested")
    targets = Quantity(rows["pair"].nunique(), "", f"{source}: pairs")
    head = phrase("In {targets} a layer was ablated and the network trained on.", targets=counted(targets, "target"))
    table = rows[rows["moment"] == "during"].pivot_table(index="run", columns="role", values="deficit")
    both = {"target", "control"} <= set(table.columns)
    excess = 100 * (table["target"] - table["control"]).dropna().to_numpy(float) if both else np.empty(0)
    rng = np.random.default_rng(0)
    mean, test = mean_interval(excess, clusters=list(range(len(excess))), rng=rng), sign_flip(excess, rng=rng)
    if mean.status != "ok" or test.status != "tested":
        said = joined([head, Phrase("Too few have a control to compare with.")])
        return finding("recovery", said, source=source, claim=claim, verdict="untested")
    verdict = above(mean.low, mean.high, 0.0) if test.p < tables.alpha else "undecided"
    verb = "could not be shown to differ from" if verdict == "undecided" else "differs from"
    how = f"{source}_during: target minus control over runs, in points"
    value, low, high = (Quantity(each, "+.1f", how) for each in (mean.statistic, mean.low, mean.high))
    more = phrase(
        "Ablation during a jump {verb} ablation at the control ({value} [{low}, {high}] points of accuracy missing at "
        "the longest horizon, {runs}, {p}).", verb=verb, value=value, low=low, high=high,
        runs=counted(Quantity(len(excess), "", how), "run"), p=probability(Quantity(test.p, "", how)),
    )  # fmt: skip
    return finding(
        "recovery", joined([head, more]), value=mean.statistic, low=mean.low, high=mean.high, null=0.0, p=test.p,
        n=len(excess), source=source, claim=claim, verdict=verdict,
    )  # fmt: skip
