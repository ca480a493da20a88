"""From the signals of a run to its transitions: the one ranker."""

from dataclasses import dataclass

import numpy as np

from geophone.point.inside import hidden_transitions, shock_transitions, transient
from geophone.point.layers import LayerMap
from geophone.point.learned import behaviour_transitions, calm
from geophone.point.moments import least_apart
from geophone.point.onsets import concept_transitions
from geophone.point.rule import Rule, frozen_rule
from geophone.point.scene import Scene
from geophone.point.signals import RunSignals
from geophone.records import Transition

LEAST = 8  # measurements


@dataclass(frozen=True, slots=True)
class Listing:
    """The transitions of one run, and how many of each kind's list its null would yield by itself."""

    transitions: tuple[Transition, ...]
    yields: dict[str, float]

    def of(self, *kinds: str) -> tuple[Transition, ...]:
        return tuple(t for t in self.transitions if t.kind in kinds)


def transitions(run: RunSignals, *, rng: np.random.Generator, rule: Rule | None = None) -> Listing:
    """The transitions of `run`: what was learned or lost, best first, then concepts, what changed inside, shocks, and
    the initial transient. `rng` draws the nulls' surrogates.

    A kind whose signals the run does not have has no transitions. What peaks within the first 5 measurements belongs to
    the transient: that is where a run of random weights reorganises, whatever it learns. Fewer than 8 measurements
    are too few for any transition.
    """
    run = run.thinned()
    if len(run) < LEAST:
        return Listing((), {})
    chosen = rule or frozen_rule()
    scene = Scene(run, chosen, LayerMap(run, chosen.where), least_apart(len(run)), rng)
    yields: dict[str, float] = {}
    learned = behaviour_transitions(scene, yields)
    concepts = concept_transitions(run)
    moved = [t for t in learned if t.listed]
    hidden = hidden_transitions(scene, moved, yields)
    if run.behaviour is None:
        shocks = shock_transitions(scene, [], yields)
        learned = calm(learned, shocks)
    else:
        shocks = shock_transitions(scene, [t for t in moved if t.kind == "learned"], yields)
    first = transient(scene)
    return Listing((*learned, *concepts, *hidden, *shocks, *first), yields)
