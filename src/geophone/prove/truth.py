"""What happened in a run, kept where no method looks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from geophone.prove.bed import Clock
from geophone.prove.events import Event, event_list, event_table, merged
from geophone.store.tables import write_text

TRUTH = "truth.json"
LEAST = 5
MOST = 0.05
APART = 2 * LEAST + 1


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The events of one run, how far from its t50 each can be hit (`reach`, in steps), and the steps measured.

    `samples` are the scored samples of the probe that belong to an event's task, by event name, where it has a task;
    `planted` the steps at which data, objective or optimizer were changed.
    """

    events: tuple[Event, ...]
    reach: tuple[float, ...]
    steps: np.ndarray
    samples: Mapping[str, np.ndarray]
    planted: tuple[int, ...]

    @property
    def windows(self) -> list[int]:
        """How many measurements hit each event."""
        return [
            int((np.abs(self.steps - event.t50) <= reach).sum())
            for event, reach in zip(self.events, self.reach, strict=True)
        ]

    @property
    def every(self) -> float:
        """Steps from one measurement to the next."""
        return float(np.median(np.diff(self.steps)))

    def strict(self) -> "Truth":
        """The same with a reach of 5 measurements for every event."""
        return Truth(self.events, (LEAST * self.every,) * len(self.events), self.steps, self.samples, self.planted)


def tolerance(event: Event, *, every: float, total: float) -> float:
    """How far from t50 a moment still hits, in steps: a quarter of the rise t90 - t10, at least 5 measurements and at
    most 5 % of the run."""
    return float(np.clip((event.t90 - event.t10) / 4, LEAST * every, max(MOST * total, LEAST * every)))


def known(
    events: Sequence[Event],
    steps: np.ndarray,
    *,
    samples: Mapping[str, np.ndarray] | None = None,
    planted: Sequence[int] = (),
) -> Truth:
    """The truth of a run measured at `steps`.

    Events whose t50 lies within the first 5 measurements are left out: nothing was measured before them. Those closer
    to one another than 11 measurements are one (`events.merged`), and so are their samples.
    """
    steps = np.asarray(steps)
    every, total = float(np.median(np.diff(steps))), float(steps[-1])
    together = merged([e for e in events if e.t50 >= LEAST * every], apart=APART * every)
    reach = tuple(tolerance(event, every=every, total=total) for event in together)
    parts = samples or {}
    groups = {event.name: [parts[n] for n in event.name.split("+") if n in parts] for event in together}
    joined = {name: np.logical_or.reduce(masks) for name, masks in groups.items() if masks}
    return Truth(tuple(together), reach, steps, joined, tuple(planted))


def write_truth(folder: Path, clock: Clock, readings: Sequence[Mapping[str, float]]) -> None:
    """Write what `clock` makes of its `readings` (each with its step) into `folder`."""
    curves = pd.DataFrame(readings).set_index("step")
    document = {
        "events": event_table(clock.events(curves)).to_dict("records"),
        "samples": {name: np.flatnonzero(mask).tolist() for name, mask in clock.samples.items()},
        "scored": max((len(mask) for mask in clock.samples.values()), default=0),
        "planted": list(clock.planted),
        "readings": {
            "step": curves.index.tolist(),
            **{str(name): [float(f"{x:.6g}") for x in curve] for name, curve in curves.items()},
        },
    }
    write_text(folder / TRUTH, json.dumps(document) + "\n")


def read_truth(folder: Path, steps: np.ndarray) -> Truth:
    """The truth of the run in `folder`, measured at `steps`."""
    document = json.loads((folder / TRUTH).read_text(encoding="utf-8"))
    every = np.arange(document["scored"])
    samples = {name: np.isin(every, index) for name, index in document["samples"].items()}
    events = event_list(pd.DataFrame(document["events"], columns=["name", "layer", "t10", "t50", "t90"]))
    return known(events, steps, samples=samples, planted=document["planted"])


def read_clock(folder: Path) -> pd.DataFrame:
    """The readings of the run's clock, one row per measurement (index step)."""
    return pd.DataFrame(json.loads((folder / TRUTH).read_text(encoding="utf-8"))["readings"]).set_index("step")
