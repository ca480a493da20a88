"""What goes wrong while a training runs, and must not end it."""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

# Layers are told to be absent once they were so in more than this share of at least so many measurements.
_SHARE, _ENOUGH = 0.1, 5


class Faults:
    """Tells each kind of error once and lets the training go on ("warn"), or lets it through ("raise")."""

    def __init__(self, on_error: str) -> None:
        self._raises = on_error == "raise"
        self._told: set[tuple[str, str]] = set()

    @contextmanager
    def outlived(self, what: str) -> Iterator[None]:
        """What is done inside may fail."""
        try:
            yield
        except Exception as error:  # a model, a callback and LAPACK may raise anything; none of it is the training's
            self.tell(what, error)

    def tell(self, what: str, error: Exception) -> None:
        """`what` failed with `error`."""
        if self._raises:
            raise error
        kind = (what, type(error).__name__)
        if kind not in self._told:
            self._told.add(kind)
            line = " ".join(str(error).split())[:300]
            warnings.warn(
                f"geophone: {what} failed, and the training goes on: {kind[1]}: {line} (told once; "
                "on_error='raise' stops there).",
                stacklevel=2,
            )


class Absences:
    """Finds layers that are missing from more than a tenth of the measurements, once each."""

    def __init__(self) -> None:
        self._measurements = 0
        self._absent: Counter[str] = Counter()
        self._told: set[str] = set()

    def count(self, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Take note of the rows of one measurement; what is to be told."""
        self._measurements += 1
        self._absent.update(str(row["layer"]) for row in rows if row["status"] == "absent")
        limit = max(_SHARE * self._measurements, 1)
        often = [n for n, times in self._absent.items() if times > limit and n not in self._told]
        if not often or self._measurements < _ENOUGH:
            return ()
        self._told |= set(often)
        return (
            f"geophone: {', '.join(often[:4])}{' and others' if len(often) > 4 else ''} did not run, or on another "
            f"number of samples, in {self._absent[often[0]]} of {self._measurements} measurements.",
        )


class Precision:
    """Finds behaviour that half precision, in which it is kept, cannot hold; each way once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def lost(self, given: np.ndarray, kept: np.ndarray) -> tuple[str, ...]:
        """What is to be told of the values of one measurement as they were `given`, and as they are `kept`."""
        there = np.isfinite(given) & (given != 0)
        ways = {
            "beyond 65,504, which is kept as infinite": bool((there & ~np.isfinite(kept)).any()),
            "nearer to zero than 6e-8, which is kept as 0": bool(there.any() and not kept[there].any()),
        }
        new = [way for way, here in ways.items() if here and way not in self._told]
        self._told |= set(new)
        return tuple(
            f"geophone: behaviour is {way}: rescale what behaviour= or labels= make of it (told once)." for way in new
        )
