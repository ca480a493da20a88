"""The figures and tables of the results, with captions whose first sentence is the finding."""

import math
from pathlib import Path

import pandas as pd

from geophone.evidence.statistics import paired
from geophone.paper import figures, words
from geophone.paper import results as phase1
from geophone.paper.lookup import verdict_counts
from geophone.paper.markup import Figure, Prose, Table, code, meant
from geophone.paper.source import Source, where

_PANELS = 6


def representatives(source: Source) -> list[str]:
    """The runs that are shown: in each architecture the run with the greatest and the one with the least seed rho of
    those defined (ties by name), at most six; where no order is defined, the first runs by name."""
    order = source.phenomena("order", mode="naive").dropna(subset="rho")
    order = order.assign(architecture=order["run"].map(source.architectures)).sort_values(["rho", "run"])
    found: list[str] = []
    for _, rows in order.groupby("architecture", sort=True):
        found += [rows["run"].iloc[-1]] + ([rows["run"].iloc[0]] if len(rows) > 1 else [])
    return (found or [run.name for run in source.runs])[:_PANELS]


def heatmaps(source: Source, folder: Path) -> Figure:
    """Layers by training step for the representative runs."""
    chosen = representatives(source)
    runs = [source.run(name) for name in chosen]
    settled = source.phenomena("stabilization", mode="calibrated", status="stable")
    settled = settled[settled["run"].isin(chosen)]
    name = figures.save(figures.heatmaps(runs, source.dimension, settled), folder, "heatmaps")
    count = source.numbers.show("settled layers shown", len(settled), source="phenomena/stabilization.parquet")
    layers = source.numbers.show("layers shown", sum(len(run.layers) for run in runs), source="runs/*/run.json")
    dimension = meant(source.dimension.replace("_", " "))
    return Figure(
        name, (name,), wide=True,
        caption=Prose(
            f"{count} of the {layers} layers shown settle by the calibrated rule (white ticks). "
            f"{dimension.capitalize()} "
            "of "
            "every layer (rows, input at the top) by training step, geometric means over bins of equal width in log "
            "step. In each architecture the run whose layers settle most bottom-up by the naive rule, then the one "
            "whose layers settle least so. One seed a network; views and rank caps differ between networks, so levels "
            "compare within a panel only."
        ),
    )  # fmt: skip


def order_strip(source: Source, folder: Path) -> Figure:
    order = source.phenomena("order")
    order = order[order["mode"].isin(["naive", "calibrated"])]
    name = figures.save(figures.order_strip(order, source.architectures), folder, "order")
    missing = int(where(order, mode="calibrated")["rho"].isna().sum())
    total = int((order["mode"] == "calibrated").sum())
    share = source.numbers.share("order, calibrated without rho", missing, total, source=phase1.ORDER)
    return Figure(
        name, (name,),
        Prose(
            f"By the calibrated rule {share} runs have no order, since too few of their layers settle. Spearman’s ρ of "
            "layer "
            "depth with settling step, a mark a run, by architecture and rule; right of the dashed line is "
            "bottom-up, left of the other top-down."
        ),
    )  # fmt: skip


def order_table(source: Source) -> Table:
    """Verdicts by rule, with what no order would give."""
    rows, n = [], source.numbers
    for mode in ("naive", "calibrated"):
        counts = verdict_counts(source.phenomena("order", mode=mode))
        rows.append([mode, *(n.show(f"order, {mode}, {k}", v, source=phase1.ORDER) for k, v in counts.items())])
    return Table(
        "order-table", ("rule", "bottom-up", "top-down", "simult.", "weak", "undef."), tuple(map(tuple, rows)),
        Prose("Convergence order of the runs."),
    )  # fmt: skip


def rates(source: Source, folder: Path) -> Figure | None:
    """Jumps a series by architecture beside the null."""
    rows = source.phenomena("detection", status="ok")
    rows = rows[rows["mode"].isin(["naive", "calibrated"])].assign(architecture=rows["run"].map(source.architectures))
    if rows.empty:
        return None
    table = rows.groupby(["architecture", "mode"]).agg(found=("detected", "mean"), null=("expected_false", "mean"))
    name = figures.save(figures.rates(table.reset_index()), folder, "jumps")
    beyond = words.side(
        source.numbers["jumps/calibrated"], float(source.numbers.fact("alpha")),
        "The calibrated detector finds more jumps than its null yields",
        "The calibrated detector finds fewer jumps than its null yields",
        "The calibrated detector could not be shown to find more than its null yields",
    )  # fmt: skip
    return Figure(
        name,
        (name,),
        Prose(f"{beyond}. Jumps a series by architecture, found (circles) and under the null alone (crosses)."),
    )


def scatter(source: Source, folder: Path) -> Figure | None:
    """Jump size against new feature types beyond the control."""
    pairs = paired(source.numbers.table("evidence"))
    kept = pairs.dropna(subset=["log_magnitude", "new_types_excess"])
    if len(kept) < 2:
        return None
    axes = (
        ("log_magnitude", "log ratio of the jump, ln(after / before)"),
        ("new_types_excess", "new feature types, target − control"),
    )
    name = figures.save(figures.scatter(kept, *axes), folder, "diversity")
    heads = {
        "met": "Larger jumps go with more new feature types",
        "not met": "Larger jumps do not go with strongly more new feature types",
        "undecided": "Whether larger jumps bring more new feature types is undecided",
        "untested": "Whether larger jumps bring more new feature types could not be tested",
    }
    if source.numbers["diversity/pearson"].value < 0 and words.answer(source.numbers, "diversity/pearson") == "met":
        heads["met"] = "Larger jumps go with fewer new feature types"
    head = heads[words.answer(source.numbers, "diversity/pearson")]
    figure = words.estimate(source.numbers, "diversity/pearson", "calibrated *r*")
    return Figure(name, (name,), Prose(f"{head}: {figure}. A mark a target with its control."))


def correlations(source: Source, folder: Path) -> Figure | None:
    """All Pearson correlations with the jump, intervals beside the criterion."""
    n = source.numbers
    names = [t for t in n.fact("families_of_tests").get("correlations with the jump", ()) if t.startswith("corr")]
    found = [n[name] for name in ["diversity/pearson", *names]]
    rows = pd.DataFrame(
        [
            {"label": _short(f.id), "value": f.value, "low": f.low, "high": f.high,
             "passes": f.p_adjusted < n.fact("alpha")}
            for f in found
            if f.ok and math.isfinite(f.low)
        ]
    )  # fmt: skip
    if rows.empty:
        return None
    name = figures.save(figures.forest(rows, "Pearson r over runs, 95 % interval", bars=(-0.6, 0.6)), folder, "forest")
    passed = n.share("correlations, Pearson, that pass", int(rows["passes"].sum()), len(rows), source="statistics.json")
    return Figure(
        name, (name,),
        Prose(
            f"{passed} correlations between a jump and what its layer does pass after Benjamini and Hochberg (filled "
            "marks). Dashed: the founding criterion. Changes are target minus control; “log” is the signed log "
            "ratio of the jump, “size” its absolute value."
        ),
    )  # fmt: skip


def _short(name: str) -> str:
    if name == "diversity/pearson":
        return "log, new types"
    _, size, measure = name.split("/")
    return f"{'log' if size == 'log_magnitude' else 'size'}, {measure.replace('_', ' ')}"


def changes(source: Source) -> Table | None:
    """Every change over a jump beyond the control."""
    n = source.numbers
    names = n.fact("families_of_tests").get("changes over a jump", ())
    if not names:
        return None
    rows = []
    for name in ("selectivity/did", *names):
        found = n[name]
        what = "selectivity" if name == "selectivity/did" else name.split("/")[1]
        adjusted = words.bare_p(n, found)
        low = [n.show(f"{name}, {end}", getattr(found, end), "+.2f") for end in ("low", "high")]
        rows.append(
            (words.label(what), n.show(name, found.value, "+.2f"), f"{low[0]}, {low[1]}", adjusted,
             n.show(f"{name}, runs", found.runs))
        )  # fmt: skip
    return Table(
        "changes", ("change, target − control", "mean", "95 %", "adj. *p*", "runs"),
        tuple(tuple(meant(cell) if i == 0 else cell for i, cell in enumerate(row)) for row in rows),
        Prose("What changes over a jump beyond what changes over its control window, means over runs; *p* adjusted "
              "within the family of tests."),
    )  # fmt: skip


def coupling(source: Source, folder: Path) -> Figure | None:
    """The loss around critical periods, in the groups that could be tested."""
    tested = source.phenomena("coupling", mode="naive", status="tested")
    if tested.empty:
        return None
    groups = list(tested.sort_values(["p", "group"])["group"])[:5]
    curves = source.phenomena("coupling_curves", mode="naive")
    name = figures.save(figures.coupling(curves, groups), folder, "coupling")
    alpha = float(source.numbers.fact("alpha"))
    share = source.numbers.share(
        "loss coupling shown, groups that pass", int((tested["p"] < alpha).sum()), len(tested),
        source="phenomena/coupling.parquet",
    )  # fmt: skip
    return Figure(
        name, (name,), wide=True,
        caption=Prose(
            f"In {share} groups the loss falls faster around the peaks of the seed map’s periods than in swapped runs. "
            "Fall of the training loss a measurement, averaged over periods; dashed: the same moments read in another "
            "run "
            "of the group."
        ),
    )  # fmt: skip


def recovered(source: Source, folder: Path) -> Figure | None:
    """Deficits by moment where recovery was run."""
    rows = phase1.recovery_rows(source)
    if rows.empty:
        return None
    name = figures.save(figures.recovery(rows.drop(columns="pair")), folder, "recovery")
    count = source.numbers.show("recovery, targets", rows["pair"].nunique(), source="evidence.parquet")
    return Figure(
        name, (name,),
        Prose(f"Accuracy missing beside the sham at the longest horizon after a layer was ablated, in {count} targets "
              "and their controls; bars are means."),
    )  # fmt: skip


def roster(source: Source) -> Table:
    """A row a run: its layers, its order by both rules, its jumps by both."""
    n, order, detection = source.numbers, source.phenomena("order"), source.phenomena("detection", status="ok")
    rows = []
    for run in sorted(source.runs, key=lambda r: (source.architectures[r.name], r.name)):
        cells: list[str] = [
            meant(source.architectures[run.name]),
            meant(str(run.manifest.about.get("task", "unknown"))),
        ]
        cells.append(n.show(f"{run.name}, layers", len(run.layers), source="runs/*/run.json"))
        for mode in ("naive", "calibrated"):
            rho = where(order, run=run.name, mode=mode)["rho"]
            value = float(rho.iloc[0]) if len(rho) else math.nan
            cells.append(n.show(f"{run.name}, ρ, {mode}", value, "+.2f", source=phase1.ORDER))
        for mode in ("naive", "calibrated"):
            found = where(detection, run=run.name, mode=mode)["detected"].sum()
            cells.append(n.show(f"{run.name}, jumps, {mode}", found, source="phenomena/detection.parquet"))
        rows.append((code(run.name), *cells))
    heads = ("run", "architecture", "task", "layers", "ρ, naive", "ρ, calibrated", "jumps, naive", "jumps, calibrated")
    caption = Prose("Every run: convergence order (a dash where it is undefined) and jumps, by both rules.")
    return Table("roster", heads, tuple(rows), caption, wide=True)


def architectures(source: Source) -> Table:
    """Runs, targets, orders and jumps by architecture."""
    n, order, detection = source.numbers, source.phenomena("order"), source.phenomena("detection", status="ok")
    targets = where(n.table("evidence"), role="target")
    rows = []
    for architecture in sorted(set(source.architectures.values())):
        mine = [run for run, kind in source.architectures.items() if kind == architecture]
        cells = [n.show(f"runs, {architecture}", len(mine), source="runs/*/run.json")]
        cells.append(
            n.show(
                f"targets dug, {architecture}",
                (targets["architecture"] == architecture).sum(),
                source="evidence.parquet",
            )
        )
        for mode in ("naive", "calibrated"):
            verdicts = where(order[order["run"].isin(mine)], mode=mode)["verdict"]
            cells.append(
                n.show(f"bottom-up, {mode}, {architecture}", (verdicts == "bottom-up").sum(), source=phase1.ORDER)
            )
        for mode in ("naive", "calibrated"):
            jumped = where(detection[detection["run"].isin(mine)], mode=mode)
            found, null = float(jumped["detected"].sum()), float(jumped["expected_false"].sum())
            form = ",.0f" if mode == "naive" else ",.1f"
            table = "phenomena/detection.parquet"
            cells.append(
                f"{n.show(f'jumps, {mode}, {architecture}', found, source=table)} "
                f"({n.show(f'jumps, {mode}, {architecture}, null', null, form, source=table)})"
            )
        rows.append((meant(architecture), *cells))
    heads = ("architecture", "runs", "dug", "bottom-up, naive", "calibrated", "jumps (null), naive", "calibrated")
    caption = Prose(
        "By architecture: runs, targets dug, runs that settle bottom-up, jumps found and jumps of the null alone."
    )
    return Table("architectures", heads, tuple(rows), caption, wide=True)
