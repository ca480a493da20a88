"""The dimensions of one matrix against what a user would pick instead, on the same tensors in one run.

    pip install 'geophone[bench]'; python benchmarks/dimensions_speed.py [--rounds 15]

`geophone`: all twelve dimensions (`read`); `traces`: those that need no spectrum. Beside them: the bare Gram product
(float32, smaller side), which is the physical limit; `torch.linalg.svdvals`; and the four estimators of ndtracker, one
SVD each. Every round measures all of them in turn. Prints a Markdown table of medians in milliseconds and ratios.
"""

import argparse
import time

import numpy as np
import torch

from geophone.dimensions import CATALOGUE, read

SHAPES = ((64, 128), (128, 512), (256, 512), (512, 512), (256, 6272), (1024, 768), (4096, 64))
TRACES = [d.name for d in CATALOGUE if not d.spectral]


def contestants() -> dict:
    from ndt.core import estimators

    four = (
        estimators.stable_rank,
        estimators.participation_ratio,
        estimators.cumulative_energy_90,
        estimators.nuclear_norm_ratio,
    )
    return {
        "product": lambda x: x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x,
        "traces": lambda x: read(x, names=TRACES),
        "geophone": read,
        "svdvals": torch.linalg.svdvals,
        "ndtracker": lambda x: [estimate(x) for estimate in four],
    }


def medians(x: torch.Tensor, rounds: int) -> dict[str, float]:
    """Median milliseconds of each contestant on `x`, measured in turn."""
    times: dict[str, list[float]] = {name: [] for name in contestants()}
    for number in range(rounds + 2):
        for name, run in contestants().items():
            start = time.perf_counter()
            run(x)
            if number >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    generator = torch.Generator().manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {rounds} rounds\n")
    print(
        "| n x d | product | traces | geophone | svdvals | ndtracker | traces / product | geophone / product |", end=""
    )
    print(" ndtracker / geophone |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    ratios = []
    for n, d in SHAPES:
        t = medians(torch.relu(torch.randn(n, d, generator=generator)), rounds)
        ratios.append(t["ndtracker"] / t["geophone"])
        row = [f"{t[name]:.2f}" for name in ("product", "traces", "geophone", "svdvals", "ndtracker")]
        row += [f"{t['traces'] / t['product']:.2f}", f"{t['geophone'] / t['product']:.2f}", f"{ratios[-1]:.1f}"]
        print(f"| {n} x {d} | " + " | ".join(row) + " |", flush=True)
    print(f"\nndtracker / geophone: geometric mean {np.exp(np.mean(np.log(ratios))):.1f}, least {min(ratios):.1f}")


if __name__ == "__main__":
    main()
