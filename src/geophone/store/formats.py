"""The version of what lies on disk, and how what an earlier release wrote is read as if it had been written now.

Format 1 called the naive form "seed", the calibrated one "robust" and an architecture a family, kept one control of a
target without saying on which side, and had no version in its tables.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from geophone.errors import NewerFormatError, StoreError
from geophone.former import FORMS

FORMAT = 2
KEY = "geophone_format"  # in a table's own metadata
_COLUMNS = {"family": "architecture", "seed_edges": "naive_edges"}
_ENDS = ("step", "before", "after")
_BY_FAMILY = {r"\bby family\b": "by architecture", r"\bfamily and task\b": "architecture and task"}
# Where forms stand in statistics.json, by themselves or as a part of an id, and in sentences.
_NAMED = {"form", "mode", "modes", "id", "number", "finding", "families_of_tests"}
_FORM_SAID = re.compile(r"(?<=, )(seed|robust)\b")
# What format 1 kept under another name.
FORMER = {"acceleration_peaks": "transitions"}


def check_format(path: Path, given: Any) -> int:
    """`given`, the format that stands in `path`. Raises StoreError unless it is a number, NewerFormatError when a later
    release wrote it."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise StoreError(f"{path} is damaged, or is not what its name says: it has no format number.")
    if given > FORMAT:
        raise NewerFormatError(
            f"{path} has format {given}; this release reads up to {FORMAT}. It was written by a later release of "
            "geophone: update to read it."
        )
    return given


def table_of_format_1(table: pd.DataFrame) -> pd.DataFrame:
    """A table of format 1 in the columns and values of format 2."""
    table = table.rename(columns=_COLUMNS)
    for column in ("mode", "test", "grouped_by"):
        if column in table and len(table):
            table[column] = table[column].replace(FORMS if column == "mode" else _BY_FAMILY, regex=column != "mode")
    return _target_columns(table) if "control_step" in table else table


def _target_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Targets with the side of the control; what pointed at them was not kept."""
    there = table["control_step"].notna()
    first = there & (table["control_step"] < table["step"]).fillna(False)
    for side, mine in (("earlier", first), ("later", there & ~first)):
        for end in _ENDS:
            table[f"{side}_{end}"] = table[f"control_{end}"].astype("Float64").where(mine.astype(bool)).astype("Int64")
    return table.drop(columns=[f"control_{end}" for end in _ENDS]).assign(method="unknown")


def manifest_of_format_1(raw: dict[str, Any]) -> dict[str, Any]:
    """A run's manifest of format 1 as format 2 has it."""
    about = raw.get("about")
    if isinstance(about, dict) and "family" in about:
        about = {_COLUMNS.get(key, key): value for key, value in about.items()}
    return raw | {"format": FORMAT} | ({} if about is None else {"about": about})


def dig_of_format_1(raw: dict[str, Any]) -> dict[str, Any]:
    """A dig.json of format 1: its target with windows, its code as far as it was kept."""
    flat = raw.get("target")
    if not isinstance(flat, dict):
        return raw
    own, control = _window(flat, ""), _window(flat, "control_")
    place = {k: v for k, v in flat.items() if k not in _ENDS and not k.startswith("control_")}
    side: dict[str, Any] = {"earlier": None, "later": None}
    if control is not None:
        side["earlier" if _before(control, own) else "later"] = control
    target = place | {"window": own, **side, "method": "unknown"}
    return raw | {"format": FORMAT, "target": target, "code": raw.get("code", "")}


def _window(flat: Mapping[str, Any], prefix: str) -> dict[str, Any] | None:
    window = {end: flat[f"{prefix}{end}"] for end in _ENDS if f"{prefix}{end}" in flat}
    return None if prefix and all(value is None for value in window.values()) else window


def _before(control: Mapping[str, Any], own: Mapping[str, Any] | None) -> bool:
    one, other = control.get("step"), (own or {}).get("step")
    return isinstance(one, int) and isinstance(other, int) and one < other


def statistics_of_format_1(raw: dict[str, Any]) -> dict[str, Any]:
    """A statistics.json of format 1: forms, and ids that have one in them, in the words of format 2."""
    return {key: _renamed(value, key) for key, value in raw.items()} | {"format": FORMAT}


def _renamed(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {k: _renamed(v, key if key == "families_of_tests" else k) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(each, key) for each in value]
    if isinstance(value, str) and key in _NAMED:
        return "/".join(FORMS.get(part, part) for part in value.split("/"))
    if isinstance(value, str) and key == "says":
        return _FORM_SAID.sub(lambda found: FORMS[found[0]], value)
    return value
