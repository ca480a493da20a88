"""What a method may look at: every recorded series of a run, as measurements x layers, and what rivals have."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geophone.prove.events import ANY, event_list, merged
from geophone.prove.targeting import APART, LEAST, Truth, truth
from geophone.store.run import Run
from geophone.store.tables import read_table

DIMENSIONS = (
    "stable_rank",
    "stable_rank_uncentred",
    "participation_ratio",
    "participation_ratio_unbiased",
    "effective_rank",
    "spectral_entropy_rank",
    "rankme",
    "nuclear_rank",
    "pcs_90",
    "numerical_rank",
    "mean_fraction",
    "dead_fraction",
)
TURNS = {"turn1": 1, "turn4": 4}
LEVELS = ("gradient_norm", "update_norm", *TURNS)
SPEEDS = ("loss", "probe_loss", "weight_norm")
RIVALS = (*SPEEDS, *LEVELS)
_FRACTIONS = ("mean_fraction", "dead_fraction")
_TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """One quantity over a run: `y` (measurements, layers), its logarithm unless it is a fraction, gaps filled;
    `layers` are the columns' names, (ANY,) where the quantity is of the whole network."""

    y: np.ndarray
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """All signals of one run, and its truth. `strict` is the truth with a reach of 5 measurements for every event."""

    name: str
    bed: str
    seed: int
    steps: np.ndarray
    layers: tuple[str, ...]
    signals: Mapping[str, Signal]
    truth: Truth
    strict: Truth
    planted: tuple[int, ...]


def read_signals(folder: Path) -> Signals:
    """The signals of a recorded trial.

    Events whose t50 lies within the first 5 measurements are left out: nothing was measured before them. Those closer
    to one another than 11 measurements are one (`events.merged`). Raises StoreError when the trial is not there.
    """
    run = Run(folder)
    scalars = run.scalars()
    measured = scalars[scalars["index"].notna()]
    steps = measured.index.to_numpy(dtype=np.float64)
    every = float(np.median(np.diff(steps)))
    names = tuple(layer.name for layer in run.layers)
    found = {name: Signal(_logarithm(name, table.to_numpy()), names) for name, table in run.all_series().items()}
    found["loss"] = Signal(
        _log(_since_last(scalars["loss"].to_numpy(), scalars.index.to_numpy(), steps)[:, None]), (ANY,)
    )
    for name in ("probe_loss", "gradient_norm", "weight_norm", "update_norm"):
        found[name] = Signal(_log(measured[name].to_numpy(dtype=np.float64)[:, None]), (ANY,))
    for name, lag in TURNS.items():
        turned = np.stack([measured[f"{name}:{layer}"].to_numpy(dtype=np.float64) for layer in names], axis=1)
        found[name] = Signal(np.log(np.maximum(_filled(_centred(turned, lag)), _TINY)), names)
    events = [e for e in event_list(read_table(folder / "events.parquet")) if e.t50 >= LEAST * every]
    together = merged(events, apart=APART * every)
    about = run.manifest.about
    return Signals(
        name=run.name,
        bed=str(about["testbed"]),
        seed=int(about["seed"]),
        steps=steps,
        layers=names,
        signals=found,
        truth=truth(together, steps),
        strict=truth(together, steps, reach=LEAST),
        planted=tuple(about.get("planted", ())),
    )


def _logarithm(name: str, values: np.ndarray) -> np.ndarray:
    return _filled(values) if name in _FRACTIONS else _log(values)


def _log(values: np.ndarray) -> np.ndarray:
    positive = np.isfinite(values) & (values > 0)
    return _filled(np.where(positive, np.log(np.where(positive, values, 1.0)), np.nan))


def _filled(values: np.ndarray) -> np.ndarray:
    """Gaps bridged by straight lines, the ends by the nearest value; a column without any value becomes 0."""
    out = np.array(values, dtype=np.float64)
    places = np.arange(len(out))
    for column in out.T:
        there = np.isfinite(column)
        column[:] = np.interp(places, places[there], column[there]) if there.any() else 0.0
    return out


def _since_last(loss: np.ndarray, at: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The mean loss over the steps since the measurement before."""
    total = np.concatenate([[0.0], np.cumsum(loss)])
    ends = np.searchsorted(at, steps, side="right")
    begins = np.concatenate([[0], ends[:-1]])
    return (total[ends] - total[begins]) / np.maximum(ends - begins, 1)


def _centred(turned: np.ndarray, lag: int) -> np.ndarray:
    """What is between two measurements, put at their middle: 1 - CKA(t, t - lag) stands lag // 2 earlier."""
    early = lag // 2
    return np.concatenate([turned[early:], np.full((early, turned.shape[1]), np.nan)]) if early else turned
