"""Where every number of the paper comes from: statistics.json or a table, by name; and a note of each that was used."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.errors import StoreError
from geophone.store.study import Study

STATISTICS = "statistics.json"
_AGAIN = "run geophone evidence"


@dataclass(frozen=True, slots=True)
class Found:
    """One number of statistics.json. NaN where nothing could be said; `status` then says why."""

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

    @property
    def ok(self) -> bool:
        return self.status == "ok" and math.isfinite(self.value)


class Numbers:
    """Looks numbers up by name, prints them, and keeps in `used` what was printed: name -> value, printed forms,
    source.

    A name that is not there raises StoreError with the name. `tables` reads a table of the study by its name, such as
    "phenomena/order".
    """

    def __init__(self, statistics: dict, tables: Callable[[str], pd.DataFrame]) -> None:
        self._statistics = statistics
        architectures = statistics.get("architectures", {}).get("numbers", ())
        self._numbers = {row["id"]: row for row in [*statistics.get("numbers", ()), *architectures]}
        self._tables = tables
        self._read: dict[str, pd.DataFrame] = {}
        self.used: dict[str, dict] = {}

    @classmethod
    def of(cls, study: Study) -> "Numbers":
        """The numbers of `study`. Raises StoreError when it has no statistics.json or a damaged one."""
        path = study.places.statistics
        if not path.is_file():
            raise StoreError(f"{path} is not there, and the paper is made of it; {_AGAIN}.")
        return cls(study.statistics().plain, study.table)

    def __getitem__(self, name: str) -> Found:
        row = self._numbers.get(name)
        if row is None:
            raise StoreError(f"the paper needs `{name}`, which {STATISTICS} does not have; {_AGAIN}.")
        return Found(
            name, str(row["says"]), _number(row["value"]), _number(row["low"]), _number(row["high"]), _number(row["p"]),
            _number(row["p_adjusted"]), int(row["n"]), int(row["runs"]), _number(row["smallest"]), str(row["status"]),
        )  # fmt: skip

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def fact(self, name: str):
        """What stands in statistics.json under the keys of `name`, such as "study/runs". Raises StoreError."""
        found = self._statistics
        for key in name.split("/"):
            if not isinstance(found, dict) or key not in found:
                raise StoreError(f"the paper needs `{name}`, which {STATISTICS} does not have; {_AGAIN}.")
            found = found[key]
        return found

    def criterion(self, number: str) -> dict:
        """The criterion that is judged by `number`: its "criterion" in words and its "verdict". Raises StoreError."""
        for row in self.fact("criteria"):
            if row["number"] == number:
                return row
        raise StoreError(f"the paper needs the criterion of `{number}`, which {STATISTICS} does not have; {_AGAIN}.")

    def table(self, name: str) -> pd.DataFrame:
        """The study's table `name`, read once. Raises StoreError with its path when it is not there."""
        if name not in self._read:
            self._read[name] = self._tables(name)
        return self._read[name]

    def show(self, name: str, value: float, form: str = "", *, source: str = STATISTICS) -> str:
        """`value` in the format `form` (default: a whole number with commas), kept in `used` under `name`."""
        value = _number(value)
        shown = printed(value, form)
        entry = self.used.setdefault(name, {"value": _plain(value), "shown": [], "from": source})
        if shown not in entry["shown"]:
            entry["shown"].append(shown)
        return shown

    def share(self, name: str, part: int, whole: int, *, source: str) -> str:
        """`part` of `whole` in words: "13 of 44"."""
        return f"{self.show(name, part, source=source)} of {self.show(f'{name}, of', whole, source=source)}"

    def interval(self, found: Found, form: str = ".2f", *, scale: float = 1.0) -> str:
        """The number with its interval: "0.14 [−0.03, 0.31]"; without where there is none."""
        text = self.show(found.id, found.value * scale, form)
        if not (math.isfinite(found.low) and math.isfinite(found.high)):
            return text
        low, high = (self.show(f"{found.id}, {end}", getattr(found, end) * scale, form) for end in ("low", "high"))
        return f"{text} [{low}, {high}]"

    def p(self, found: Found, *, adjusted: bool = False) -> str:
        """ "p = 0.03", or "p < 0.001" below it; "p not known" where there is none."""
        value, name = (found.p_adjusted, "adjusted p") if adjusted else (found.p, "p")
        return self.p_of(f"{found.id}, {name}", value, name)

    def p_of(self, name: str, value: float, word: str = "p", *, source: str = STATISTICS) -> str:
        if not math.isfinite(value):
            return f"{word} not known"
        shown = self.show(name, value, ".3f" if value < 0.1 else ".2f", source=source)
        return (
            f"{word} < {self.show('least p that is printed', 0.001, '.3f', source='format')}"
            if value < 0.0005
            else (f"{word} = {shown}")
        )


def printed(value: float, form: str) -> str:
    """`value` in `form` with a true minus sign; a zero has no sign."""
    if not math.isfinite(value):
        return "–"
    text = format(int(value), ",") if not form else format(value, form)
    if text.startswith("-") and not any(c in "123456789" for c in text):
        text = text[1:]
    return text.replace("-", "−")


def _number(value) -> float:
    return math.nan if value is None else float(value)


def _plain(value: float):
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.8g}")


def verdict_counts(rows: pd.DataFrame) -> dict[str, int]:
    """How many rows of an order table have each verdict, in a fixed order; zeros included."""
    names = ("bottom-up", "top-down", "simultaneous", "weak", "undefined")
    return {name: int(np.sum(rows["verdict"] == name)) for name in names}
