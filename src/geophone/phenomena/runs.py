"""What is known of a run, how surrogates are drawn, and every table that many runs make."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.records import Layer

Tables = dict[str, pd.DataFrame]
# Random streams keep the names that they were given first: by another, every p of an older study would be another.
_FIRST_NAMES = {"naive": "seed", "calibrated": "robust", "architecture and task": "family and task"}


@dataclass(frozen=True, slots=True, eq=False)
class RunSeries:
    """One run: `series` maps a dimension to its table (steps x layers), `loss` is its mean since the measurement
    before, by step (None where the loop gave none); the last three are None where they are not known."""

    name: str
    layers: tuple[Layer, ...]
    total_steps: int
    series: Mapping[str, pd.DataFrame]
    loss: pd.Series | None = None
    experiment: str | None = None
    architecture: str | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Draws:
    """How many surrogates each null has, and the random seed that they are drawn from."""

    surrogates: int = 999
    seed: int = 0

    def stream(self, *words: str) -> np.random.Generator:
        """The random stream for one purpose, so that a new purpose does not move the others."""
        names = [_FIRST_NAMES.get(word, word) for word in words]
        return np.random.default_rng([self.seed, *(zlib.crc32(name.encode()) for name in names)])


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all tables of one kind."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]
