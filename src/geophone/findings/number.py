"""A number of the statistics: its interval, its p, what it rests on, and what it may be taken to say."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from geophone.findings.finding import Phrase, Quantity, counted, phrase, quoted
from geophone.stats.verdict import above

STATISTICS = "statistics.json"
_LEAST_P = 0.001


@dataclass(frozen=True, slots=True)
class Number:
    """One number of statistics.json (see `geophone.evidence.numbers.Number`), NaN where nothing could be said."""

    id: str
    says: str
    value: float
    low: float
    high: float
    p: float
    p_adjusted: float
    n: int
    runs: int
    smallest: float
    status: str

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Number":
        """From a row of "numbers" in statistics.json; null is NaN."""
        value, low, high, p, adjusted, smallest = (
            math.nan if row[key] is None else float(row[key])
            for key in ("value", "low", "high", "p", "p_adjusted", "smallest")
        )
        text = (str(row["id"]), str(row["says"]))
        return cls(*text, value, low, high, p, adjusted, int(row["n"]), int(row["runs"]), smallest, str(row["status"]))

    @property
    def ok(self) -> bool:
        return self.status == "ok" and math.isfinite(self.value)

    @property
    def source(self) -> str:
        return f"{STATISTICS}, numbers, id={self.id}"

    @property
    def test(self) -> float:
        """The p that counts: adjusted within its family of tests, where it belongs to one."""
        return self.p_adjusted if math.isfinite(self.p_adjusted) else self.p

    @property
    def fields(self) -> dict[str, Any]:
        """What a finding about this number takes from it."""
        n = self.runs or self.n
        ends = {"value": self.value, "low": self.low, "high": self.high, "p": self.test}
        return {**ends, "n": n, "source": self.source}

    def of(self, key: str, form: str) -> Quantity:
        """One of its fields as a quantity."""
        return Quantity(float(getattr(self, key)), form, f"{self.source}: {key}")

    def interval(self, form: str = ".2f") -> Phrase:
        """ "0.14 [−0.03, 0.31]"; the value alone where there is no interval."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return phrase("{value}", value=self.of("value", form))
        ends = {key: self.of(key, form) for key in ("value", "low", "high")}
        return phrase("{value} [{low}, {high}]", **ends)

    def within(self, least: float, greatest: float) -> "Number":
        """The same with its interval cut to the values that the quantity can have, such as [-1, 1] of a correlation:
        a bootstrap's interval may run over, the quantity cannot."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return self
        return replace(self, low=max(self.low, least), high=min(self.high, greatest))

    def side(self, alpha: float) -> str:
        """Whether it lies above 0, by interval and test together: the interval's answer (`stats.verdict.above`), and
        "undecided" where the test does not agree (p at or above `alpha`, or none)."""
        verdict = above(self.low, self.high, 0.0)
        return "undecided" if verdict in ("met", "not met") and not self.test < alpha else verdict


def estimate(number: Number, symbol: str, *, form: str = ".2f", units: tuple[str, str] = ("row", "run")) -> Phrase:
    """ "r = −0.07 [−0.38, 0.25], p = 0.63, 44 rows in 40 runs", or why there is no number. The p is the adjusted one
    where the number belongs to a family of tests."""
    if not number.ok:
        return quoted(number.status, number.source)
    word = "adjusted p" if math.isfinite(number.p_adjusted) else "p"
    p = probability(number.of("p_adjusted" if word != "p" else "p", ""), word)
    n, runs = counted(number.of("n", ""), units[0]), counted(number.of("runs", ""), units[1])
    over = runs if number.n == number.runs else phrase("{n} in {runs}", n=n, runs=runs) if number.runs else n
    tested = phrase(", {p}", p=p) if math.isfinite(number.test) else Phrase("")
    return phrase(
        "{symbol} = {interval}{p}, {over}", symbol=symbol, interval=number.interval(form), p=tested, over=over
    )


def probability(p: Quantity, word: str = "p") -> Phrase:
    """ "p = 0.03"; "p < 0.001" below it; "p not known" where there is none."""
    if not math.isfinite(p.value):
        return Phrase(f"{word} not known")
    if p.value < _LEAST_P / 2:
        return phrase("{word} < {least}", word=word, least=Quantity(_LEAST_P, ".3f", f"{p.source}, {p.value:.2g}"))
    return phrase("{word} = {p}", word=word, p=replace(p, form=".3f" if p.value < 0.1 else ".2f"))


def clash(number: Number, alpha: float) -> Phrase:
    """Says so where the test is below `alpha` and the interval crosses 0, or the other way round; else empty."""
    verdict = above(number.low, number.high, 0.0)
    if verdict == "untested" or not math.isfinite(number.test) or (number.test < alpha) == (verdict != "undecided"):
        return Phrase("")
    return Phrase("; interval and test disagree, so nothing is claimed")
