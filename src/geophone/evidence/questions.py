"""The founding document's three questions, as it asked them and as a careful reviewer would."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from geophone.evidence.numbers import (
    ALPHA,
    TOO_FEW,
    Named,
    Random,
    Statistic,
    correlation_number,
    mean_number,
    r2_number,
)
from geophone.stats.mixed import Mixed, mixed_model
from geophone.stats.naive import correlation, paired_t, wilcoxon
from geophone.stats.paired import tost
from geophone.stats.power import smallest_r2
from geophone.stats.regression import run_folds
from geophone.stats.verdict import above, beyond

FAMILY = "the three questions"
R, P, R2 = 0.6, 0.05, 0.4  # the founding document's criteria
MARGIN = 0.02  # a selectivity change below this is as good as none
WALD = "95 %, Wald, mixed model"


def diversity(targets: pd.DataFrame, pairs: pd.DataFrame, random: Random) -> list[Statistic]:
    """Question 1: do larger jumps bring more new feature types?"""
    r, p = correlation(targets["magnitude"], targets["new_types_after"])
    seed = _seed(
        Named("diversity/naive", "jump magnitude with new feature types after, Pearson, rows as independent"),
        (r, p), random, interval="95 %, Fisher", test="Pearson's r, t distribution",
    )  # fmt: skip
    columns = ("log_magnitude", "new_types_excess")
    says = "log ratio of the jump with new feature types, target minus control"
    named = Named("diversity/pearson", f"{says}, Pearson over runs", FAMILY)
    rank = Named("diversity/spearman", f"{says}, Spearman over runs")
    found = [
        seed,
        correlation_number(named, pairs, columns, random),
        correlation_number(rank, pairs, columns, random, method="spearman"),
    ]
    fitted = mixed_model(pairs[columns[1]], pairs[columns[0]], clusters=pairs["run"], kinds=pairs["architecture"])
    mixed = Named("diversity/mixed", f"{says}: slope, types a nat; mixed model, runs random, architecture fixed")
    return [*found, _mixed(mixed, fitted, random)]


def selectivity(targets: pd.DataFrame, pairs: pd.DataFrame, random: Random) -> list[Statistic]:
    """Question 2: does selectivity rise over a jump, more than it does anyway?"""
    before, after = targets["selectivity_before"], targets["selectivity_after"]
    seed = _seed(
        Named("selectivity/naive", "selectivity after minus before at targets, rows as independent"),
        paired_t(before, after), random, interval="95 %, paired t", test="paired t",
    )  # fmt: skip
    excess, runs = pairs["selectivity_excess"], pairs["run"]
    says = "selectivity change at targets minus at controls"
    found = [
        seed,
        mean_number(Named("selectivity/did", f"{says}, mean over runs", FAMILY), excess, runs, random),
        mean_number(
            Named("selectivity/drift", "selectivity change at controls, mean over runs: what happens anyway"),
            pairs["selectivity_control"], runs, random,
        ),
    ]  # fmt: skip
    means = excess.groupby(runs.to_numpy(str)).mean().dropna().to_numpy(float)
    interval, t = paired_t(np.zeros(len(means)), means)
    beside = Named("selectivity/did-t", f"{says}, t test over run means")
    found.append(_seed(beside, (interval, t), random, interval="95 %, t over runs", test="t", form="calibrated"))
    w = wilcoxon(means)
    found.append(
        Statistic(
            "selectivity/did-wilcoxon", f"{says}, Wilcoxon over run means", "calibrated",
            float(np.median(means)) if len(means) else np.nan, p=w.p, test="Wilcoxon signed rank" if w.n else "",
            n=w.n, runs=len(means), status="ok" if w.status == "tested" else TOO_FEW, seed=random.seed,
        )
    )  # fmt: skip
    mixed = Named("selectivity/mixed", f"{says}; mixed model, runs random, architecture fixed")
    found.append(_mixed(mixed, mixed_model(excess, clusters=runs, kinds=pairs["architecture"]), random))
    return found


def depth(targets: pd.DataFrame, random: Random) -> list[Statistic]:
    """Question 3: does dimensionality predict compositional depth?"""
    y = "compositional_depth_after"
    rows = targets[["run", "architecture", "magnitude", "log_magnitude", "num_jumps", y]].dropna()
    seed_columns, columns = ("magnitude", "num_jumps", y), ("log_magnitude", "num_jumps", y)
    says = "compositional depth from jump size and number of jumps"
    seed = r2_number(Named("depth/naive", f"{says}, R^2 in-sample"), rows, seed_columns, random)
    seed = _with_f(seed, len(columns) - 1)
    folds = run_folds(rows["run"].to_numpy(str), rng=random.stream("depth/folds"))
    kinds = rows["architecture"].to_numpy(str)
    inside = Named("depth/in-sample", f"{says} (log ratio), R^2 in-sample", FAMILY)
    by_run = Named("depth/left-out-runs", f"{says} (log ratio), R^2 in runs left out")
    by_kind = Named("depth/left-out-architectures", f"{says} (log ratio), R^2 in architectures left out")
    found = [
        seed,
        r2_number(inside, rows, columns, random),
        r2_number(by_run, rows, columns, random, parts=folds),
        r2_number(by_kind, rows, columns, random, parts=kinds),
    ]
    return [_seen(number, len(columns) - 1) for number in found]


def _with_f(number: Statistic, columns: int) -> Statistic:
    """The seed's R^2 with the F test of rows as independent; its interval is over runs, since the seed has none."""
    left = number.n - columns - 1
    if np.isnan(number.value) or left < 1:
        return replace(number, form="naive")
    f = number.value / columns / max((1 - number.value) / left, 1e-300)
    p = float(stats.f.sf(f, columns, left))
    return replace(number, form="naive", p=p, test="F, rows as independent", status="ok")


def _seen(number: Statistic, columns: int) -> Statistic:
    return replace(number, smallest=smallest_r2(number.runs, columns)) if number.status == "ok" else number


def _seed(named: Named, found, random: Random, *, interval: str, test: str, form: str = "naive") -> Statistic:
    estimate, tested = found
    ok = tested.status == "tested"
    return Statistic(
        named.id, named.says, form, estimate.statistic, estimate.low, estimate.high, interval if ok else "",
        p=tested.p, test=test if ok else "", n=tested.n, runs=tested.n if form == "calibrated" else 0,
        status="ok" if ok else "not enough data", seed=random.seed,
    )  # fmt: skip


def _mixed(named: Named, found: Mixed, random: Random) -> Statistic:
    ok = found.status.startswith("fitted")
    return Statistic(
        named.id, named.says, "calibrated", found.slope, found.low, found.high, WALD if ok else "", p=found.p,
        test="Wald" if ok else "", n=found.n, runs=found.clusters,
        status={"fitted": "ok", "not enough data": TOO_FEW}.get(found.status, found.status), seed=random.seed,
    )  # fmt: skip


def criteria(numbers: list[Statistic], pairs: pd.DataFrame) -> list[dict]:
    """The founding document's criteria, each answered by the interval: one that crosses the bar is undecided.

    |r| > 0.6: met when the whole interval lies beyond 0.6 on one side, not met when it lies within +- 0.6. A rise of
    selectivity: met when the interval lies above 0 and (adjusted) p < .05, not met when it lies below 0 so, or, in the
    calibrated form, TOST shows it within +- `MARGIN`. R^2 > 0.4: met when the in-sample interval lies above 0.4, and in
    the calibrated form so does the value in runs left out; not met when the in-sample interval (which errs upward) lies
    below. Otherwise, and without an interval, undecided.
    """
    by = {number.id: number for number in numbers}
    return [
        verdict_of("diversity", "|r| > 0.6", by["diversity/naive"], _r(by["diversity/naive"])),
        verdict_of("diversity", "|r| > 0.6", by["diversity/pearson"], _r(by["diversity/pearson"])),
        verdict_of("selectivity", "a rise with p < 0.05", by["selectivity/naive"], _rise(by["selectivity/naive"])),
        verdict_of("selectivity", "a rise with p < 0.05", by["selectivity/did"], _rise(by["selectivity/did"], pairs)),
        verdict_of("depth", "R^2 > 0.4", by["depth/naive"], _r2(by["depth/naive"])),
        verdict_of("depth", "R^2 > 0.4, in runs left out too", by["depth/in-sample"],
                 _r2(by["depth/in-sample"], by["depth/left-out-runs"])),
    ]  # fmt: skip


def verdict_of(question: str, criterion: str, number: Statistic, verdict: str) -> dict:
    """A criterion with its verdict ("untested" is undecided), and the number that decides it."""
    fields = ("id", "form", "value", "low", "high", "interval", "p", "p_adjusted", "test", "n", "runs", "status")
    shown = {f: getattr(number, f) for f in fields}
    return {
        "question": question,
        "criterion": criterion,
        "verdict": decided(verdict),
        **shown,
        "number": shown.pop("id"),
    }


def _r(number: Statistic) -> str:
    return decided(beyond(number.low, number.high, R))


def _rise(number: Statistic, pairs: pd.DataFrame | None = None) -> str:
    p = number.p if np.isnan(number.p_adjusted) else number.p_adjusted
    if np.isnan(p):
        return "undecided"
    answer = decided(above(number.low, number.high, 0.0))
    if answer != "undecided" and p < P:
        return answer
    if pairs is None:
        return "undecided"
    means = pairs["selectivity_excess"].groupby(pairs["run"].to_numpy(str)).mean().to_numpy(float)
    return "not met" if tost(means, margin=MARGIN, alpha=ALPHA).status == "equivalent" else "undecided"


def _r2(inside: Statistic, left_out: Statistic | None = None) -> str:
    answer = decided(above(inside.low, inside.high, R2))
    return "undecided" if answer == "met" and left_out is not None and not left_out.value > R2 else answer


def decided(answer: str) -> str:
    """Without an interval a criterion is undecided."""
    return "undecided" if answer == "untested" else answer
