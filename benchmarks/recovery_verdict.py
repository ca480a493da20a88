"""Did a network recover from an ablation at one moment as it does at another: tests over runs, and a word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from geophone.errors import InputError
from geophone.stats.paired import Equivalence, sign_flip, tost
from geophone.stats.permutation import Significance, untested

ALPHA = 0.05
FEWEST = 6  # runs, for a sign flip to fall below ALPHA
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class RecoveryVerdict:
    """What the tests say. `plateau` and `early` (by horizon) are paired sign flips of the extra deficit, `equivalence`
    is TOST at the plateau, `time` the log-rank test that recovery takes longer, `slower_p` the least p of `time` and
    `early` after Holm's correction.

    verdict: "no difference" (equivalent at the plateau, and no sign of slowness) | "slower recovery" (equivalent at the
    plateau, slower_p < .05) | "permanent deficit" (plateau p < .05, deficit above 0, not equivalent) | "ends higher"
    (the same below 0) | "undecided" (anything else). Permanent means: up to the plateau.
    """

    verdict: str
    plateau: Significance
    equivalence: Equivalence
    early: dict[str, Significance]
    time: Significance
    slower_p: float


def recovery_verdict(
    extra: Mapping[str, np.ndarray],
    times: tuple[Pair, Pair] | None = None,
    *,
    margin: float,
    rng: np.random.Generator,
) -> RecoveryVerdict:
    """The verdict on `extra` deficits: per horizon an array of one number per run, the last horizon the plateau.

    A deficit is accuracy lost beside a comparison, positive when something was lost; `margin` (accuracy, so .01 is one
    point) is what counts as none. `times`: ((steps, steps of the comparison), (recovered, recovered)). Runs are the
    units: at least 6 of them for any p below .05. Raises InputError without a horizon.
    """
    if not extra:
        raise InputError("no horizon was given; a verdict wants the deficits at the plateau at least.")
    horizons = list(extra)
    plateau = sign_flip(extra[horizons[-1]], rng=rng)
    equivalence = tost(extra[horizons[-1]], margin=margin)
    early = {horizon: sign_flip(extra[horizon], rng=rng) for horizon in horizons[:-1]}
    time = untested(plateau.n) if times is None else longer(*times)
    slower_p = _least([time.p, *(t.p if t.statistic > 0 else 1.0 for t in early.values() if t.status == "tested")])
    verdict = "undecided"
    if equivalence.status == "equivalent" or _always_the_same(extra[horizons[-1]]):
        verdict = "slower recovery" if slower_p < ALPHA else "no difference"
    elif plateau.p < ALPHA:
        verdict = "permanent deficit" if plateau.statistic > 0 else "ends higher"
    return RecoveryVerdict(verdict, plateau, equivalence, early, time, slower_p)


def longer(times: Pair, recovered: Pair) -> Significance:
    """Whether the first of two groups takes longer, times that were cut short included: the log-rank test (SciPy).

    `times`: how long each unit was watched; `recovered`: False where it had not recovered by then. The statistic is
    negative when the first group takes longer. The groups count as independent; where they are paired and agree, p is
    too large rather than too small. "not enough data" when nothing happened or a group is empty. Raises InputError
    where times and flags differ in length or a time is not finite.
    """
    t, e = [np.asarray(part, dtype=float) for part in times], [np.asarray(part, dtype=bool) for part in recovered]
    if any(len(a) != len(b) for a, b in zip(t, e, strict=True)) or not all(np.isfinite(part).all() for part in t):
        raise InputError("a log-rank test wants a finite time and an event flag per unit.")
    n = len(t[0]) + len(t[1])
    if not (len(t[0]) and len(t[1]) and (e[0].any() or e[1].any())):
        return untested(n)
    with np.errstate(invalid="ignore", divide="ignore"):
        test = stats.logrank(*(stats.CensoredData(a[b], right=a[~b]) for a, b in zip(t, e, strict=True)), "less")
    if not np.isfinite(test.statistic):
        return untested(n)
    return Significance(float(test.statistic), float(test.pvalue), n, "tested")


def compare_moments(
    table: pd.DataFrame, moment: str, control: str | Sequence[str], *, margin: float, rng: np.random.Generator
) -> RecoveryVerdict:
    """Whether an ablation at `moment` does more damage than at `control`, over runs.

    `table` holds the rows of `recovery` of several runs, with a column `run`. In each run the deficits of the ablated
    arm at the same number of steps after the ablation are compared; of several controls the mean deficit and the mean
    time count, and the time as censored when one is. A run that lacks either is left out. Raises InputError when no
    run has both.
    """
    controls = [control] if isinstance(control, str) else list(control)
    rows = table[(table["arm"] == "ablated") & table["moment"].isin([moment, *controls])]
    horizons = [h for h in dict.fromkeys(rows["horizon"]) if h != "plateau"] + ["plateau"]
    here, there = (rows[rows["moment"].isin(names)] for names in ([moment], controls))
    deficit = [part.pivot_table(index="run", columns="horizon", values="deficit") for part in (here, there)]
    runs = deficit[0].index.intersection(deficit[1].index)
    if runs.empty:
        raise InputError(f"no run was ablated both at {moment!r} and at {', '.join(controls)}.")
    extra = {h: (deficit[0].loc[runs, h] - deficit[1].loc[runs, h]).to_numpy() for h in horizons if h in deficit[0]}
    first = [part.groupby("run")[["recovery_steps", "recovered"]].agg({"recovery_steps": "mean", "recovered": "all"})
             for part in (here, there)]  # fmt: skip
    steps = tuple(part.loc[runs, "recovery_steps"].to_numpy(float) for part in first)
    recovered = tuple(part.loc[runs, "recovered"].to_numpy(bool) for part in first)
    return recovery_verdict(extra, (steps, recovered), margin=margin, rng=rng)


def _least(p: list[float]) -> float:
    """Holm's adjusted least p; NaN when nothing was tested."""
    there = [value for value in p if np.isfinite(value)]
    return min(1.0, len(there) * min(there)) if there else float("nan")


def _always_the_same(differences: np.ndarray) -> bool:
    # Tasks that are learned perfectly end at accuracy 1 in every arm, which leaves nothing to test and no doubt.
    d = np.asarray(differences, dtype=float)
    d = d[np.isfinite(d)]
    return len(d) >= FEWEST and not d.any()
