"""Tables on disk: parquet files that appear whole or not at all, and are read through DuckDB."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from geophone.errors import StoreError
from geophone.rows import Row, misfit, typed
from geophone.store.formats import FORMAT, KEY, check_format, table_of_format_1

VALUES_PER_BYTE = 100
FEW_VALUES = 1_000_000


def connect() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that keeps to one thread: our tables are small, and training wants the cores."""
    return duckdb.connect(":memory:", config={"threads": 1})


@cache
def _database(process: int) -> duckdb.DuckDBPyConnection:
    """What tables are read through in a process: opening one takes longer than reading a table."""
    return connect()


@contextmanager
def _reading() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to read with, of the calling thread alone."""
    try:
        with _database(os.getpid()).cursor() as connection:
            yield connection
    except (StoreError, duckdb.Error):
        _database.cache_clear()  # what a damaged file did to it is not known
        raise


def replace_file(path: Path, write) -> None:
    """Have `write(temporary path)` make a file, sync it, and give it its name in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except (OSError, duckdb.Error) as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"could not write {path}: {_reason(error)}. Nothing that was there is lost.") from error
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def clear_temporaries(folder: Path) -> None:
    """Remove what a killed writer left half written under `folder`. Only for the one who holds the folder."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write `frame` (without its index) as one parquet file, whole or not at all."""
    write_tables({path: frame})


def write_tables(frames: Mapping[Path, pd.DataFrame]) -> None:
    """`write_table` of several, over one connection; each is whole or not there, and has the version of its format.

    Numbers in lists are split by their bytes, so that those of half precision take no more than half the place.
    """
    metadata = f"KV_METADATA {{{KEY}: '{FORMAT}'}}"
    with connect() as connection:
        for path, frame in frames.items():
            connection.register("frame", frame)
            version = "V2" if _has_lists(frame) else "V1"
            form = f"FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION {version}, {metadata}"
            replace_file(path, partial(_copy, connection, f"COPY frame TO ? ({form})"))
            connection.unregister("frame")


def _copy(connection: duckdb.DuckDBPyConnection, statement: str, path: Path) -> None:
    connection.execute(statement, [str(path)])


def _has_lists(frame: pd.DataFrame) -> bool:
    return bool(len(frame)) and any(isinstance(value, np.ndarray) for value in frame.iloc[0])


def read_table(path: Path, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One parquet file. Raises StoreError when it is missing or damaged."""
    if not path.is_file():
        raise StoreError(f"{path} is not there.")
    return read_parts([path], columns=columns)


def read_rows(path: Path, row: type[Row]) -> pd.DataFrame:
    """The table at `path`, whose rows are of the model `row`, as this release would have written it.

    Raises StoreError when it is missing or damaged, naming the column, NewerFormatError when a later release wrote it.
    """
    if not path.is_file():
        raise StoreError(f"{path} is not there.")
    with _reading() as connection:
        table, version = _rows(connection, [path]), format_of(connection, path)
    table = table_of_format_1(table) if version == 1 else table
    if wrong := misfit(table, row):
        raise StoreError(f"{path} is damaged, or is not what its name says: it {wrong}.")
    return typed(table, row)


def write_rows(path: Path, table: pd.DataFrame, row: type[Row]) -> None:
    """Write `table`, whose rows are of the model `row`. Raises StoreError where they are not."""
    if wrong := misfit(table, row):
        raise StoreError(f"{path} was not written: the table {wrong}.")
    write_table(path, typed(table, row))


def format_of(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The version of the format of a table; 1 where it has none, as in the first release."""
    query = "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = ?"
    try:
        known = connection.execute(query, [str(path), KEY]).fetchall()
    except (duckdb.Error, UnicodeDecodeError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {_reason(error)}.") from error
    text = known[0][0] if known else "1"
    return check_format(path, int(text) if text.isdecimal() else None)


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def read_parts(paths: Sequence[Path], *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of all `paths` in their order; a column that only some of them have is missing in the others.

    Raises StoreError naming the damaged file when one cannot be read, or claims more values than its bytes can hold.
    """
    with _reading() as connection:
        return _rows(connection, paths, columns)


def _rows(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    selection = "*" if columns is None else ", ".join('"' + c.replace('"', '""') + '"' for c in columns)
    query = f"SELECT {selection} FROM read_parquet(?, union_by_name = true)"
    try:
        for path in paths:
            _check_size(connection, path)
        return _with_gaps(connection.execute(query, [[str(p) for p in paths]]).df())
    except (duckdb.Error, UnicodeDecodeError, ValueError, MemoryError) as error:
        damaged = [p for p in paths if not _readable(connection, p)]
        which = f"{damaged[0]} is damaged" if damaged else f"{paths[0].parent} cannot be read"
        raise StoreError(f"{which}: {_reason(error)}.") from error


def _with_gaps(table: pd.DataFrame) -> pd.DataFrame:
    """`table`, with NaN for what is missing inside a list.

    NaN in a list is stored as NULL and comes back masked, and numpy counts what lies under a mask, a 0, as a value.
    """
    for name in table:
        if pd.api.types.is_object_dtype(table[name]) and any(map(_is_masked, table[name])):
            table[name] = [_unmasked(value) for value in table[name]]
    return table


def _is_masked(value: object) -> bool:
    return isinstance(value, np.ma.MaskedArray)


def _unmasked(value: Any) -> Any:
    if not _is_masked(value):
        return value
    # A list of nothing but NaN is stored as one of whole numbers, which know no NaN.
    return np.ma.filled(value if value.dtype.kind == "f" else value.astype(np.float64), np.nan)


def _readable(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    try:
        _check_size(connection, path)
        connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    except (duckdb.Error, UnicodeDecodeError, ValueError, MemoryError):
        return False
    return True


def _check_size(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raises StoreError for a file that claims so many values that reading it would only fill the memory."""
    query = "SELECT coalesce(sum(num_values), 0) FROM parquet_metadata(?)"
    (values,), size = connection.execute(query, [str(path)]).fetchall()[0], path.stat().st_size
    if values > FEW_VALUES + VALUES_PER_BYTE * size:
        raise StoreError(f"{path} is damaged: it claims {values} values in {size} bytes.")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
