"""The causal detector on series without any change, and on planted ones: the figures of docs/online.md.

    python benchmarks/online.py [--series 1000] [--seed 0]

False alarms per 1,000 measurements on each kind of null (400 measurements a series, the logarithm's noise 2 %), and for
steps planted after 200 measurements of white noise the share heard within 10 measurements and the median delay.
"""

import argparse

import numpy as np

from geophone.detect.cusum import THRESHOLD, OnlineCusum, false_alarm_rate
from geophone.detect.synthetic import NOISE, NULLS, null_series

LENGTH = 400


def delays(height: float, series: int, rng: np.random.Generator, *, at: int = 200) -> np.ndarray:
    """Measurements from a planted step of `height` noise deviations to the first alarm; NaN where there is none."""
    x = rng.normal(size=(series, LENGTH))
    x[:, at:] += height
    detector, first = OnlineCusum(series), np.full(series, np.nan)
    for index, values in enumerate(np.exp(1 + NOISE * x).T):
        heard = detector.update(values) != 0
        if index >= at:
            first[heard & np.isnan(first)] = index - at
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print(f"threshold {THRESHOLD}\n\n| null | false alarms in 1,000 measurements |\n|---|---:|")
    for kind in NULLS:
        made = null_series(kind, series=arguments.series, measurements=LENGTH, rng=rng)
        print(f"| {kind} | {1000 * false_alarm_rate(made.values):.2f} |")
    print("\n| planted step | heard within 10 | median delay |\n|---|---:|---:|")
    for height in (3, 4, 6, 10):
        first = delays(height, arguments.series, rng)
        print(f"| {height} noise deviations | {np.mean(first <= 10):.3f} | {np.nanmedian(first):.0f} measurements |")


if __name__ == "__main__":
    main()
