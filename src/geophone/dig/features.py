"""What kind of thing each unit answers to: types by the stimulus bank, held against untrained networks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.dig.samples import answers
from geophone.dig.stimuli import Stimuli
from geophone.errors import InputError

TYPES = ("orientation", "curvature", "centre-surround", "corner", "colour", "texture")
UNTYPED = "untyped"
QUANTILE = 0.95
SAME = 0.5
FEWEST_UNTRAINED = 20
_FORMS = ("grating", "edge", "line", "curve", "corner", "junction", "disc", "ring")
_FAMILY_WISE = 0.975
_NOTHING = 1e-3
_DAMPING = 0.1


@dataclass(frozen=True)
class Tuning:
    """A layer's answers to the bank: `vectors` (units, conditions), a mean over each condition's variants above the
    answer to a blank image; `indices` (units, types) of all variants and `halves` (2, units, types) of each half."""

    vectors: np.ndarray
    indices: np.ndarray
    halves: np.ndarray

    @property
    def live(self) -> np.ndarray:
        """Which units answer to anything at all in the bank."""
        return np.ptp(self.vectors, axis=1) > 0


@dataclass(frozen=True)
class Thresholds:
    """What untrained units reach: the 95th percentile of each index over the whole bank (types,) and in either half
    (2, types), and the 97.5th percentile of a unit's greatest lead."""

    whole: np.ndarray
    halves: np.ndarray
    greatest: float

    def lead(self, indices: np.ndarray) -> np.ndarray:
        """How far each index lies on the way from the untrained 95th percentile (0) to its ideal (1); -inf for NaN,
        and for every index that untrained units have at its ideal already."""
        room = np.where(self.whole < 1, 1 - self.whole, np.nan)
        return np.nan_to_num((indices - self.whole) / room, nan=-np.inf)


def no_thresholds(indices: int) -> Thresholds:
    """What says nothing of any unit: each is "untyped"."""
    return Thresholds(np.full(indices, np.nan), np.full((2, indices), np.nan), np.inf)


def tuning(model: nn.Module, layers: Sequence[str], stimuli: Stimuli) -> dict[str, Tuning]:
    """How the units of `layers` answer to the bank: a channel's strongest answer in the middle half of the image."""
    found = answers(model, layers, torch.from_numpy(stimuli.images), reduce="centre")
    return {name: tuned(a.astype(np.float64).T, stimuli.table) for name, a in found.items()}


def tuned(responses: np.ndarray, table: pd.DataFrame) -> Tuning:
    """`responses` (units, stimuli) in the order of `table`. Answers are taken above the one to a blank image, and not
    below it: an index of the same unit with another bias is the same."""
    if responses.ndim != 2 or responses.shape[1] != len(table):
        raise InputError(f"responses {responses.shape} to {len(table)} stimuli: give (units, stimuli).")
    blank = responses[:, table["kind"] == "blank"].mean(1, keepdims=True)
    above = np.maximum(responses - blank, 0)
    # Rounding errors of an answer to nothing are no preference.
    above[above < _NOTHING * above.max(1, keepdims=True)] = 0
    halves = [_indices(*_conditions(above, table, half)) for half in (0, 1)]
    _, vectors = _conditions(responses - blank, table, None)
    return Tuning(vectors, _indices(*_conditions(above, table, None)), np.stack(halves))


def _conditions(above: np.ndarray, table: pd.DataFrame, half: int | None) -> tuple[pd.DataFrame, np.ndarray]:
    """Means over the variants of each condition, of one half or of all."""
    chosen = np.ones(len(table), bool) if half is None else (table["half"] == half).to_numpy()
    grouped = table[chosen].groupby(["kind", "colour", "angle", "scale"], sort=False)
    numbers = grouped.ngroup().to_numpy()
    sums = np.zeros((len(above), grouped.ngroups))
    np.add.at(sums.T, numbers, above[:, chosen].T)
    conditions = table[chosen].groupby(numbers).first()
    return conditions, sums / np.bincount(numbers)


def _indices(conditions: pd.DataFrame, r: np.ndarray) -> np.ndarray:
    """(units, types): each index of each unit, NaN where it has no meaning (an answer to nothing; no colours)."""
    kind = conditions["kind"].to_numpy()

    def best(*kinds: str) -> np.ndarray:
        members = np.isin(kind, kinds)
        return r[:, members].max(1) if members.any() else np.full(len(r), np.nan)

    curves = {kind: _turned(conditions, r, kind) for kind in ("grating", "line", "edge", "curve")}
    line, forms, most = best("line"), best(*_FORMS), r.max(1)
    round_form = _contrast(best("disc"), best("uniform"), most) * _isotropy(
        [curves[k] for k in ("grating", "line", "edge")]
    )
    corner = np.fmax(_contrast(best("corner"), best("edge"), most), _contrast(best("junction"), line, most))
    return np.stack(
        [
            _orientation(curves),
            _contrast(best("curve"), line, most) + _harmonic(curves["curve"], 1),
            round_form,
            corner,
            _contrast(best("colour grating", "colour patch"), np.maximum(forms, best("uniform")), most),
            _surviving(conditions, r) * _contrast(best("texture"), forms, most),
        ],
        axis=1,
    )


def _turned(conditions: pd.DataFrame, r: np.ndarray, kind: str) -> np.ndarray:
    """(units, angles): the tuning to the angle of `kind`, at the scale that a unit answers to most."""
    mine = conditions[conditions["kind"] == kind].sort_values(["scale", "angle"])
    by = r[:, mine.index].reshape(len(r), mine["scale"].nunique(), mine["angle"].nunique())
    return by[np.arange(len(r)), by.max(2).argmax(1)]


def _harmonic(curve: np.ndarray, order: int, *, full: float = 2 * np.pi) -> np.ndarray:
    """|sum R e^(i order theta)| / sum R over angles that divide `full` evenly."""
    angles = np.arange(curve.shape[1]) * full / curve.shape[1]
    return _share(np.abs(curve @ np.exp(1j * order * angles)), curve.sum(1))


def _orientation(curves: dict[str, np.ndarray]) -> np.ndarray:
    """|mean over gratings, lines and edges of sum R e^(2 i theta) / sum R|, theta the direction of the bars: what only
    one of the three shows, or each at another angle, is no orientation."""
    total = np.zeros(len(curves["grating"]), dtype=complex)
    for kind, full, sign in (("grating", np.pi, 1), ("line", np.pi, 1), ("edge", 2 * np.pi, -1)):
        angles = np.arange(curves[kind].shape[1]) * full / curves[kind].shape[1]
        vector = curves[kind] @ np.exp(2j * angles)
        total = total + sign / 3 * (_share(vector.real, sums := curves[kind].sum(1)) + 1j * _share(vector.imag, sums))
    return np.abs(total)


def _isotropy(curves: Sequence[np.ndarray]) -> np.ndarray:
    """The least over `curves` of least answer / greatest answer at any angle: 1 for a unit that angles do not matter
    to."""
    return np.min([_share(curve.min(1), curve.max(1)) for curve in curves], axis=0)


def _surviving(conditions: pd.DataFrame, r: np.ndarray) -> np.ndarray:
    """How much of what a unit prefers among textures is left when their phases are scrambled: their correlation, or
    0."""
    pairs = [
        r[:, conditions[conditions["kind"] == kind].sort_values("scale").index] for kind in ("texture", "scrambled")
    ]
    return np.maximum(correlation(*pairs), 0)


def preferred_angle(vectors: np.ndarray, table: pd.DataFrame, kind: str) -> np.ndarray:
    """Each unit's preferred angle among the conditions of `kind`, radians: of its greatest answer."""
    conditions, _ = _conditions(np.zeros((1, len(table))), table, None)
    members = (conditions["kind"] == kind).to_numpy()
    return conditions.loc[members, "angle"].to_numpy()[vectors[:, members].argmax(1)]


def thresholds(untrained: Sequence[Tuning]) -> Thresholds:
    """What untrained networks' units reach (`untrained`: one layer of several networks, or of one).

    Raises InputError where fewer than 20 of their units answer to anything.
    """
    live = np.concatenate([t.live for t in untrained])
    indices = np.concatenate([t.indices for t in untrained])[live]
    halves = np.concatenate([t.halves for t in untrained], axis=1)[:, live]
    if len(indices) < FEWEST_UNTRAINED:
        raise InputError(
            f"{len(indices)} untrained units that answer to anything; give networks with {FEWEST_UNTRAINED} or more."
        )
    # An index that no untrained unit has (there are no colours) says nothing.
    whole, *by_half = (np.where(np.isnan(v).all(0), np.nan, _quantile(v)) for v in (indices, *halves))
    found = Thresholds(whole, np.stack(by_half), 0.0)
    return replace(found, greatest=float(np.quantile(found.lead(indices).max(1), _FAMILY_WISE)))


def _quantile(values: np.ndarray) -> np.ndarray:
    return np.nanquantile(np.where(np.isnan(values).all(0), 0, values), QUANTILE, axis=0)


def types(found: Tuning, against: Thresholds, names: Sequence[str] = TYPES) -> np.ndarray:
    """The type of each unit (units,) out of `names`, one an index, or "untyped".

    A unit is of the type whose index leads untrained units most, if both halves of the bank put that index above the
    untrained 95th percentile, and its lead is greater than the greatest of all indices' leads in 97.5 % of untrained
    units: with six indices, one of them is often high by chance.
    """
    lead = against.lead(found.indices)
    winner = lead.argmax(1)
    units = np.arange(len(lead))
    agree = (found.halves[:, units, winner] > against.halves[:, winner]).all(0)
    typed = found.live & agree & (lead[units, winner] > against.greatest)
    return np.where(typed, np.array(names)[winner], UNTYPED)


def turnover(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Correlation of each unit's tuning vector with its own of before (units,); below 0.5 it is another feature.

    NaN for a unit that answered to nothing at either moment. `before`, `after` (units, conditions).
    """
    return correlation(before, after)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation, row by row; NaN where either row is constant."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return _share((a * b).sum(1), np.sqrt((a**2).sum(1) * (b**2).sum(1)))


def hill(labels: np.ndarray) -> float:
    """exp of the entropy of the types among typed units: how many types there are, rare ones counting less (Hill 1973,
    order 1); 0 without a typed unit."""
    _, counts = np.unique(labels[labels != UNTYPED], return_counts=True)
    share = counts / max(counts.sum(), 1)
    return float(np.exp(-(share * np.log(share)).sum())) if len(counts) else 0.0


def wording(kind: str, angle: float) -> str:
    """A type in words, with its direction where it has one: "vertical edges", "curves bulging right"."""
    if kind == "orientation":
        bars = ("horizontal", "diagonal (down)", "vertical", "diagonal (up)")
        return f"{bars[round(angle / (np.pi / 4)) % 4]} edges"
    if kind in ("curvature", "corner"):
        names = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")
        what = "curves bulging" if kind == "curvature" else "corners opening"
        return f"{what} {names[round(angle / (np.pi / 4)) % 8]}"
    return {"centre-surround": "spots", "colour": "colours", "texture": "textures"}.get(kind, kind)


ANGLED = {"orientation": "grating", "curvature": "curve", "corner": "corner"}


def _contrast(a: np.ndarray, b: np.ndarray, most: np.ndarray) -> np.ndarray:
    """(a - b) / (a + b), drawn to 0 where both are small beside the unit's greatest answer to anything, `most`."""
    return _share(a - b, a + b + _DAMPING * most)


def _share(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.abs(bottom) > 1e-12)
