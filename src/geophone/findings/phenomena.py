"""What the series of all runs show: settling and its order, jumps, their types, periods of fast change, each beside
what chance alone gives."""

import math
from typing import Any

from scipy.stats import binomtest

from geophone.detect.order import FEWEST
from geophone.findings.finding import Finding, Phrase, Quantity, agree, counted, finding, joined, listed, phrase, quoted
from geophone.findings.number import clash, estimate, probability
from geophone.findings.tables import RUNS, Selected, Tables
from geophone.stats.verdict import above

MODES = {
    "naive": "the naive rule", "calibrated": "the calibrated detector", "pelt": "PELT",
    "online": "the online detector",
}  # fmt: skip
FORMS = ("naive", "calibrated")
CLAIM = "most runs settle bottom-up"
VERDICTS = {
    "bottom-up": "bottom-up", "top-down": "top-down", "simultaneous": "simultaneously", "weak": "in a weak order",
}  # fmt: skip


def phenomena(tables: Tables) -> list[Finding]:
    """Every finding of the table of phenomena, those whose table is not there left out."""
    made = [each for mode in FORMS for each in (settled(tables, mode), order(tables, mode), direction(tables, mode))]
    made += [jumps(tables, mode) for mode in MODES]
    made += [types(tables, mode) for mode in FORMS]
    made += [periods(tables), coordination(tables), *(coupling(tables, mode) for mode in FORMS)]
    return [each for each in made if each is not None]


def settled(tables: Tables, mode: str) -> Finding | None:
    """How many layers settle before training ends: a description, without a null."""
    rows = tables.of("stabilization", mode=mode)
    if not len(rows):
        return None
    count = int((rows.frame["status"] == "stable").sum())
    said = phrase(
        "{count} of {n} layers settle before training ends, by the {mode} form.",
        count=rows.quantity(count, "status is stable"), n=rows.quantity(len(rows), "rows"), mode=mode,
    )  # fmt: skip
    return finding(f"settled/{mode}", said, value=count / len(rows), n=len(rows), source=rows.source)


def order(tables: Tables, mode: str) -> Finding | None:
    """How many of the runs that have an order settle bottom-up, with the exact interval of the share (Clopper & Pearson
    1934) and what layers that settle in any order give. The claim is the founding document's: most runs settle
    bottom-up."""
    rows, tests = tables.of("order", mode=mode), tables.of("order_tests", mode=mode)
    if not len(rows):
        return None
    counts = rows.frame["verdict"].value_counts()
    without = int(counts.get("undefined", 0))
    total, up = len(rows) - without, int(counts.get("bottom-up", 0))
    missing = _without_order(rows, without)
    if not total:
        said = phrase("By the {mode} form {missing}.", mode=mode, missing=missing)
        return finding(f"order/{mode}", said, source=rows.source, claim=CLAIM, verdict="untested")
    low, high = share_interval(up, total)
    null = float(tests.frame["expected_bottom_up"].iloc[0]) / total if len(tests) else math.nan
    rest = [phrase("{count} {verb} {how}", verb=agree(counts[verdict], "settles", "settle"),
                   count=rows.quantity(counts[verdict], f"verdict is {verdict}"), how=how)
            for verdict, how in VERDICTS.items() if verdict != "bottom-up" and counts.get(verdict, 0)]  # fmt: skip
    others = phrase("; of the others {rest}", rest=listed(rest)) if rest else Phrase("")
    others = joined([others, phrase("; {missing}", missing=missing)], "") if without else others
    said = phrase(
        "By the {mode} form {up} of {runs} {verb} bottom-up ({share} % [{low}, {high}]){others}. {chance}",
        mode=mode, verb=agree(total, "settles", "settle"),
        up=rows.quantity(up, "verdict is bottom-up"),
        runs=counted(rows.quantity(total, "rows with an order"), "run with an order", "runs with an order"),
        share=rows.quantity(100 * up / total, "share of bottom-up", ".0f"),
        low=rows.quantity(100 * low, "exact 95 % interval of that share", ".0f"),
        high=rows.quantity(100 * high, "exact 95 % interval of that share", ".0f"),
        others=others, chance=_no_order(tests, null * total, (low, high), total),
    )  # fmt: skip
    return finding(
        f"order/{mode}", said, value=up / total, low=low, high=high, null=null, n=total, source=rows.source,
        claim=CLAIM, verdict=above(low, high, 0.5),
    )  # fmt: skip


def _without_order(rows: Selected, count: int) -> Phrase:
    return phrase(
        "{runs} {verb} no order, since fewer than {fewest} layers settle there, or all at once",
        runs=counted(rows.quantity(count, "verdict is undefined"), "run"), verb=agree(count, "has", "have"),
        fewest=Quantity(FEWEST, "", "definition"),
    )  # fmt: skip


def _no_order(tests: Selected, expected: float, interval: tuple[float, float], total: int) -> Phrase:
    if not math.isfinite(expected):
        return Phrase("What layers without any order would give is not known.")
    verdict = above(*interval, expected / total)
    answer = {
        "met": "more than chance gives", "not met": "fewer than chance gives",
        "undecided": "a share that chance alone may give",
    }[verdict]  # fmt: skip
    return phrase(
        "Layers that settle in no order would give {expected} such runs by chance, so this is {answer}.",
        expected=tests.quantity(expected, "expected_bottom_up", ".1f"), answer=answer,
    )  # fmt: skip


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """The exact 95 % interval of a share."""
    found = binomtest(part, whole).proportion_ci(method="exact")
    return float(found.low), float(found.high)


def direction(tables: Tables, mode: str) -> Finding | None:
    """The mean rho of depth with settling step over runs, and whether it differs by architecture."""
    if not tables.statistics:
        return None
    number, tests = tables.number(f"order/{mode}").within(-1, 1), tables.of("order_tests", mode=mode)
    verdict = number.side(tables.alpha)
    head = {
        "met": "shallow layers settle before deep ones on average",
        "not met": "deep layers settle before shallow ones on average",
        "undecided": "no direction could be shown", "untested": "the direction could not be tested",
    }[verdict]  # fmt: skip
    said = phrase(
        "By the {mode} form {head} ({mean}{clash}); {differs}.", mode=mode, head=head,
        mean=estimate(number, "mean ρ"), clash=clash(number, tables.alpha), differs=_differs(tests, tables),
    )  # fmt: skip
    return finding(
        f"direction/{mode}", said, **number.fields, null=0.0, claim="shallow layers settle first", verdict=verdict
    )


def _differs(tests: Selected, tables: Tables) -> Phrase:
    if not len(tests) or tests.frame["status"].iloc[0] != "tested":
        return Phrase("whether ρ differs by architecture could not be tested")
    p = float(tests.frame["p"].iloc[0])
    verb = "differs by architecture" if p < tables.alpha else "could not be shown to differ by architecture"
    return phrase("ρ {verb} ({p}, architectures permuted over runs)", verb=verb, p=probability(tests.quantity(p, "p")))


def jumps(tables: Tables, mode: str) -> Finding | None:
    """How many jumps one detector finds, beside those that its null alone yields; over runs where that was tested."""
    rows = tables.of("detection", mode=mode, status="ok")
    if not len(rows):
        return None
    count, null = float(rows.frame["detected"].sum()), float(rows.frame["expected_false"].sum())
    said = phrase(
        "{name} finds {count} in {series} series where noise alone gives {null}.", name=MODES[mode],
        count=counted(rows.quantity(count, "sum of detected"), "jump"), series=rows.quantity(len(rows), "rows"),
        null=rows.quantity(null, "sum of expected_false", ",.0f" if null >= 100 else ".1f"),
    )  # fmt: skip
    about: dict[str, Any] = {"value": count, "null": null, "n": len(rows), "source": rows.source}
    if not tables.statistics or mode not in FORMS:
        return finding(f"jumps/{mode}", said, **about)
    number = tables.number(f"jumps/{mode}")
    verdict = number.side(tables.alpha)
    head = {
        "met": "Over runs it finds more than its null yields",
        "not met": "Over runs it finds fewer than its null yields",
        "undecided": "Over runs it could not be shown to find more or fewer than its null yields",
        "untested": "Whether it finds more than its null yields could not be tested over runs",
    }[verdict]  # fmt: skip
    more = phrase("{head} ({excess}{clash}).", head=head, excess=estimate(number, "excess per layer"),
                  clash=clash(number, tables.alpha))  # fmt: skip
    about |= {"claim": "more jumps than noise yields", "verdict": verdict}
    return finding(f"jumps/{mode}", joined([said, more]), **about)


def types(tables: Tables, mode: str) -> Finding | None:
    """Whether jumps fall into types that other runs show too."""
    rows = tables.of("types", mode=mode)
    if not len(rows):
        return None
    first = rows.frame.iloc[0]
    status = str(first["status"])
    stable = status.startswith("stable")
    names = listed(str(name) for name in rows.frame["name"])
    stated = {"one type": "are of one type, by the gap statistic", "too few": "are too few to be sorted into types"}
    sorted_ = f"fall into types that are stable over runs: {names}" if stable else f"have no stable types ({status})"
    answer = quoted(stated.get(status, sorted_), rows.source)
    said = phrase("Jumps of the {mode} form ({of}) {answer}.", of=rows.quantity(first["of"], "of"), mode=mode,
                  answer=answer)  # fmt: skip
    verdict = "met" if stable else "untested" if status == "too few" else "not met"
    return finding(
        f"types/{mode}", said, value=float(first["stability"]), n=int(first["of"]), source=rows.source,
        claim="jumps fall into stable types", verdict=verdict,
    )  # fmt: skip


def periods(tables: Tables) -> Finding | None:
    """Critical periods beside those of the null."""
    rows, every = tables.of("critical", mode="calibrated"), tables.of("critical", mode="naive")
    series = tables.of("detection", mode="calibrated")
    if not len(series):
        return None
    rates = rows.frame["expected_false"].dropna()
    null = float(rates.mean()) * len(series) if len(rates) else math.nan
    chance = phrase(
        ", where noise alone would give {null}", null=rows.quantity(null, "expected_false by series", ".1f")
    )
    said = phrase(
        "The naive map marks {every}, a tenth of every run by construction. The calibrated form finds {count} in "
        "{in_runs} of {runs}{chance}.",
        every=counted(every.quantity(len(every), "rows"), "period"), count=rows.quantity(len(rows), "rows"),
        in_runs=rows.quantity(rows.frame["run"].nunique(), "runs"),
        runs=counted(Quantity(len(tables.runs), "", RUNS), "run"), chance=chance if math.isfinite(null) else Phrase(""),
    )  # fmt: skip
    return finding("periods", said, value=len(rows), null=null, n=len(series), source=rows.source)


def coordination(tables: Tables) -> Finding | None:
    """Whether layers change together, beside layers of swapped runs of the same configuration."""
    rows = tables.of("coordination")
    if not len(rows):
        return None
    tested = tables.of("coordination", status="tested")
    claim = "layers change together more than layers of swapped runs do"
    if not len(tested):
        why = listed(sorted({str(status) for status in rows.frame["status"]}))
        said = phrase(
            "Whether layers change together beyond what layers of swapped runs do could not be tested "
            "({why}; {groups}).", groups=counted(rows.quantity(len(rows), "rows"), "group"), why=why,
        )  # fmt: skip
        return finding("coordination", said, source=rows.source, claim=claim, verdict="untested")
    passed, overlap, null = _passed(tested, tables), tested.frame["overlap"].mean(), tested.frame["expected"].mean()
    said = phrase(
        "Layers overlap in their periods of fast change by {overlap} on average, layers of swapped runs by {null}; "
        "{passed} of {groups} {verb} a test each, uncorrected.",
        verb=agree(len(tested), "passes", "pass"),
        overlap=tested.quantity(overlap, "mean of overlap", ".2f"),
        passed=tested.quantity(passed, "p below the level"),
        null=tested.quantity(null, "mean of expected", ".2f"),
        groups=counted(tested.quantity(len(tested), "rows"), "group"),
    )  # fmt: skip
    return finding(
        "coordination", said, value=float(overlap), null=float(null), n=len(tested), source=tested.source, claim=claim,
        verdict=above(*share_interval(passed, len(tested)), tables.alpha),
    )  # fmt: skip


def coupling(tables: Tables, mode: str) -> Finding | None:
    """Whether the loss falls faster at jumps than at the same moments of swapped runs."""
    rows, tested = tables.of("coupling", mode=mode), tables.of("coupling", mode=mode, status="tested")
    if not len(rows):
        return None
    claim = "the loss falls faster around jumps than in swapped runs"
    if not len(tested):
        said = phrase("Whether {claim} could not be tested in any group by the {mode} form.", claim=claim, mode=mode)
        return finding(f"coupling/{mode}", said, source=rows.source, claim=claim, verdict="untested")
    passed = _passed(tested, tables)
    said = phrase(
        "By the {mode} form the loss falls faster around jumps than in swapped runs in {passed} of {groups} ({events}; "
        "least {p}, uncorrected).", mode=mode, passed=tested.quantity(passed, "p below the level"),
        groups=counted(tested.quantity(len(tested), "rows"), "group"),
        events=counted(tested.quantity(tested.frame["events"].sum(), "sum of events"), "jump"),
        p=probability(tested.quantity(tested.frame["p"].min(), "least p")),
    )  # fmt: skip
    return finding(
        f"coupling/{mode}", said, value=passed / len(tested), null=tables.alpha, n=len(tested), source=tested.source,
        claim=claim, verdict=above(*share_interval(passed, len(tested)), tables.alpha),
    )  # fmt: skip


def _passed(rows: Selected, tables: Tables) -> int:
    return int((rows.frame["p"] < tables.alpha).sum())
