"""SQL over all runs of a study: its files as tables in memory, and questions that can change nothing."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd

from geophone.errors import InputError, StoreError
from geophone.records import Layer
from geophone.store.study import Study
from geophone.store.tables import connect, parts

MEMORY = "2GB"
# `order` is a word of SQL; the table has the name of the function that makes its rows.
_RENAMED = {"order": "convergence_order"}
_LOCKS = (
    f"SET memory_limit = '{MEMORY}'",
    "SET temp_directory = ''",
    "SET python_enable_replacements = false",
    "SET autoload_known_extensions = false",
    "SET autoinstall_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def tables(study: Study) -> tuple[str, ...]:
    """The names of the tables that `query` knows in this study.

    `runs`, a row a run: what its manifest says of network, seed, status and results. `layers`, a row a recorded layer.
    `series` and `scalars`, the rows of all runs, with a column `run`. `targets`, `evidence`, `windows`, and phenomena
    by kind (`jumps`, `stabilization`, `critical` ...; the kind `order` is `convergence_order`). Of digs `moments`,
    `units` and what else they hold, with a column `target`, the dig's folder. Only what is there is listed.
    """
    return tuple(_sources(study))


def query(study: Study, text: str) -> pd.DataFrame:
    """The answer to one SQL question (DuckDB's dialect) over `tables(study)`.

    The tables that `text` names are copied into a database in memory, which is then closed to files, network,
    extensions and settings. Only a question is taken: SELECT, FROM, WITH, PIVOT, DESCRIBE, SUMMARIZE, EXPLAIN. Raises
    InputError for anything else and for a question that is wrong, StoreError when a file of the study is damaged.
    """
    sources = _sources(study)
    with connect() as connection:
        _check_question(connection, text)
        for name, load in sources.items():
            if re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE):
                load(connection, name)
        for lock in _LOCKS:
            connection.execute(lock)
        try:
            return connection.execute(text).df()
        except (duckdb.Error, ValueError) as error:
            if missing := re.search(r"Table with name (\S+) does not exist", str(error)):
                raise InputError(f"there is no table {missing[1]}; the tables are {', '.join(sources)}.") from error
            raise InputError(_first_line(error)) from error


def listing(study: Study) -> pd.DataFrame:
    """The tables there are: `table`, `rows` and `columns`, a row each."""
    found = []
    with connect() as connection:
        for name, load in _sources(study).items():
            load(connection, name)
            count = connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()[0][0]
            columns = [row[0] for row in connection.execute(f'DESCRIBE "{name}"').fetchall()]
            found.append({"table": name, "rows": count, "columns": ", ".join(columns)})
            connection.execute(f'DROP TABLE "{name}"')
    return pd.DataFrame(found)


_Load = Callable[[duckdb.DuckDBPyConnection, str], None]


def _check_question(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    try:
        statements = connection.extract_statements(text)
    except duckdb.Error as error:
        raise InputError(_first_line(error)) from error
    kinds = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI}
    if len(statements) != 1 or statements[0].type not in kinds:
        raise InputError(
            "give one question, such as SELECT run, max(step) FROM series GROUP BY run; nothing else runs."
        )


def _sources(study: Study) -> dict[str, _Load]:
    """How each table gets into a database, by name."""
    runs = study.runs
    found: dict[str, _Load] = {"runs": _frame(lambda: _runs(study)), "layers": _frame(lambda: _layers(study))}
    for kind in ("series", "scalars"):
        files = {path: run.name for run in runs for path in parts(run.folder / kind)}
        if files:
            found[kind] = _files(files)
    for name in ("targets", "evidence", "windows"):
        if study.places.table(name).is_file():
            found[name] = _frame(partial(study.table, name))
    for kind in study.kinds:
        found[_RENAMED.get(kind, kind)] = _frame(partial(study.phenomena, kind))
    dug: dict[str, list[str]] = {}
    for folder in study.places.finished_digs():
        for path in sorted(folder.glob("[!.]*.parquet")):
            dug.setdefault(path.stem, []).append(folder.name)
    return found | {kind: _frame(partial(_dug, study, kind, names)) for kind, names in dug.items() if kind not in found}


def _dug(study: Study, kind: str, names: Sequence[str]) -> pd.DataFrame:
    """The table `kind` of all digs in `names`, each one's name in a first column."""
    table = pd.concat([study.dig(name)[kind].assign(target=name) for name in names], ignore_index=True)
    return table[["target", *(column for column in table if column != "target")]]


def _files(files: Mapping[Path, str]) -> _Load:
    """The rows of all parquet `files`, each one's run in a first column."""

    def load(connection: duckdb.DuckDBPyConnection, name: str) -> None:
        paths = [str(path) for path in files]
        try:
            connection.execute(
                f'CREATE TABLE "{name}" AS SELECT run, rows.* EXCLUDE (filename) '
                "FROM read_parquet(?, union_by_name = true, filename = true) AS rows "
                "JOIN (SELECT unnest(?) AS filename, unnest(?) AS run) AS labels USING (filename)",
                [paths, paths, [files[Path(path)] for path in paths]],
            )
        except duckdb.Error as error:
            raise StoreError(f"{Path(paths[0]).parent} cannot be read: {_first_line(error)}") from error

    return load


def _frame(make: Callable[[], pd.DataFrame]) -> _Load:
    def load(connection: duckdb.DuckDBPyConnection, name: str) -> None:
        connection.register("made", make())
        connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM made')
        connection.unregister("made")

    return load


def _runs(study: Study) -> pd.DataFrame:
    rows = []
    for run in study:
        about, manifest = run.manifest.about, run.manifest
        rows.append(
            {
                "run": run.name, "status": run.status, "steps": manifest.steps, "measurements": manifest.measurements,
                "layers": len(manifest.layers), "created": manifest.created, "ended": manifest.ended,
                **_plain(about), **manifest.results,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=None if rows else ["run", "status", "steps", "measurements", "layers"])


def _plain(about: Mapping[str, object]) -> dict[str, object]:
    """What the caller said of a run; what is not a number or a word is JSON."""
    return {k: v if isinstance(v, str | int | float) or v is None else json.dumps(v) for k, v in about.items()}


def _layers(study: Study) -> pd.DataFrame:
    rows = [{"run": run.name, **asdict(layer)} for run in study for layer in run.layers]
    return pd.DataFrame(rows, columns=["run", *Layer.__dataclass_fields__])


def _first_line(error: Exception) -> str:
    """DuckDB's reason in one line with a full stop."""
    said = str(error).partition("\n\nLINE ")[0].partition("\nLINE ")[0]
    return " ".join(said.split()).rstrip(".") + "."
