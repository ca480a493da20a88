"""Tables and sentences on stdout: columns aligned by rich, sentences in lines of 80."""

import textwrap
from collections.abc import Iterable

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 80


def show(frame: pd.DataFrame, *, indent: int = 0) -> None:
    """`frame` without its index, a line per row. Numbers stand right with four significant digits, a missing value is
    "-", and no text is cut, whatever the width of the terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False)
    for at, name in enumerate(frame.columns):
        number = is_numeric_dtype(frame.dtypes.iloc[at]) and not is_bool_dtype(frame.dtypes.iloc[at])
        table.add_column(Text(str(name)), justify="right" if number else "left", no_wrap=True)
    for row in frame.itertuples(index=False, name=None):
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console(width=1_000_000, highlight=False, no_color=True)
    with console.capture() as lines:
        console.print(table)
    print(textwrap.indent(lines.get().rstrip("\n"), " " * indent))


def say(lines: Iterable[str]) -> None:
    """Sentences, each wrapped under its own indent."""
    for line in lines:
        text = line.lstrip()
        indent = line[: len(line) - len(text)]
        print(textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ",
                            break_long_words=False, break_on_hyphens=False))  # fmt: skip


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    missing = value is None or value is pd.NA or value is pd.NaT
    return "-" if missing else " ".join(str(value).split())
