"""The causal detector on series without any change, and on planted ones: the figures of docs/online.md.

    python benchmarks/online.py [--series 1000] [--seed 0]

False alarms per 1,000 measurements on each kind of null (400 measurements a series, the logarithm's noise 2 %), and for
steps planted after 200 measurements of white noise the share heard within 10 measurements and the median delay.
"""

import argparse

import numpy as np

from geophone.detect.cusum import THRESHOLD, OnlineCusum, false_alarm_rate

LENGTH = 400
NOISE = 0.02


def nulls(series: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Series without a change, in units of the noise, by kind: (series, LENGTH)."""
    t = np.arange(LENGTH)
    white = rng.normal(size=(series, LENGTH))
    waves = np.sin(2 * np.pi * t / LENGTH * rng.uniform(0.5, 1.5, (series, 1)) + rng.uniform(0, 6, (series, 1)))
    return {
        "white noise": white,
        "AR(.5)": autoregressive(0.5, series, rng),
        "AR(.9)": autoregressive(0.9, series, rng),
        "random walk": rng.normal(size=(series, LENGTH)).cumsum(1),
        "decaying noise": 5 * np.exp(-t / 100) * rng.normal(size=(series, LENGTH)),
        "smooth drift": 8 * waves + rng.normal(size=(series, LENGTH)),
        "learning curve": 60 * np.exp(-t / 15) + 20 * (1 - np.exp(-t / 120)) + rng.normal(size=(series, LENGTH)),
    }


def autoregressive(rho: float, series: int, rng: np.random.Generator) -> np.ndarray:
    shocks = rng.normal(size=(series, LENGTH)) * np.sqrt(1 - rho**2)
    found = np.empty_like(shocks)
    found[:, 0] = rng.normal(size=series)
    for i in range(1, LENGTH):
        found[:, i] = rho * found[:, i - 1] + shocks[:, i]
    return found


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
    for kind, x in nulls(arguments.series, rng).items():
        print(f"| {kind} | {1000 * false_alarm_rate(np.exp(1 + NOISE * x)):.2f} |")
    print("\n| planted step | heard within 10 | median delay |\n|---|---:|---:|")
    for height in (3, 4, 6, 10):
        first = delays(height, arguments.series, rng)
        print(f"| {height} noise deviations | {np.mean(first <= 10):.3f} | {np.nanmedian(first):.0f} measurements |")


if __name__ == "__main__":
    main()
