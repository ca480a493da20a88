"""A dig: one target and its matched control, before, during and after, with everything the tools say of them."""

import json
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from geophone.dig.ablation import ablation_impact
from geophone.dig.composition import composition_table, edge_table, rungs
from geophone.dig.exhibits import exhibits
from geophone.dig.moment import Moment, measure, untrained_reference
from geophone.dig.notes import field_notes
from geophone.dig.recovery import PLATEAU, recover
from geophone.dig.samples import PER_CLASS, answers
from geophone.dig.subject import Subject, subject_of
from geophone.dig.visualize import UNITS, units_of
from geophone.errors import InputError, StoreError
from geophone.records import Target, target_name
from geophone.store.code import code_digest
from geophone.store.documents import read_dig, read_json, read_text
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.store.tables import read_table, write_table, write_text

MOMENTS = ("before", "during", "after")
DONE = "dig.json"
_ABLATED_ON = 200


@dataclass(frozen=True, slots=True)
class DigOptions:
    """`per_class` samples of each class; `units` to show, so many at random or these by number, their images made in
    `steps` optimisation steps; `recovery` to ablate and train on as well (minutes a target), compared at `horizons`;
    `seed` is where all randomness comes from."""

    per_class: int = PER_CLASS
    units: int | tuple[int, ...] = UNITS
    steps: int = 512
    recovery: bool = False
    horizons: tuple[int | str, ...] = (100, 500, PLATEAU)
    seed: int = 0


@dataclass(frozen=True)
class Dig:
    """A finished dig: its folder, and its tables by name: "moments", "units", "composition", "edges", "ablation", and
    where there are any "heads" and "recovery"."""

    folder: Path

    def __getitem__(self, name: str) -> pd.DataFrame:
        return read_table(self.folder / f"{name}.parquet")

    @property
    def notes(self) -> str:
        """The field notes, Markdown."""
        return read_text(self.folder / "notes.md")

    @property
    def about(self) -> dict:
        """The target, its options, and why it was chosen."""
        return read_dig(self.folder)


def dig(
    study: Study,
    target: Target | int,
    *,
    options: DigOptions | None = None,
    subject: Subject | None = None,
    on_moment: Callable[[int, int], None] = lambda done, of: None,
) -> Dig:
    """Dig at `target` (a Target, or its rank) and at its control, and leave `digs/TARGET/`.

    A dig that is there, made by the same code with the same options, is returned as it is. `subject` gives network and
    data of a run of your own loop. Raises InputError for a rank that is not there or units that the layer does not
    have, ReplayError when a network cannot be had again.
    """
    options = options or DigOptions()
    target = _target(study, target) if isinstance(target, int) else target
    folder = dig_folder(study, target)
    about = _about(target, options)
    if _is_made(folder, about):
        return Dig(folder)
    rng = np.random.default_rng([options.seed, zlib.crc32(folder.name.encode())])
    run = study.run(target.run)
    subject = subject or subject_of(run, rng=rng, per_class=options.per_class)
    steps = _steps(target)
    models = subject.at([s for role in steps.values() for s in role.values()])
    if not isinstance(options.units, int):
        # Asked before what takes long, so that a wrong number is told at once.
        few = answers(models[target.step], [target.layer], subject.samples.x[:2])[target.layer]
        units_of(options.units, few.shape[1])
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    found = _measure(subject, target, steps, models, rng=rng, on_moment=on_moment)
    for name, table in found.tables.items():
        write_table(temporary / f"{name}.parquet", table)
    shown = exhibits(
        subject, target, {m: models[s] for m, s in steps["target"].items()}, found.moments["target"],
        out=temporary / "images", units=options.units, steps=options.steps, rng=rng,
    )  # fmt: skip
    if options.recovery:
        for name, table in _recovered(run, target, steps, options.horizons, rng).items():
            write_table(temporary / f"{name}.parquet", table)
    write_text(temporary / "notes.md", field_notes(target, found.moments, found.tables, shown))
    write_text(temporary / DONE, json.dumps(about, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return Dig(folder)


def _recovered(
    run: Run,
    target: Target,
    steps: Mapping[str, Mapping[str, int]],
    horizons: Sequence[int | str],
    rng: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """Recovery from an ablation at each moment of the target and of its control, with a column for the role."""
    found = {
        role: recover(run, layer=target.layer, moments=at, horizons=horizons, rng=rng) for role, at in steps.items()
    }
    tables = {"recovery": "table", "recovery_curves": "curves"}
    return {
        name: pd.concat([getattr(each, what).assign(role=role) for role, each in found.items()], ignore_index=True)
        for name, what in tables.items()
    }


def is_dug(study: Study, target: Target, options: DigOptions) -> bool:
    """Whether the dig of `target` with these options is there."""
    return _is_made(dig_folder(study, target), _about(target, options))


def dig_folder(study: Study, target: Target) -> Path:
    """Where the dig of `target` is, or will be."""
    return study.folder / "digs" / target_name(target.run, target.layer, target.step)


def target_of(row: Mapping) -> Target:
    """The Target in a row of targets.parquet."""
    values = {name: row[name] for name in Target.__dataclass_fields__}
    whole = ("rank", "depth", "step", "before", "after", "control_step", "control_before", "control_after")
    return Target(**values | {name: None if pd.isna(values[name]) else int(values[name]) for name in whole})


def _target(study: Study, rank: int) -> Target:
    table = study.targets()
    if rank not in set(table["rank"]):
        raise InputError(f"there is no target {rank}; there are 1 to {len(table)}.")
    return target_of(table[table["rank"] == rank].iloc[0])


def _about(target: Target, options: DigOptions) -> dict:
    """What a dig says of how it was made: horizons only where something was compared at them, and a digest of the code
    that made it, since other code may find something else."""
    made = asdict(options)
    if not options.recovery:
        del made["horizons"]
    return {"format": 1, "target": asdict(target), "options": made, "code": _code()}


@cache
def _code() -> str:
    return code_digest(["dig"])


def _is_made(folder: Path, about: dict) -> bool:
    try:
        return read_json(folder / DONE) == json.loads(json.dumps(about))
    except StoreError:
        return False


def _steps(target: Target) -> dict[str, dict[str, int]]:
    steps = {"target": dict(zip(MOMENTS, (target.before, target.step, target.after), strict=True))}
    control = [target.control_before, target.control_step, target.control_after]
    if present := [step for step in control if step is not None]:
        steps["control"] = dict(zip(MOMENTS, present, strict=True))
    return steps


@dataclass(frozen=True)
class _Found:
    moments: dict[str, dict[str, Moment]]
    tables: dict[str, pd.DataFrame]


def _measure(
    subject: Subject,
    target: Target,
    steps: Mapping[str, Mapping[str, int]],
    models: Mapping[int, nn.Module],
    *,
    rng: np.random.Generator,
    on_moment: Callable[[int, int], None],
) -> _Found:
    against = untrained_reference(subject, target.layer, rng=rng)
    moments: dict[str, dict[str, Moment]] = {}
    parts: dict[str, list[pd.DataFrame]] = {}
    of = sum(map(len, steps.values()))
    for role, at in steps.items():
        moments[role] = {}
        for name, step in at.items():
            before = moments[role].get("before")
            found = measure(models[step], step, subject, against, before=before, rng=rng)
            moments[role][name] = found
            key = {"role": role, "moment": name, "step": step}
            tables = {
                "moments": pd.DataFrame([found.row]),
                "units": found.units,
                **_effects(models[step], subject, rng),
            } | ({} if found.heads is None else {"heads": found.heads})
            for kind, table in tables.items():
                parts.setdefault(kind, []).append(pd.DataFrame([key]).merge(table, how="cross"))
            on_moment(sum(map(len, moments.values())), of)
    return _Found(moments, {kind: pd.concat(tables, ignore_index=True) for kind, tables in parts.items()})


def _effects(model: nn.Module, subject: Subject, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    x, y = subject.samples.x, subject.samples.y
    found = {
        "ablation": ablation_impact(model, subject.layers, x[:_ABLATED_ON], y[:_ABLATED_ON], subject.task, rng=rng)
    }
    if len(subject.layers) > 1:
        climbed = rungs(model, list(subject.layers), x, y, rng=rng)
        found |= {"composition": composition_table(climbed), "edges": edge_table(climbed)}
    return found
