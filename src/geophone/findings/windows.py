"""What all windows of all runs say, where a study has a census: nothing is chosen there, and time is taken off."""

from collections.abc import Mapping
from typing import Any

from geophone.dimensions.catalogue import NAMES
from geophone.findings.finding import Finding, Phrase, Quantity, counted, finding, listed, phrase, quoted
from geophone.findings.number import STATISTICS, Number, estimate
from geophone.findings.questions import answered
from geophone.findings.tables import Tables
from geophone.rows.measures import label

SOURCE = f"{STATISTICS}, windows"
UNITS = ("window", "network")
# Question -> its symbol and the values that it can have.
_SYMBOLS = {"diversity": ("r", -1.0), "selectivity": ("r", -1.0), "depth": ("R²", 0.0)}


def windows(tables: Tables) -> list[Finding]:
    """The three questions over all windows, and what goes with what; none without a census."""
    said = tables.statistics.get("windows")
    if not said:
        return []
    made = [_gathered(said["study"])]
    for question, (symbol, least) in _SYMBOLS.items():
        number = tables.number(f"windows/{question}").within(least, 1.0)
        head = "Over all windows, chosen by nothing and beyond time,"
        criterion = tables.criterion(number.id)
        made.append(answered(number, criterion, head, symbol=symbol, units=UNITS, null=0.0))
    return [*made, associations(said, tables.alpha), _kinds(said["architectures"])]


def _gathered(study: Mapping[str, Any]) -> Finding:
    count = lambda key: counted(Quantity(float(study[key]), "", f"{SOURCE}, study, {key}"), key[:-1])  # noqa: E731
    said = phrase(
        "What follows rests on {windows} between neighbouring moments of {runs} of {networks}, whether anything jumped "
        "there or not; taken off each is {time}.", **{key: count(key) for key in ("windows", "runs", "networks")},
        time=quoted(str(study["time"]), f"{SOURCE}, study, time"),
    )  # fmt: skip
    return finding("windows/study", said, value=study["windows"], n=study["networks"], source=SOURCE)


def associations(said: Mapping[str, Any], alpha: float) -> Finding:
    """How many pairs of a signal and a change of features go together after correction, and which most of all."""
    every = [Number.of_row(row) for row in said["numbers"] if len(str(row["id"]).split("/")) == 3]
    pairs = [n.within(-1.0, 1.0) for n in every if n.id.split("/")[1] not in ("partial", "mixed") and n.ok]
    claim = "a signal goes with a change of features, beyond time"
    if not pairs:
        text = Phrase("No signal could be held against a change of features over all windows: not enough data.")
        return finding("windows/associations", text, source=SOURCE, claim=claim, verdict="untested")
    shown = sorted((n for n in pairs if n.side(alpha) in ("met", "not met")), key=lambda n: (-abs(n.value), n.id))
    of = lambda count, what: Quantity(float(count), "", f"{SOURCE}, numbers: {what}")  # noqa: E731
    head = phrase("Of {all} pairs of a signal and a change of features, {shown} could be shown to go together over all "
                  "windows after correction", all=of(len(pairs), "tested"),
                  shown=of(len(shown), "shown") if shown else "none")  # fmt: skip
    if not shown:
        text = phrase("{head}.", head=head)
        return finding("windows/associations", text, value=0, null=0, n=len(pairs), source=SOURCE, claim=claim,
                       verdict="undecided")  # fmt: skip
    best = shown[0]
    text = phrase("{head}; the closest is {pair} ({figures}), picked as the greatest, so likely too great.", head=head,
                  pair=pair(best.id), figures=estimate(best, "r", units=UNITS))  # fmt: skip
    fields = best.fields | {"n": best.runs}
    return finding("windows/associations", text, **fields, null=0.0, claim=claim, verdict="met")


def pair(name: str) -> Phrase:
    """ "the change of stable rank with new feature types", of the id windows/SIGNAL/OUTCOME."""
    _, signal, outcome = name.split("/")
    bare = signal.strip("|")
    words = label(bare)
    if bare in NAMES:
        words = f"the {'size of the change' if bare != signal else 'change'} of the {words}"
    return Phrase(f"{words} with {label(outcome)}")


def _kinds(kinds: Mapping[str, Any]) -> Finding:
    """What of the headline holds in every architecture, and what in one alone."""
    source = f"{SOURCE}, architectures"
    universal = listed(pair(row["finding"]) for row in kinds["holds_in_all"])
    only = listed(phrase("{what} in {kind}", what=pair(row["finding"]), kind=row["only"])
                  for row in kinds["specific_to_one"])  # fmt: skip
    open_ = Quantity(float(len(kinds["undecided"]) + len(kinds["not_enough_data"])), "", f"{source}, undecided")
    said = phrase(
        "Over all windows, this goes together in every architecture: {universal}; in one alone: {only}; {open} of the "
        "pairs compared are open.", universal=universal, only=only, open=open_,
    )  # fmt: skip
    return finding("windows/architectures", said, value=len(kinds["holds_in_all"]), source=source)
