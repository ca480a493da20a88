"""JSON files of a study, read with their shape checked, so that a damaged one ends in a sentence where it is read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geophone.errors import StoreError

STATISTICS, DIG = "statistics.json", "dig.json"


@dataclass(frozen=True, slots=True)
class Each:
    """The shape of a mapping whose keys are free: every value has the shape `of`."""

    of: Any


_TEXT, _WHOLE, _NUMBER = (str,), (int,), (int, float)
_MAYBE, _COUNT = (int, float, type(None)), (int, type(None))
_FIGURES = {
    "id": _TEXT, "form": _TEXT, "value": _MAYBE, "low": _MAYBE, "high": _MAYBE, "p": _MAYBE, "p_adjusted": _MAYBE,
    "test": _TEXT, "n": _WHOLE, "runs": _WHOLE, "status": _TEXT,
}  # fmt: skip
_STATISTIC = {**_FIGURES, "says": _TEXT, "family_of_tests": _TEXT, "smallest": _MAYBE}
_KIND = {"finding": _TEXT, "says": _TEXT, "architectures": [_TEXT]}
_STATISTICS = {
    "alpha": _NUMBER,
    "study": {
        "targets_dug": _WHOLE, "pairs": _WHOLE, "runs": _WHOLE, "runs_by_architecture": Each(_WHOLE),
        "dimension": _TEXT, "modes": [_TEXT], "notes": [_TEXT],
    },
    "criteria": [{**_FIGURES, "question": _TEXT, "criterion": _TEXT, "verdict": _TEXT}],
    "numbers": [_STATISTIC],
    "architectures": {
        "numbers": [_STATISTIC], "holds_in_all": [_KIND], "specific_to_one": [{**_KIND, "only": _TEXT}],
        "undecided": [_KIND], "not_enough_data": [_KIND],
    },
}  # fmt: skip
_DIG = {
    "format": _WHOLE,
    "target": {
        "rank": _WHOLE, "run": _TEXT, "layer": _TEXT, "depth": _WHOLE, "dimension": _TEXT, "step": _WHOLE,
        "before": _WHOLE, "after": _WHOLE, "score": _NUMBER, "reason": _TEXT, "control_step": _COUNT,
        "control_before": _COUNT, "control_after": _COUNT,
    },
    "options": Each(None),
}  # fmt: skip


def read_text(path: Path) -> str:
    """A text file. Raises StoreError when it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StoreError(f"{path} is not there.") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises StoreError when it is missing or damaged."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {error}.") from error


def read_statistics(folder: Path) -> dict[str, Any]:
    """`statistics.json` of the study in `folder`. Raises StoreError when it is missing, damaged, or lacks something."""
    return _shaped(folder / STATISTICS, _STATISTICS)


def read_dig(folder: Path) -> dict[str, Any]:
    """`dig.json` of the dig in `folder`: format, target and options. Raises StoreError as `read_statistics` does."""
    return _shaped(folder / DIG, _DIG)


def _shaped(path: Path, shape: Any) -> dict[str, Any]:
    found = read_json(path)
    if wrong := misfit(found, shape):
        raise StoreError(f"{path} is damaged: {wrong}.")
    return found


def misfit(value: Any, shape: Any, place: str = "") -> str | None:
    """Where and how `value` is not of `shape`; None when it is.

    A shape is a tuple of types, None (anything), a list (every item has the one shape in it), `Each`, or a mapping:
    these keys are there and have these shapes, others may be there besides.
    """
    here = place or "it"
    if shape is None:
        return None
    if isinstance(shape, tuple):
        fits = isinstance(value, shape) and not isinstance(value, bool)
        return None if fits else f"{here} is {_short(value)}"
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{here} is no list"
        pairs = [(item, shape[0], f"{place}[{i}]") for i, item in enumerate(value)]
    elif not isinstance(value, dict):
        return f"{here} is no table"
    elif isinstance(shape, Each):
        pairs = [(item, shape.of, f"{place}.{_short(key)}") for key, item in value.items()]
    else:
        if missing := [key for key in shape if key not in value]:
            return f"{here} has no {missing[0]!r}"
        pairs = [(value[key], inner, f"{place}.{key}".lstrip(".")) for key, inner in shape.items()]
    return next((wrong for pair in pairs if (wrong := misfit(*pair))), None)


def _short(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, Mapping | list) else repr(value)[:60]
