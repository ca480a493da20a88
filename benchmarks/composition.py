"""What the ladder of composition finds where the truth is known, in untrained and in trained networks, and its time.

    python benchmarks/composition.py [--seeds 10] [--steps 2000]

A pair of units that share a class and nothing else; chains of four layers in which unit k reads unit k alone, by width
and by null; layers that are partly sparse; untrained networks of the zoo, in which every edge is false; some of
the same networks in training.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch

from geophone.dig.composition import Rungs, composition_table, rungs
from geophone.training import training_of
from geophone.zoo.catalogue import Experiment, experiment
from geophone.zoo.mlp import MLP
from geophone.zoo.tasks import task

WIDTHS = (4, 6, 8, 16, 32, 64)
UNTRAINED = ("cnn_4_mnist", "mlp_4_mnist", "cnn_batchnorm_4_shapes", "mlp_residual_8_mnist", "vit_2_mnist",
             "attention_2_repeats")  # fmt: skip
TRAINED = ("cnn_4_mnist", "mlp_4_mnist", "vit_2_mnist")


def header(names: list[str]) -> None:
    print(f"| {' | '.join(names)} |\n|---|{'---:|' * (len(names) - 1)}")


def chain(width: int, depth: int, *, bias: float) -> MLP:
    model = MLP(width, [width] * depth, 2)
    for name, part in model.named_children():
        if name != "head":
            part[0].weight.data.copy_(1.5 * torch.eye(width))
            part[0].bias.data.fill_(bias)
    return model


def common_drive(seeds: int) -> None:
    """Early unit 0 and late unit 1 prefer class 0 of 4, each with its own noise; nothing joins them."""
    found = []
    for seed in range(seeds):
        draw, y = torch.Generator().manual_seed(seed), torch.arange(400) % 4
        x = torch.randn(400, 24, generator=draw)
        x[:, :2] += 4.0 * (y == 0).float()[:, None]
        [r] = rungs(chain(24, 2, bias=5.0), ["layer1", "layer2"], x, y, rng=np.random.default_rng(seed))
        found.append([r.pearson[0, 1], r.partial[0, 1], r.path[0, 1], r.effect[0, 1], r.edges[0, 1], r.edges[0, 0]])
    means = np.mean(found, axis=0)
    header(["", "Pearson r", "r within class", "path", "effect", "called an edge", "the true edge found"])
    print(f"| two units of one class, unrelated | {means[0]:.2f} | {means[1]:+.2f} | {means[2]:.0f} | {means[3]:.0f} | "
          f"{100 * means[4]:.0f} % | {100 * means[5]:.0f} % |\n")  # fmt: skip


def hits(found: list[Rungs], width: int) -> tuple[int, int]:
    """True and false edges between neighbouring layers of a chain."""
    same, near = np.eye(width, dtype=bool), [r.edges for r in found if np.isfinite(r.q).any()]
    return sum(int(e[same].sum()) for e in near), sum(int(e[~same].sum()) for e in near)


def chains(seeds: int) -> None:
    header(["width", "rotated: recall", "precision", "depth right", "permuted: recall", "precision"])
    layers = [f"layer{i}" for i in range(1, 5)]
    for width in WIDTHS:
        said = []
        for null in ("rotated", "permuted"):
            counts, depths = [], []
            for seed in range(seeds):
                x, y = torch.randn(96, width, generator=torch.manual_seed(seed)), torch.zeros(96, dtype=torch.long)
                rng = np.random.default_rng(seed)
                found = rungs(chain(width, 4, bias=0.3), layers, x, y, rng=rng, null=null)
                counts.append(hits(found, width))
                depths.append(composition_table(found)["compositional_depth"].iloc[0] == 3)
            right, wrong = np.sum(counts, axis=0)
            precision = f"{right / (right + wrong):.3f}" if right + wrong else "no edge"
            said += [f"{right / (3 * width * seeds):.3f}", precision]
            said += [f"{sum(depths)} of {seeds}"] if null == "rotated" else []
        print(f"| {width} | {' | '.join(said)} |")


def sparse(seeds: int) -> None:
    """Late units that read `k` of 64 early ones with a share of their weights' sum of squares; the rest is dense."""
    print()
    header(["early units read", "of the sum of squares", "recall", "precision"])
    for k, share in ((1, 0.2), (1, 0.5), (2, 0.5), (4, 0.5), (2, 0.9), (4, 0.9), (8, 0.9)):
        counts = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            read = np.stack([rng.permutation(64) < k for _ in range(64)])
            planted = np.sqrt(share / k) * read * rng.choice([-1, 1], (64, 64))
            model = chain(64, 2, bias=0.3)
            dense = rng.normal(size=(64, 64)) * np.sqrt((1 - share) / 64)
            model.layer2[0].weight.data.copy_(torch.from_numpy(planted + dense))
            x = torch.randn(96, 64, generator=torch.manual_seed(seed))
            [found] = rungs(model, ["layer1", "layer2"], x, torch.zeros(96, dtype=torch.long), rng=rng)
            counts.append((int(found.edges[read.T].sum()), int(found.edges.sum())))
        right, called = np.sum(counts, axis=0)
        print(
            f"| {k} | {share} | {right / (64 * k * seeds):.3f} | {f'{right / called:.3f}' if called else 'no edge'} |"
        )


def whole(model: torch.nn.Module, spec: Experiment, seed: int) -> tuple[pd.DataFrame, float]:
    x, y = task(spec.task).probe(64)
    began = time.process_time()
    table = composition_table(rungs(model, spec.layers, x, y, rng=np.random.default_rng(seed)))
    return table, time.process_time() - began


def row(name: str, table: pd.DataFrame, seconds: float) -> None:
    near = table[table["effect_edges"].notna()]
    shares = [table["naive_edges"].sum() / table["pairs"].sum(), near["effect_edges"].sum() / near["pairs"].sum(),
              near["effect_null"].sum() / near["pairs"].sum()]  # fmt: skip
    deepest = table["compositional_depth"].max()
    said = " | ".join(f"{100 * share:.{digits}f} %" for share, digits in zip(shares, (1, 3, 3), strict=True))
    print(f"| {name} | {near['pairs'].sum()} | {said} | {deepest} | {seconds:.1f} |", flush=True)


def networks(seeds: int, steps: int) -> None:
    print()
    header(["network", "neighbouring pairs", "Pearson > 0.7", "effects", "by the null", "depth, most", "s on a core"])
    for name in UNTRAINED:
        spec, parts, seconds = experiment(name), [], []
        for seed in range(min(seeds, 3)):
            torch.manual_seed(seed)
            table, took = whole(spec.build(), spec, seed)
            parts, seconds = [*parts, table], [*seconds, took]
        row(f"{name}, untrained", pd.concat(parts), float(np.mean(seconds)))
    for name in TRAINED:
        spec = experiment(name)
        training = training_of(spec, seed=0)
        for stop in (steps // 20, steps // 4, steps):
            while training.done < stop:
                training.step()
            row(f"{name}, step {stop}", *whole(training.model, spec, 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    common_drive(given.seeds)
    chains(given.seeds)
    sparse(given.seeds)
    networks(given.seeds, given.steps)


if __name__ == "__main__":
    main()
