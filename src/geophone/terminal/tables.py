"""Tables in plain text: columns aligned, numbers to the right, one line a row."""

import textwrap

import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

WIDTH = 80
MISSING = "-"


def aligned(frame: pd.DataFrame, *, indent: str = "") -> str:
    """`frame` without its index. Numbers have four significant digits, a missing value is "-", text is never cut."""
    cells = [_column(str(name), frame.iloc[:, at]) for at, name in enumerate(frame.columns)]
    return "\n".join(indent + "  ".join(row).rstrip() for row in zip(*cells, strict=True))


def wrapped(text: str, *, indent: str = "", more: str = "") -> str:
    """`text` in lines of at most 80 characters, the first after `indent`, the others after `indent` + `more`."""
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + more, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _column(name: str, values: pd.Series) -> list[str]:
    number = is_numeric_dtype(values) and not is_bool_dtype(values)
    texts = [name, *(_said(value, digits=is_float_dtype(values)) for value in values)]
    width = max(map(len, texts))
    return [text.rjust(width) if number else text.ljust(width) for text in texts]


def _said(value: object, *, digits: bool) -> str:
    if isinstance(value, list | tuple | dict) or getattr(value, "ndim", 0):
        return " ".join(str(value).split())
    if pd.isna(value):
        return MISSING
    if not digits:
        return " ".join(str(value).split())
    number = float(value)
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else f"{number:.4g}"
