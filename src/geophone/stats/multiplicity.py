"""Many tests at once."""

from collections.abc import Sequence

import numpy as np

from geophone.errors import InputError


def benjamini_hochberg(p: Sequence[float]) -> np.ndarray:
    """Adjusted p of one declared family of tests: p_(i) becomes min over j >= i of p_(j) m / j, at most 1.

    Rejecting where it is below alpha keeps the expected share of false rejections below alpha when the tests are
    independent or positively dependent. A NaN is a test that was not done: it stays NaN and does not count in m.
    Raises InputError for a p outside [0, 1]. Source: Benjamini & Hochberg 1995.
    """
    p = np.asarray(p, dtype=np.float64)
    done = ~np.isnan(p)
    if ((p[done] < 0) | (p[done] > 1)).any():
        raise InputError("a p must lie between 0 and 1.")
    adjusted = np.full(len(p), np.nan)
    m = int(done.sum())
    order = np.argsort(p[done], kind="stable")
    raised = p[done][order] * m / np.arange(1, m + 1)
    back = np.empty(m)
    back[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    adjusted[done] = back
    return adjusted
