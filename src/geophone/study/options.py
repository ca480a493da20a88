"""What a study file says of its stages, and how such a file is read: in TOML, with the line of what is wrong."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from geophone import former
from geophone.dimensions import chosen
from geophone.errors import InputError

STUDY_FILE = "study.toml"
Whole = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """A table of a study file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DetectOptions(Section):
    """`surrogates` draws of each null, from the random seed `seed`. `headline` names the dimensions for which jump
    types, coordination, lags and coupling to the loss are worked out besides."""

    surrogates: Whole = 999
    seed: Seed = 0
    headline: tuple[str, ...] = ("stable_rank", "participation_ratio")


class TargetOptions(Section):
    """Targets are transitions, described by `dimension`, or by another `method` the jumps that it found there."""

    dimension: str = "stable_rank"
    method: Literal["transitions", "naive", "calibrated", "pelt", "online"] = "transitions"


class CensusOptions(Section):
    """`moments` of every run, evenly spaced in ln step, at which every layer is measured (0: no census), on `per_class`
    samples of each class; compositional depth at `deep` of them; random numbers from `seed`."""

    moments: Seed = 0
    deep: Seed = 8
    per_class: Annotated[int, Field(ge=2)] = 40
    seed: Seed = 0


class DigSettings(Section):
    """How targets are dug (see `geophone.dig.run.DigOptions`); `every` digs all of them and not the selection.

    `recovery` at every target; otherwise at the first of `recovery_runs` runs, in turn from each architecture.
    """

    per_class: Annotated[int, Field(ge=2)] = 200
    units: Whole = 20
    steps: Whole = 512
    recovery: bool = False
    recovery_runs: Seed = 0
    horizons: tuple[Whole | Literal["plateau"], ...] = Field(default=(100, 500, "plateau"), min_length=1)
    seed: Seed = 0
    every: bool = False


class EvidenceOptions(Section):
    """`draws` of each bootstrap and sign-flip test, from the random seed `seed`."""

    seed: Seed = 0
    draws: Annotated[int, Field(ge=99)] = 1999


class StageSettings(Section):
    """What is to be done with a study's runs, stage by stage; whatever else is in the file is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    detect: DetectOptions = DetectOptions()
    target: TargetOptions = TargetOptions()
    census: CensusOptions = CensusOptions()
    dig: DigSettings = DigSettings()
    evidence: EvidenceOptions = EvidenceOptions()

    def complete(self, source: "StudyText") -> Self:
        """The same, when every name in it is one that is known; looked up when all else is as it should be. Raises
        InputError."""
        with source.at("detect", "headline", got=self.detect.headline):
            chosen(self.detect.headline or None)
        with source.at("target", "dimension", got=self.target.dimension):
            chosen([self.target.dimension])
        return self


Settings = TypeVar("Settings", bound=StageSettings)


@dataclass(frozen=True, slots=True)
class StudyText:
    """The text of a study file, and what to call it in an error."""

    text: str
    where: str

    @contextmanager
    def at(self, *place: str, got: object) -> Iterator[None]:
        """An InputError inside is said to be of the setting at `place`."""
        try:
            yield
        except InputError as error:
            raise self.error(place, f"{str(error).rstrip('.')}; got {got!r}.") from error

    def error(self, place: tuple[str, ...], sentence: str) -> InputError:
        return InputError(f"{self.where}{_line(self.text, place)}: {'.'.join(place)}: {sentence}")


def stage_settings(study: Path) -> StageSettings:
    """What the study file in the folder `study` says of the stages; the defaults where there is none."""
    path = study / STUDY_FILE
    return validated(StageSettings, StudyText(file_text(path), str(path))) if path.is_file() else StageSettings()


def file_text(path: Path) -> str:
    """Raises InputError where the file is not there or is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}.") from error


def validated(model: type[Settings], source: StudyText) -> Settings:
    """The settings in a file's text. Raises InputError with the line and what to do."""
    try:
        raw = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source.where} is not TOML: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{source.where} is nested too deeply to be a study file.") from error
    try:
        settings = model.model_validate(former.study_file(raw))
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(str(part) for part in first["loc"])
        raise source.error(place, _sentence(first, model, place)) from error
    return settings.complete(source)


def _sentence(error: ErrorDetails, model: type[BaseModel], place: tuple[str, ...]) -> str:
    if error["type"] == "extra_forbidden":
        section = model.model_fields[place[0]].annotation if len(place) > 1 else model
        known = list(next(t for t in (section, *get_args(section)) if hasattr(t, "model_fields")).model_fields)
        near = get_close_matches(place[-1], known, n=1)
        return f"there is no such setting; {f'did you mean {near[0]}' if near else 'known are ' + ', '.join(known)}."
    got = "" if error["type"] == "missing" else f"; got {error['input']!r}"
    return f"{error['msg'].removeprefix('Value error, ').rstrip('.')}{got}."


def _line(text: str, place: tuple[str, ...]) -> str:
    """Where `place`, such as ("forks", "at", "0"), stands in `text`: ", line 7", or nothing when it is not there."""
    table, best = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+([^\]]+)\]", line):
            table = header[1].strip()
            if table == place[0]:
                best = best or number
        key = re.match(r"""\s*["']?([\w-]+)["']?\s*=""", line)
        path = tuple(p for p in (table, key[1] if key else "") if p)
        if key and path == place[: len(path)]:
            best = number
        if best and len(place) > 1 and f'"{place[-1]}"' in line:
            return f", line {number}"
    return f", line {best}" if best else ""
