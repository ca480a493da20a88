"""What was studied, and the limits of what can be said of it: fragments and sentences for a methods section."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from geophone.detect.jumps import ALPHA, Z
from geophone.findings.finding import (
    Finding,
    Phrase,
    Quantity,
    agree,
    counted,
    finding,
    fragment,
    listed,
    phrase,
    quoted,
)
from geophone.findings.number import STATISTICS
from geophone.findings.phenomena import MODES
from geophone.findings.tables import RUNS, Tables

EARLY = 0.05  # of a run: a target before that lies in the first transient


def setting(tables: Tables) -> list[Finding]:
    """What was trained, measured and dug."""
    runs = tables.runs
    made = [
        fragment("study/networks", _networks(runs), RUNS, len(runs)),
        fragment("study/tasks", _named(runs["task"], "tasks that the runs do not name"), RUNS),
        fragment("study/training", _training(runs), RUNS),
        fragment("study/every", _every(runs), RUNS),
        fragment("study/dimension", Phrase(tables.label), f"{STATISTICS}, study, dimension"),
    ]
    made += [
        _spread(runs, column, name) for column, name in (("steps", "steps"), ("layers", "layers"), ("rows", "rows"))
    ]
    total = Quantity(runs["measurements"].sum(), "", f"{RUNS}: sum of measurements")
    made.append(fragment("study/measurements", phrase("{n}", n=total), RUNS, total.value))
    for key, form in (("alpha", ".2f"), ("draws", "")):
        if key in tables.statistics:
            one = Quantity(float(tables.statistics[key]), form, f"{STATISTICS}, {key}")
            made.append(fragment(f"study/{key}", phrase("{v}", v=one), one.source, one.value))
    made.append(fragment("study/pointing", _pointing(tables), f"{STATISTICS}, study, modes"))
    rules = {"order": (0.6, ".1f"), "simultaneous": (0.3, ".1f"), "z": (Z, ""), "series": (ALPHA, ".2f")}
    for name, (value, form) in rules.items():
        bar = Quantity(value, form, "definition")
        made.append(fragment(f"rule/{name}", phrase("{bar}", bar=bar), bar.source, value))
    return [*made, fragment("study/dig", _dig(tables.options), "digs/*/dig.json")]


def _networks(runs: pd.DataFrame) -> Phrase:
    networks = runs["network"].value_counts()
    kinds = runs["architecture"].value_counts().sort_index()
    quantity = lambda value, what: Quantity(float(value), "", f"{RUNS}: {what}")  # noqa: E731
    each = listed(
        phrase("{n} {kind}", n=quantity(n, f"architecture is {kind}"), kind=str(kind)) for kind, n in kinds.items()
    )
    named = "architectures not named" if list(kinds.index) == ["unknown"] else each
    if not runs["known"].all():
        count = counted(quantity(len(runs), "runs"), "run")
        return phrase("{runs} ({kinds}; networks and random seeds not named)", runs=count, kinds=named)
    least, most = quantity(networks.min(), "runs of a network"), quantity(networks.max(), "runs of a network")
    seeds = counted(most, "random seed") if least == most else phrase("{a} to {b} random seeds", a=least, b=most)
    return phrase(
        "{runs} of {networks} ({kinds}; {seeds} per network)", runs=counted(quantity(len(runs), "runs"), "run"),
        networks=counted(quantity(len(networks), "networks"), "network"), seeds=seeds, kinds=named,
    )  # fmt: skip


def _named(values: pd.Series, missing: str) -> Phrase:
    names = [name for name in dict.fromkeys(values) if name != "unknown"]
    return listed(names) if names else Phrase(missing)


def _training(runs: pd.DataFrame) -> Phrase:
    rates, batches = (sorted(runs[key].dropna().unique()) for key in ("learning_rate", "batch"))
    if not len(rates) or not len(batches):
        return Phrase("The runs do not say how they were trained.")
    of = lambda values, form: listed(phrase("{v}", v=Quantity(float(v), form, RUNS)) for v in values)  # noqa: E731
    return phrase(
        "Optimiser: {names}; learning rate {rates}; batches of {batches}.",
        names=listed(runs["optimizer"].dropna().unique()), rates=of(rates, "g"), batches=of(batches, ""),
    )  # fmt: skip


def _every(runs: pd.DataFrame) -> Phrase:
    every = runs["every"]
    if not every.map(lambda value: isinstance(value, int)).all():
        return Phrase("at the steps that each run’s manifest names")
    return phrase("every {steps} training steps", steps=_between(every, "every"))


def _spread(runs: pd.DataFrame, column: str, name: str) -> Finding:
    return fragment(f"study/{name}", _between(runs[column], column), RUNS, float(runs[column].max()))


def _between(values: pd.Series, what: str) -> Phrase:
    """One value, or the least and the greatest."""
    low, high = (Quantity(float(v), "", f"{RUNS}: {what}") for v in (values.min(), values.max()))
    return phrase("{low}", low=low) if low == high else phrase("{low} to {high}", low=low, high=high)


def _pointing(tables: Tables) -> Phrase:
    """What the targets are, by what pointed at them."""
    modes = tables.statistics.get("study", {}).get("modes", ())
    jumps = listed(MODES[mode] for mode in modes if mode in MODES)
    others = listed(mode.replace("_", " ") for mode in modes if mode not in MODES)
    parts = [f"jumps of the {tables.label} by {jumps}, ranked by size and surprise"] if jumps.text != "none" else []
    parts += [f"transitions ranked by the method {others}"] if others.text != "none" else []
    return listed(parts or ["ranked moments"])


def _dig(options: Sequence[Mapping[str, Any]]) -> Phrase:
    if not options:
        return Phrase("no target was dug")
    parts = []
    for key, words in (("per_class", "samples of each class"), ("units", "units shown"), ("steps", "steps per image")):
        values = sorted({float(o[key]) for o in options if isinstance(o.get(key), int)})
        shown = (phrase("{v}", v=Quantity(v, "", f"digs/*/dig.json, {key}")) for v in values)
        parts += [phrase("{values} {words}", values=listed(shown), words=words)] if values else []
    return listed(parts)


def limitations(tables: Tables, *, clocked: bool) -> list[Finding]:
    """What was not done, or cannot be said, each by a rule of its own; `clocked`: the score on events of known time is
    part of the study."""
    made = [*_targets(tables), *_early(tables)]
    runs = tables.runs
    made += _seeds(runs)
    if not runs["forked"].any():
        made.append(("forks", Phrase("No run was continued on other minibatches, so the noise of SGD is in no null.")))
    notes = tables.statistics.get("study", {}).get("notes", ())
    made += [(f"note-{i}", quoted(f"As the statistics note: {note}", f"{STATISTICS}, study, notes"))
             for i, note in enumerate(notes, 1)]  # fmt: skip
    if not clocked:
        made.append(("clocks", Phrase("Whether the method points at events of known time is not part of this study.")))
    made.append(("cause", Phrase(
        "The analysis is correlational: a jump and a change of features in one window do not make one the cause of the "
        "other. Types are given by fixed rules on drawn stimuli and planted token patterns; what those do not show "
        "goes unseen."
        + " The networks are small and were trained for a short time on small data." * bool(runs["catalogued"].all())
    )))  # fmt: skip
    return [finding(f"limitation/{name}", said, source="rule on the study's tables") for name, said in made]


def _seeds(runs: pd.DataFrame) -> list[tuple[str, Phrase]]:
    """What is missing of seeds: that there is one of each network, or that runs do not say whose seed they have."""
    apart = "so variation between seeds is not separated from variation between networks"
    unknown = Quantity(float((~runs["known"]).sum()), "", f"{RUNS}: no experiment")
    if unknown.value:
        return [("seeds", phrase(
            "{runs} {verb} not say which network and which random seed they are of, {apart}.",
            runs=counted(unknown, "run"), verb=agree(unknown.value, "does", "do"), apart=apart,
        ))]  # fmt: skip
    if runs["network"].value_counts().max() > 1:
        return []
    return [("seeds", Phrase(
        f"Every network was trained with one random seed, {apart}, and coordination cannot be held against swapped "
        "runs of one configuration."
    ))]  # fmt: skip


def _targets(tables: Tables) -> list[tuple[str, Phrase]]:
    study = tables.statistics.get("study", {})
    count = lambda key: Quantity(float(study.get(key, 0)), "", f"{STATISTICS}, study, {key}")  # noqa: E731
    dug, pairs, ranked = count("targets_dug"), count("pairs"), count("targets_found")
    made = []
    if dug.value < ranked.value:
        said = phrase(
            "{dug} of {ranked} targets were dug; what holds at the others is not known.", dug=dug, ranked=ranked
        )
        made.append(("undug", said))
    return made + _controls(tables, dug, pairs)


def _controls(tables: Tables, dug: Quantity, pairs: Quantity) -> list[tuple[str, Phrase]]:
    """How many of all targets have no control, and how many were dug without one: a control may be there and not be
    dug, where the weights that were kept do not tell it from the target."""
    made = []
    if len(table := tables.targets):
        alone = table["earlier_step"].isna() & table["later_step"].isna()
        count, every = (Quantity(float(n), "", "targets.parquet: no control") for n in (alone.sum(), len(table)))
        if count.value:
            verb = "has" if count.value == 1 else "have"
            said = phrase(
                "{n} of {targets} {verb} no control: nowhere is there a stretch as long in which nothing was detected.",
                n=count, targets=counted(every, "target"), verb=verb,
            )  # fmt: skip
            made.append(("uncontrolled", said))
    if pairs.value < dug.value:
        missing = Quantity(dug.value - pairs.value, "", f"{STATISTICS}, study, targets_dug less pairs")
        verb = "was" if missing.value == 1 else "were"
        said = phrase(
            "Of {dug} {n} {verb} dug without a control.", dug=counted(dug, "dug target"), n=missing, verb=verb
        )
        made.append(("controls", said))
    return made


def early(tables: Tables) -> Phrase:
    """ "43 of 47 targets lie in the first 5 % of their run"; empty where that is not so of the most."""
    table = tables.evidence
    phases = table[table["role"] == "target"]["phase"].astype(float) if len(table) else pd.Series(dtype=float)
    count = int((phases < EARLY).sum())
    if 2 * count <= len(phases):
        return Phrase("")
    n, of = (Quantity(v, "", "evidence.parquet, role=target: phase") for v in (count, len(phases)))
    share = Quantity(100 * EARLY, "", "rule: the first 5 % count as early")
    return phrase("{n} of {of} targets lie in the first {share} % of their run", n=n, of=of, share=share)


def _early(tables: Tables) -> list[tuple[str, Phrase]]:
    head = early(tables)
    more = "and their controls later: what differs between them is early from late as much as jump from no jump."
    return [("early", phrase("{head} {more}", head=head, more=more))] if head.text else []
