"""The targets of a study: the one ranker over all its runs, or the founding rule beside it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from geophone import former
from geophone.errors import InputError
from geophone.point.controls import Span
from geophone.point.find import Listing, transitions
from geophone.point.naive import MODES, jump_targets
from geophone.point.reading import has_signals, run_signals
from geophone.point.signals import RunSignals
from geophone.point.targets import Place, places
from geophone.records import Target, Transition, Window
from geophone.rows import TargetRow, frame
from geophone.store.run import Run
from geophone.store.study import Study

TRANSITIONS, TRANSIENT = "transitions", "transient"
Known = tuple[RunSignals, Listing]
NOTHING = (
    "holds behaviour, outputs or changes of layers to rank by (recorded by version 0.1, with signals=False, or "
    "imported)."
)
METHODS = (TRANSITIONS, *MODES)
_ORDER = {kind: i for i, kind in enumerate(("learned", "lost", "concept", "hidden", "shock", "transient", "jump"))}


def targets(
    study: Study, *, method: str = TRANSITIONS, dimension: str = "stable_rank", mode: str | None = None
) -> pd.DataFrame:
    """The ranked targets of a study: one row per target, a `rows.TargetRow`.

    method "transitions": the listed transitions of every run (`point.find.transitions`), each with two controls. First
    what was learned or lost, then what can be read of concepts, what changed inside, and shocks; within a kind, the
    best of every run before the second of any. The initial transient, which every run has, is a target only of a run
    that has nothing else. `dimension` is what they are described by. method "naive", "calibrated", "pelt" or "online":
    the jumps that this detector found in `dimension` (`point.naive.jump_targets`); needs the tables of phenomena. A
    rank is an order in which to look, not a probability. `mode` is what 0.1 called the method of jumps, until 0.3.

    Raises InputError for an unknown method, and where no run holds what the method ranks by.
    """
    if mode is not None:
        method = former.FORMS.get(mode, mode)
        former.warn(f"targets(mode={mode!r})", f"method={method!r}")
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; known are {', '.join(METHODS)}.")
    if method != TRANSITIONS:
        return ranked(jump_targets(study, dimension=dimension, mode=method))
    runs = [run for run in study if run.has_series]
    able = [run for run in runs if has_signals(run)]
    if not able:
        raise InputError(f"no run of {study.folder} {NOTHING} Rank the jumps of {dimension} instead: --method naive.")
    return ranked(target for run in able for target in run_targets(run, dimension=dimension))


def targets_of_run(run: Run, *, method: str = TRANSITIONS, dimension: str = "stable_rank") -> pd.DataFrame:
    """The same of one run. Raises InputError for another method than "transitions": jumps are a study's."""
    if method != TRANSITIONS:
        raise InputError(f"method {method!r} ranks the jumps of a study; {run.folder} holds one run.")
    if not has_signals(run):
        raise InputError(f"nothing in {run.folder} {NOTHING}")
    return ranked(run_targets(run, dimension=dimension))


def run_listing(run: Run) -> Known:
    """The signals of a run and its transitions; the nulls' surrogates are the same at every call."""
    signals = run_signals(run)
    return signals, transitions(signals, rng=np.random.default_rng(0))


def run_places(run: Run, known: Known | None = None) -> tuple[tuple[Place, ...], np.ndarray]:
    """The listed transitions of one run, best first, each with its controls and a reason, and the steps of the
    measurements that they speak of. `known`: what `run_listing` said, where it has been asked already.

    Raises InputError where nothing was recorded to rank by.
    """
    if not has_signals(run):
        raise InputError(f"nothing in {run.folder} {NOTHING}")
    signals, listing = known or run_listing(run)
    listed = replace(listing, transitions=tuple(t for t in listing.transitions if t.listed))
    return places(signals, listed), signals.thinned().steps


def _ranks(there: Sequence[Place]) -> int:
    """How many of `there` have a rank: all, but the initial transient of a run that has others, which stands apart at
    the end."""
    return len(there) - (len(there) > 1 and there[-1].transition.kind == TRANSIENT)


def transition_table(run: Run) -> pd.DataFrame:
    """The listed transitions of one run, a row each, best first; at the end, and without a rank where there are others,
    the initial transient.

    rank (missing: apart), kind, start, peak, end (steps); layers (names, in the order of their own peaks) and layer,
    the one that moved most; samples (how many moved by half as much as the most, missing where there is no behaviour);
    dimension, from and to (of that layer's headline dimension); size (in units of the run's own noise) and strength
    (over its null); earlier and later (first and last step of a control, or missing); reason.
    """
    there, steps = run_places(run)
    count = _ranks(there)
    ranks = [number if number <= count else pd.NA for number in range(1, len(there) + 1)]
    table = pd.DataFrame([_row(place, steps) for place in there], columns=list(_COLUMNS))
    table.insert(0, "rank", pd.array(ranks, dtype="Int64"))
    return table


def transition(run: Run, number: int | str) -> Transition:
    """The transition of that rank in `transition_table`, or "transient", the initial one. Raises InputError where there
    are fewer, or none."""
    there, _ = run_places(run)
    if isinstance(number, str):
        found = [place.transition for place in there if place.transition.kind == number == TRANSIENT]
        if not found:
            raise InputError(f"{run.name} has no transition {number!r}; there are ranks, and {TRANSIENT!r}.")
        return found[0]
    if not 1 <= number <= (count := _ranks(there)):
        apart = f" with a rank, and the initial one, {TRANSIENT!r}" if count < len(there) else ""
        raise InputError(f"{run.name} has {count} transitions{apart}; there is no number {number}.")
    return there[number - 1].transition


def run_targets(run: Run, *, dimension: str = "stable_rank", known: Known | None = None) -> list[Target]:
    """The targets of one run: its transitions that have a rank, with `rank` their place in the listing. `known` as for
    `run_places`."""
    depth = {layer.name: layer.depth for layer in run.layers}
    found = []
    there, steps = run_places(run, known)
    for number, place in enumerate(there[: _ranks(there)], start=1):
        named = place.transition.named
        layer = named.layer if named else run.layers[0].name
        found.append(_target(place, number, layer, depth.get(layer, 0), dimension, steps))
    return found


_COLUMNS = (
    "kind", "start", "peak", "end", "layers", "layer", "samples", "dimension", "from", "to", "size", "strength",
    "earlier", "later", "reason",
)  # fmt: skip


def _row(place: Place, steps: np.ndarray) -> dict[str, object]:
    def span(control: Span | None) -> tuple[int, int] | None:
        return None if control is None else (int(steps[control.before]), int(steps[control.after]))

    there = place.transition
    move = there.dimensions[0] if there.dimensions else None
    return {
        "kind": there.kind, "start": there.start, "peak": there.peak, "end": there.end,
        "layers": tuple(layer.layer for layer in there.layers), "layer": there.named.layer if there.named else None,
        "samples": there.own if len(there.samples) else None, "dimension": move and move.dimension,
        "from": move.before if move else np.nan, "to": move.after if move else np.nan,
        "size": there.size, "strength": there.strength, "earlier": span(place.earlier), "later": span(place.later),
        "reason": place.reason,
    }  # fmt: skip


def _target(place: Place, rank: int, layer: str, depth: int, dimension: str, steps: np.ndarray) -> Target:
    def window(span: Span | None) -> Window | None:
        return None if span is None else Window(*(int(steps[i]) for i in (span.before, span.middle, span.after)))

    there = place.transition
    return Target(
        rank=rank,
        run=there.run,
        layer=layer,
        depth=depth,
        dimension=dimension,
        window=Window(*(int(steps[i]) for i in (place.window.before, place.window.middle, place.window.after))),
        earlier=window(place.earlier),
        later=window(place.later),
        method=TRANSITIONS,
        score=there.score,
        reason=place.reason,
        kind=there.kind,
    )


def ranked(found: Iterable[Target]) -> pd.DataFrame:
    """`found` as a table, best first: by kind, by rank within the run (0: none), by score; ties go by run, layer and
    step, so the order never depends on chance."""
    table = frame((TargetRow.of(target) for target in found), TargetRow)
    table = table.assign(order=table["kind"].map(_ORDER).astype(float))
    by = ["order", "rank", "score", "run", "depth", "step"]
    table = table.sort_values(by, ascending=[True, True, False, True, True, True]).drop(columns="order")
    return table.assign(rank=np.arange(1, len(table) + 1)).reset_index(drop=True)


def those(table: pd.DataFrame, *, run: str | None, kind: str | None, top: int | None) -> pd.DataFrame:
    """The targets of one run and one kind, at most `top` of them. Raises InputError for a run or kind that has none."""
    for column, wanted in (("run", run), ("kind", kind)):
        if wanted is not None and wanted not in set(table[column]):
            there = ", ".join(sorted(set(table[column]))) or "none"
            raise InputError(f"there is no target of {column} {wanted!r}; there are: {there}.")
        table = table if wanted is None else table[table[column] == wanted]
    return table if top is None else table.head(top)
