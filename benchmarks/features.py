"""Types of units that were made by hand, and of noise: the confusion matrix.

python benchmarks/features.py [--noise 400] [--seeds 3]
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from geophone.dig.features import TYPES, UNTYPED, thresholds, tuning, types
from geophone.dig.stimuli import bank

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "dig"))

from hand_built import SIDE, filters, noise_layer


def confusion(noise: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    built, stimuli = filters(noise=noise, rng=rng), bank(3, SIDE, rng=rng)
    null = tuning(noise_layer(noise, rng=rng), ["1"], stimuli)["1"]
    found = types(tuning(built.model, ["1"], stimuli)["1"], thresholds([null]))
    columns = [*TYPES, UNTYPED]
    return pd.crosstab(built.truth, found).reindex(columns, fill_value=0).reindex(columns=columns, fill_value=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--noise", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    total = sum(confusion(given.noise, seed) for seed in range(given.seeds))
    print(f"| built as | {' | '.join(total.columns)} | right |\n|---|{'---:|' * (len(total.columns) + 1)}")
    for kind, row in total[total.sum(axis=1) > 0].iterrows():
        name = "white noise" if kind == UNTYPED else kind
        print(f"| {name} | {' | '.join(str(v) for v in row)} | {100 * row[kind] / row.sum():.1f} % |")
    print(f"\nDraws: {given.seeds}, in {time.perf_counter() - start:.0f} s.")


if __name__ == "__main__":
    main()
