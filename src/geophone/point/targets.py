"""From the transitions of a run to targets: windows to dig, each with two controls and a reason."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geophone.point.controls import Span, controls
from geophone.point.find import Listing
from geophone.point.inside import layer_score, shock_score
from geophone.point.kernels import Kernel, operators
from geophone.point.learned import behaviour_score
from geophone.point.rule import Rule, frozen_rule
from geophone.point.score import layer_levels, skill
from geophone.point.signals import RunSignals, filled
from geophone.point.stretch import moved, smoothed
from geophone.point.words import sentence
from geophone.records import Transition

Series = npt.NDArray[np.float64]
NO_CONTROL = "no control: nowhere else is the run as quiet for as long"
ONE_CONTROL = "no control {} it: nowhere there is the run as quiet for as long"


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A transition, where to look at it and where to compare (measurements), and why, in one sentence."""

    transition: Transition
    window: Span
    earlier: Span | None
    later: Span | None
    reason: str


def places(run: RunSignals, listing: Listing, *, rule: Rule | None = None) -> tuple[Place, ...]:
    """A place per transition of `listing` (of `run`), in its order.

    Both controls are as long as the target in ln step, hold no listed transition, and what defines the target moves
    less in them than in the target and than in half of all windows as long. Where a side has none, the reason says so.
    """
    run = run.thinned()
    chosen = rule or frozen_rule()
    busy = [_span(run, t) for t in listing.transitions if t.listed]
    return tuple(_place(run, t, chosen, busy) for t in listing.transitions)


def _span(run: RunSignals, transition: Transition) -> Span:
    start, end = (int(np.abs(run.steps - step).argmin()) for step in (transition.start, transition.end))
    start, end = min(start, transition.index), max(end, transition.index)
    if start == end:
        start, end = max(0, start - 1), min(len(run) - 1, end + 1)
    return Span(start, transition.index, end)


def _place(run: RunSignals, transition: Transition, rule: Rule, busy: list[Span]) -> Place:
    window = _span(run, transition)
    activity = activity_of(run, transition, rule)
    earlier, later = controls(run.steps, window, activity, [(b.before, b.after) for b in busy])
    reason = sentence(transition, run)
    if earlier is None and later is None:
        reason = f"{reason[:-1]}; {NO_CONTROL}."
    elif earlier is None or later is None:
        reason = f"{reason[:-1]}; {ONE_CONTROL.format('before' if earlier is None else 'after')}."
    return Place(transition, window, earlier, later, reason)


def activity_of(run: RunSignals, transition: Transition, rule: Rule) -> Series:
    """How fast the signals that define `transition` move at every measurement: its own samples' behaviour, the outputs,
    the layers, or the loss."""
    if transition.kind in ("learned", "lost") and run.behaviour is not None:
        turn = 1.0 if transition.kind == "learned" else -1.0
        values = turn * skill(run)
        curve = moved(run, values, smoothed(run, values), transition.index).curve
        return np.abs(operators(run.steps, Kernel("step", 2.0)).slope @ curve)
    if transition.kind == "concept":
        column = run.layers.index(transition.layers[0].layer)
        course = filled(run.concepts[transition.concept][:, column])
        return np.abs(operators(run.steps, Kernel("step", 2.0)).slope @ course)
    if transition.kind == "transient" and transition.signals == ("cka_change_1",):
        return layer_levels(run, "cka_change_1", Kernel("step", 0.5), range(len(run.layers))).mean(1)
    if transition.kind == "hidden":
        faded = transition.signals == tuple(part.signal for part in rule.faded)
        score = layer_score(run, rule.faded if faded else rule.hidden)
    else:
        score = shock_score(run) if transition.kind == "shock" else behaviour_score(run, rule)
    return np.zeros(len(run)) if score is None else score
