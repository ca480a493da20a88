"""What one ranked transition says: what happened, on what, where, and how far beyond its null."""

import math
from collections.abc import Sequence

from geophone.findings.finding import Finding, Phrase, Quantity, counted, finding, joined, listed, phrase
from geophone.records import Shared, Transition

SOURCE = "behaviour, signals"
HEADS = {
    "learned": "the network learned",
    "lost": "the network lost",
    "hidden": "the inside changed, apart from what was learned or lost",
    "shock": "the loss jumped up",
    "transient": "the network left its initial state",
}


def happened(transition: Transition) -> Finding:
    """What happened, in one sentence: when, what, on how many samples, and which layers moved, in order."""
    between = phrase("Between steps {start} and {end}", start=_step(transition.start), end=_step(transition.end))
    what = Phrase(HEADS.get(transition.kind, f"{transition.concept} became readable"))
    if transition.kind in ("learned", "lost"):
        what = phrase("{head} {what}", head=what, what=_samples(transition))
    layers = [layer.layer for layer in transition.layers]
    where = Phrase("")
    if len(layers) == 1:
        where = Phrase(f", in {layers[0]}")
    elif layers and transition.named is not None and transition.named.layer == layers[0]:
        where = Phrase(f", first and most of all in {layers[0]}")
    elif layers and transition.named is not None:
        where = phrase(", most of all in {named}; {first} moved first", named=transition.named.layer, first=layers[0])
    said = joined([joined([between, what]), where, Phrase(".")], "")
    return finding("transition/happened", said, value=transition.size, n=transition.own, source=SOURCE)


def on_what(transition: Transition) -> Finding | None:
    """The samples that moved, how far, and what most of them are; None where nothing is known of samples."""
    if transition.kind not in ("learned", "lost") or not transition.own:
        return None
    said = joined([_samples(transition), Phrase(".")], "")
    return finding("transition/on_what", said, value=transition.own, n=len(transition.samples), source=SOURCE)


def _samples(transition: Transition) -> Phrase:
    """The samples that moved, and from where to where on average."""
    if not transition.own:
        return Phrase("something: its outputs moved")
    own = transition.samples.head(transition.own)
    count = Quantity(transition.own, "", f"{SOURCE}: samples that moved by at least half as much as the most")
    ends = [Quantity(float(own[column].mean()), ".2f", f"{SOURCE}: {column}") for column in ("before", "after")]
    said = phrase("{count} of {total} ({a} to {b} on average)", count=count, a=ends[0], b=ends[1],
                  total=counted(Quantity(len(transition.samples), "", SOURCE), "sample"))  # fmt: skip
    return said if transition.shared is None else joined([said, _alike(transition.shared)], ", ")


def _alike(shared: Shared) -> Phrase:
    """What most of those samples are, and how many of the others."""
    source = "samples.parquet, tokens.parquet"
    said = phrase("{own} % of them {what}", own=Quantity(100 * shared.own, ".0f", source), what=shared.what)
    if math.isnan(shared.others):
        return said
    return joined([said, phrase("({others} % of the others)", others=Quantity(100 * shared.others, ".0f", source))])


def beyond(transition: Transition, yields: float) -> Finding:
    """How far the change lies beyond what the run's own noise reaches, and how many of its kind the null would list.
    The verdict is "met" above the null, which is what one run without any transition in twenty reaches."""
    parts = []
    if math.isfinite(transition.strength):
        parts.append(phrase("{strength} times what noise alone reaches in one run of twenty",
                            strength=Quantity(transition.strength, ".1f", SOURCE)))  # fmt: skip
    if math.isfinite(transition.size):
        parts.append(phrase("{size} times the run's own noise", size=Quantity(transition.size, ".1f", SOURCE)))
    if math.isfinite(yields):
        parts.append(phrase("noise alone would list {yields} of this kind in such a run",
                            yields=Quantity(yields, ".2f", f"{SOURCE}: null")))  # fmt: skip
    claim = "it lies beyond what noise alone reaches"
    if not parts:
        said = Phrase("Nothing is known of what noise alone would reach.")
        return finding("transition/beyond", said, source=SOURCE, claim=claim, verdict="untested")
    verdict = "untested" if math.isnan(transition.strength) else "met" if transition.strength > 1 else "not met"
    said = joined([listed(parts, last="; "), Phrase(".")], "")
    return finding(
        "transition/beyond", said, value=transition.strength, null=yields, n=transition.own, source=SOURCE, claim=claim,
        verdict=verdict,
    )  # fmt: skip


def compared(controls: Sequence[tuple[int, int]]) -> Finding | None:
    """The stretches of the same length in which nothing of the kind happens; None without one."""
    if not controls:
        return None
    places = [phrase("{a} to {b}", a=_step(start), b=_step(end)) for start, end in controls]
    said = phrase("Compare with steps {places}, where nothing of the kind happens.", places=listed(places))
    return finding("transition/compared", said, n=len(controls), source="targets.parquet")


def _step(step: int) -> Quantity:
    return Quantity(step, "", "targets.parquet")
