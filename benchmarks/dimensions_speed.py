"""The dimensions of one matrix against the limit, and against what a user would pick instead, in one run.

    pip install 'geophone[bench]'; python benchmarks/dimensions_speed.py [--rounds 15]

`geophone`: all twelve dimensions (`read`); `stable`: with the traces the two stable ranks, which need the largest
eigenvalues alone; `traces`: those that need none. `limit` is the sum of what no way to two spectra can leave out, each
measured alone on the same matrix: the Gram product of the smaller side (in float32 where `read` takes it so, else in
float64), one tridiagonal reduction by LAPACK, and two of its root-free QL iterations; `product` is the product alone,
in float32. Beside them `torch.linalg.svdvals` and the four estimators of ndtracker, one SVD each (where it is not
installed, that is said). Every round measures all of them in turn, on as many threads as torch has; where
it has more than one, the two QL iterations of large matrices run side by side in `geophone`, and in the limit count
once. Prints a Markdown table of medians in milliseconds, and of medians of each round's ratios.
"""

import argparse
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from geophone.dimensions import CATALOGUE, read
from geophone.dimensions.lapack import sterf, sytrd
from geophone.dimensions.reading import _product_dtype
from geophone.dimensions.spectrum import _SIDE_BY_SIDE, one_lapack_thread

SHAPES = ((64, 128), (128, 512), (256, 512), (512, 512), (256, 6272), (1024, 768), (4096, 64))
TRACES = [d.name for d in CATALOGUE if d.tier == "traces"]
STABLE = [d.name for d in CATALOGUE if d.tier != "spectrum"]
SHOWN = ("product", "traces", "stable", "limit", "geophone", "svdvals", "ndtracker")
RATIOS = (("traces", "product"), ("geophone", "limit"), ("ndtracker", "geophone"))


def product(x: torch.Tensor) -> torch.Tensor:
    return x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x


def parts_of_the_limit(x: torch.Tensor) -> dict[str, Callable[[], object]]:
    """What the limit is the sum of; each call finds its input made."""
    wide = x.to(_product_dtype(x, "spectrum"))
    gram = np.asfortranarray(product(wide - wide.mean(0)).double().numpy())
    m = len(gram)
    copies = iter([])
    diagonal, off = sytrd(gram.copy(order="F"))
    below = diagonal[1:], off[1:]

    def reduction() -> None:
        sytrd(next(copies))

    def made() -> None:
        nonlocal copies
        copies = iter([gram.copy(order="F")])

    def iterations() -> None:
        sterf(diagonal, off)
        if m < _SIDE_BY_SIDE or torch.get_num_threads() == 1:
            sterf(*below)

    return {"product in its format": lambda: product(wide), "": made, "reduction": reduction, "iterations": iterations}


def rivals() -> dict[str, Callable[[torch.Tensor], object]]:
    try:
        from ndt.core import estimators
    except ImportError as error:
        print(f"ndtracker cannot be imported ({error}): left out.\n")
        return {}
    four = (
        estimators.stable_rank,
        estimators.participation_ratio,
        estimators.cumulative_energy_90,
        estimators.nuclear_norm_ratio,
    )
    return {"ndtracker": lambda x: [estimate(x) for estimate in four]}


def times(
    x: torch.Tensor, rounds: int, rivals: Mapping[str, Callable[[torch.Tensor], object]]
) -> dict[str, np.ndarray]:
    """Milliseconds of each contestant on `x`, measured in turn, by round."""
    whole = {
        "product": product,
        "traces": lambda x: read(x, names=TRACES),
        "stable": lambda x: read(x, names=STABLE),
        "geophone": read,
        "svdvals": torch.linalg.svdvals,
        **rivals,
    }
    limit = parts_of_the_limit(x)
    found: dict[str, list[float]] = {name: [] for name in (*whole, *limit)}
    for number in range(rounds + 2):
        for name, run in whole.items():
            start = time.perf_counter()
            run(x)
            found[name].append(1e3 * (time.perf_counter() - start))
        with one_lapack_thread():
            for name, act in limit.items():
                start = time.perf_counter()
                act()
                found[name].append(1e3 * (time.perf_counter() - start))
        if number < 2:
            found = {name: [] for name in found}
    made = {name: np.array(values) for name, values in found.items()}
    return made | {"limit": sum((made[name] for name in limit if name), np.zeros(rounds))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    generator = torch.Generator().manual_seed(0)
    beside = rivals()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {rounds} rounds\n")
    heads = ["n x d", *SHOWN, *(f"{a} / {b}" for a, b in RATIOS)]
    print("| " + " | ".join(heads) + " |\n|---|" + "---:|" * (len(heads) - 1))
    for n, d in SHAPES:
        t = times(torch.relu(torch.randn(n, d, generator=generator)), rounds, beside)
        row = [f"{np.median(t[name]):.2f}" if name in t else "" for name in SHOWN]
        row += [f"{np.median(t[a] / t[b]):.2f}" if a in t else "" for a, b in RATIOS]
        print(f"| {n} x {d} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
