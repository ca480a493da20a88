"""The one rule by which an interval answers a claim: what crosses the bar is undecided."""

import math


def above(low: float, high: float, bar: float) -> str:
    """Whether a value lies above `bar`, by its interval [low, high].

    "met" when the whole interval lies above, "not met" when the whole interval lies at or below it, "undecided" when it
    crosses, "untested" when an end is NaN.
    """
    if math.isnan(low) or math.isnan(high):
        return "untested"
    return "met" if low > bar else "not met" if high <= bar else "undecided"


def beyond(low: float, high: float, bar: float) -> str:
    """Whether |value| lies above `bar` >= 0: "met" when the whole interval lies outside of [-bar, bar] on one side,
    "not met" when it lies inside, "undecided" when it crosses either end, "untested" when an end is NaN."""
    if math.isnan(low) or math.isnan(high):
        return "untested"
    if low > bar or high < -bar:
        return "met"
    return "not met" if low >= -bar and high <= bar else "undecided"
