"""The package's one ranker, `geophone.point`, as methods that the proving ground can score."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from geophone.point.find import Listing, transitions
from geophone.point.rule import frozen_rule
from geophone.point.signals import RunSignals
from geophone.prove.events import ANY
from geophone.prove.targeting import Moments
from geophone.records import Transition

PRINTED = "geophone, one list"
ASKED = {"behaviour": ("learned", "lost"), "hidden": ("hidden",)}
_SEED = 0


def ranked(signals: RunSignals, kind: str) -> Moments:
    """The transitions of the kind that is asked for, best first: what was learned or lost, or what changed inside."""
    return _moments(signals, in_order(signals, kind))


def in_order(signals: RunSignals, kind: str) -> list[Transition]:
    """The transitions of that kind in the order of the list: those above its end, then the others."""
    return sorted(_listing(signals).of(*ASKED[kind]), key=lambda t: not t.listed)


def printed(signals: RunSignals, kind: str) -> Moments:
    """The transitions as `geophone targets` prints them, whatever is asked for: those listed, then the others; the
    initial transient and shocks apart."""
    return _moments(signals, _listing(signals).of("learned", "lost", "hidden"))


def shocks(signals: RunSignals, kind: str) -> Moments:
    """The transitions called shocks."""
    return _moments(signals, _listing(signals).of("shock"))


@lru_cache(maxsize=512)
def _listing(signals: RunSignals) -> Listing:
    return transitions(signals, rng=np.random.default_rng(_SEED))


def _moments(signals: RunSignals, these: Sequence[Transition]) -> Moments:
    order = sorted(these, key=lambda t: not t.listed)
    return Moments(
        np.array([t.index for t in order], dtype=np.intp),
        tuple(t.named.layer if t.named else ANY for t in order),
        tuple(_risen(signals, t) for t in order),
        sum(t.listed for t in these),
    )


def _risen(signals: RunSignals, transition: Transition) -> np.ndarray:
    """The scored samples as its table orders them, the greatest number for the first."""
    count = 0 if signals.behaviour is None else signals.behaviour.values.shape[1]
    order = transition.samples["sample"].to_numpy(dtype=np.intp)
    score = np.zeros(count)
    score[order] = np.arange(len(order), 0, -1)
    return score


def seeds_seen() -> tuple[int, ...]:
    """The seeds on which the ranker's rule was chosen."""
    return frozen_rule().seeds
