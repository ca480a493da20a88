"""Field notes: what a researcher would write down at a dig, from its numbers by stated rules."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from geophone.dig.exhibits import Exhibits
from geophone.dig.features import UNTYPED, wording
from geophone.dig.learned import Learned
from geophone.dig.moment import Moment
from geophone.dig.prose import five_sentences, shared_words
from geophone.dig.swap import swapped_parts
from geophone.records import MOMENTS, Target
from geophone.rows.measures import MEASURES

_COLUMNS = tuple(measure.name for measure in MEASURES if measure.noted)
_BY_CLASS = "one class more than the rest"
_MORE = 0.02
_GROUPED = 0.05


def field_notes(
    target: Target,
    moments: Mapping[str, Mapping[str, Moment]],
    tables: Mapping[str, pd.DataFrame],
    found: Learned,
    shown: Exhibits,
    asides: Sequence[str] = (),
) -> str:
    """The notes in Markdown: the dig in five sentences, what to bear in mind (`asides`), the samples that moved, units
    by what they answer to at each moment, one observation, the numbers beside the control."""
    mine, observed = moments["target"], observation(moments, heads=False)
    lines = [f"# Layer: {target.layer}, Experiment: {target.run}", ""]
    lines += [" ".join(five_sentences(target, moments, tables["swap"], found, observed)), ""]
    lines += ["## To bear in mind", "", *(f"- {aside}" for aside in asides), ""] if asides else []
    lines += ["## What was learned", "", *_learned(found, shown), ""]
    if parts := swapped_parts(tables["swap"]):
        lines += ["## Which part of it", "", " ".join(parts), ""]
    lines += ["## Why here", "", target.reason, ""]
    for name, moment in mine.items():
        lines += [f"## Step {moment.step} ({name} the transition)", "", *_unit_lines(moment), ""]
    lines += [f"**Observation:** {observation(moments)}", "", *_table(moments), ""]
    lines += [f"Units shown, in this order: {', '.join(map(str, shown.units))}.", ""]
    lines += [f"![{title}]({path})" for title, path in shown.images.items()]
    if shown.snippets:
        lines += ["", "## Where units answer most, after", ""]
        lines += [f"- unit {unit}: " + "; ".join(f"`{s}`" for s in found) for unit, found in shown.snippets.items()]
    lines += ["", *_composition(tables), ""]
    return "\n".join(lines)


def observation(moments: Mapping[str, Mapping[str, Moment]], *, heads: bool = True) -> str:
    """One sentence that follows from the numbers, with what became of the layer's heads unless `heads` is false.

    New kinds are types that no unit had before. Selectivity (or d', where answers are signed) changed when its mean
    moved by 0.02 (d': 0.1) more than at the control over the same number of measurements. Classes "group only
    after" when the silhouette exceeds its permuted-label mean by 0.05 after and did not before. A single target
    proves nothing.
    """
    mine = moments["target"]
    control = moments.get("control")
    said = [_kinds(mine), _selective(mine, control), _cluster(mine)]
    said += [_heads(mine)] if heads and mine["after"].heads is not None else []
    text = "; ".join(part for part in said if part) + "."
    return text[0].upper() + text[1:] + (" There is no control moment to compare with." if control is None else "")


def _learned(found: Learned, shown: Exhibits) -> list[str]:
    """The groups of samples, each with its examples, and what network and layer say of them before and after."""
    rows = found.movers
    if rows.empty:
        return ["No sample's score moved."]
    lines = []
    for number, own in rows.groupby("group"):
        course = " to ".join(f"{own[moment].mean():.2f}" for moment in MOMENTS if moment in own)
        count = f"{len(own)} sample{'s' if len(own) > 1 else ''}"
        name = f"Group {number}, {count}" if len(found.groups) > 1 else count
        lines.append(f"- {name} ({course} on average): {shared_words(found.groups[int(number)])}.")
        lines += [f"  - {example}" for example in shown.examples.get(int(number), ())]
    if "kl" in rows:
        lines.append(f"- What the network answers to them moved by {rows['kl'].median():.2f} nats (KL, median).")
    if "raised" in rows:
        first = 100 * float((rows["raised"] == 1).mean())
        lines.append(
            f"- Read through the last norm and the head, {found.layer} gives the right token "
            f"{rows['lens_before'].mean():.2f} before and {rows['lens_after'].mean():.2f} after on average; of all "
            f"tokens its change raises the right one most in {first:.0f} %."
        )
    return lines


def _unit_lines(moment: Moment) -> list[str]:
    units = moment.units
    groups: dict[str, list[int]] = {}
    for row in units.itertuples():
        if row.dead:
            groups.setdefault("dead", []).append(row.unit)
        elif row.type != UNTYPED:
            groups.setdefault(wording(row.type, row.angle), []).append(row.unit)
        elif row.class_unit:
            groups.setdefault(_BY_CLASS, []).append(row.unit)
        else:
            groups.setdefault("no type that an untrained network does not have as often", []).append(row.unit)
    lines = [
        f"- Unit{'s' if len(members) > 1 else ''} {_runs(members)}: {what}"
        for what, members in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]
    if members := groups.get(_BY_CLASS):
        liked = units[units["unit"].isin(members)].groupby("preferred")["unit"]
        lines.append("- Their classes: " + "; ".join(f"{label:.0f} by {_runs(of)}" for label, of in liked))
    return lines + ([] if moment.heads is None else [_head_line(head) for head in moment.heads.itertuples()])


def _head_line(head) -> str:
    copies = f", by position: lag {head.lag}" if head.type == "position" else ""
    return (
        f"- Head {head.head} of {head.layer}: {head.type}{copies} (previous {head.previous:.2f}, induction "
        f"{head.induction:.2f} at offset {head.offset}, fixed lag {head.position:.2f}, copying {head.copying:+.2f})"
    )


def _runs(members: Iterable[int]) -> str:
    """0, 1, 2, 5 as "0-2, 5"."""
    members = sorted(members)
    found: list[list[int]] = []
    for unit in members:
        if found and unit == found[-1][-1] + 1:
            found[-1].append(unit)
        else:
            found.append([unit])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found)


def _kinds(mine: Mapping[str, Moment]) -> str:
    before, after = (set(mine[m].units["type"]) - {UNTYPED} for m in ("before", "after"))
    turned = mine["after"].row["turnover"]
    share = "" if not np.isfinite(turned) else f", and {100 * turned:.0f} % of the units answer to something else"
    if new := sorted(after - before):
        return f"kinds of unit that were not there before: {', '.join(new)}{share}"
    return f"no new kind of unit{share}"


def _selective(mine: Mapping[str, Moment], control: Mapping[str, Moment] | None) -> str:
    name, least, what = "selectivity", _MORE, "selectivity"
    if not np.isfinite(mine["after"].row[name]):
        name, least, what = "d_prime", 5 * _MORE, "d'"
    change = mine["after"].row[name] - mine["before"].row[name]
    beside = 0.0 if control is None else control["after"].row[name] - control["before"].row[name]
    if not np.isfinite(change - beside):
        return ""
    same = "stayed" if control is None else "did as at the control"
    word = "rose" if change - beside > least else "fell" if change - beside < -least else same
    return f"{what} {word} ({change:+.3f}{'' if control is None else f', control {beside:+.3f}'})"


def _cluster(mine: Mapping[str, Moment]) -> str:
    above = {m: mine[m].row["silhouette"] - mine[m].row["silhouette_null"] for m in ("before", "after")}
    if not all(np.isfinite(list(above.values()))):
        return ""
    grouped = {m: value > _GROUPED and mine[m].row["silhouette_p"] <= 0.05 for m, value in above.items()}
    if grouped["after"] and not grouped["before"]:
        return "answers group by class only after"
    return (
        "answers group by class before and after"
        if grouped["before"] and grouped["after"]
        else "answers do not group by class"
    )


def _heads(mine: Mapping[str, Moment]) -> str:
    before, after = (_head_types(mine[m]) for m in ("before", "after"))
    turned: dict[tuple[str, str], list[int]] = {}
    for head, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            turned.setdefault((old, new), []).append(head)
    formed = [
        f"head{'s' if len(heads) > 1 else ''} {_runs(heads)} became {new} from {old}"
        for (old, new), heads in turned.items()
    ]
    position = "it copies by position, not by content" if "position" in after and "induction" not in after else ""
    return "; ".join(part for part in (*formed, position) if part) or "no head changed its kind"


def _head_types(moment: Moment) -> list[str]:
    return [] if moment.heads is None else list(moment.heads["type"])


def _table(moments: Mapping[str, Mapping[str, Moment]]) -> list[str]:
    lines = ["| | step | " + " | ".join(_COLUMNS) + " |", "|---|---:|" + "---:|" * len(_COLUMNS)]
    for role, at in moments.items():
        for name, moment in at.items():
            cells = ["–" if not np.isfinite(v := float(moment.row[n])) else f"{v:.3g}" for n in _COLUMNS]
            lines.append(f"| {role}, {name} | {moment.step} | " + " | ".join(cells) + " |")
    return lines


def _composition(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    if "composition" not in tables:
        return []
    mine = tables["composition"]
    mine = mine[mine["role"] == "target"]
    depth = mine.groupby("moment", sort=False)["compositional_depth"].first()
    edges = mine.groupby("moment", sort=False)[["naive_edges", "effect_edges"]].sum(min_count=1)
    correlated = {
        name: f"Composition, {name}: {count:.0f} pairs of units with r > 0.7"
        for name, count in edges["naive_edges"].items()
    }
    if edges["effect_edges"].isna().all():
        return [f"{said}; causal edges were not measured in a network of this size." for said in correlated.values()]
    causal = edges["effect_edges"]
    return [
        f"{said}, {causal[name]:.0f} causal edges between neighbouring layers, depth {depth[name]:.0f}."
        for name, said in correlated.items()
    ]
