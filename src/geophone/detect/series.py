"""What every detector reads: one series of measurements and the training steps at which they were taken."""

import numpy as np
import pandas as pd

from geophone import former
from geophone.errors import InputError


def as_series(series) -> tuple[np.ndarray, np.ndarray]:
    """Values (float64) and steps of `series`, a 1-D array (steps are then its indices) or a Series indexed by step.

    Infinite values become NaN: both are gaps. Raises InputError when it is not one-dimensional, not of numbers, or
    its steps do not increase.
    """
    steps = series.index.to_numpy() if isinstance(series, pd.Series) else None
    try:
        values = np.array(series, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"a series is numbers; got {type(series).__name__}: {error}.") from error
    if values.ndim != 1:
        raise InputError(f"a series is one-dimensional (one layer, one dimension); got shape {values.shape}.")
    steps = np.arange(len(values)) if steps is None else steps
    if not np.issubdtype(steps.dtype, np.number) or np.any(np.diff(steps) <= 0):
        raise InputError("a series' steps must be increasing numbers; sort it by step and drop repeats first.")
    values[~np.isfinite(values)] = np.nan
    return values, steps


def stretches(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of every unbroken stretch of true `flags`."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))


def known_mode(mode: str, known: tuple[str, ...]) -> str:
    """`mode`, one of `known`, in today's word. Raises InputError for any other."""
    mode = former.form(mode)
    if mode not in known:
        raise InputError(f"mode={mode!r}; known are {', '.join(known)}.")
    return mode
