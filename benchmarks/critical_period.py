"""A planted critical period: blurred images during the first part of training, after Achille, Rovere & Soatto (2019).

    python benchmarks/critical_period.py [--seeds 20] [--lengths 100 300 900 2700] [--after 2000] [--out FILE.csv]

A perceptron of two layers learns 300 of the 8x8 digits. For the first 100 to 2,700 steps it sees them blurred (pooled
to 2x2 pixels and drawn large again), then sharp for 2,000 steps more, with the same optimizer and the same order of
minibatches as the undisturbed run of its seed. The deficit is accuracy lost on 597 held-out digits beside the
undisturbed run after as many steps in all ("total"), and beside it after as many sharp steps ("sharp"). Two controls
have a first part of the greatest length: one sees sharp images in another order (no deficit at all), one sees them
upside down, which Achille et al. found to leave no trace. The test is that of `geophone dig --recovery`; times to 95 %
of the undisturbed accuracy are compared with those of the first control.
"""

import argparse
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recovery_verdict import recovery_verdict
from torch import nn

from geophone.training import held_out_accuracy, objective_of, training_of
from geophone.zoo import data
from geophone.zoo.catalogue import Experiment
from geophone.zoo.mlp import MLP
from geophone.zoo.tasks import Stored, Task

SAMPLES = 300
HORIZONS = (100, 500)
EVERY = 20
MARGIN = 0.01
CONTROL = "another order"


@dataclass(frozen=True)
class Arm:
    """One course of training: what the first `length` steps see, and in which order."""

    name: str
    length: int
    task: Task
    order: int | None = None


def blurred(x: torch.Tensor) -> torch.Tensor:
    small = nn.functional.avg_pool2d(x, 4)
    return nn.functional.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)


def tasks() -> dict[str, Task]:
    """The digits as they are, blurred, and upside down; held-out ones are sharp in all of them."""
    whole = data.digits()
    sharp = replace(
        whole,
        train_x=whole.train_x[:SAMPLES],
        train_y=whole.train_y[:SAMPLES],
        test_x=torch.cat([whole.test_x, whole.probe_x[:297]]),
        test_y=torch.cat([whole.test_y, whole.probe_y[:297]]),
    )
    seen = {"sharp": sharp.train_x, "blurred": blurred(sharp.train_x), "upside down": sharp.train_x.flip(2)}
    return {n: Task(n, "image", 10, 0.1, Stored(replace(sharp, train_x=x))) for n, x in seen.items()}


def course(spec: Experiment, arm: Arm, sharp: Task, *, seed: int, moments: list[int]) -> dict[int, float]:
    """Held-out accuracy of one arm at `moments`, in steps since the beginning."""
    training = training_of(spec, seed=seed)
    training.objective, training.fork = objective_of(spec, training.model, arm.task), arm.order
    found = {}
    for moment in moments:
        while training.done < moment:
            if training.done == arm.length:
                training.objective, training.fork = objective_of(spec, training.model, sharp), None
            training.step()
        found[moment] = held_out_accuracy(training.model, sharp)
    return found


def moments_of(length: int, after: int) -> list[int]:
    return sorted({length + s for s in (*range(EVERY, 501, EVERY), *HORIZONS, after)})


def measure(seed: int, arms: list[Arm], spec: Experiment, sharp: Task, after: int) -> list[dict]:
    """A row an arm and horizon: accuracy, and the deficits beside the undisturbed run of the same seed."""
    needed = {m for arm in arms for m in (*moments_of(arm.length, after), *moments_of(0, after))}
    undisturbed = course(spec, Arm("none", 0, sharp), sharp, seed=seed, moments=sorted(needed))
    rows = []
    for arm in arms:
        accuracy = course(spec, arm, sharp, seed=seed, moments=moments_of(arm.length, after))
        near = [m for m, a in accuracy.items() if a >= 0.95 * undisturbed[m]]
        for horizon in (*HORIZONS, after):
            at = arm.length + horizon
            rows.append(
                {
                    "seed": seed, "arm": arm.name, "length": arm.length, "horizon": horizon, "accuracy": accuracy[at],
                    "deficit": undisturbed[at] - accuracy[at], "deficit_sharp": undisturbed[horizon] - accuracy[at],
                    "steps_to_95": (min(near) if near else at) - arm.length, "recovered": bool(near),
                }
            )  # fmt: skip
    return rows


def report(table: pd.DataFrame, after: int) -> None:
    rng = np.random.default_rng(0)
    heads = ["first part", "steps", *(f"deficit at {h}" for h in HORIZONS), f"at {after}, in all [90 %]"]
    heads += [f"at {after}, sharp", "sign flip p", "TOST p", "steps to 95 % (log-rank p)", "verdict"]
    print(f"| {' | '.join(heads)} |\n|---|{'---:|' * (len(heads) - 2)}---|")
    control = table[(table["arm"] == CONTROL) & (table["horizon"] == after)]
    for (name, length), rows in table.groupby(["arm", "length"], sort=False):
        extra = {str(h): part.sort_values("seed")["deficit"].to_numpy() for h, part in rows.groupby("horizon")}
        last = rows[rows["horizon"] == after]
        times = [tuple(part[c].to_numpy() for part in (last, control)) for c in ("steps_to_95", "recovered")]
        said = recovery_verdict(extra, None if name == CONTROL else times, margin=MARGIN, rng=rng)
        early = " | ".join(f"{100 * extra[str(h)].mean():+.1f}" for h in HORIZONS)
        interval = f"{100 * said.equivalence.low:+.1f}, {100 * said.equivalence.high:+.1f}"
        print(
            f"| {name} | {length} | {early} | {100 * said.plateau.statistic:+.2f} [{interval}] | "
            f"{100 * last['deficit_sharp'].mean():+.2f} | {said.plateau.p:.4f} | {said.equivalence.p:.4f} | "
            f"{last['steps_to_95'].median():.0f} (p {said.time.p:.4f}) | {said.verdict} |"
        )
    growth(table[(table["arm"] == "blurred") & (table["horizon"] == after)], rng)


def growth(blur: pd.DataFrame, rng: np.random.Generator) -> None:
    """Does the deficit grow with its length: the slope on ln(length) of each seed, and the steps from one length on."""
    wide = blur.pivot(index="seed", columns="length", values="deficit")
    x = np.log(wide.columns.to_numpy(float))
    slopes = np.polyfit(x, wide.to_numpy().T, 1)[0]
    tested = recovery_verdict({"slope": slopes}, margin=MARGIN, rng=rng).plateau
    print(f"\nGrowth: {100 * np.log(3) * tested.statistic:+.2f} points for each threefold length, "
          f"sign flip p = {tested.p:.4f} ({tested.n} seeds).")  # fmt: skip
    for short, long in zip(wide.columns, wide.columns[1:], strict=False):
        step = recovery_verdict({"step": (wide[long] - wide[short]).to_numpy()}, margin=MARGIN, rng=rng).plateau
        print(f"{short} to {long} steps: {100 * step.statistic:+.2f} points, p = {step.p:.4f}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 300, 900, 2700])
    parser.add_argument("--after", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    seen = tasks()
    spec = Experiment("digits", "mlp", seen["sharp"], partial(MLP, 64, (64, 64), 10), (), "plain", 2, 64)
    longest = max(given.lengths)
    arms = [
        *(Arm("blurred", length, seen["blurred"]) for length in given.lengths),
        Arm("upside down", longest, seen["upside down"]),
        Arm(CONTROL, longest, seen["sharp"], order=0),
    ]
    began, rows = time.perf_counter(), []
    for seed in range(given.seeds):
        rows += measure(seed, arms, spec, seen["sharp"], given.after)
        print(f"seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
        if given.out:
            pd.DataFrame(rows).to_csv(given.out, index=False)
    report(pd.DataFrame(rows), given.after)


if __name__ == "__main__":
    main()
