"""What phase 1 found in all runs together, the naive form beside the calibrated one and each beside its null, in
words."""

from dataclasses import dataclass

import pandas as pd

from geophone.report.sources import Sources
from geophone.report.words import plain

ALPHA = 0.05


@dataclass(frozen=True)
class Finding:
    """One row of the table of phase 1."""

    question: str
    naive: str
    calibrated: str
    null: str


def phase1(sources: Sources) -> list[Finding]:
    """The rows of phase 1 in the first dimension, one a phenomenon that is on disk."""
    rows = [_settled(sources), _order(sources), _by_family(sources), _jumps(sources), _types(sources)]
    return [row for row in [*rows, _critical(sources), _coordination(sources), _coupling(sources)] if row]


def jump_counts(sources: Sources, mode: str, run: str | None = None) -> tuple[int, float] | None:
    """How many jumps the rule `mode` found in the first dimension, and how many its null alone gives; of one run or of
    all. None where that was not counted."""
    rows = sources.of("detection", dimension=sources.first, mode=mode)
    if len(rows) and run is not None:
        rows = rows[rows["run"] == run]
    if rows.empty:
        return None
    return int(rows["detected"].sum()), float(rows["expected_false"].sum())


def _both(sources: Sources, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    naive, calibrated = (sources.of(kind, dimension=sources.first, mode=mode) for mode in ("naive", "calibrated"))
    return naive, calibrated


def _settled(sources: Sources) -> Finding | None:
    forms = _both(sources, "stabilization")
    if forms[0].empty:
        return None
    said = [f"{(t['status'] == 'stable').sum():,} of {len(t):,} series" if len(t) else "–" for t in forms]
    return Finding("How many layers settled before training stopped", *said, "none: a description, not a test")


def _order(sources: Sources) -> Finding | None:
    forms = _both(sources, "order")
    if forms[0].empty:
        return None
    said = [
        f"{(t['verdict'] == 'bottom-up').sum()} of {len(t)} runs ({(t['verdict'] == 'undefined').sum()} undefined)"
        for t in forms
    ]
    tests = [t["expected_bottom_up"].iloc[0] for t in _both(sources, "order_tests") if len(t)]
    named = zip(tests, ("naive", "calibrated"), strict=False)
    chance = " and ".join(f"{expected:.1f} ({form})" for expected, form in named)
    null = f"{chance} runs by chance" if chance else "see the p of each run"
    return Finding("Do layers settle bottom-up (ρ > 0.6)", *said, null)


def _by_family(sources: Sources) -> Finding | None:
    forms = _both(sources, "order_tests")
    if forms[0].empty:
        return None
    said = [_p(t.iloc[0]) if len(t) else "–" for t in forms]
    return Finding(
        "Does the order differ by architecture", *said, "architectures permuted over runs; one dimension of several"
    )


def _p(row: pd.Series) -> str:
    return f"p = {row['p']:.3f}, {int(row['runs'])} runs" if row["status"] == "tested" else str(row["status"])


def _jumps(sources: Sources) -> Finding | None:
    counts = [jump_counts(sources, mode) for mode in ("naive", "calibrated")]
    if counts[0] is None:
        return None
    said = [f"{c[0]:,}" if c else "–" for c in counts]
    nulls = [f"{c[1]:,.1f}" if c and c[1] < 100 else f"{c[1]:,.0f}" if c else "–" for c in counts]
    return Finding("How many jumps", *said, f"{nulls[0]} (naive) and {nulls[1]} (calibrated) from noise alone")


def _types(sources: Sources) -> Finding | None:
    forms = _both(sources, "types")
    if forms[0].empty:
        return None
    said = [type_words(t) for t in forms]
    return Finding("Are there types of jumps", *said, "gap statistic with one type allowed; stable from ARI 0.75")


def type_words(rows: pd.DataFrame) -> str:
    """The answer of one form: how many types, or why there is none to speak of."""
    if rows.empty:
        return "–"
    status = rows["status"].iloc[0]
    if status in ("one type", "too few"):
        return f"{status} ({int(rows['of'].iloc[0]):,} jumps)"
    return f"{len(rows)} types, {status}: " + ", ".join(rows["name"])


def _critical(sources: Sources) -> Finding | None:
    naive, calibrated = _both(sources, "critical")
    series = len(sources.of("stabilization", dimension=sources.first, mode="naive"))
    if naive.empty or not series:
        return None
    places = calibrated[["run", "layer"]].drop_duplicates() if len(calibrated) else calibrated
    return Finding(
        "Periods of fast change",
        f"{len(naive):,}, a tenth of any run",
        f"{len(calibrated):,} in {len(places):,} of {series:,} series",
        f"{ALPHA * series:.1f} series by chance (calibrated)",
    )


def _coordination(sources: Sources) -> Finding | None:
    rows = sources.of("coordination", dimension=sources.first)
    if rows.empty:
        return None
    said = _tested(rows[rows["p"].notna()])
    return Finding("Do layers change together", said, "–", "layers of other runs of the same network")


def _coupling(sources: Sources) -> Finding | None:
    forms = _both(sources, "coupling")
    if forms[0].empty:
        return None
    said = [_tested(t[t["status"] == "tested"]) if len(t) else "–" for t in forms]
    return Finding("Does the loss fall faster around jumps", *said, "loss of other runs at the same steps")


def _tested(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "no group has runs enough"
    count = int((rows["p"] < ALPHA).sum())
    return f"{count} of {len(rows)} groups at p < {ALPHA} ({ALPHA * len(rows):.1f} by chance)"


def headline(sources: Sources) -> list[str]:
    """What the study found, most important first, each sentence with what chance alone would give."""
    name = plain(sources.first)
    said = []
    forms = {mode: jump_counts(sources, mode) for mode in ("calibrated", "naive")}
    counts = [
        f"{found[0]:,} by the {mode} rule, where noise alone gives {found[1]:,.{1 if found[1] < 100 else 0}f}"
        for mode, found in forms.items()
        if found
    ]
    if counts:
        said.append(f"Abrupt jumps of the {name}: {'; '.join(counts)}.")
    order = _order(sources)
    if order:
        said.append(
            f"Layers settle bottom-up in {order.naive} by the naive rule and {order.calibrated} by the calibrated one; "
            f"{order.null} with no order at all."
        )
    types = _both(sources, "types")
    if len(types[0]):
        said.append(
            f"Types of jumps: {type_words(types[0])} by the naive rule, {type_words(types[1])} by the calibrated one."
        )
    if sources.statistics:
        said.append(_questions(sources.statistics))
    return said


def _questions(statistics: dict) -> str:
    rows = [row for row in statistics["criteria"] if row["form"] == "calibrated"]
    words = [f"{row['question']} {row['verdict']}" for row in rows]
    study = statistics["study"]
    return (
        f"{study['targets_dug']} targets dug, {study['pairs']} of them beside a control moment. The three questions, "
        f"calibrated form: {'; '.join(words)}."
    )
