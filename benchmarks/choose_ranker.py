"""The table from which the ranking rule was chosen: joins of up to three parts of a score, on finished trials.

    python benchmarks/choose_ranker.py TRIALS [--most 3] [--rows 15]

TRIALS holds trials of the proving ground's testbeds on development seeds (trials/ of `geophone prove`, or runs of
`geophone.prove.trials.train_all`); a seed of 8000 or above is refused, since those confirm. For learned transitions,
on the fourteen testbeds whose clocks are behaviour, it prints recall at k = E by group of testbeds, the mean of the
three groups (by which the rule was chosen), the mean over testbeds, and F1 of the list that ends at the rule's least
share; for hidden transitions, recall on the three hidden testbeds; and for layers, how often each source names the
right one at the true time. The rule that is frozen is marked. Every line is a choice that was looked at: their number
is printed.
"""

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from geophone.point import score as scores
from geophone.point.kernels import Kernel
from geophone.point.layers import LayerMap
from geophone.point.moments import pick
from geophone.point.rule import LayerPart, frozen_rule
from geophone.point.signals import RunSignals
from geophone.point.stretch import valleys
from geophone.prove.events import ANY
from geophone.prove.targeting import Moments, listed, recall
from geophone.prove.trials import BEHAVIOUR, GROUPS, TrialRun, read_run

KERNELS = (Kernel("step", 2.0), Kernel("step", 4.0), Kernel("log", 0.05))
HIDDEN_KERNELS = (Kernel("step", 1.0), *KERNELS)
PARTS = ("mean_skill", "rising_skill", "skill_components", "votes", "steepest", "quanta", "output_components",
         "output_speed", "concentration")  # fmt: skip
SCALARS = {
    "falling_loss": ("fall", "loss"),
    "weight_speed": ("speed", "weight_norm"),
    "update_level": ("level", "update_norm"),
}
LAYERED = (
    "readable_gain",
    "readable_change",
    "cka_change_4",
    "subspace_change",
    "layer_update_norm",
    "layer_gradient_norm",
)
CONFIRMING = 8000
FIRST, MOST = 5, 20


def name(part: str, kernel: Kernel) -> str:
    return f"{part}/{kernel.axis} {kernel.width:g}"


def behaviour_parts(run: RunSignals) -> dict[str, np.ndarray]:
    """Every part of a learned transition's score, over its greatest value, in logarithms."""
    parts = {name(p, k): getattr(scores, p)(run, k) for p in PARTS for k in KERNELS}
    for label, (how, signal) in SCALARS.items():
        parts |= {name(label, k): getattr(scores, how)(run, signal, k) for k in KERNELS}
    return {label: np.log(scores.scaled(values) + scores.SMALL) for label, values in parts.items()}


def hidden_parts(run: RunSignals) -> dict[str, np.ndarray]:
    """Every part of a hidden transition's score, over its greatest value, in logarithms."""
    parts: dict[str, np.ndarray] = {}
    for signal in LAYERED:
        values = run.layered(signal)
        columns = [] if values is None else [i for i in range(len(run.layers)) if (values[:, i] > 0).any()]
        for kernel in HIDDEN_KERNELS if columns else ():
            levels = scores.layer_levels(run, signal, kernel, columns)
            for pool in ("mean", "max", "contrast"):
                pooled = scores.scaled(scores.over_layers(levels, pool))
                parts[f"{name(signal, kernel)} {pool}"] = np.log(pooled + scores.SMALL)
    return parts


def moments(score: np.ndarray, run: RunSignals, share: float) -> Moments:
    """The moments of one score, and how many of them make up at least `share` of the area under it."""
    plain = np.exp(score) - scores.SMALL
    index = pick(plain, run.steps, first=FIRST, peaks_only=True)[:MOST]
    large = 0
    for i in index:
        low, high = valleys(plain, int(i), index)
        large += int(plain[low : high + 1].sum() >= share * plain.sum())
    return Moments(index, count=large)


def means(runs: Sequence[TrialRun], values: Sequence[float]) -> dict[str, float]:
    """The mean of every testbed."""
    beds = {run.bed for run in runs}
    return {bed: float(np.mean([v for r, v in zip(runs, values, strict=True) if r.bed == bed])) for bed in beds}


def of_group(beds: dict[str, float], group: Sequence[str]) -> float:
    there = [beds[bed] for bed in group if bed in beds]
    return float(np.mean(there)) if there else float("nan")


def learned_table(runs: Sequence[TrialRun], most: int, rows: int) -> None:
    rule = frozen_rule()
    parts = [behaviour_parts(run.signals) for run in runs]
    frozen = {name(part.name, part.kernel) for part in rule.behaviour}
    table = []
    for size in range(1, most + 1):
        for chosen in combinations(parts[0], size):
            found = [
                moments(np.mean([p[c] for c in chosen], axis=0), r.signals, rule.share)
                for p, r in zip(parts, runs, strict=True)
            ]
            beds = means(runs, [recall(m, r.truth) for m, r in zip(found, runs, strict=True)])
            f1 = means(runs, [listed(m, r.truth).f1 for m, r in zip(found, runs, strict=True)])
            groups = [of_group(beds, GROUPS[g]) for g in ("usual course", "moved", "drawn")]
            table.append(
                (float(np.nanmean(groups)), groups, of_group(beds, BEHAVIOUR), of_group(f1, BEHAVIOUR), chosen)
            )
    table.sort(key=lambda row: -row[0])
    print(f"learned: {len(table)} joins looked at, {len(runs)} runs")
    print("| mean of groups | usual | moved | drawn | all | F1 | parts |\n|---:|---:|---:|---:|---:|---:|---|")
    for number, (mean, groups, whole, f1, chosen) in enumerate(table):
        if number < rows or set(chosen) == frozen:
            mark = " **frozen**" if set(chosen) == frozen else ""
            cells = " | ".join(f"{value:.3f}" for value in (mean, *groups, whole, f1))
            print(f"| {cells} | {' + '.join(chosen)}{mark} |")


def hidden_table(runs: Sequence[TrialRun], rows: int) -> None:
    parts = [hidden_parts(run.signals) for run in runs]
    frozen = tuple(f"{name(part.signal, part.kernel)} {part.pool}" for part in frozen_rule().hidden)
    table = []
    for size in (1, 2, len(frozen)):
        for chosen in [frozen] if size == len(frozen) else combinations(parts[0], size):
            found = [
                moments(np.mean([p[c] for c in chosen], axis=0), r.signals, 0.0)
                for p, r in zip(parts, runs, strict=True)
            ]
            beds = means(runs, [recall(m, r.truth) for m, r in zip(found, runs, strict=True)])
            table.append((float(np.mean(list(beds.values()))), beds, chosen))
    table.sort(key=lambda row: -row[0])
    print(f"\nhidden: {len(table)} joins looked at, {len(runs)} runs")
    for mean, beds, chosen in table[:rows]:
        print(f"{mean:.3f}  {' '.join(f'{bed} {beds[bed]:.2f}' for bed in sorted(beds))}  {' + '.join(chosen)}")


def layer_table(runs: Sequence[TrialRun], rows: int) -> None:
    sources = [LayerPart(s, Kernel("step", w), "streams", "max") for s in LAYERED for w in (1.0, 2.0, 4.0)]
    table = []
    for size in (1, 2, 3):
        for chosen in [frozen_rule().where] if size == 3 else combinations(sources, size):
            right = []
            for run in runs:
                known = [e for e in run.truth.events if e.layer != ANY]
                where = LayerMap(run.signals, chosen)
                places = [int(np.abs(run.signals.steps - e.t50).argmin()) for e in known]
                named = [max(where.layers(i, i, i), key=lambda layer: layer.share).layer for i in places]
                right.append(
                    float(np.mean([n == e.layer for n, e in zip(named, known, strict=True)])) if known else np.nan
                )
            table.append((float(np.nanmean(right)), chosen))
    table.sort(key=lambda row: -row[0])
    print(f"\nlayers at the true time: {len(table)} sources looked at, {len(runs)} runs")
    for mean, chosen in table[:rows]:
        print(f"{mean:.3f}  {' + '.join(f'{p.signal}/{p.kernel.width:g}' for p in chosen)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=Path)
    parser.add_argument("--most", type=int, default=2)
    parser.add_argument("--rows", type=int, default=15)
    given = parser.parse_args()
    runs = [read_run(folder.parent) for folder in sorted(given.trials.glob("*/truth.json"))]
    runs = [run for run in runs if run.truth.events]
    if any(run.seed >= CONFIRMING for run in runs):
        raise SystemExit(
            f"{given.trials} holds seeds of {CONFIRMING} or above: these confirm, nothing is chosen on them."
        )
    if learned := [run for run in runs if run.bed in BEHAVIOUR]:
        learned_table(learned, given.most, given.rows)
    if hidden := [run for run in runs if run.bed in GROUPS["hidden"]]:
        hidden_table(hidden, given.rows)
    if placed := [run for run in runs if run.bed in (*GROUPS["hidden"], "v_layer")]:
        layer_table(placed, given.rows)


if __name__ == "__main__":
    main()
