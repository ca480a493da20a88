"""What recording costs a training: the same network trained with and without a recorder, in turn.

    python benchmarks/overhead.py [--network cnn_4_mnist] [--rounds 15] [--steps 50]

Each round trains `steps` updates without and then with a recorder (every 5 steps, probe of 64 samples, the whole
catalogue of dimensions, rows to disk), so that a slow spell of the machine falls on both. Prints the medians per
step and the median of the rounds' ratios with its quartiles.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from geophone.record import Recorder
from geophone.train import Training
from geophone.zoo.catalogue import experiment


def timed(steps: int, training: Training, recorder: Recorder | None) -> float:
    """Seconds per step."""
    start = time.perf_counter()
    for _ in range(steps):
        outcome = training.step()
        if recorder is not None:
            recorder.step(loss=outcome.loss)
    return (time.perf_counter() - start) / steps


def compare(name: str, *, rounds: int, steps: int, every: int = 5, probe: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Seconds per step of each round, without and with a recorder."""
    plain, recorded = Training(experiment(name), seed=0), Training(experiment(name), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(
            recorded.model,
            recorded.task.probe(probe)[0],
            out=Path(folder) / "run",
            every=every,
            layers=recorded.spec.layers,
        )
        with recorder:
            timed(20, plain, None)
            timed(20, recorded, recorder)
            times = [(timed(steps, plain, None), timed(steps, recorded, recorder)) for _ in range(rounds)]
    return tuple(np.array(times).T)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="cnn_4_mnist")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    without, with_recorder = compare(arguments.network, rounds=arguments.rounds, steps=arguments.steps)
    low, median, high = 100 * (np.quantile(with_recorder / without, [0.25, 0.5, 0.75]) - 1)
    print(
        f"{arguments.network}: {1e3 * np.median(without):.2f} ms a step without, "
        f"{1e3 * np.median(with_recorder):.2f} ms with; overhead {median:.1f} % (quartiles {low:.1f} to {high:.1f})"
    )


if __name__ == "__main__":
    main()
