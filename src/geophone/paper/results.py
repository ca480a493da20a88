"""Phase 1 in sentences: order of settling, jumps beside their nulls, critical periods, recovery."""

import math

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from geophone.paper import words
from geophone.paper.lookup import verdict_counts
from geophone.paper.markup import Prose, code, meant
from geophone.paper.source import Source, listed, where
from geophone.stats.paired import sign_flip

ORDER = "phenomena/order.parquet"
_HALF = 0.5


def order_counts(source: Source, mode: str) -> Prose:
    """How many runs settle how, the share of bottom-up with its exact interval, and what no order would give."""
    n, key = source.numbers, f"order, {mode}"
    rows = source.phenomena("order", mode=mode)
    counts, total = verdict_counts(rows), len(rows)
    if not total:
        return Prose(f"There is no convergence order by the {mode} rule.")
    said = {
        "top-down": "top-down", "simultaneous": "simultaneously", "weak": "in weak order",
        "undefined": "in an order that is undefined",
    }  # fmt: skip
    rest = [f"{n.show(f'{key}, {v}', counts[v], source=ORDER)} {text}" for v, text in said.items()]
    test = source.phenomena("order_tests", mode=mode)
    expected = float(test["expected_bottom_up"].iloc[0]) if len(test) else math.nan
    low, high = share_interval(counts["bottom-up"], total)
    percent = [
        n.show(f"{key}, bottom-up {what}", 100 * v, ".0f", source=f"{ORDER}, Clopper and Pearson")
        for what, v in (("share, %", counts["bottom-up"] / total), ("low, %", low), ("high, %", high))
    ]
    chance = n.show(f"{key}, expected bottom-up", expected, ".1f", source="phenomena/order_tests.parquet")
    beyond = (
        "more than no order explains" if low > expected / total
        else "fewer than no order would give" if high < expected / total
        else "no more than no order at all may give"
    )  # fmt: skip
    return Prose(
        f"By the {mode} rule {n.share(f'{key}, bottom-up', counts['bottom-up'], total, source=ORDER)} runs settle "
        f"bottom-up ({percent[0]} % [{percent[1]}, {percent[2]}]), {listed(rest)}. Had the layers of every run "
        f"that has an order settled in any, with the ties they have, {chance} would come out bottom-up; the share "
        f"found is {beyond}."
    )


def order_direction(source: Source) -> Prose:
    """The mean rho of each form, and whether it differs by architecture."""
    n, alpha = source.numbers, float(source.numbers.fact("alpha"))
    parts = []
    for mode in ("naive", "calibrated"):
        found = n[f"order/{mode}"]
        said = words.side(
            found, alpha, "shallow layers settle before deep ones on average",
            "deep layers settle before shallow ones on average", "no direction could be shown",
        )  # fmt: skip
        mean = words.estimate(n, f"order/{mode}", "mean ρ")
        test = source.phenomena("order_tests", mode=mode)
        parts.append(f"By the {mode} rule {said} ({mean}); {_differs(source, test, mode)}.")
    return Prose(" ".join(parts))


def _differs(source: Source, test: pd.DataFrame, mode: str) -> str:
    if not len(test) or test["status"].iloc[0] != "tested":
        return "whether ρ differs by architecture could not be tested"
    p = float(test["p"].iloc[0])
    shown = source.numbers.p_of(f"order by architecture, {mode}, p", p, source="phenomena/order_tests.parquet")
    verb = (
        "differs by architecture"
        if p < float(source.numbers.fact("alpha"))
        else ("could not be shown to differ by architecture")
    )
    return f"ρ {verb} ({shown}, labels permuted over runs, not corrected for the other dimensions)"


def expectation(source: Source, mode: str) -> str:
    """The founding expectation that most runs settle bottom-up: "borne out", "not borne out" or "undecided", by where
    the exact interval of the share lies beside one half; "untested" without runs."""
    rows = source.phenomena("order", mode=mode)
    if not len(rows):
        return "untested"
    low, high = share_interval(verdict_counts(rows)["bottom-up"], len(rows))
    return "borne out" if low > _HALF else "not borne out" if high < _HALF else "undecided"


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper & Pearson 1934)."""
    found = binomtest(part, whole).proportion_ci(method="exact")
    return float(found.low), float(found.high)


def settled(source: Source, mode: str) -> Prose:
    """How many layers settle at all."""
    rows = source.phenomena("stabilization", mode=mode)
    stable = int((rows["status"] == "stable").sum())
    name, table = f"settled, {mode}", "phenomena/stabilization.parquet"
    return Prose(f"{source.numbers.share(name, stable, len(rows), source=table)} layers")


def jumps(source: Source) -> Prose:
    """Jumps found beside those that the null alone yields, rule by rule."""
    n = source.numbers
    names = {
        "naive": "the naive rule", "calibrated": "the calibrated detector", "pelt": "PELT",
        "online": "the online detector",
    }  # fmt: skip
    parts = []
    for mode, name in names.items():
        rows = source.phenomena("detection", mode=mode, status="ok")
        if len(rows):
            found = n.show(f"jumps, {mode}", rows["detected"].sum(), source="phenomena/detection.parquet")
            null = n.show(f"jumps, {mode}, null", rows["expected_false"].sum(), _form(mode),
                          source="phenomena/detection.parquet")  # fmt: skip
            series = n.show(f"jumps, {mode}, series", len(rows), source="phenomena/detection.parquet")
            parts.append(f"{name} finds {found} in {series} series where its null alone yields {null}")
    if not parts:
        return Prose("No series could be searched for jumps.")
    return Prose("; ".join(parts)[0].upper() + "; ".join(parts)[1:] + ". " + " ".join(_beyond(source)))


def _beyond(source: Source) -> list[str]:
    n, alpha = source.numbers, float(source.numbers.fact("alpha"))
    said = []
    for mode in ("naive", "calibrated"):
        found = n[f"jumps/{mode}"]
        text = words.side(
            found, alpha, "more jumps than the null yields", "fewer jumps than the null yields",
            "no more jumps than the null yields" if found.ok else "nothing that could be tested",
        )  # fmt: skip
        figures = words.estimate(n, f"jumps/{mode}", "excess a layer")
        said.append(f"Over runs the {mode} rule finds {text} ({figures}).")
    return said


def jumps_short(source: Source) -> Prose:
    """Jumps beside their nulls in one clause, for the abstract."""
    n, table, parts = source.numbers, "phenomena/detection.parquet", []
    for mode, name in (("naive", "a z-score rule"), ("calibrated", "a detector calibrated against noise")):
        rows = source.phenomena("detection", mode=mode, status="ok")
        found = n.show(f"jumps, {mode}", rows["detected"].sum(), source=table)
        null = n.show(f"jumps, {mode}, null", rows["expected_false"].sum(), _form(mode), source=table)
        parts.append(f"{name} finds {found} jumps where noise alone gives {null}")
    text = listed(parts)
    return Prose(text[0].upper() + text[1:])


def types(source: Source) -> Prose:
    """Whether jumps fall into types."""
    parts = []
    for mode in ("naive", "calibrated"):
        rows = source.phenomena("types", mode=mode)
        if not len(rows):
            continue
        status = str(rows["status"].iloc[0])
        count = source.numbers.show(f"typed jumps, {mode}", float(rows["of"].iloc[0]), source="phenomena/types.parquet")
        said = {"one type": "the gap statistic prefers a single type", "too few": "there are too few to be sorted"}
        if status in said:
            parts.append(f"of the {count} jumps of the {mode} rule {said[status]}")
        elif status.startswith("stable"):
            names = listed(str(name) for name in rows["name"])
            parts.append(f"the {count} jumps of the {mode} rule fall into a taxonomy that is stable over runs: {names}")
        else:
            parts.append(f"the {count} jumps of the {mode} rule give no stable taxonomy ({meant(status)})")
    text = "; ".join(parts) or "no jump was sorted into types"
    return Prose(text[0].upper() + text[1:] + ".")


def periods(source: Source) -> Prose:
    """Critical periods found beside those of the null."""
    n, table = source.numbers, "phenomena/critical.parquet"
    rows = source.phenomena("critical", mode="calibrated")
    every = source.phenomena("critical", mode="naive")
    seed = n.show("critical periods, seed", len(every), source=table)
    null = null_periods(rows, len(source.phenomena("detection", mode="calibrated")))
    found = n.show("critical periods, calibrated", len(rows), source=table)
    expected = (
        f", where the null alone is expected to yield {n.show('critical periods, null', null, '.1f', source=table)}"
    )
    return Prose(
        f"The seed map marks {seed} periods, a tenth of every run by construction. The calibrated form finds "
        f"{found}, in "
        f"{n.share('runs with a critical period', rows['run'].nunique(), len(source.runs), source=table)} runs"
        f"{expected if math.isfinite(null) else ''}."
    )


def null_periods(rows: pd.DataFrame, series: int) -> float:
    """How many periods the null alone is expected to yield in all of `series`; every series has the same rate."""
    rates = rows["expected_false"].dropna()
    return float(rates.mean()) * series if len(rates) else math.nan


def coordination(source: Source) -> Prose:
    """Whether layers change together, beside layers of swapped runs; and how many groups could be tested."""
    n, table = source.numbers, "phenomena/coordination.parquet"
    rows = source.phenomena("coordination")
    tested = where(rows, status="tested")
    if tested.empty:
        groups = n.show("coordination, groups", len(rows), source=table)
        why = listed(sorted({str(s) for s in rows["status"]}))
        return Prose(
            f"Whether layers change together beyond what layers of swapped runs of the same configuration do could "
            f"not be tested in any of {groups} groups ({meant(why)}): the null needs several seeds of a network."
        )
    passed = int((tested["p"] < float(n.fact("alpha"))).sum())
    share = n.share("coordination, groups that pass", passed, len(tested), source=table)
    mean = n.show("coordination, overlap", tested["overlap"].mean(), ".2f", source=table)
    null = n.show("coordination, expected", tested["expected"].mean(), ".2f", source=table)
    return Prose(
        f"Layers overlap in their critical periods by {mean} on average where layers of swapped runs overlap by "
        f"{null}; "
        f"{share} groups pass at the level of each test, uncorrected."
    )


def loss_coupling(source: Source) -> Prose:
    """Whether the loss falls faster at critical periods than in swapped runs."""
    n, table, parts = source.numbers, "phenomena/coupling.parquet", []
    for mode in ("naive", "calibrated"):
        rows = source.phenomena("coupling", mode=mode, status="tested")
        if rows.empty:
            parts.append(f"by the {mode} form no group of runs could be tested")
            continue
        passed = int((rows["p"] < float(n.fact("alpha"))).sum())
        share = n.share(f"loss coupling, {mode}", passed, len(rows), source=table)
        events = n.show(f"loss coupling, {mode}, events", rows["events"].sum(), source=table)
        least = n.p_of(f"loss coupling, {mode}, least p", float(rows["p"].min()), "least p", source=table)
        parts.append(f"by the {mode} form {share} groups pass uncorrected ({least}; {events} events)")
    return Prose(f"As to the loss falling faster around the peak of a period than in swapped runs: {listed(parts)}.")


def recovery_rows(source: Source) -> pd.DataFrame:
    """What was missing beside the sham at each run's longest horizon: pair, run, role, moment, deficit."""
    table = source.numbers.table("evidence")
    parts = [
        table[["pair", "run", "role"]].assign(moment=m, deficit=table[f"recovery_deficit_{m}"].astype(float))
        for m in ("before", "during", "after")
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset="deficit")


def recovery(source: Source) -> Prose:
    """Whether a layer ablated during a jump recovers less; says so where it was not run."""
    n, rows = source.numbers, recovery_rows(source)
    if rows.empty:
        return Prose(
            "Training on after an ablation was not run in this study, so it says nothing of whether disruption "
            "during a jump does lasting harm: the founding claim of vulnerability is untested here."
        )
    means = rows.groupby(["role", "moment"])["deficit"].mean()
    digs = n.show("recovery, targets", rows["pair"].nunique(), source="evidence.parquet")
    during = where(rows, moment="during").pivot_table(index="run", columns="role", values="deficit")
    shown = [
        f"{n.show(f'recovery, {role}, {m}', 100 * means[role, m], '.1f', source='evidence.parquet')} {m}"
        for role in ("target", "control") for m in ("before", "during", "after") if (role, m) in means.index
    ]  # fmt: skip
    return Prose(
        f"In {digs} targets a layer was ablated and trained on. Accuracy missing beside the sham at the longest "
        f"horizon, in points: {listed(shown)} the window, targets first. {_lasting(source, during)}"
    )


def _lasting(source: Source, during: pd.DataFrame) -> str:
    if not {"target", "control"} <= set(during.columns):
        return "None has a control to compare with."
    excess = (during["target"] - during["control"]).dropna().to_numpy(float)
    tested = sign_flip(excess, rng=np.random.default_rng(0))
    if tested.status != "tested":
        return "Too few have a control to compare with."
    n, p = source.numbers, tested.p
    mean = n.show("recovery, excess during", 100 * excess.mean(), "+.1f", source="evidence.parquet")
    said = n.p_of("recovery, p", p, source="evidence.parquet, sign flips over runs")
    runs = n.show("recovery, runs", len(excess), source="evidence.parquet")
    verb = "differs from" if p < float(n.fact("alpha")) else "could not be shown to differ from"
    return f"Ablation during a jump {verb} ablation at the control ({mean} points over {runs} runs, {said})."


def names(runs: list[str]) -> Prose:
    """Runs as a list of code."""
    return Prose(listed(code(name) for name in runs))


def _form(mode: str) -> str:
    """Null counts of the naive rule are in the thousands, those of the others small."""
    return ",.0f" if mode == "naive" else ",.1f"
