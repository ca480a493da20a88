"""Evidence tables whose truth is known: what the statistics are held against."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.rows.evidence import MOMENTS, as_table

ARCHITECTURES = ("cnn", "mlp", "transformer")
DIMENSION = "stable_rank"
SELECTIVITY_SD = 0.05


@dataclass(frozen=True, slots=True)
class PlantedEffects:
    """What is planted. `drift`: rise of selectivity over any window, jump or not. `rise`: what a jump adds to it.
    `r`: correlation of the jump's log ratio with new feature types (target minus control), and with compositional
    depth. `only`: the one architecture in which `rise` and `r` hold ("" for all). `nesting`: variance between runs
    beside 1 between rows, in everything, jumps included.
    """

    drift: float = 0.0
    rise: float = 0.0
    r: float = 0.0
    only: str = ""
    nesting: float = 0.25


@dataclass(frozen=True, slots=True)
class PlantedAssociation:
    """What is planted in windows. `time`: deviation of a course over the run that a network's layers have in common in
    all seeds, in both columns, beside noise of 1. `r`: correlation of the noise of both within runs. `only`: the one
    architecture that has it ("" for all)."""

    time: float = 0.0
    r: float = 0.0
    only: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A study: the evidence table, and the phenomena tables "order" and "detection" with their column
    `architecture`."""

    table: pd.DataFrame
    order: pd.DataFrame
    detection: pd.DataFrame


def simulated(truth: PlantedEffects, *, rng: np.random.Generator, runs: int = 8, targets: int = 6) -> Simulated:
    """A study of `runs` runs of each of `ARCHITECTURES`, with 2 to 2 `targets` - 2 targets each and a control for
    every one.

    Numbers are normal: selectivity changes have deviation 0.05 within runs, the others 1; new feature types and depth
    are not rounded. Convergence orders and jumps carry nothing. No network is behind any of it.
    """
    rows, order, detection = [], [], []
    for architecture in ARCHITECTURES:
        on = not truth.only or architecture == truth.only
        for i in range(runs):
            name = f"{architecture}-{i}"
            count = int(rng.integers(2, 2 * targets - 1))
            rows += _run(
                name,
                architecture,
                count,
                truth if on else PlantedEffects(drift=truth.drift, nesting=truth.nesting),
                rng,
            )
            for mode in ("naive", "calibrated"):
                key = {"run": name, "architecture": architecture, "dimension": DIMENSION, "mode": mode}
                order.append({**key, "rho": float(rng.uniform(-1, 1)), "verdict": "weak"})
                detection.append({**key, "detected": int(rng.poisson(4)), "expected_false": 4.0})
    return Simulated(as_table(rows), pd.DataFrame(order), pd.DataFrame(detection))


def _run(name: str, architecture: str, count: int, truth: PlantedEffects, rng: np.random.Generator) -> list[dict]:
    between = np.sqrt(truth.nesting)
    spread = np.sqrt(1 + truth.nesting)

    def nested(rows: int) -> np.ndarray:
        """Deviation 1 over all runs, a share of it in common within this one."""
        return (rng.normal(size=rows) + between * rng.normal()) / spread

    size = nested(count)
    other = np.sqrt(1 - truth.r**2)
    types = truth.r * size + other * nested(count)
    depth = 3 + truth.r * size + other * nested(count)
    shift = SELECTIVITY_SD * between * rng.normal()
    number = float(rng.poisson(8))
    found = []
    for i in range(count):
        common = {
            "pair": f"{name}.conv.step{i:08d}", "run": name, "experiment": name, "architecture": architecture,
            "layer": "conv",
            "dimension": DIMENSION, "mode": "naive", "num_jumps": number,
        }  # fmt: skip
        for role in ("target", "control"):
            hit = role == "target"
            change = truth.drift + rng.normal() * SELECTIVITY_SD / np.sqrt(2) + hit * (truth.rise + shift)
            before = 0.3 + 0.05 * rng.normal()
            found.append(
                {
                    **common, "role": role, "log_magnitude": size[i] if hit else 0.0, "size": abs(size[i]) * hit,
                    "magnitude": 5 * size[i] if hit else 0.0, "new_types_after": types[i] if hit else 0.0,
                    "selectivity_before": before, "selectivity_after": before + change, "selectivity_change": change,
                    **{f"compositional_depth_{m}": depth[i] if hit else 3.0 for m in MOMENTS},
                }
            )  # fmt: skip
    return found


def simulated_windows(
    truth: PlantedAssociation, *, rng: np.random.Generator, networks: int = 8, seeds: int = 3, windows: int = 23
) -> pd.DataFrame:
    """The windows of a study of `networks` networks of each of `ARCHITECTURES`, `seeds` seeds of each, 3 layers: what
    `evidence.windows.window_table` gives, with `stable_rank_log_ratio` and `new_types` alone.

    A network's course falls as exp(-window / tau), with tau and the size of it in each layer and column its own. Noise
    is twice as great in early windows as in the middle and half as great in late ones, is half the same in all layers
    of a run, and half of that of the window before comes back. What a run has of itself is of deviation 0.5.
    """
    layers = 3
    number = np.arange(windows)
    scale = 2.0 ** (1 - 2 * number / (windows - 1))
    steps = np.unique(np.geomspace(5, 2000, 4 * windows).astype(int))[-windows - 1 :]
    parts = []
    for architecture in ARCHITECTURES:
        r = truth.r if truth.only in ("", architecture) else 0.0
        mix = np.array([[1.0, 0.0], [r, np.sqrt(1 - r**2)]])
        for network in range(networks):
            course = np.exp(-number / rng.uniform(3, 9))[:, None] * rng.lognormal(0, 0.5, (layers, 1, 2)) * truth.time
            for seed in range(seeds):
                noise = (rng.normal(size=(layers, windows, 2)) + rng.normal(size=(1, windows, 2))) @ mix.T / np.sqrt(2)
                for i in range(1, windows):
                    noise[:, i] = 0.5 * noise[:, i - 1] + np.sqrt(0.75) * noise[:, i]
                values = course + noise * scale[:, None] + 0.5 * rng.normal(size=(layers, 1, 2))
                for layer in range(layers):
                    parts.append(
                        pd.DataFrame(
                            {
                                "run": f"{architecture}-{network}-seed{seed}",
                                "experiment": f"{architecture}-{network}",
                                "architecture": architecture, "seed": seed, "layer": f"layer{layer}", "depth": layer,
                                "window": number, "before": steps[:-1], "after": steps[1:],
                                "log_step": (np.log1p(steps[:-1]) + np.log1p(steps[1:])) / 2,
                                "stable_rank_log_ratio": values[layer, :, 0], "new_types": values[layer, :, 1],
                            }
                        )
                    )  # fmt: skip
    return pd.concat(parts, ignore_index=True)
