"""The causal detector: it hears a change from the past alone, a few measurements after it began."""

import numpy as np

from geophone.errors import InputError

# The least half number at which white noise, AR(.5), AR(.9), random walks, decaying noise, slow waves and a learning
# curve each sound at most one alarm in 1,000 measurements (`cusum_threshold`; docs/online.md has the rates).
THRESHOLD = 6.0
DRIFT = 0.5
WARM_UP = 20


class OnlineCusum:
    """Two-sided CUSUM (Page 1954) on the logarithm of several series at once, fed one measurement at a time.

    `update(values)` takes one value a series, shape (series,), and returns the score of those that sound an alarm
    now, signed by the direction of the change, and 0 elsewhere. For each series, ln x is predicted by a level and
    a slope (Holt 1957, gains `level_gain` and its square / 4); the prediction error, with its own lag-1
    correlation taken out, is divided by a running scale, cut at 4, and summed: S+ = max(0, S+ + u - 0.5), S- likewise.
    An alarm sounds when one passes `threshold`; the sums then start again from 0 and the level from where it is.
    The first 20 values only set the scale. Values that are missing, zero or negative are passed over.

    It answers "did something change just now", at a known rate of false alarms on noise and drift. It is neither
    an offline detector nor a measure of the change's size. Raises InputError for values of another shape.
    """

    def __init__(self, series: int, *, threshold: float = THRESHOLD, level_gain: float = 0.15) -> None:
        if series < 1 or not threshold > 0 or not 0 < level_gain < 1:
            raise InputError(
                f"OnlineCusum wants 1 or more series, a positive threshold and a gain between 0 and 1; got "
                f"series={series}, threshold={threshold}, level_gain={level_gain}."
            )
        self.threshold = threshold
        self._gain = level_gain
        self._slope_gain = level_gain**2 / 4
        self._seen = np.zeros(series, dtype=int)
        self._level, self._slope, self._before = (np.zeros(series) for _ in range(3))
        self._square, self._product = np.zeros(series), np.zeros(series)
        self._scale = np.zeros(series)
        self._sums = np.zeros((2, series))

    def update(self, values) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self._level.shape:
            raise InputError(f"this detector follows {len(self._level)} series; got values of shape {values.shape}.")
        there = np.isfinite(values) & (values > 0)
        y = np.log(np.where(there, values, 1.0))
        first = there & (self._seen == 0)
        self._level = np.where(first, y, self._level)
        predicted = self._level + self._slope
        error = np.where(there, y - predicted, 0.0)
        innovation = error - self._correlation() * self._before
        scores = self._accumulate(innovation, there)
        self._learn(error, innovation, there & ~first)
        alarmed = scores != 0
        self._level = np.where(there, np.where(alarmed, y, predicted + self._gain * error), self._level)
        step = np.clip(error, -2 * self._scale, 2 * self._scale) * ~alarmed
        self._slope = np.where(there & (self._seen > 1), self._slope + self._slope_gain * step, self._slope)
        self._before = np.where(alarmed, 0.0, np.where(there, error, self._before))
        self._seen += there
        return scores

    def _correlation(self) -> np.ndarray:
        ratio = np.divide(self._product, self._square, out=np.zeros_like(self._product), where=self._square > 0)
        return np.clip(ratio, 0.0, 0.95) * (self._seen >= WARM_UP)

    def _accumulate(self, innovation: np.ndarray, there: np.ndarray) -> np.ndarray:
        ready = there & (self._seen >= WARM_UP) & (self._scale > 0)
        u = np.clip(np.divide(innovation, self._scale, out=np.zeros_like(innovation), where=ready), -4, 4)
        up, down = (np.maximum(0.0, s + sign * u - DRIFT) for s, sign in zip(self._sums, (1, -1), strict=True))
        self._sums = np.where(ready, np.stack([up, down]), self._sums)
        score = np.where(self._sums[0] >= self._sums[1], self._sums[0], -self._sums[1])
        alarmed = ready & (np.abs(score) > self.threshold)
        self._sums[:, alarmed] = 0.0
        return np.where(alarmed, score, 0.0)

    def _learn(self, error: np.ndarray, innovation: np.ndarray, there: np.ndarray) -> None:
        """Running moments: a plain mean while warming up, exponential afterwards, large errors cut at 3 scales."""
        gain = np.where(there, np.maximum(1.0 / np.maximum(self._seen, 1), 0.03), 0.0)
        warm = self._seen >= WARM_UP
        size = np.where(warm, np.minimum(np.abs(innovation), 3 * self._scale), np.abs(innovation))
        cut = np.where(warm, np.clip(error, -3 * self._scale, 3 * self._scale), error)
        # The mean size of a normal deviate is 0.798 of its standard deviation.
        self._scale += gain * (size / 0.798 - self._scale)
        self._square += gain * (cut**2 - self._square)
        self._product += gain * (cut * self._before - self._product)


def cusum_threshold(
    nulls: np.ndarray, *, rate: float, level_gain: float = 0.15, grid: np.ndarray | None = None
) -> float:
    """The least threshold on `grid` at which the series `nulls` (series, measurements) sound at most `rate` alarms
    per measurement after the warm-up. Raises InputError when none on the grid is enough."""
    for threshold in np.arange(4.0, 30.0, 0.5) if grid is None else grid:
        if false_alarm_rate(nulls, threshold=float(threshold), level_gain=level_gain) <= rate:
            return float(threshold)
    raise InputError(f"no threshold on the grid keeps the false alarms to {rate} per measurement.")


def false_alarm_rate(nulls: np.ndarray, *, threshold: float = THRESHOLD, level_gain: float = 0.15) -> float:
    """Alarms per measurement after the warm-up on `nulls` (series, measurements), which hold no change."""
    detector = OnlineCusum(len(nulls), threshold=threshold, level_gain=level_gain)
    alarms = sum(int((detector.update(column) != 0).sum()) for column in nulls.T)
    return alarms / (nulls.shape[0] * (nulls.shape[1] - WARM_UP))
