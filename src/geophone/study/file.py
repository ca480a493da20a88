"""Study files: what to train, how to record it and what the stages are to do, in TOML."""

import re
import tomllib
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from geophone.dimensions import chosen
from geophone.errors import InputError
from geophone.record.schedule import Schedule
from geophone.zoo.catalogue import experiment, names

STUDY_FILE = "study.toml"
Whole = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Forks(_Table):
    """Continuations of runs with other minibatches: of the runs `of` (globs of run names), from each step in `at`, as
    many as `replicates`, each for `steps` updates."""

    of: tuple[str, ...] = ("*",)
    at: tuple[Whole, ...]
    replicates: Whole = 3
    steps: Whole = 500

    @field_validator("at")
    @classmethod
    def _once(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(given)) < len(given):
            raise InputError(f"forks at {list(given)}: a step is there twice; replicates= makes more of one.")
        return given


class DetectOptions(_Table):
    """`surrogates` draws of each null, from the random seed `seed`. `headline` names the dimensions for which jump
    types, coordination, lags and coupling to the loss are worked out besides."""

    surrogates: Whole = 999
    seed: Annotated[int, Field(ge=0)] = 0
    headline: tuple[str, ...] = ("stable_rank", "participation_ratio")

    @field_validator("headline")
    @classmethod
    def _known(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        chosen(given or None)
        return given


class TargetOptions(_Table):
    """Targets are transitions, described by `dimension`, or by another `method` the jumps that it found there."""

    dimension: str = "stable_rank"
    method: Literal["transitions", "naive", "calibrated", "pelt", "online"] = "transitions"

    @field_validator("dimension")
    @classmethod
    def _known(cls, name: str) -> str:
        chosen([name])
        return name


class DigSettings(_Table):
    """How targets are dug (see `geophone.dig.run.DigOptions`); `every` digs all of them and not the selection.

    `recovery` at every target; otherwise at the first of `recovery_runs` runs, in turn from each architecture.
    """

    per_class: Annotated[int, Field(ge=2)] = 200
    units: Whole = 20
    steps: Whole = 512
    recovery: bool = False
    recovery_runs: Annotated[int, Field(ge=0)] = 0
    horizons: tuple[Whole | Literal["plateau"], ...] = Field(default=(100, 500, "plateau"), min_length=1)
    seed: Annotated[int, Field(ge=0)] = 0
    every: bool = False


class EvidenceOptions(_Table):
    """`draws` of each bootstrap and sign-flip test, from the random seed `seed`."""

    seed: Annotated[int, Field(ge=0)] = 0
    draws: Annotated[int, Field(ge=99)] = 1999


class StageSettings(_Table):
    """What is to be done with a study's runs, stage by stage; whatever else is in the file is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    detect: DetectOptions = DetectOptions()
    target: TargetOptions = TargetOptions()
    dig: DigSettings = DigSettings()
    evidence: EvidenceOptions = EvidenceOptions()


class StudyFile(StageSettings):
    """What a study is. One run for each network and seed.

    `networks` holds names of the zoo, globs over them, or the user's own `module:function` that returns an
    Experiment. `steps` (default: each network's own), `schedule` (the fields of `Schedule`), `dimensions` (default:
    all), `probe_samples`, `noise_every` as in `train`. `threads` is the number of torch threads of one run; it
    belongs to the study and not to the machine, since it decides the last bits of the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    networks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    steps: Whole | None = None
    threads: Whole = 1
    probe_samples: Annotated[int, Field(ge=2)] | None = None
    noise_every: Whole | None = None
    dimensions: tuple[str, ...] | None = None
    schedule: dict[str, Any] = {}
    forks: Forks | None = None

    @model_validator(mode="after")
    def _recorded(self) -> "StudyFile":
        if self.dimensions is not None and self.target.dimension not in self.dimensions:
            raise InputError(
                f"targets are described by {self.target.dimension!r}, which is not among the dimensions recorded "
                f"({', '.join(self.dimensions)}): name another in [target], or record it."
            )
        return self

    @field_validator("networks")
    @classmethod
    def _found(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return expanded(given)

    @field_validator("dimensions")
    @classmethod
    def _measured(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        chosen(given)
        return given

    @field_validator("schedule")
    @classmethod
    def _possible(cls, given: dict[str, Any]) -> dict[str, Any]:
        try:
            Schedule(**given)
        except TypeError as error:
            raise InputError(f"{error}; known are {', '.join(Schedule.__dataclass_fields__)}") from error
        return given


Settings = TypeVar("Settings", bound=StageSettings)


def expanded(networks: tuple[str, ...]) -> tuple[str, ...]:
    """`networks` with every glob replaced by the names that match it, in the catalogue's order, each once."""
    found: dict[str, None] = {}
    for given in networks:
        if ":" not in given and any(c in given for c in "*?["):
            matching = [name for name in names() if fnmatchcase(name, given)]
            if not matching:
                raise InputError(f"no network of the zoo matches {given!r}.")
            found |= dict.fromkeys(matching)
        else:
            experiment(given)
            found[given] = None
    return tuple(found)


def read_study_file(path: Path) -> tuple[StudyFile, str]:
    """The study that the file at `path` describes, and its text. Raises InputError with the line and the fix."""
    text = _text(path)
    return parse_study(text, where=str(path)), text


def stage_settings(study: Path) -> StageSettings:
    """What the study file in the folder `study` says of the stages; the defaults where there is none."""
    path = study / STUDY_FILE
    return _validated(StageSettings, _text(path), str(path)) if path.is_file() else StageSettings()


def parse_study(text: str, *, where: str) -> StudyFile:
    """The study that `text` describes; `where` names it in errors."""
    return _validated(StudyFile, text, where)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}.") from error


def _validated(model: type[Settings], text: str, where: str) -> Settings:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not TOML: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply to be a study file.") from error
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(str(part) for part in first["loc"]) or ("target", "dimension")
        raise InputError(f"{where}{_line(text, place)}: {'.'.join(place)}: {_said(first, place)}") from error


def _said(error: dict[str, Any], place: tuple[str, ...]) -> str:
    if error["type"] == "extra_forbidden":
        tables = {
            "forks": Forks, "detect": DetectOptions, "target": TargetOptions, "dig": DigSettings,
            "evidence": EvidenceOptions,
        }  # fmt: skip
        table = tables.get(place[0], StudyFile)
        known = list(table.model_fields)
        near = get_close_matches(place[-1], known, n=1)
        return f"there is no such setting; {f'did you mean {near[0]}' if near else 'known are ' + ', '.join(known)}."
    got = "" if error["type"] == "missing" or not error["loc"] else f"; got {error['input']!r}"
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
