"""Study files: what to train, how to record it and what the stages are to do, in TOML."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import ConfigDict, Field, field_validator

from geophone.dimensions import chosen
from geophone.errors import InputError
from geophone.study.options import Section, Seed, StageSettings, StudyText, Whole, file_text, validated

if TYPE_CHECKING:
    from geophone.record.schedule import Schedule

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Forks(Section):
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


class StudyFile(StageSettings):
    """What a study is. One run for each network and seed. `seeds = 3` is short for `seeds = [0, 1, 2]`.

    `networks` holds names of the zoo, globs over them, or the user's own `module:function` that returns an
    Experiment. `steps` (default: each network's own), `schedule` (the fields of `Schedule`), `dimensions` (default:
    all), `probe_samples`, `noise_every` as in `train`. `threads` is the number of torch threads of one run; it
    belongs to the study and not to the machine, since it decides the last bits of the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    networks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    steps: Whole | None = None
    threads: Whole = 1
    probe_samples: Annotated[int, Field(ge=2)] | None = None
    noise_every: Whole | None = None
    dimensions: tuple[str, ...] | None = None
    schedule: dict[str, Any] = Field(default_factory=dict)
    forks: Forks | None = None

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, given: object) -> object:
        if not isinstance(given, int) or isinstance(given, bool):
            return given
        if given < 1:
            raise InputError("give how many seeds, 1 or more, or a list of them")
        return list(range(given))

    def complete(self, source: StudyText) -> Self:
        super().complete(source)
        with source.at("dimensions", got=self.dimensions):
            chosen(self.dimensions)
        with source.at("target", "dimension", got=self.target.dimension):
            self._check_recorded()
        with source.at("schedule", got=self.schedule):
            schedule_of(self.schedule)
        with source.at("networks", got=self.networks):
            made = self.model_copy(update={"networks": expanded(self.networks)})
        made._check_measured(source)
        return made

    def _check_measured(self, source: StudyText) -> None:
        """Raises InputError where a run would end before its first measurement."""
        from geophone.zoo.catalogue import experiment

        schedule = schedule_of(self.schedule)
        place = ("schedule", *list(self.schedule)[:1]) if self.schedule else ("steps",)
        for network in self.networks:
            steps = self.steps or experiment(network).steps
            if not any(map(schedule.due, range(steps + 1))):
                said = (
                    f"no measurement falls within the {steps} steps of {network}: measure more often, or train longer."
                )
                raise source.error(place, said)

    def _check_recorded(self) -> None:
        if self.dimensions is not None and self.target.dimension not in self.dimensions:
            raise InputError(
                f"targets are described by {self.target.dimension!r}, which is not among the dimensions recorded "
                f"({', '.join(self.dimensions)}): name another in [target], or record it."
            )


def schedule_of(given: Mapping[str, Any]) -> "Schedule":
    """The schedule in a study file. Raises InputError for a setting that it does not have."""
    from geophone.record.schedule import Schedule

    try:
        return Schedule(**given)
    except TypeError as error:
        raise InputError(f"{error}; known are {', '.join(Schedule.__dataclass_fields__)}") from error


def expanded(networks: tuple[str, ...]) -> tuple[str, ...]:
    """`networks` with every glob replaced by the names that match it, in the catalogue's order, each once."""
    from geophone.zoo.catalogue import experiment, names

    chosen_names: dict[str, None] = {}
    for given in networks:
        if ":" not in given and any(c in given for c in "*?["):
            matching = [name for name in names() if fnmatchcase(name, given)]
            if not matching:
                raise InputError(f"no network of the zoo matches {given!r}.")
            chosen_names |= dict.fromkeys(matching)
        else:
            experiment(given)
            chosen_names[given] = None
    return tuple(chosen_names)


def read_study_file(path: Path) -> tuple[StudyFile, str]:
    """The study that the file at `path` describes, and its text. Raises InputError with the line and the fix."""
    text = file_text(path)
    return parse_study(text, where=str(path)), text


def parse_study(text: str, *, where: str) -> StudyFile:
    """The study that `text` describes; `where` names it in errors."""
    return validated(StudyFile, StudyText(text, where))
