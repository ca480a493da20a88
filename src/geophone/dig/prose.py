"""A dig in five sentences: what was learned, where, by what in there, beside the control, and what to look at."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from geophone.dig.features import UNTYPED
from geophone.dig.learned import Learned
from geophone.dig.moment import Moment
from geophone.dig.steps import Had
from geophone.dig.swap import carried, set_of_heads
from geophone.point.shared import LEAST_LIFT, SECOND
from geophone.records import Shared, Target

_HEADS = 4
_ROLES = {"target": "The target", "earlier": "The control before it", "later": "The control after it"}
_UNITS = 5


def five_sentences(
    target: Target,
    moments: Mapping[str, Mapping[str, Moment]],
    swap: pd.DataFrame,
    found: Learned,
    observed: str,
) -> list[str]:
    """What a researcher would say of the dig, most important first; `observed` is the observation beside the control.
    A sentence that has nothing to say is left out."""
    said = [
        what_was_learned(found, moments["target"]),
        carried(swap, target.layer),
        _inside(target, moments, swap, found),
    ]
    return [sentence for sentence in (*said, observed, _next(found)) if sentence]


def what_was_learned(found: Learned, at: Mapping[str, Moment]) -> str:
    """When, how many samples, from where to where, and what they have in common."""
    rows, between = found.movers, f"Between steps {at['before'].step} and {at['after'].step}"
    before, after = rows["before"].mean(), rows["after"].mean()
    if not len(rows) or not np.isfinite(after - before) or before == after:
        return f"{between} no sample's score moved."
    noun = "tokens" if (rows["position"] >= 0).any() else "samples"
    verb = "learned" if after > before else "lost"
    text = f"{between} the network {verb} {len(rows)} of {found.scored} {noun} ({before:.2f} to {after:.2f} on average)"
    if found.shared is not None:
        text += f", {found.shared}{_by_heads(found, at['after'].every_head)}"
    return text + "."


def _by_heads(found: Learned, heads: pd.DataFrame | None) -> str:
    """Whether heads answer second occurrences by induction: a head that copies from a fixed position answers them too.
    Empty where that is not what tells the samples from the others, or no head was scored."""
    shared = found.shared
    if heads is None or shared is None or shared.what != SECOND or not shared.own - shared.others >= LEAST_LIFT:
        return ""
    able = heads[heads["type"] == "induction"].sort_values("induction", ascending=False, kind="stable")
    if len(able):
        best = able.iloc[0]
        more = f" and {len(able) - 1} more" if len(able) > 1 else ""
        return f": induction, by head {best['head']} of {best['layer']} ({best['induction']:.2f}){more}"
    kinds = sorted(set(found.heads["became"]) - {UNTYPED})
    what = f"those that changed became {_and(kinds)} heads" if kinds else "none changed its kind"
    return f": no head does induction (its score is {heads['induction'].max():.2f} at most), {what}"


def moments_said(had: Had) -> list[str]:
    """What the weights that were kept make of the moments that were asked for, a sentence each: how far one moved, a
    control that cannot be dug, a moment that is none of its own."""
    said = []
    for role, asked in had.asked.items():
        near, name = had.nearest[role], _ROLES[role]
        away = max(abs(near[moment] - step) for moment, step in asked.items())
        wanted, there = (_and([str(step) for step in dict.fromkeys(at.values())]) for at in (asked, near))
        if role not in had.steps:
            mine = had.nearest["target"]
            meets = f"and the target is dug at {mine['before']} to {mine['after']}"
            one = "one network, where a control wants two"
            said.append(
                f"{name} could not be dug: of steps {wanted} the weights that were kept nearest are those of {there}, "
                f"{one if near['before'] == near['after'] else meets}. It wants weights of {asked['before']} and of "
                f"{asked['after']}, or near these and apart from the target's."
            )
            continue
        if away:
            steps = f"{away} step{'s' if away > 1 else ''}"
            said.append(f"{name} is dug at {there}, where weights were kept nearest to {wanted}: up to {steps} away.")
        if "during" in near and "during" not in had.steps[role]:
            end = "before" if near["during"] == near["before"] else "after"
            said.append(f"{name} is dug before and after alone: step {near['during']} is its {end} and its during.")
    return said


def tied_said(tied: Mapping[str, Sequence[str]]) -> list[str]:
    """Which layers share weights with which other modules (`dig.swap.tied`), a sentence each, and what that means."""
    return [
        f"{layer} shares weights with {named}, so that what moves one moves the other; the swap of {layer} puts back "
        f"what {layer} reads of them and leaves {named} as after."
        for layer, named in ((layer, _and(list(others))) for layer, others in tied.items())
    ]


def shared_words(group: Shared | None) -> str:
    """What a group of samples has in common."""
    return "nothing known tells them from the others" if group is None else str(group)


def _inside(target: Target, moments: Mapping[str, Mapping[str, Moment]], swap: pd.DataFrame, found: Learned) -> str:
    """The heads that became something and the smallest set that carries half; without heads the units that turned
    most."""
    parts = []
    if formed := heads_formed(found.heads):
        parts.append(formed)
    if heads := set_of_heads(swap):
        parts.append(heads)
    if not parts:
        turned = turned_units(moments["target"]["after"])[:_UNITS]
        share = moments["target"]["after"].row["turnover"]
        if not turned or not np.isfinite(share):
            return ""
        which = ", ".join(map(str, turned))
        parts = [f"{100 * share:.0f} % of the units of {target.layer} answer to something else, most of all {which}"]
    return _sentence(parts)


def heads_formed(heads: pd.DataFrame) -> str:
    """What became of heads, a clause per layer and kind, those of the greatest score first: "heads 3 (0.41) and 0
    (0.37) of blocks.1.attention became induction heads"."""
    clauses = []
    formed = heads[heads["became"] != UNTYPED]
    for (layer, became), own in formed.groupby(["layer", "became"], sort=False):
        named = _and([f"{row.head} ({row.score:.2f})" for row in own.head(_HEADS).itertuples()])
        more = f" and {len(own) - _HEADS} more" if len(own) > _HEADS else ""
        one = len(own) == 1
        kind = f"{'an' if became == 'induction' else 'a'} {became} head" if one else f"{became} heads"
        clauses.append(f"head{'' if one else 's'} {named}{more} of {layer} became {kind}")
    return ", ".join(clauses)


def _sentence(parts: list[str]) -> str:
    """Clauses as one sentence; empty for none."""
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def turned_units(after: Moment) -> list[int]:
    """The live units of a layer, those first whose tuning has least to do with that of before."""
    units = after.units
    known = units[units["own_correlation"].notna() & ~units["dead"].astype(bool)]
    return known.sort_values("own_correlation", kind="stable")["unit"].astype(int).tolist()


def _next(found: Learned) -> str:
    """Which samples to look at first, and which moment to hold them against."""
    first = [f"{row.row}{f' at position {row.position}' if row.position >= 0 else ''}"
             for row in found.movers.head(3).itertuples()]  # fmt: skip
    steps = sorted(found.controls)
    parts = [f"look first at samples {', '.join(first)}"] if first else []
    if steps:
        at = f"step{'s' if len(steps) > 1 else ''} {' and '.join(map(str, steps))}"
        parts.append(f"compare with {at}, where nothing of the kind happens")
    return _sentence(parts)
