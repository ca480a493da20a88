"""A transition in one sentence."""

import numpy as np

from geophone.point.signals import PROBABILITY, RunSignals, filled
from geophone.records import Transition

STILL = 0.02  # of the range of mean behaviour, less than which is no movement
MUCH = 0.25  # of what was learned, which the transient should not hide


def sentence(transition: Transition, run: RunSignals) -> str:
    """What happened, on what, where, how large, and what the loss did: the numbers are those of the recorded series
    between the transition's start and end, and the score is the one that it is ranked by."""
    middle = "half of it by" if transition.kind == "concept" else "fastest at"
    parts = [
        f"{_what(transition, run)} between steps {transition.start} and {transition.end}, {middle} {transition.peak}"
    ]
    if transition.shared is not None:
        parts.append(str(transition.shared))
    if np.isfinite(transition.size):
        parts.append(f"{transition.size:.1f} times the run's own noise")
    if transition.layers:
        parts.append(_where(transition))
    parts += [
        f"{m.dimension} of {m.layer} went from {m.before:.3g} to {m.after:.3g}" for m in transition.dimensions[:1]
    ]
    if transition.kind == "transient" and (part := _of_all_that_was_learned(transition, run)) >= MUCH:
        parts.append(
            f"it holds {part:.2f} of what mean behaviour gained in the run: to see that apart, measure more densely at "
            "first (dense_until=)"
        )
    if "loss" in run.scalars:
        parts.append(_loss(transition, run))
    parts.append(f"score {transition.score:.3f}")
    return "; ".join(parts) + "."


def _ends(transition: Transition, run: RunSignals) -> list[int]:
    """The measurements nearest to start and end."""
    return [int(np.abs(run.steps - step).argmin()) for step in (transition.start, transition.end)]


def _loss(transition: Transition, run: RunSignals) -> str:
    """Between start and end; never what it was elsewhere, where it is not known there."""
    first, last = _ends(transition, run)
    loss = run.scalars["loss"][first : last + 1]
    known = loss[np.isfinite(loss)]
    if not len(known):
        return "loss is not known or not finite there"
    whole = np.isfinite(loss[[0, -1]]).all()
    return f"loss{'' if whole else ', as far as it is finite,'} went from {known[0]:.3g} to {known[-1]:.3g}"


def _of_all_that_was_learned(transition: Transition, run: RunSignals) -> float:
    """The part of the range of mean behaviour by which it rose between start and end; 0 where it is not known."""
    if run.behaviour is None:
        return 0.0
    mean = filled(run.behaviour.skill).mean(1)
    first, last = _ends(transition, run)
    whole = float(mean.max() - mean.min())
    return float(mean[last] - mean[first]) / whole if whole > 0 else 0.0


def _what(transition: Transition, run: RunSignals) -> str:
    if transition.kind == "concept":
        return f"{transition.concept} became readable"
    if transition.kind == "shock":
        return f"shock: {transition.signals[0].replace('_', ' ')} jumped up"
    if transition.kind == "hidden":
        rose = f"hidden: {' and '.join(s.replace('_', ' ') for s in transition.signals)} rose"
        return f"{rose} {_meanwhile(transition, run)}"
    if transition.kind == "transient":
        return "the initial transient"
    if not transition.own:
        return f"{transition.kind}: the outputs {'collapsed' if transition.kind == 'lost' else 'moved'}"
    own = transition.samples.head(transition.own)
    old, new = own["before"].mean(), own["after"].mean()
    verb = "rose" if new > old else "fell"
    what = run.behaviour.what if run.behaviour else PROBABILITY
    count = f"{transition.own} of {len(transition.samples)} samples"
    return f"{transition.kind}: the {what} of {count} {verb} from {_short(old)} to {_short(new)}"


def _short(value: float) -> str:
    """Two digits behind the point, as of a probability; two that count where these would be hardly any, or many."""
    if value == 0 or 0.1 <= abs(value) < 100:
        return f"{value:.2f}"
    return f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def _meanwhile(transition: Transition, run: RunSignals) -> str:
    """What mean behaviour did while something hidden happened: of that nothing is in the lists of what was learned or
    lost, which says that no part of it stands out and not that it stood still."""
    if run.behaviour is None:
        return "apart from what the outputs did"
    if not np.isfinite(run.behaviour.values).any():
        return "while behaviour was not finite"
    mean = filled(run.behaviour.skill).mean(1)
    first, last = _ends(transition, run)
    there = mean[first : last + 1]
    noise = 1.4826 * float(np.median(np.abs(np.diff(mean)))) / np.sqrt(2)
    least = max(STILL * float(mean.max() - mean.min()), 4 * noise)
    if there.max() - there.min() <= max(least, 6 * noise):
        return "while mean behaviour did not move"
    sign = -1 if run.behaviour.falling else 1
    if abs(there[-1] - there[0]) <= least:
        low, high = sorted((sign * there.min(), sign * there.max()))
        return f"apart from what was learned or lost (mean behaviour went between {low:.2g} and {high:.2g})"
    old, new = sign * there[0], sign * there[-1]
    return f"apart from what was learned or lost (mean behaviour went from {old:.2g} to {new:.2g})"


def _where(transition: Transition) -> str:
    named = transition.named
    if named is None:
        return ""
    others = [layer.layer for layer in transition.layers if layer is not named]
    text = f"{named.layer} moved most ({named.share:.2f} of what all layers did)"
    if others:
        order = ", ".join(layer.layer for layer in transition.layers)
        text += f", in the order {order}"
    return text
