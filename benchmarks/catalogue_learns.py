"""Does every network of the catalogue learn its task? Prints the table of docs/zoo.md.

    python benchmarks/catalogue_learns.py [GLOB] [--workers N] [--seed S]

Each experiment is trained for its full number of steps on one thread, without recording; accuracy is that on the
held-out test samples. `done` is how much of the way from chance to perfect it went: (accuracy - chance) /
(1 - chance).
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch

from geophone.training import held_out_accuracy, training_of
from geophone.zoo.catalogue import experiment, names
from geophone.zoo.tasks import task

HEADER = "| experiment | task | steps | accuracy | chance | done | seconds | ms a step | parameters |"


def learn(name: str, *, seed: int) -> str:
    """Train `name` and give its row of the table."""
    torch.set_num_threads(1)
    spec = experiment(name)
    training = training_of(spec, seed=seed)
    started = time.perf_counter()
    for _ in range(spec.steps):
        training.step()
    seconds = time.perf_counter() - started
    data = task(spec.task)
    accuracy, chance = held_out_accuracy(training.model, data), data.chance
    parameters = sum(p.numel() for p in training.model.parameters())
    return (
        f"| `{name}`{' (grokking)' if spec.grokking else ''} | {spec.task} | {spec.steps} | {accuracy:.3f} "
        f"| {chance:.3f} | {(accuracy - chance) / (1 - chance):.2f} | {seconds:.0f} "
        f"| {1e3 * seconds / spec.steps:.1f} | {parameters:,} |"
    )


def main() -> None:
    """Read the command line, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("glob", nargs="?", default="*", help="which experiments; all by default")
    parser.add_argument("--workers", type=int, default=2, help="processes side by side, of one thread each")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(HEADER)
    print("|---|---|" + "---:|" * 7, flush=True)
    started = time.perf_counter()
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
        for row in pool.map(partial(learn, seed=chosen.seed), names(chosen.glob)):
            print(row, flush=True)
    print(f"\nIn all {time.perf_counter() - started:.0f} s with {chosen.workers} worker(s).")


if __name__ == "__main__":
    main()
