"""From the model of a row to the columns of its table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, get_args

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype, is_object_dtype, is_string_dtype
from pydantic import BaseModel, ConfigDict, create_model

_KINDS: dict[Any, str] = {str: "text", int: "whole", float: "number", bool: "truth"}
_DTYPES = {"text": "str", "whole": "int64", "number": "float64", "truth": "bool"}
_NAMES = {"text": "text", "whole": "whole numbers", "number": "numbers", "truth": "truth values"}


class Row(BaseModel):
    """A row of a table. The type of a field is the kind of its column: str, int, float (NaN where there is no value) or
    bool; with `| None` a value may be missing, with a default the whole column may, and is then filled with it. A field
    whose column is not called as Python allows has the column's name as its alias. Tables may have more columns."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its `kind` is "text", "whole", "number" or "truth"; `gaps` says whether values may be missing, `needed`
    whether the column must be there; where it is not, it is `default` throughout."""

    name: str
    kind: str
    gaps: bool
    needed: bool
    default: Any = None

    @property
    def dtype(self) -> str:
        """The pandas type that a table is given."""
        return "Int64" if self.kind == "whole" and self.gaps else _DTYPES[self.kind]


@cache
def columns_of(row: type[Row]) -> tuple[Column, ...]:
    """The columns of a table of `row`, in order."""
    columns = []
    for name, field in row.model_fields.items():
        types = set(get_args(field.annotation) or (field.annotation,))
        (kind,) = (_KINDS[each] for each in types - {NoneType})
        gaps, needed = NoneType in types or kind == "number", field.is_required()
        columns.append(Column(field.alias or name, kind, gaps, needed, None if needed else field.default))
    return tuple(columns)


def row_model(name: str, base: type[Row], fields: Mapping[str, Any], doc: str) -> type[Row]:
    """A model of a row made from what declares its columns elsewhere: `fields` maps a column to (type, default), or to
    (type, pydantic's Field)."""
    # pydantic's overloads take field definitions only as keywords that are known when types are checked.
    make: Any = create_model
    return make(name, __base__=base, __doc__=doc, **fields)


def frame(rows: Iterable[Mapping[str, Any]], row: type[Row]) -> pd.DataFrame:
    """`rows` as a table of `row`: its columns in its order, each in its type, also where there is no row; what a row
    lacks is its default."""
    columns = columns_of(row)
    table = pd.DataFrame(list(rows), columns=[column.name for column in columns])
    spare = {column.name: column.default for column in columns if not column.needed and not column.gaps}
    table = table.astype(dict.fromkeys(spare, object)).fillna(spare)
    return table.astype({column.name: column.dtype for column in columns})


def typed(table: pd.DataFrame, row: type[Row]) -> pd.DataFrame:
    """`table` with the columns that it lacks and need not have, and whole numbers, texts and truth values in their own
    types. To be called on what `misfit` has no objection to."""
    given, changed = {}, {}
    for column in columns_of(row):
        if column.name not in table.columns:
            given[column.name] = pd.Series(column.default, index=table.index, dtype=column.dtype)
        elif column.kind != "number" and str(table[column.name].dtype) != column.dtype:
            changed[column.name] = table[column.name].astype(column.dtype)
    return table.assign(**changed, **given) if changed or given else table


def misfit(table: pd.DataFrame, row: type[Row]) -> str | None:
    """What of `table` is not as `row` has it, as the end of a sentence ("has no column 'step'"); None where all is.

    A column without a single value is of any kind: an empty table has no types.
    """
    for column in columns_of(row):
        if column.name not in table.columns:
            if column.needed:
                return f"has no column {column.name!r}"
            continue
        values = table[column.name]
        missing = values.isna()
        if len(values) and not column.gaps and missing.any():
            return f"lacks a value in its column {column.name!r}"
        if not missing.all() and not _is(values, column.kind):
            return f"holds no {_NAMES[column.kind]} in its column {column.name!r} but {values.dtype}"
    return None


def _is(values: pd.Series, kind: str) -> bool:
    if kind == "truth":
        return is_bool_dtype(values)
    if kind == "text":
        return all(isinstance(v, str) for v in values.dropna()) if is_object_dtype(values) else is_string_dtype(values)
    if not is_numeric_dtype(values) or is_bool_dtype(values):
        return False
    if kind == "number" or values.dtype.kind in "iu":
        return True
    numbers = values.dropna().to_numpy(dtype=float)
    return bool(np.all((np.abs(numbers) < 2.0**63) & (numbers == np.floor(numbers))))
