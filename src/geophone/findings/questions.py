"""What the statistics of the dug targets say: the three founding questions, what else changes over a jump, and what
holds in which architecture."""

import math
from collections.abc import Mapping
from typing import Any

from geophone.findings.finding import Finding, Phrase, Quantity, finding, listed, phrase, quoted
from geophone.findings.number import STATISTICS, Number, estimate
from geophone.findings.tables import Tables
from geophone.rows.measures import SIZES, label

ASKED = {
    "diversity": "Do larger jumps bring more new feature types?",
    "selectivity": "Does selectivity rise over a jump?",
    "depth": "Does dimensionality predict compositional depth?",
}
# Question -> number of the naive form, of the calibrated form, its symbol, how it is printed.
FORMS = {
    "diversity": ("diversity/naive", "diversity/pearson", "r", ".2f"),
    "selectivity": ("selectivity/naive", "selectivity/did", "change", "+.3f"),
    "depth": ("depth/naive", "depth/in-sample", "R²", ".2f"),
}
BESIDE = {
    "correlation/size/new_types": ("diversity", "With the absolute log ratio, jumps up and down alike", "r", ".2f"),
    "selectivity/drift": ("selectivity", "At the controls selectivity changes too", "change", "+.3f"),
    "depth/left-out-runs": ("depth", "In runs that were left out", "R²", ".2f"),
}
_SMALLEST = {
    "diversity/pearson": "a correlation of", "selectivity/did": "a change of selectivity of",
    "depth/in-sample": "an R² of",
}  # fmt: skip
CHANGES, CORRELATIONS = "changes over a jump", "correlations with the jump"


def questions(tables: Tables) -> list[Finding]:
    """Every finding of statistics.json; none before `geophone evidence` has run."""
    if not tables.statistics:
        return []
    made: list[Finding] = []
    for naive, calibrated, symbol, form in FORMS.values():
        made += [answer(tables, naive, symbol, form), answer(tables, calibrated, symbol, form)]
    made += [_beside(tables, name) for name in BESIDE] + [smallest(tables)]
    made += [_change(tables, name) for name in ("selectivity/did", *_family(tables, CHANGES))]
    made += [_correlation(tables, name) for name in ("diversity/pearson", *_family(tables, CORRELATIONS))]
    made += [changes(tables), correlations(tables), *architectures(tables)]
    return made


def answer(tables: Tables, name: str, symbol: str, form: str) -> Finding:
    """The number by which one form of a question is answered, with the founding criterion and whether it is met."""
    head = "In the naive form, rows taken as independent," if name.endswith("/naive") else "In the calibrated form"
    return answered(tables.number(name), tables.criterion(name), head, symbol=symbol, form=form)


def answered(
    number: Number, criterion: Mapping[str, Any], head: str, *, symbol: str, form: str = ".2f",
    units: tuple[str, str] = ("row", "run"), null: float = math.nan,
) -> Finding:  # fmt: skip
    """`number` beside the founding criterion that it is judged by, and whether it is met; `units` name what its n and
    runs count."""
    rule = quoted(str(criterion["criterion"]).replace("R^2", "R²"), "founding criterion")
    verdict = str(criterion["verdict"]) if number.ok else "untested"
    clause = {
        "met": "is met", "not met": "is not met",
        "undecided": "is undecided: the data neither show it nor rule it out",
    }.get(verdict, "")  # fmt: skip
    if verdict == "not met" and number.low <= 0 < number.high and number.id.startswith("selectivity"):
        clause += ", since an equivalence test shows any change to be small"
    if not number.ok:
        why = quoted(number.status, number.source)
        said = phrase("{head} the criterion ({rule}) could not be tested: {why}.", head=head, rule=rule, why=why)
    else:
        figures = estimate(number, symbol, form=form, units=units)
        said = phrase("{head} {number}; the criterion ({rule}) {clause}.", head=head, rule=rule, clause=clause,
                      number=figures)  # fmt: skip
    return finding(number.id, said, **number.fields, null=null, claim=rule.text, verdict=verdict)


def _beside(tables: Tables, name: str) -> Finding:
    number = tables.number(name)
    _, head, symbol, form = BESIDE[name]
    said = phrase("{head}: {number}.", head=head, number=estimate(number, symbol, form=form))
    return finding(f"beside/{name}", said, **number.fields)


def smallest(tables: Tables) -> Finding:
    """How small an effect the study could have seen."""
    numbers = [number for name in _SMALLEST if math.isfinite((number := tables.number(name)).smallest)]
    if not numbers:
        return finding(
            "smallest", Phrase("So small a study could not have seen an effect of any size."), source=STATISTICS
        )
    seen = listed(phrase("{what} {size}", what=_SMALLEST[n.id], size=n.of("smallest", ".2f")) for n in numbers)
    power = Quantity(0.8, ".1f", "definition of smallest")
    said = phrase(
        "With power {power} the study could have seen {seen}; less may be there unseen.", power=power, seen=seen
    )
    return finding("smallest", said, source=STATISTICS)


def _family(tables: Tables, family: str) -> list[str]:
    return list(tables.statistics.get("families_of_tests", {}).get(family, ()))


def subject(name: str) -> str:
    """What a number is about, in words: of the ids change/NAME, correlation/SIZE/NAME, rank/SIZE/NAME, order/MODE,
    jumps/MODE and of those of the questions."""
    kind, *rest = name.split("/")
    if name.startswith("selectivity"):
        return label("selectivity")
    if name.startswith("diversity"):
        return f"{SIZES['log_magnitude']} with {label('new_types')}"
    if kind == "change":
        return label(rest[0])
    if kind in ("correlation", "rank"):
        return f"{label(rest[0])} with {label(rest[1])}{' (by rank)' if kind == 'rank' else ''}"
    heads = {"order": "mean ρ of the convergence order", "jumps": "jumps beyond the null"}
    return f"{heads[kind]}, {rest[0]} form" if kind in heads and rest else label(kind)


def _form(number: Number) -> str:
    return "+.2f" if abs(number.value) < 10 else "+.1f"


def _change(tables: Tables, name: str) -> Finding:
    """How one measure changes over a jump beyond its control."""
    number = tables.number(name)
    side = number.side(tables.alpha)
    verb = {"met": "rises", "not met": "falls", "undecided": "could not be shown to change",
            "untested": "could not be tested for a change"}[side]  # fmt: skip
    figures = estimate(number, "change", form=_form(number))
    said = phrase(
        "{what} {verb} over a jump beyond its control ({figures}).", what=subject(name), verb=verb, figures=figures
    )
    verdict = "met" if side == "not met" else side
    measure = "selectivity" if name == "selectivity/did" else name.split("/")[1]
    return finding(
        f"change/{measure}", said, **number.fields, null=0.0, claim="it changes over a jump", verdict=verdict
    )


def _correlation(tables: Tables, name: str) -> Finding:
    number = tables.number(name)
    side = number.side(tables.alpha)
    verb = {"met": "correlates", "not met": "correlates negatively"}.get(side, "could not be shown to correlate")
    figures = estimate(number, "ρ" if name.startswith("rank") else "r")
    what, measure = subject(name).split(" with ", 1)
    said = phrase("{what} {verb} with {measure} ({figures}).", what=what, verb=verb, measure=measure, figures=figures)
    identity = name if name != "diversity/pearson" else "correlation/log_magnitude/new_types"
    verdict = "met" if side == "not met" else side
    return finding(identity, said, **number.fields, null=0.0, claim="they correlate", verdict=verdict)


def passing(tables: Tables, family: str) -> tuple[list[Number], int]:
    """The numbers of a family that are shown after correction, least p first, and how many were tested."""
    numbers = [tables.number(name) for name in _family(tables, family)]
    shown = [n for n in numbers if n.side(tables.alpha) in ("met", "not met")]
    return sorted(shown, key=lambda n: (n.test, n.id)), len(numbers)


def changes(tables: Tables) -> Finding:
    """What changes over a jump beyond the control, after correction."""
    shown, tested = passing(tables, CHANGES)
    if not tested:
        said = Phrase("No other change over a jump had enough data to be tested.")
        return finding("changes", said, source=STATISTICS)
    head = phrase("Of {tested} further {measures} of a layer, {shown}", **_counts(shown, tested, CHANGES),
                  measures="measure" if tested == 1 else "measures")  # fmt: skip
    if not shown:
        said = phrase("{head} could be shown to change otherwise at targets than at controls.", head=head)
    else:
        each = listed(
            phrase("{what} {verb} ({change})", what=subject(n.id), verb="rises" if n.value > 0 else "falls",
                   change=n.interval(_form(n))) for n in shown
        )  # fmt: skip
        verb = "changes" if len(shown) == 1 else "change"
        said = phrase("{head} {verb} otherwise at targets than at controls after correction: {each}.", head=head,
                      verb=verb, each=each)  # fmt: skip
    return finding("changes", said, value=len(shown), n=tested, source=STATISTICS)


def _counts(shown: list[Number], tested: int, family: str) -> dict[str, Quantity | str]:
    source = f"{STATISTICS}, families_of_tests, {family}"
    count = Quantity(len(shown), "", f"{source}: shown after correction")
    return {"tested": Quantity(tested, "", source), "shown": count if shown else "none"}


def correlations(tables: Tables) -> Finding:
    """Which correlations with the size of a jump are shown after correction."""
    shown, tested = passing(tables, CORRELATIONS)
    if not tested:
        said = Phrase("No other correlation with the jump had enough data to be tested.")
        return finding("correlations", said, source=STATISTICS)
    counts = _counts(shown, tested, CORRELATIONS)
    named = phrase(": {each}", each=listed(phrase("{what} {r}", what=subject(n.id), r=n.interval()) for n in shown))
    said = phrase(
        "Of {tested} further correlations of a jump with what its layer does (Pearson and Spearman), {shown} could be "
        "shown after correction{named}.", **counts, named=named if shown else Phrase(""),
    )  # fmt: skip
    return finding("correlations", said, value=len(shown), n=tested, source=STATISTICS)


def architectures(tables: Tables) -> list[Finding]:
    """What holds in every architecture, what in one alone, and how much is open."""
    kinds = tables.statistics["architectures"]
    source = f"{STATISTICS}, architectures"
    universal, only = kinds["holds_in_all"], kinds["specific_to_one"]
    first = Phrase("Nothing could be shown to hold in every architecture that has enough runs.")
    if universal:
        parts = listed(
            phrase("{what} ({values})", what=subject(row["finding"]), values=_values(row)) for row in universal
        )
        first = phrase("This holds in every architecture that has enough runs: {parts}.", parts=parts)
    second = Phrase("Nothing could be shown to be specific to one architecture.")
    if only:
        parts = listed(
            phrase("{what}, in {kind} alone ({value})", what=subject(row["finding"]), kind=row["only"],
                   value=Quantity(row["value"], "+.2f", f"{source}: {row['finding']}/{row['only']}")) for row in only
        )  # fmt: skip
        second = phrase("This is specific to one architecture by the stated rule: {parts}.", parts=parts)
    counts = {key: Quantity(len(kinds[key]), "", f"{source}, {key}") for key in ("undecided", "not_enough_data")}
    open_ = phrase("Of the other quantities that were compared, {undecided} are undecided and "
                   "{not_enough_data} had too few runs in two architectures.", **counts)  # fmt: skip
    return [
        finding("architectures/universal", first, value=len(universal), source=f"{source}, holds_in_all"),
        finding("architectures/specific", second, value=len(only), source=f"{source}, specific_to_one"),
        finding("architectures/open", open_, value=counts["undecided"].value, source=source),
    ]


def _values(row: Mapping[str, Any]) -> Phrase:
    source = f"{STATISTICS}, architectures: {row['finding']}"
    return listed(phrase("{kind} {value}", kind=kind, value=Quantity(value, "+.2f", f"{source}/{kind}"))
                  for kind, value in row["values"].items())  # fmt: skip
