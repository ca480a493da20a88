"""Results for programs: one JSON document, strict enough for any reader."""

import json
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd


def document(value: object) -> str:
    """`value` as JSON, two spaces per level.

    A table is a list of objects, one per row; a path is its text. What JSON has no word for (NaN, infinity, a missing
    value) is null.
    """
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str | int):
        return value
    return value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, Path) else repr(value)
