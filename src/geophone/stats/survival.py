"""Censored times: do two groups take equally long."""

import numpy as np
from scipy import stats

from geophone.errors import InputError
from geophone.stats.permutation import Tested


def log_rank(
    times: tuple[np.ndarray, np.ndarray], happened: tuple[np.ndarray, np.ndarray], *, alternative: str = "two-sided"
) -> Tested:
    """Log-rank test of two groups of times, some of them censored.

    `times` are two arrays, how long each unit was watched, `happened` two arrays of bool: False where the event had
    not come by then (censored). At each time t with d events among n units at risk, n_1 of them of the first group,
    the first group is expected to have d n_1 / n, with variance d (n_1/n)(1 - n_1/n)(n - d)/(n - 1). `statistic` is z
    = (observed - expected) / sqrt(variance), negative when the first group takes longer; p from the normal
    distribution, so it wants about ten events or more. alternative: "two-sided" | "longer" (the first group takes
    longer). "not enough data" when nothing happened or a group is empty. The groups count as independent; where they
    are paired and agree, p is too large rather than too small. Source: Mantel 1966. Raises InputError when times and
    events differ in length or a time is not finite.
    """
    if alternative not in ("two-sided", "longer"):
        raise InputError(f'alternative={alternative!r}: give "two-sided" or "longer".')
    t = [np.asarray(group, dtype=np.float64) for group in times]
    e = [np.asarray(group, dtype=bool) for group in happened]
    if any(len(a) != len(b) for a, b in zip(t, e, strict=True)) or not all(np.isfinite(a).all() for a in t):
        raise InputError("log_rank wants a finite time and an event flag a unit.")
    n = len(t[0]) + len(t[1])
    moments = np.unique(np.concatenate([t[0][e[0]], t[1][e[1]]]))
    at_risk = [(group[None, :] >= moments[:, None]).sum(1) for group in t]
    events = [(group[None, flags] == moments[:, None]).sum(1) for group, flags in zip(t, e, strict=True)]
    total, came = at_risk[0] + at_risk[1], events[0] + events[1]
    share = np.divide(at_risk[0], total, out=np.zeros(len(moments)), where=total > 0)
    variance = float((came * share * (1 - share) * (total - came) / np.maximum(total - 1, 1)).sum())
    if variance <= 0:
        return Tested(np.nan, np.nan, n, "not enough data")
    z = float((events[0] - came * share).sum()) / np.sqrt(variance)
    p = stats.norm.cdf(z) if alternative == "longer" else 2 * stats.norm.sf(abs(z))
    return Tested(float(z), float(p), n, "tested")
