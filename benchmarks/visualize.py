"""Preferred images of 20 units in 3 checkpoints, 512 steps: all in one batch against one after another.

    python benchmarks/visualize.py [--rounds 3] [--steps 512] [--singles 3] [--threads N]

One by one is the same code called for one unit of one checkpoint; `--singles` of the 60 calls are timed in each round
and scaled to 60. Rounds take turns; medians, and the least and greatest ratio of a round.
"""

import argparse
import time

import numpy as np
import torch

from geophone.dig.visualize import Canvas, Style, units_of, visualize
from geophone.zoo.catalogue import experiment
from geophone.zoo.tasks import task

CASES = (("cnn_4_mnist", "conv1"), ("cnn_4_mnist", "conv2"), ("cnn_4_mnist", "conv4"), ("mlp_4_mnist", "layer2"))
UNITS, CHECKPOINTS = 20, 3


def seconds(models: list, layer: str, units: list[int], canvas: Canvas, style: Style) -> float:
    count = dict(models[0].named_modules())[layer][0].weight.shape[0]
    start = time.perf_counter()
    visualize(models, layer, units_of(units, count), canvas, rng=np.random.default_rng(0), style=style)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=512)
    parser.add_argument("--singles", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch; default: its own")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    style, canvas = Style(steps=given.steps), Canvas.of(task("mnist").probe(256)[0])
    print(f"torch {torch.__version__}, {given.threads} thread(s), {given.steps} steps\n")
    print("| layer | one batch of 60, s | one by one, s | faster by | range |\n|---|---:|---:|---:|---:|")
    for name, layer in CASES:
        models = []
        for seed in range(CHECKPOINTS):
            torch.manual_seed(seed)
            models.append(experiment(name).build())
        seconds(models, layer, [0], canvas, Style(steps=4))
        times = []
        for _ in range(given.rounds):
            batch = seconds(models, layer, list(range(UNITS)), canvas, style)
            single = np.mean([seconds(models[:1], layer, [k], canvas, style) for k in range(given.singles)])
            times.append((batch, UNITS * CHECKPOINTS * single))
        batch, alone = np.median(times, axis=0)
        ratios = [b / a for a, b in times]
        print(f"| {name} {layer} | {batch:.1f} | {alone:.1f} | {np.median(ratios):.1f} | "
              f"{min(ratios):.1f} to {max(ratios):.1f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
