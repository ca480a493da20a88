"""The columns without which a table of a study is of no use: a damaged one ends in a sentence where it is read."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype, is_object_dtype, is_string_dtype

from geophone.errors import StoreError

_SERIES = {"run": "text", "layer": "text", "depth": "number", "dimension": "text", "mode": "text"}
_VERDICT = {"run": "text", "dimension": "text", "mode": "text", "rho": "number", "p": "number", "verdict": "text",
            "tau": "number", "layers": "number"}  # fmt: skip

TARGETS: Mapping[str, str] = {
    "rank": "number", "run": "text", "layer": "text", "depth": "number", "dimension": "text", "step": "number",
    "before": "number", "after": "number", "score": "number", "reason": "text", "control_step": "number",
    "control_before": "number", "control_after": "number",
}  # fmt: skip
PHENOMENA: Mapping[str, Mapping[str, str]] = {
    "stabilization": {**_SERIES, "index": "number", "step": "number", "status": "text"},
    "order": _VERDICT,
    "bottom_up": _VERDICT,
    "jumps": {**_SERIES, "index": "number", "step": "number", "log_ratio": "number", "score": "number"},
    "critical": {**_SERIES, "start": "number", "stop": "number", "peak": "number"},
    "transitions": {**_SERIES, "index": "number", "step": "number", "acceleration": "number"},
    "detection": {**_SERIES, "detected": "number", "expected_false": "number", "status": "text"},
    "best_periods": {"dimension": "text", "run": "text", "score": "number"},
    "types": {"dimension": "text", "mode": "text", "type": "number", "name": "text"},
    "type_members": {**_SERIES, "step": "number", "type": "number", "representative": "truth"},
}  # fmt: skip


def checked(table: pd.DataFrame, columns: Mapping[str, str], path: Path) -> pd.DataFrame:
    """`table` as it is. Raises StoreError unless it has all of `columns`, each of its kind: "text", "number", "truth".

    A column without a single value is of any kind: an empty table has no types.
    """
    for name, kind in columns.items():
        if name not in table.columns:
            raise StoreError(f"{path} is damaged, or is not what its name says: it has no column {name!r}.")
        if not _is(table[name], kind):
            raise StoreError(f"{path} is damaged: its column {name!r} holds no {kind} but {table[name].dtype}.")
    return table


def _is(column: pd.Series, kind: str) -> bool:
    if column.isna().all():
        return True
    if kind == "truth":
        return is_bool_dtype(column)
    if kind == "number":
        return is_numeric_dtype(column) and not is_bool_dtype(column)
    if is_object_dtype(column):
        return all(isinstance(value, str) for value in column)
    return is_string_dtype(column) and not column.isna().any()
