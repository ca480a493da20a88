"""A finding: what was measured, beside what chance gives, with its verdict and the one sentence that says it.

A sentence is a plain string. Every number in it is a `Quantity`, which keeps its value and the rows that it came from,
so that whoever prints the sentence (terminal, page, notebook, paper) can trace it.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

VERDICTS = ("met", "not met", "undecided", "untested")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a sentence. `value` NaN: not known, printed as a dash. `form` is a format specification (empty: a
    whole number with commas); `source` names the table or document and the rows, or the rule, that it came from."""

    value: float
    form: str = ""
    source: str = ""

    def __str__(self) -> str:
        return printed(self.value, self.form)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A piece of a sentence with the quantities in it, in the order in which they stand."""

    text: str
    quantities: tuple[Quantity, ...] = ()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a study says.

    `sentence` says it whole, its numbers in `quantities`. `value` is the number that it is about, [`low`, `high`] the
    95 % interval, `null` what chance alone gives, `p` its probability (adjusted within its family of tests, where it
    has one); NaN where there is none. `n` is how many units of analysis it rests on (runs, unless the sentence names
    others), `source` the table and rows. `claim` is what `verdict` judges: "met" or "not met" where the interval lies
    wholly on one side, "undecided" where it crosses, "untested" without data; both are empty for a description. `part`:
    it is no sentence of its own, but a piece for a text that goes on around it.
    """

    id: str
    sentence: str
    source: str = ""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    null: float = math.nan
    p: float = math.nan
    n: int = 0
    claim: str = ""
    verdict: str = ""
    quantities: tuple[Quantity, ...] = ()
    part: bool = False


def finding(name: str, said: Phrase, **about: Any) -> Finding:
    """The finding `name` that says `said`; `about` are the other fields of `Finding`. The first letter is raised."""
    text = said.text[:1].upper() + said.text[1:]
    return Finding(name, text, quantities=said.quantities, **about)


def phrase(pattern: str, **parts: "Phrase | Quantity | str") -> Phrase:
    """`pattern` with its {fields} filled in; names of a user's go in as text and are never read as a pattern."""
    found: list[Quantity] = []
    for part in parts.values():
        found += part.quantities if isinstance(part, Phrase) else [part] if isinstance(part, Quantity) else []
    return Phrase(pattern.format(**{name: str(part) for name, part in parts.items()}), tuple(found))


def listed(parts: "Iterable[Phrase | str]", *, last: str = " and ") -> Phrase:
    """ "a", "a and b", "a, b and c"; "none" for nothing."""
    phrases = [part if isinstance(part, Phrase) else Phrase(part) for part in parts]
    texts = [part.text for part in phrases]
    text = texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])}{last}{texts[-1]}" if texts else "none"
    return Phrase(text, tuple(q for part in phrases for q in part.quantities))


def fragment(name: str, said: Phrase, source: str, value: float = math.nan) -> Finding:
    """A part of a sentence, such as "44 runs of 44 networks", for a text that goes on around it."""
    return Finding(name, said.text, source, value=value, quantities=said.quantities, part=True)


def quoted(text: str, source: str) -> Phrase:
    """A text that was written elsewhere, the numbers in it as quantities."""
    words = re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)", text)
    return Phrase(
        text, tuple(Quantity(float(w), f".{len(w.partition('.')[2])}f" if "." in w else "", source) for w in words)
    )


def joined(parts: Iterable[Phrase], separator: str = " ") -> Phrase:
    """Phrases one after another; empty ones are left out."""
    there = [part for part in parts if part.text]
    return Phrase(separator.join(p.text for p in there), tuple(q for part in there for q in part.quantities))


def counted(count: Quantity, one: str, many: str = "") -> Phrase:
    """ "1 run", "44 runs"; `many` where an s is not enough."""
    return phrase("{count} {noun}", count=count, noun=one if count.value == 1 else many or f"{one}s")


def agree(count: float, one: str, many: str) -> str:
    """The verb that goes with a count."""
    return one if count == 1 else many


def printed(value: float, form: str = "") -> str:
    """`value` in `form` with a true minus sign; a zero has no sign, and what is not finite is a dash."""
    if not math.isfinite(value):
        return "–"
    text = format(round(value), ",") if not form else format(value, form)
    if text[:1] in "+-" and not any(c in "123456789" for c in text):
        text = text[1:] if text[0] == "-" else text
    return text.replace("-", "−")


def as_json(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """`findings` by id, as findings.json holds them: NaN is null, `numbers` has every number of the sentence as it is
    printed, with its value and source."""
    return {each.id: _document(each) for each in findings}


def _document(each: Finding) -> dict[str, Any]:
    numbers = [{"shown": str(q), "value": plain(q.value), "source": q.source or each.source} for q in each.quantities]
    fields: Mapping[str, float] = {name: getattr(each, name) for name in ("value", "low", "high", "null", "p")}
    return {
        "sentence": each.sentence, **{name: plain(value) for name, value in fields.items()}, "n": each.n,
        "claim": each.claim, "verdict": each.verdict, "source": each.source, "numbers": numbers,
    }  # fmt: skip


def plain(value: float) -> float | int | None:
    """`value` as JSON has it, to 8 digits; null for what is not finite."""
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.8g}")
