"""The founding rule: targets are the largest jumps of one dimension, each with a control to compare with."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from geophone.errors import InputError
from geophone.records import Target, Window
from geophone.store.study import Study

MODES = ("naive", "calibrated", "pelt", "online")
HALF_WINDOW = 5  # measurements on each side, as in a jump's magnitude


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ranking knows of one run: the series (step x layer) of one dimension, the loss by step (empty when
    the loop gave none), and that run's rows of the jump and critical-period tables."""

    run: str
    series: pd.DataFrame
    loss: pd.Series
    jumps: pd.DataFrame
    critical: pd.DataFrame


def jump_targets(study: Study, *, dimension: str, mode: str) -> list[Target]:
    """The targets of a study by the founding rule: the strongest jump of `dimension` (detector `mode`) within any 11
    measurements of a layer, by |log ratio| x |detector score|: a change must be both large and unlike its
    surroundings. On the project's own testbeds it finds no more than random moments do (`geophone prove`).

    Raises InputError for a dimension or mode that was not detected.
    """
    jumps, critical = (_of(study.phenomena(kind), dimension, mode) for kind in ("jumps", "critical"))
    found: list[Target] = []
    for run in study:
        scalars = run.scalars()
        evidence = Evidence(
            run=run.name,
            series=run.placed(run.series(dimension)),
            loss=scalars["loss"].dropna() if "loss" in scalars else pd.Series(dtype=float),
            jumps=jumps[jumps["run"] == run.name],
            critical=critical[critical["run"] == run.name],
        )
        found += run_targets(evidence, dimension=dimension, mode=mode)
    return found


def run_targets(evidence: Evidence, *, dimension: str, mode: str) -> list[Target]:
    """The targets of one run, unranked (`rank` 0)."""
    steps = evidence.series.index.to_numpy()
    found = []
    for layer, rows in evidence.jumps.groupby("layer", sort=False):
        everywhere = rows["index"].to_numpy(int)
        for row in _strongest(rows).itertuples():
            at = int(row.at)
            window = _window(at, steps)
            control = _control(at, everywhere, steps)
            first = control is not None and control.step < window.step
            found.append(
                Target(
                    rank=0,
                    run=evidence.run,
                    layer=layer,
                    depth=int(row.depth),
                    dimension=dimension,
                    window=window,
                    earlier=control if first else None,
                    later=None if first else control,
                    method=mode,
                    score=abs(float(row.log_ratio)) * abs(float(row.score)),
                    reason=_reason(evidence, row, dimension, window),
                    kind="jump",
                )
            )
    return found


def _of(table: pd.DataFrame, dimension: str, mode: str) -> pd.DataFrame:
    for column, value in (("dimension", dimension), ("mode", mode)):
        if len(table) and value not in set(table[column]):
            there = ", ".join(sorted(set(table[column])))
            raise InputError(f"no phenomena with {column} {value!r} were detected; there are: {there}.")
    return table[(table["dimension"] == dimension) & (table["mode"] == mode)]


def _strongest(rows: pd.DataFrame) -> pd.DataFrame:
    """Jumps that no stronger one lies within `HALF_WINDOW` of, with a finite size."""
    rows = rows[np.isfinite(rows["log_ratio"])].rename(columns={"index": "at"})
    strength = rows["log_ratio"].abs() * rows["score"].abs()
    kept: list[int] = []
    for label in strength.sort_values(ascending=False, kind="stable").index:
        if all(abs(rows.at[label, "at"] - rows.at[other, "at"]) > HALF_WINDOW for other in kept):
            kept.append(label)
    return rows.loc[sorted(kept)]


def _window(index: int, steps: np.ndarray) -> Window:
    ends = max(0, index - HALF_WINDOW), index, min(len(steps) - 1, index + HALF_WINDOW)
    return Window(*(int(steps[end]) for end in ends))


def _control(index: int, jumps: np.ndarray, steps: np.ndarray) -> Window | None:
    """Around the nearest moment in log step whose whole window holds no jump and does not touch this one's window.
    Where a target's window is cut at an end of the run, its control's is cut alike: over more steps more changes."""
    inner = np.arange(HALF_WINDOW, len(steps) - HALF_WINDOW)
    quiet = np.array([i for i in inner if np.abs(jumps - i).min() > HALF_WINDOW], dtype=int)
    quiet = quiet[np.abs(quiet - index) > 2 * HALF_WINDOW]
    if len(quiet) == 0:
        return None
    distance = np.abs(np.log(steps[quiet]) - np.log(steps[index]))
    control = int(quiet[np.argmin(distance)])
    before, after = min(index, HALF_WINDOW), min(len(steps) - 1 - index, HALF_WINDOW)
    return Window(int(steps[control - before]), int(steps[control]), int(steps[control + after]))


def _reason(evidence: Evidence, row, dimension: str, window: Window) -> str:
    start, stop = window.before, window.after
    series = evidence.series[row.layer]
    old, new = series.loc[start], series.loc[stop]
    verb = "rose" if new > old else "fell"
    said = [
        f"{dimension} of {row.layer} {verb} {np.exp(abs(row.log_ratio)):.2f}-fold, from {old:.3g} to {new:.3g}, "
        f"between steps {start} and {stop} (score {abs(row.score):.1f})"
    ]
    critical = evidence.critical[evidence.critical["layer"] == row.layer]
    if ((critical["start"] <= stop) & (critical["stop"] >= start)).any():
        said.append("inside a period of fast change")
    others = evidence.jumps[(evidence.jumps["layer"] != row.layer) & evidence.jumps["step"].between(start, stop)]
    if count := others["layer"].nunique():
        said.append(f"{count} other layer{'s' if count > 1 else ''} jumped within the same window")
    loss = evidence.loss
    past, present = loss.loc[:start].tail(HALF_WINDOW), loss.loc[:stop].tail(HALF_WINDOW)
    if len(past) and len(present):
        said.append(f"loss went from {past.mean():.3g} to {present.mean():.3g}")
    return "; ".join(said) + "."
