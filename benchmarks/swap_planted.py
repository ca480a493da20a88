"""Does the swap test name the layer that learned? Five tasks that one known block each can learn, at drawn times.

    python benchmarks/swap_planted.py [--transitions 40] [--first-seed 0]

A transition is a task's way from a mean probability below .57 of the right answer to .92 or more; the network before it
and the one after it are what the test is given. Its samples are told in one half of the table (the task's own), and in
the other found as a dig finds them (those that moved most), where two tasks may be under way at once.
"""

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from geophone.dig.swap import moved
from geophone.point.swap import Pair, SwapTest, Weights, mixed, parts_of, swap_test
from geophone.prove.bed import Setting
from geophone.prove.testbeds.private import layered
from geophone.signals import class_probability
from geophone.training import Training

EVERY = 10
LOW, MIDDLE, HIGH, LEARNED = 0.57, 0.75, 0.92, 0.9
NAMED, SHARE, SPILL = 0.95, 0.70, 0.05


def course(seed: int, setting: Setting) -> tuple[dict[int, Weights], np.ndarray]:
    """Train; the weights at every tenth step, and the probability of the right answer (moments, samples)."""
    (x, y), model = setting.probe, setting.model
    training = Training(model, setting.optimizer, setting.objective, seed)
    kept, p = {}, []
    for step in range(1, setting.steps + 1):
        training.step()
        if step % EVERY == 0:
            with torch.no_grad():
                p.append(class_probability(model(x), y).numpy())
            kept[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return kept, np.array(p)


def windows(p: np.ndarray) -> tuple[int, int] | None:
    """The moments before and after a task was learned, from its mean probability; None where it was not."""
    if p[-10:].mean() < LEARNED or not (p >= MIDDLE).any():
        return None
    half = int(np.argmax(p >= MIDDLE))
    low = np.flatnonzero(p[: half + 1] < LOW)
    high = half + np.flatnonzero(p[half:] >= HIGH)
    return (int(low[-1]), int(high[0])) if len(low) and len(high) else None


def transitions(seed: int) -> Iterator[dict]:
    setting = layered(seed)
    (x, y), tasks = setting.probe, setting.clock.samples
    kept, p = course(seed, setting)
    steps = list(kept)

    def answers(weights: Weights) -> np.ndarray:
        with torch.no_grad():
            return class_probability(torch.func.functional_call(setting.model, dict(weights), (x,)), y).numpy()

    for task, own in tasks.items():
        if (window := windows(p[:, own].mean(1))) is None:
            continue
        pair = Pair(kept[steps[window[0]]], kept[steps[window[1]]])
        before, after = answers(pair.before), answers(pair.after)
        parts = parts_of(setting.layers, pair.after)
        truth = setting.layers[list(tasks).index(task)]
        told = swap_test(pair, answers, parts, own=np.flatnonzero(own))
        found = swap_test(pair, answers, parts, own=moved(before, after))
        without = answers(mixed(pair.after, pair.before, [part for part in parts if part.name == told.named.part]))
        known = [mask for name, mask in tasks.items() if name != task and after[mask].mean() > 0.8]
        yield {
            "seed": seed, "task": task, "steps": steps[window[1]] - steps[window[0]], "gain": told.gain,
            "named": told.named.part == truth, "share": told.named.share, "wrong": _best_wrong(told, truth),
            "other tasks": max((float((after - without)[mask].mean()) for mask in known), default=0.0),
            "named by movers": found.named.part == truth,
            "share by movers": found.named.share,
        }  # fmt: skip


def _best_wrong(test: SwapTest, truth: str) -> float:
    return max(swap.share for swap in test.swaps if swap.part != truth)


def verdict(table: pd.DataFrame) -> bool:
    """Print what is asked of the test and what it reaches; whether all of it holds."""
    spill = table["other tasks"]
    lines = {
        f"names the layer in {table['named'].sum()} of {len(table)} (aim: {NAMED:.0%})": table["named"].mean() >= NAMED,
        f"takes {table['share'].median():.2f} of the learned p in the median, {table['share'].quantile(0.1):.2f} in "
        f"the tenth percentile (aim: median {SHARE:.2f})": table["share"].median() >= SHARE,
        f"and {spill.median():.3f} of the worst other task in the median, {spill.quantile(0.9):.3f} in the ninetieth "
        f"percentile (aim: median {SPILL:.2f})": spill.median() <= SPILL,
    }  # fmt: skip
    for line, holds in lines.items():
        print(f"{'holds' if holds else 'FAILS'}: {line}")
    print(
        f"the best wrong layer has {table['wrong'].median():.2f}; with the samples found by their movement the layer "
        f"is named in {table['named by movers'].sum()}, with {table['share by movers'].median():.2f} in the median"
    )
    return all(lines.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transitions", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    start, seed, rows = time.perf_counter(), given.first_seed, []
    while len(rows) < given.transitions:
        rows += list(transitions(seed))
        seed += 1
        print(f"seed {seed - 1}: {len(rows)} transitions, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    table = pd.DataFrame(rows[: given.transitions])
    print(table.round(3).to_string(index=False))
    sys.exit(0 if verdict(table) else 1)


if __name__ == "__main__":
    main()
