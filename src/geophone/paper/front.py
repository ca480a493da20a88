"""Abstract, parameters and limitations: what frames the results, by rule."""

import math

from geophone.paper import results as phase1
from geophone.paper import words
from geophone.paper.lookup import verdict_counts
from geophone.paper.markup import Prose, meant
from geophone.paper.source import RUNS, Source, listed, where

_ANSWERS = {
    "met": "the founding criterion is met", "not met": "the founding criterion is not met",
    "undecided": "the founding criterion is undecided", "untested": "too few data to test",
}  # fmt: skip


def measurements(source: Source) -> Prose:
    """How many there are, over all runs."""
    total = sum(run.manifest.measurements for run in source.runs)
    return Prose(source.numbers.show("measurements", total, source=RUNS))


def networks(source: Source) -> Prose:
    """ "44 runs of 44 networks"."""
    n = source.numbers
    names = {str(run.manifest.about.get("experiment", run.name)) for run in source.runs}
    runs, kinds = n.show("runs", len(source.runs), source=RUNS), n.show("networks", len(names), source=RUNS)
    return Prose(f"{runs} run{_s(len(source.runs))} of {kinds} network{_s(len(names))}")


def architectures(source: Source) -> Prose:
    """ "14 cnn, 16 mlp and 14 transformer"."""
    n, kinds = source.numbers, list(source.architectures.values())
    return Prose(listed(f"{n.show(f'runs, {k}', kinds.count(k), source=RUNS)} {meant(k)}" for k in sorted(set(kinds))))


def seeds(source: Source) -> Prose:
    """How many seeds a network has."""
    counts: dict[str, int] = {}
    for run in source.runs:
        name = str(run.manifest.about.get("experiment", run.name))
        counts[name] = counts.get(name, 0) + 1
    low, high = min(counts.values(), default=0), max(counts.values(), default=0)
    if low == high:
        return Prose(f"{source.numbers.show('seeds a network', low, source=RUNS)} seed{_s(low)} a network")
    shown = [source.numbers.show(f"seeds a network, {w}", v, source=RUNS) for w, v in (("least", low), ("most", high))]
    return Prose(f"{shown[0]} to {shown[1]} seeds a network")


def steps(source: Source) -> Prose:
    return spread(source, "steps", [run.total_steps for run in source.runs])


def every(source: Source) -> Prose:
    """How often is measured."""
    found = {run.manifest.schedule.get("every") for run in source.runs}
    numbers = [int(v) for v in found if isinstance(v, int)]
    if len(numbers) != len(found):
        return Prose("at the steps that each run’s manifest names")
    return Prose(f"every {spread(source, 'every', numbers)} training steps")


def rows(source: Source) -> Prose:
    return spread(source, "rows of a representation", [layer.rows for run in source.runs for layer in run.layers])


def layers(source: Source) -> Prose:
    return spread(source, "layers of a run", [len(run.layers) for run in source.runs])


def spread(source: Source, name: str, values: list[int]) -> Prose:
    """One value, or the least and the greatest."""
    low, high = min(values, default=0), max(values, default=0)
    if low == high:
        return Prose(source.numbers.show(name, low, source=RUNS))
    shown = [source.numbers.show(f"{name}, {w}", v, source=RUNS) for w, v in (("least", low), ("greatest", high))]
    return Prose(f"{shown[0]} to {shown[1]}")


def training(source: Source) -> Prose:
    """Optimisers, learning rates and batches that were used."""
    optimizers = listed(meant(v) for v in source.manifest_values("optimizer"))
    rates = sorted(float(v) for v in source.manifest_values("learning_rate"))
    batches = sorted(int(v) for v in source.manifest_values("batch"))
    if not rates or not batches:
        return Prose("Optimiser and batches are the recording loops’ own.")
    shown = [source.numbers.show(f"learning rate, {v:g}", v, "g", source=RUNS) for v in rates]
    sizes = [source.numbers.show(f"batch, {v}", v, source=RUNS) for v in batches]
    return Prose(f"Optimiser: {optimizers}; learning rate {listed(shown)}; batches of {listed(sizes)}.")


def tasks(source: Source) -> Prose:
    return Prose(listed(meant(task) for task in source.manifest_values("task")))


def surrogates(source: Source) -> Prose:
    """Draws of each null: of study.toml, or the default that is used without."""
    given = source.settings.get("detect", {}).get("surrogates", 999)
    return Prose(source.numbers.show("surrogates", given, source="study.toml, or its default"))


def dig_options(source: Source) -> Prose:
    """The options of the digs."""
    n, options = source.numbers, source.options
    if not options:
        return Prose("No target was dug")
    parts = []
    for key, name in (
        ("per_class", "samples of each class"),
        ("units", "units visualised"),
        ("steps", "steps an image"),
    ):
        values = sorted({_counted(getattr(option, key)) for option in options})
        if values:
            parts.append(f"{listed(n.show(f'dig, {key}, {v}', v, source='digs/*/dig.json') for v in values)} {name}")
    return Prose(listed(parts))


def _counted(value: int | tuple[int, ...]) -> int:
    """How many: units may be given by number."""
    return value if isinstance(value, int) else len(value)


def recovered(source: Source) -> bool:
    return any(option.recovery for option in source.options)


def criteria(source: Source) -> Prose:
    """The answers to the three questions, both forms, for the abstract."""
    n = source.numbers
    asked = (
        ("diversity/naive", "diversity/pearson", "The size of a jump correlates with new feature types with *r*"),
        ("selectivity/naive", "selectivity/did", "class selectivity changes over a jump by"),
        ("depth/naive", "depth/in-sample", "dimensionality explains compositional depth with *R*²"),
    )
    parts = []
    for seed, calibrated, text in asked:
        figures = []
        for name, form in ((seed, "naive form"), (calibrated, "calibrated form")):
            found = n[name]
            value = n.interval(found, ".3f" if "selectivity" in name else ".2f") if found.ok else "an unknown amount"
            figures.append(f"{value} in the {form} ({_ANSWERS[words.answer(n, name)]})")
        parts.append(f"{text} {listed(figures)}")
    return Prose("; ".join(parts) + ".")


def abstract_order(source: Source) -> Prose:
    """The first finding of the abstract."""
    parts = []
    for mode in ("naive", "calibrated"):
        rows = source.phenomena("order", mode=mode)
        counts = verdict_counts(rows)
        share = source.numbers.share(f"order, {mode}, bottom-up", counts["bottom-up"], len(rows), source=phase1.ORDER)
        parts.append(f"{share} runs by the {mode} rule")
    held = {mode: phase1.expectation(source, mode) for mode in ("naive", "calibrated")}
    same = held["naive"] == held["calibrated"]
    verdict = (
        f"is {held['naive']}"
        if same
        else f"is {held['naive']} by the naive rule and {held['calibrated']} by the calibrated one"
    )
    return Prose(f"layers settle bottom-up in {listed(parts)}; the expectation that most would {verdict}")


def abstract_recovery(source: Source) -> Prose:
    if phase1.recovery_rows(source).empty:
        return Prose("whether periods of rapid change are vulnerable to disruption was not tested")
    return Prose("ablation during jumps and trained recovery were compared with control moments (Section 4.3)")


def limitations(source: Source) -> list[Prose]:
    """What was not run, or cannot be said, each by a rule of its own."""
    n, found = source.numbers, []
    if int(n.fact("study/pairs")) < int(n.fact("study/targets_dug")):
        missing = int(n.fact("study/targets_dug")) - int(n.fact("study/pairs"))
        verb = "target has" if missing == 1 else "targets have"
        found.append(f"{n.show('targets without control', missing)} {verb} no control window.")
    dug, all_of = int(n.fact("study/targets_dug")), int(n.fact("study/targets_found"))
    if dug < all_of:
        share = n.share("targets dug of those found", dug, all_of, source="statistics.json")
        found.append(f"{share} targets were dug; what holds at the others is not known.")
    evidence = where(n.table("evidence"), role="target")
    early = int((evidence["phase"].astype(float) < 0.05).sum())
    if len(evidence) and early * 2 > len(evidence):
        share = n.share("targets in the first 5 %", early, len(evidence), source="evidence.parquet")
        percent = n.show("early share, %", 5, source="rule")
        found.append(
            f"{share} targets lie in the first {percent} % of their run and their controls later: what differs between "
            "them is early from late as much as jump from no jump."
        )
    if all(len(v) == 1 for v in _by_network(source).values()):
        found.append(
            "Every network was trained with one seed, so variation between seeds is not separated from variation "
            "between networks, and coordination against swapped runs of the same configuration cannot be tested."
        )
    if phase1.recovery_rows(source).empty:
        found.append("No layer was ablated and trained on; vulnerability is not tested.")
    if "forks" not in source.settings:
        found.append("No run was forked onto other minibatches, so the noise of SGD itself enters no null.")
    found += [f"As the statistics note: {meant(note)}" for note in n.fact("study/notes")]
    if source.prove is None:
        found.append("Whether the instrument points at known events is not part of this study.")
    found.append(
        "The analysis is correlational: a jump and a change of features in one window do not make one the cause of "
        "the other. Types are given by fixed rules on a bank of drawn stimuli and on planted token patterns; what "
        "those do not hold goes unseen. The networks are small and were trained for a short time on small data."
    )
    return [Prose(text) for text in found]


def _by_network(source: Source) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for run in source.runs:
        found.setdefault(str(run.manifest.about.get("experiment", run.name)), []).append(run.name)
    return found


def weak(source: Source) -> bool:
    """Whether none of the calibrated criteria is met."""
    names = ("diversity/pearson", "selectivity/did", "depth/in-sample")
    return not any(words.answer(source.numbers, name) == "met" for name in names)


def change_found(source: Source) -> Prose:
    """The strongest finding beyond the controls, or that there is none, for abstract and conclusion."""
    passed, tests = words.passing(source.numbers, "changes over a jump")
    held = {row["finding"] for row in source.numbers.fact("architectures/holds_in_all")}
    if not tests:
        return Prose("what changes in a layer’s units beyond the controls could not be tested")
    general = [t for t in passed if t.id in held] or passed
    if not general:
        return Prose(
            "beyond the controls no measured change of a layer’s units could be shown at the moments pointed at"
        )
    best = general[0]
    name = words.label(best.id.split("/")[1])
    everywhere = " in every architecture tested" if best.id in held else ""
    verb = "rises" if best.value > 0 else "falls"
    extent = source.numbers.interval(best, "+.2f") if math.isfinite(best.value) else ""
    return Prose(f"beyond the controls the {name} {verb} at the moments pointed at{everywhere} ({extent})")


def _s(count: int) -> str:
    return "" if count == 1 else "s"
