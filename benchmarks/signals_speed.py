"""What the signals of one layer cost a measurement, on one thread, at 256 samples.

    python benchmarks/signals_speed.py [--rounds 30]

`prepare` is what a representation costs before it is compared (one ridge); `cka` and `readable` the whole price of one
change of that kind, preparation included; `all` everything that `LayerChanges.update` returns (two ridges, three lags,
the leading subspace), `without subspace` the same without it. Milliseconds, medians over rounds, beside the bounds: cka
2.0 at d = 768, readable 1.0 up to d = 128 and 4.0 at d = 768. Exits with 1 where a bound is broken.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from geophone.signals import RIDGE, LayerChanges, cka_change, compare, readable_change, readable_gain, represent

SAMPLES = 256
WIDTHS = (16, 32, 64, 128, 256, 768)
BOUNDS = {("cka", 768): 2.0, **{("readable", d): 1.0 for d in (16, 32, 64, 128)}, ("readable", 768): 4.0}


def median(run: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 3):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[3:]))


def prices(d: int, rounds: int) -> dict[str, float]:
    rng = np.random.default_rng(d)
    x = np.maximum(rng.normal(size=(SAMPLES, d)), 0).astype(np.float32)
    y = (x + 0.1 * rng.normal(size=x.shape)).astype(np.float32)
    then, bare = represent(x, ridges=(RIDGE,), leading=0), represent(x, ridges=(), leading=0)

    def readable() -> tuple[float, float]:
        both = compare(represent(y, ridges=(RIDGE,), leading=0), then)
        return readable_change(both), readable_gain(both)

    whole, part = LayerChanges(), LayerChanges(subspace=False)
    for layer in (whole, part):
        for _ in range(9):
            layer.update(x)
    return {
        "prepare": median(lambda: represent(y, ridges=(RIDGE,), leading=0), rounds),
        "cka": median(lambda: cka_change(compare(represent(y, ridges=(), leading=0), bare)), rounds),
        "readable": median(readable, rounds),
        "without subspace": median(lambda: part.update(y), rounds),
        "all": median(lambda: whole.update(y), rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    table = {d: prices(d, rounds) for d in WIDTHS}
    names = list(table[WIDTHS[0]])
    print("| d | " + " | ".join(names) + " |\n|---:|" + "---:|" * len(names))
    for d, row in table.items():
        print(f"| {d} | " + " | ".join(f"{row[name]:.2f}" for name in names) + " |")
    broken = [
        f"{name} at d = {d}: {table[d][name]:.2f} > {bound}"
        for (name, d), bound in BOUNDS.items()
        if table[d][name] > bound
    ]
    print("bounds hold" if not broken else "broken: " + "; ".join(broken))
    raise SystemExit(bool(broken))


if __name__ == "__main__":
    main()
