"""JSON documents of a study: each a model, read whole or refused with a sentence that names the file and the field."""

import json
from dataclasses import replace
from math import isfinite, nan
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from geophone.errors import StoreError
from geophone.records import DigOptions, Target
from geophone.store import formats
from geophone.store.formats import FORMAT, check_format
from geophone.store.tables import write_text

# A number, or NaN where there is none, for which JSON has null.
Figure = Annotated[
    float,
    BeforeValidator(lambda value: nan if value is None else value),
    PlainSerializer(lambda value: value if isfinite(value) else None, return_type=float | None, when_used="json"),
]


class Entry(BaseModel):
    """A part of a document: immutable, every field as its type says, no field besides."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Document(Entry):
    """A JSON file with the version of its format; one of an earlier format is `former` of it."""

    format: int = FORMAT

    @classmethod
    def former(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """What an earlier release wrote, as this one has it."""
        return raw | {"format": FORMAT}


class DigDocument(Document):
    """dig.json: the target that was dug, with which options, and the digest of the code that did it ("" where an
    earlier release did not keep it). Horizons are kept only where something was compared at them."""

    target: Target
    options: DigOptions
    code: str

    @field_validator("options")
    @classmethod
    def _compared(cls, options: DigOptions) -> DigOptions:
        return options if options.recovery else replace(options, horizons=())

    @classmethod
    def former(cls, raw: dict[str, Any]) -> dict[str, Any]:
        return formats.dig_of_format_1(raw)


class CensusDocument(Document):
    """census.json: at which steps a run was looked at, how, by which code, and the digest of its last weights."""

    steps: tuple[int, ...]
    deep: int
    per_class: int
    seed: int
    code: str
    weights: str


class Figures(Entry):
    """What every number of the statistics has: its value with interval and tests, and what it rests on."""

    form: str
    value: Figure
    low: Figure
    high: Figure
    interval: str
    p: Figure
    p_adjusted: Figure
    test: str
    n: int
    runs: int
    status: str


class NumberEntry(Figures):
    """One number, as `evidence.numbers.Number` has it."""

    id: str
    says: str
    family_of_tests: str
    smallest: Figure
    seed: int


class Criterion(Figures):
    """A criterion of the founding document in one form: its verdict, and the number (by its id) that decides it."""

    id: str
    number: str
    question: str
    criterion: str
    verdict: str


class Gathered(Entry):
    """What the statistics rest on."""

    targets_dug: int
    pairs: int
    runs: int
    runs_by_architecture: dict[str, int]
    dimension: str
    modes: tuple[str, ...]
    notes: tuple[str, ...]
    targets_found: int = 0
    late_share: Figure = nan
    two_controls_share: Figure = nan


class ByArchitecture(Entry):
    """A number, and the architectures that take part."""

    finding: str
    says: str
    architectures: tuple[str, ...]


class InAll(ByArchitecture):
    """It holds in all of them, with these values."""

    values: dict[str, Figure]


class InOne(ByArchitecture):
    """It is specific to `only`, where it has this value."""

    only: str
    value: Figure


class Convergence(Entry):
    """How many runs of an architecture have which convergence order."""

    mode: str
    architecture: str
    runs: int
    verdicts: dict[str, int]


class Architectures(Entry):
    """Every number by architecture, and what follows by the `rules`."""

    numbers: tuple[NumberEntry, ...]
    holds_in_all: tuple[InAll, ...]
    specific_to_one: tuple[InOne, ...]
    undecided: tuple[ByArchitecture, ...]
    not_enough_data: tuple[ByArchitecture, ...]
    rules: tuple[str, ...]
    convergence: tuple[Convergence, ...] = ()


class WindowsGathered(Entry):
    """What the statistics of windows rest on; `time` says how it was taken off."""

    windows: int
    runs: int
    networks: int
    time: str


class Best(Entry):
    """The number (by its id) of the predictor with the greatest |r| of an outcome."""

    outcome: str
    number: str


class WindowStatistics(Entry):
    """What all windows of all runs say."""

    study: WindowsGathered
    numbers: tuple[NumberEntry, ...]
    criteria: tuple[Criterion, ...]
    architectures: Architectures
    best: tuple[Best, ...]


class Statistics(Document):
    """statistics.json: everything that can be said of the evidence."""

    seed: int
    draws: int
    alpha: float
    study: Gathered
    criteria: tuple[Criterion, ...]
    numbers: tuple[NumberEntry, ...]
    architectures: Architectures
    families_of_tests: dict[str, tuple[str, ...]]
    windows: WindowStatistics | None = None

    @model_serializer(mode="wrap")
    def _as_there(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A study without a census has no `windows`."""
        return {name: value for name, value in written(self).items() if name != "windows" or value is not None}

    @classmethod
    def former(cls, raw: dict[str, Any]) -> dict[str, Any]:
        return formats.statistics_of_format_1(raw)

    @property
    def plain(self) -> dict[str, Any]:
        """As it stands in the file: dicts, lists, null."""
        return self.model_dump(mode="json")


D = TypeVar("D", bound=Document)


def read_text(path: Path) -> str:
    """A text file. Raises StoreError when it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StoreError(f"{path} is not there.") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises StoreError when it is missing or damaged."""
    text = read_text(path)
    try:
        return json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error


def _whole(digits: str) -> int:
    """A whole number that fits into 64 bits, as all that geophone writes do: others would be met by code in C."""
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"it has the number {digits[:24]}, which no count is")
    return int(digits)


def read_document(path: Path, model: type[D]) -> D:
    """The document at `path`. Raises StoreError when it is missing, or damaged, with the field; NewerFormatError when a
    later release wrote it."""
    raw = read_json(path)
    given = check_format(path, raw.get("format") if isinstance(raw, dict) else None)
    return _validated(path, model, raw if given == FORMAT else model.former(raw))


def write_document(path: Path, document: Document) -> None:
    """Write `document`, whole or not at all."""
    write_text(path, document.model_dump_json(indent=1) + "\n")


def as_document(model: type[D], raw: dict[str, Any]) -> D:
    """`raw`, as JSON would hold it, as a document. Raises StoreError where it is none."""
    return _validated(Path(model.__name__), model, raw)


def _validated(path: Path, model: type[D], raw: dict[str, Any]) -> D:
    try:
        return model.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "its whole"
        raise StoreError(f"{path} is damaged at {place}: {first['msg']}.") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error
