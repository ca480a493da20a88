"""What recording costs a training, against what a user would pick instead: all of them in turn, in one run.

    pip install 'geophone[bench]'; python benchmarks/overhead.py [--networks cnn_4_mnist ...] [--rounds 15]

Each round trains the same network for `steps` updates plainly, with a geophone Recorder (a probe of 64 held-out
samples, all twelve dimensions, rows to disk), with one in band, with ndtracker's HighFrequencyTracker (four metrics,
on the training batch) and with delve's SaturationTracker (one metric, on the training batch), so that a slow spell of
the machine falls on all. Everything is recorded every 5 steps at batch 64. Prints a Markdown table: milliseconds a step
without, and for each recorder the median over rounds of the time it adds, with quartiles.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from geophone.record import Recorder
from geophone.training import Training, training_of
from geophone.zoo.catalogue import Experiment, experiment
from geophone.zoo.tasks import task

NETWORKS = ("mlp_4_mnist", "cnn_4_mnist", "vit_2_mnist", "decoder_2_text")
EVERY, SAMPLES = 5, 64


def plainly(training: Training, spec: Experiment, folder: Path) -> Callable[[float], None]:
    return lambda loss: None


def geophone(training: Training, spec: Experiment, folder: Path) -> Callable[[float], None]:
    probe = task(spec.task).probe(SAMPLES)[0]
    layers = spec.layers
    recorder = Recorder(training.model, probe, out=folder / "probe", every=EVERY, layers=layers)
    return lambda loss: recorder.step(loss=loss)


def in_band(training: Training, spec: Experiment, folder: Path) -> Callable[[float], None]:
    recorder = Recorder(training.model, "batch", out=folder / "band", every=EVERY, layers=spec.layers)
    return lambda loss: recorder.step(loss=loss)


def ndtracker(training: Training, spec: Experiment, folder: Path) -> Callable[[float], None]:
    from ndt.core.tracker import HighFrequencyTracker

    class Tracker(HighFrequencyTracker):
        """ndtracker 2.0.0 calls view() on what convolutions put out, which is not contiguous on a CPU: it then logs an
        error and records nothing. A copy first lets it take part."""

        def _prepare_activation_matrix(self, activation):
            return super()._prepare_activation_matrix(activation.contiguous())

    modules = dict(training.model.named_modules())
    layers = [modules[name] for name in spec.layers]
    tracker = Tracker(training.model, layers=layers, layer_names=list(spec.layers), sampling_frequency=EVERY)
    return lambda loss: tracker.log(training.done, loss)


def delve(training: Training, spec: Experiment, folder: Path) -> Callable[[float], None]:
    from delve import SaturationTracker

    tracker = SaturationTracker(
        str(folder / "delve"), save_to="csv", modules=training.model, log_interval=EVERY, device="cpu"
    )
    count = iter(range(1, 10**9))

    def log(loss: float) -> None:
        if next(count) % EVERY == 0:
            tracker.add_saturations()

    return log


CONTESTANTS = {"geophone": geophone, "in band": in_band, "ndtracker": ndtracker, "delve": delve}


def compare(name: str, *, rounds: int, steps: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Seconds per step by contestant and round, and why a contestant could not take part."""
    absent: dict[str, str] = {}
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        running = {}
        spec = experiment(name)
        for label, attach in {"without": plainly, **CONTESTANTS}.items():
            training = training_of(spec, seed=0)
            try:
                after = attach(training, spec, Path(folder))
                _train(training, after, 2 * EVERY)
            except Exception as error:  # a rival may fail in any way; the table says how
                absent[label] = f"{type(error).__name__}: {error}"
                continue
            running[label], times[label] = (training, after), []
        for _ in range(rounds):
            for label, (training, after) in running.items():
                times[label].append(_train(training, after, steps))
    return {label: np.array(values) for label, values in times.items()}, absent


def _train(training: Training, after: Callable[[float], None], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        after(training.step().loss)
    return (time.perf_counter() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=30)
    logging.disable(logging.INFO)
    arguments = parser.parse_args()
    print("| network | ms a step | " + " | ".join(CONTESTANTS) + " |\n|---|---:|" + "---:|" * len(CONTESTANTS))
    for name in arguments.networks:
        times, absent = compare(name, rounds=arguments.rounds, steps=arguments.steps)
        cells = []
        for label in CONTESTANTS:
            if label in absent:
                cells.append(f"does not run ({absent[label][:80]})")
                continue
            low, middle, high = 100 * (np.quantile(times[label] / times["without"], [0.25, 0.5, 0.75]) - 1)
            cells.append(f"{middle:.1f} % ({low:.1f} to {high:.1f})")
        print(f"| `{name}` | {1e3 * np.median(times['without']):.2f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
