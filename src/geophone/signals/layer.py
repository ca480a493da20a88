"""What is recorded of one layer's change at every measurement, and the memory of past measurements that it needs."""

from collections import deque

import numpy as np
import numpy.typing as npt

from geophone.rows.series import CHANGES
from geophone.signals.representation import (
    FINE_RIDGE,
    RIDGE,
    Condensed,
    Representation,
    cka_change,
    compare,
    readable_change,
    readable_gain,
    represent,
    subspace_change,
)

SHORT, MIDDLE, LONG = 1, 4, 8
LAGS = dict(zip(CHANGES, (SHORT, MIDDLE, MIDDLE, LONG, LONG, LONG), strict=True))
ROWS = 256


class LayerChanges:
    """The change signals of one layer, measurement by measurement; `update` gives one value for every name in CHANGES.

    A change with lag L compares with the measurement L earlier, and with the first one while there are fewer than L: so
    nothing but the very first measurement is without a value, and `LAGS` and the number of measurements say which lag
    each one has. The last 8 measurements are kept, of symmetric matrices one triangle each (`Condensed`): at n = 256
    that is 1.1 MB per layer where d is as large or larger, below it at most 6.4 MB (2.7 at 128, 0.5 at 32).

    At most `rows` samples are read, evenly spaced and the same at every measurement: the cost grows with the cube of
    the smaller side, and changes are of whole representations.
    """

    def __init__(self, *, rows: int = ROWS, subspace: bool = True) -> None:
        self._rows, self._leading = rows, 8 if subspace else 0
        self._past: deque[Condensed] = deque(maxlen=LONG)

    def update(self, x: npt.ArrayLike) -> dict[str, float]:
        """The changes of the measurement `x` (n, d), centred or not, from those before it; NaN at the first one, and
        where either has no variance. A layer that comes back in another shape starts anew."""
        rows = np.asarray(x)
        if len(rows) > self._rows:
            rows = rows[np.linspace(0, len(rows) - 1, self._rows).round().astype(int)]
        now = represent(rows, leading=self._leading)
        if self._past and self._past[-1].shape != (now.n, now.d):
            self._past.clear()
        values = self._against_past(now)
        self._past.append(Condensed(now))
        return values

    def _against_past(self, now: Representation) -> dict[str, float]:
        if not self._past:
            return dict.fromkeys(CHANGES, float("nan"))
        # What can be read is compared over the longest lag alone.
        places = {lag: -min(lag, len(self._past)) for lag in (SHORT, MIDDLE, LONG)}
        then = {place: self._past[place].whole(inverses=place == places[LONG]) for place in set(places.values())}
        short, middle, long = (compare(now, then[places[lag]]) for lag in (SHORT, MIDDLE, LONG))
        values = (
            cka_change(short),
            cka_change(middle),
            subspace_change(middle),
            readable_change(long, RIDGE),
            readable_gain(long, RIDGE),
            readable_gain(long, FINE_RIDGE),
        )
        return dict(zip(CHANGES, values, strict=True))
