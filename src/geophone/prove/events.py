"""When something happened, by a clock that knows nothing of dimensions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pandas as pd
from scipy.ndimage import median_filter

from geophone.errors import InputError

ANY = "any"
_SMOOTH = 5


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a network came to do: `t10`, `t50` and `t90` are the training steps at which a tenth, half and
    nine tenths of it was there. `layer` is where it happened, ANY where that is not known."""

    name: str
    layer: str
    t10: float
    t50: float
    t90: float


def clock(steps: np.ndarray, progress: np.ndarray, *, name: str, layer: str = ANY) -> Event | None:
    """The event whose `progress` runs from about 0 to about 1 over `steps`; None when it never gets to 0.9.

    t10, t50 and t90 are the first crossings of .1, .5 and .9 by the running median of 5 measurements, t10 and t90
    taken backwards and forwards from t50 so that the three belong to one rise; each is interpolated. A run that
    begins above one half has no such event: None. Raises InputError for fewer than 5 measurements.
    """
    steps, progress = np.asarray(steps, dtype=np.float64), np.asarray(progress, dtype=np.float64)
    if len(progress) < _SMOOTH or len(steps) != len(progress):
        raise InputError(f"a clock reads 5 or more measurements, one a step; got {len(progress)} and {len(steps)}.")
    curve = median_filter(progress, size=_SMOOTH, mode="nearest")
    half = int(np.argmax(curve >= 0.5))
    late = np.flatnonzero(curve[half:] >= 0.9)
    if curve[half] < 0.5 or half == 0 or not len(late):
        return None
    early = np.flatnonzero(curve[:half] < 0.1)
    begin = int(early[-1]) + 1 if len(early) else 0
    t10 = _crossing(steps, curve, begin, 0.1)
    return Event(
        name, layer, t10, _crossing(steps, curve, half, 0.5), _crossing(steps, curve, half + int(late[0]), 0.9)
    )


def _crossing(steps: np.ndarray, curve: np.ndarray, index: int, level: float) -> float:
    """Where `curve` reaches `level` between `index` - 1 and `index`."""
    if index == 0 or curve[index] == curve[index - 1]:
        return float(steps[index])
    share = np.clip((level - curve[index - 1]) / (curve[index] - curve[index - 1]), 0, 1)
    return float(steps[index - 1] + share * (steps[index] - steps[index - 1]))


def rises(curves: pd.DataFrame, *, start: float, end: float, layers: Mapping[str, str] | None = None) -> list[Event]:
    """The event of every column of `curves` (index step), whose value goes from `start` to `end` when it happens."""
    found = [
        clock(curves.index, (curves[name] - start) / (end - start), name=name, layer=(layers or {}).get(name, ANY))
        for name in curves
    ]
    return [event for event in found if event is not None]


def merged(events: Sequence[Event], *, apart: float) -> list[Event]:
    """`events` in order of time, those whose t50 are less than `apart` steps from the first of their group as one.

    A merged event has the names joined by +, the earliest t10, the mean t50, the latest t90, and the layer when they
    agree on it, ANY otherwise. No method that keeps its moments that far apart can point at each of them.
    """
    groups: list[list[Event]] = []
    for event in sorted(events, key=lambda e: (e.t50, e.name)):
        if groups and event.t50 - groups[-1][0].t50 < apart:
            groups[-1].append(event)
        else:
            groups.append([event])
    return [_one(group) for group in groups]


def _one(group: list[Event]) -> Event:
    layers = {event.layer for event in group}
    return replace(
        group[0],
        name="+".join(event.name for event in group),
        layer=layers.pop() if len(layers) == 1 else ANY,
        t10=min(event.t10 for event in group),
        t50=float(np.mean([event.t50 for event in group])),
        t90=max(event.t90 for event in group),
    )


def event_table(events: Sequence[Event]) -> pd.DataFrame:
    """One row an event: columns name, layer, t10, t50, t90."""
    return pd.DataFrame([asdict(event) for event in events], columns=[f.name for f in fields(Event)])


def event_list(table: pd.DataFrame) -> list[Event]:
    """The events of an `event_table`."""
    return [Event(**row) for row in table[[f.name for f in fields(Event)]].to_dict("records")]
