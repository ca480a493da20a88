"""A dig: one target and its matched control, before, during and after, with everything the tools say of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from geophone.dig.ablation import ablation_impact
from geophone.dig.composition import composition_table, edge_table, rungs
from geophone.dig.exhibits import exhibits
from geophone.dig.learned import learned
from geophone.dig.moment import Moment, measure, untrained_reference
from geophone.dig.notes import field_notes
from geophone.dig.prose import moments_said, tied_said
from geophone.dig.recovery import recover
from geophone.dig.samples import answers
from geophone.dig.steps import moments_had
from geophone.dig.subject import Specimen, Subject, specimen_of
from geophone.dig.swap import carrier, swap_table, tied
from geophone.errors import InputError, StoreError
from geophone.phenomena.runs import Draws
from geophone.point.study import run_targets
from geophone.records import DigOptions, Target
from geophone.rows import DUG
from geophone.signals import ADDED
from geophone.store.code import code_digest
from geophone.store.dig import Dig
from geophone.store.documents import DigDocument, write_document
from geophone.store.folders import replace_folder
from geophone.store.places import DIG
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.store.tables import write_rows, write_text

_ABLATED_ON = 200
Stream = Callable[..., np.random.Generator]  # of a purpose: the same draws each time that it is asked for


def dig(
    place: Study | Run,
    target: Target | int = 1,
    *,
    options: DigOptions | None = None,
    subject: Subject | None = None,
    on_moment: Callable[[int, int], None] = lambda done, of: None,
) -> Dig:
    """Dig at `target` and at its control: a Target, or a number, which is a rank in a study and, of a run in one, a
    place among the run's own targets. Leaves digs/TARGET/.

    A run of your own loop wants a `subject`: its network, what to show it, and how well it answers. A dig that is
    there, made by the same code with the same options, is returned as it is. Raises InputError for a rank that is not
    there, units that the layer does not have, or where something of the subject is missing, before any work;
    ReplayError when a network cannot be had again.
    """
    options = options or DigOptions()
    study = place if isinstance(place, Study) else study_of(place)
    target = target_of(place, target) if isinstance(target, int) else target
    folder = study.places.dig(target.name)
    about = _about(target, options)
    if (there := _finished(folder)) is not None and there.about == about:
        return there
    target = replace(target, layer=target.layer.removesuffix(ADDED))
    stream = partial(Draws(seed=options.seed).stream, folder.name)
    run = study.run(target.run)
    specimen = specimen_of(run, subject, rng=stream(), per_class=options.per_class)
    if options.recovery and run.manifest.about.get("experiment") is None:
        raise InputError(f"{run.name} was not trained by geophone, which cannot train it on: dig it without recovery.")
    had = moments_had(specimen, _windows(target))
    swapped, steps = had.steps, _dug(target, had.steps)
    models = specimen.at([step for at in swapped.values() for step in at.values()])
    # Asked before what takes long, so that a wrong number is told at once.
    _check_units(specimen, models[steps["target"]["before"]], target, options)
    found = _measure(specimen, target, steps, models, stream=stream, on_moment=on_moment)
    sign = _sign(run, target)
    found.tables["swap"] = swap_table(specimen, models, swapped, target.layer, sign=sign)
    # Read where most of it sits, which need not be the layer that moved most.
    carries = carrier(found.tables["swap"]) or target.layer
    mine = found.moments["target"]
    moved = learned(specimen, models, swapped, carries, rng=stream("learned"), sign=sign, moments=mine)
    found.tables["movers"] = moved.movers
    with replace_folder(folder) as made:
        shown = exhibits(
            specimen, target, {m: models[s] for m, s in steps["target"].items()}, mine, moved,
            out=made / "images", units=options.units, steps=options.steps, rng=stream("exhibits"),
        )  # fmt: skip
        recovered = _recovered(run, target, steps, options.horizons, stream) if options.recovery else {}
        for name, table in (found.tables | recovered).items():
            write_rows(made / f"{name}.parquet", table, DUG[name])
        shares = tied(models[steps["target"]["after"]], specimen.layers)
        asides = [*moments_said(had), *tied_said(shares)]
        write_text(made / "notes.md", field_notes(target, found.moments, found.tables, moved, shown, asides))
        write_document(made / DIG, about)
    return Dig(folder)


def target_of(place: Study | Run, number: int) -> Target:
    """The target of that rank of a study; of a run the one in that place among its own, in the order of the study where
    this was ranked, of the run's transitions where it was not. Raises InputError where there are fewer."""
    if isinstance(place, Study):
        return place.target(number)
    study = study_of(place)
    own = [t for t in study.ranked() if t.run == place.name] if study.is_ranked else run_targets(place)
    if not 1 <= number <= len(own):
        raise InputError(f"{place.name} has {len(own)} targets; there is no number {number}.")
    return own[number - 1]


def study_of(run: Run) -> Study:
    """The study in whose runs/ the run lies. Raises InputError where it lies in none."""
    folder = run.folder.resolve().parent
    if folder.name != "runs":
        raise InputError(f"{run.folder} lies in no study: put it into STUDY/runs/, where its targets and digs can be.")
    return Study(folder.parent)


def ready(study: Study, targets: Sequence[Target], subject: Subject | None, options: DigOptions) -> None:
    """Raises InputError for what is missing to dig at `targets`, from a look at the networks and no more."""
    for name in dict.fromkeys(target.run for target in targets):
        run = study.run(name)
        own = run.manifest.about.get("experiment") is None or subject is not None
        if own or not isinstance(options.units, int):
            specimen = specimen_of(run, subject, rng=np.random.default_rng(0), per_class=options.per_class)
            for target in (t for t in targets if t.run == name):
                _check_units(specimen, specimen.untrained(0), target, options)
                if own:
                    moments_had(specimen, _windows(target))


def _check_units(specimen: Specimen, network: nn.Module, target: Target, options: DigOptions) -> None:
    """Raises InputError for a unit that the layer does not have, known from any `network` of that shape."""
    if isinstance(options.units, int):
        return
    layer = target.layer.removesuffix(ADDED)
    there = answers(network, [layer], specimen.samples.x[:2])[layer].shape[1]
    if absent := [unit for unit in options.units if not 0 <= unit < there]:
        raise InputError(f"--units (units=) {absent[0]}: {layer} of {specimen.name} has units 0 to {there - 1}.")


def _sign(run: Run, target: Target) -> int:
    """Whether samples rose or fell there, 0 where the run does not know: a dip on the way may be greater than the rise
    that was pointed at, where the moments that could be had are not quite those that were asked for."""
    return {"learned": 1, "lost": -1}.get(target.kind, 0) if run.manifest.behaviour else 0


def _windows(target: Target) -> dict[str, dict[str, int]]:
    """The moments of the target and of both its controls: the swap test costs a few passes at each."""
    windows = {"target": target.window, "earlier": target.earlier, "later": target.later}
    return {role: window.steps for role, window in windows.items() if window is not None}


def _dug(target: Target, had: Mapping[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Those of the target and of the control that is dug beside it, where it can be."""
    control = "earlier" if target.control == target.earlier else "later"
    return {"target": had["target"]} | ({"control": had[control]} if control in had else {})


def _recovered(
    run: Run,
    target: Target,
    steps: Mapping[str, Mapping[str, int]],
    horizons: Sequence[int | str],
    stream: Stream,
) -> dict[str, pd.DataFrame]:
    """Recovery from an ablation at each moment of the target and of its control, with a column for the role."""
    found = {
        role: recover(run, layer=target.layer, moments=at, horizons=horizons, rng=stream("recovery"))
        for role, at in steps.items()
    }
    tables = {"recovery": "table", "recovery_curves": "curves"}
    return {
        name: pd.concat([getattr(each, what).assign(role=role) for role, each in found.items()], ignore_index=True)
        for name, what in tables.items()
    }


def is_dug(study: Study, target: Target, options: DigOptions) -> bool:
    """Whether the dig of `target` with these options is there, made by this code."""
    there = _finished(study.places.dig(target.name))
    return there is not None and there.about == _about(target, options)


def _finished(folder: Path) -> Dig | None:
    """The dig in `folder`; None where there is none that is whole."""
    try:
        return Dig(folder)
    except StoreError:
        return None


def _about(target: Target, options: DigOptions) -> DigDocument:
    """What a dig says of how it was made: with a digest of the code that made it, since other code may find something
    else."""
    return DigDocument(target=target, options=options, code=_code())


@cache
def _code() -> str:
    return code_digest("geophone.dig.run")


@dataclass(frozen=True)
class _Found:
    moments: dict[str, dict[str, Moment]]
    tables: dict[str, pd.DataFrame]


def _measure(
    specimen: Specimen,
    target: Target,
    steps: Mapping[str, Mapping[str, int]],
    models: Mapping[int, nn.Module],
    *,
    stream: Stream,
    on_moment: Callable[[int, int], None],
) -> _Found:
    against = untrained_reference(specimen, target.layer, rng=stream("untrained"))

    # All moments are given the same draws, so that two of them differ as their networks do; a step is asked once.
    @cache
    def measured(step: int, before: int | None) -> Moment:
        earlier = None if before is None else measured(before, None)
        return measure(models[step], step, specimen, against, before=earlier, rng=stream("moment"))

    effects = cache(lambda step: _effects(models[step], specimen, stream("effects")))
    moments: dict[str, dict[str, Moment]] = {}
    parts: dict[str, list[pd.DataFrame]] = {}
    of = sum(map(len, steps.values()))
    for role, at in steps.items():
        moments[role] = {}
        for name, step in at.items():
            found = moments[role][name] = measured(step, None if name == "before" else at["before"])
            key = {"role": role, "moment": name, "step": step}
            tables = {
                "moments": pd.DataFrame([found.row]),
                "units": found.units,
                **effects(step),
            } | ({} if found.heads is None else {"heads": found.heads})
            for kind, table in tables.items():
                parts.setdefault(kind, []).append(pd.DataFrame([key]).merge(table, how="cross"))
            on_moment(sum(map(len, moments.values())), of)
    return _Found(moments, {kind: pd.concat(tables, ignore_index=True) for kind, tables in parts.items()})


def _effects(model: nn.Module, specimen: Specimen, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    x, y, right = specimen.samples.x, specimen.samples.y, specimen.samples.answers
    ablating, composing = rng.spawn(2)
    found = {
        "ablation": ablation_impact(
            model, specimen.layers, x[:_ABLATED_ON], right[:_ABLATED_ON], specimen.task, rng=ablating,
            anatomy=specimen.anatomy,
        )
    }  # fmt: skip
    if len(specimen.layers) > 1:
        climbed = rungs(model, list(specimen.layers), x, y, rng=composing, anatomy=specimen.anatomy)
        found |= {"composition": composition_table(climbed), "edges": edge_table(climbed)}
    return found
