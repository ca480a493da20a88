"""SQL over a study: the same numbers as by hand, and no way to change or to read anything else."""

import re

import duckdb
import numpy as np
import pandas as pd
import pytest

import geophone as gp
from geophone.errors import InputError, StoreError
from geophone.ingest.tables import import_series
from geophone.records import DigOptions, Target, Window
from geophone.rows import PHENOMENA, TargetRow, frame
from geophone.store import sql
from geophone.store.documents import DigDocument, write_document
from geophone.store.places import DIG
from geophone.store.study import Study
from geophone.store.tables import write_table


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(3)
    for name in ("one", "two"):
        steps = np.arange(5, 105, 5)
        wide = pd.DataFrame({"step": steps, "a": rng.normal(5, 1, 20), "b": rng.normal(9, 1, 20)})
        wide.to_csv(folder / f"{name}.csv", index=False)
        import_series(folder / f"{name}.csv", out=folder / "runs" / name, dimension="stable_rank")
    # A run's name and its folder's may differ; the run's counts.
    (folder / "runs" / "two").rename(folder / "runs" / "moved")
    opened = Study(folder)
    windows = Window(5, 10, 15), None, Window(55, 60, 65)
    targets = [Target(i, run, "a", 0, "stable_rank", *windows, "naive", 1.0, "") for i, run in ((1, "one"), (2, "two"))]
    opened.write("targets", frame(map(TargetRow.of, targets), TargetRow))
    order = {"run": "one", "dimension": "stable_rank", "mode": "naive", "rho": 0.5, "verdict": "weak"}
    opened.write("phenomena/order", frame([order], PHENOMENA["order"]))
    for place, units in ((opened.places.dig(targets[0].name), [0, 1, 2]), (opened.places.digs / ".half.tmp", [7])):
        rows = [{"role": "target", "moment": "before", "unit": unit} for unit in units]
        write_table(place / "units.parquet", pd.DataFrame(rows))
        write_document(place / DIG, DigDocument(target=targets[0], options=DigOptions(), code=""))
    return opened


def test_the_same_as_by_hand(study):
    found = sql.query(study, "SELECT run, layer, avg(stable_rank) AS mean FROM series GROUP BY ALL ORDER BY ALL")
    by_hand = [
        (run.name, layer, run.series("stable_rank")[layer].mean()) for run in study for layer in ("a", "b")
    ]  # fmt: skip
    assert [tuple(row[:2]) for row in found.itertuples(index=False)] == [row[:2] for row in sorted(by_hand)]
    assert found["mean"].to_numpy() == pytest.approx([row[2] for row in sorted(by_hand)])


def test_rows_of_a_run_that_was_moved_carry_its_name(study):
    assert sorted(sql.query(study, "SELECT DISTINCT run FROM series")["run"]) == ["one", "two"]


def test_phase_1_and_digs_have_their_tables(study):
    assert set(sql.tables(study)) == {"runs", "layers", "series", "scalars", "targets", "convergence_order", "units"}
    assert sql.query(study, "FROM convergence_order")["rho"].tolist() == [0.5]
    units = sql.query(study, "FROM units ORDER BY unit")
    assert units["unit"].tolist() == [0, 1, 2] and set(units["target"]) == {"one.a.step00000010"}
    assert sql.query(study, "SELECT name FROM layers WHERE run = 'one' ORDER BY depth")["name"].tolist() == ["a", "b"]


def test_tables_meet_in_a_join(study):
    found = sql.query(
        study, "SELECT t.rank, count(*) AS rows FROM targets t JOIN series s USING (run) GROUP BY 1 ORDER BY 1"
    )
    assert found.to_dict("list") == {"rank": [1, 2], "rows": [40, 40]}


REFUSED = [
    "COPY runs TO '{there}/out.csv'", "EXPORT DATABASE '{there}/out'", "ATTACH '{there}/out.db'",
    "INSTALL httpfs", "LOAD httpfs", "SET memory_limit = '99GB'", "PRAGMA profiling_output = '{there}/p.json'",
    "CALL enable_logging('QueryLog', storage = 'file')", "FROM enable_logging('QueryLog')",
    "SELECT * FROM read_csv('{there}/one.csv')", "FROM '{there}/one.csv'", "FROM read_text('{there}/one.csv')",
    "FROM glob('{there}/*')", "FROM read_parquet('http://127.0.0.1:9/x.parquet')", "CREATE TABLE mine AS SELECT 1",
    "DROP TABLE runs", "SELECT 1; SELECT 2", "", "   -- nothing",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_nothing_but_a_question_is_taken(study, text, monkeypatch):
    monkeypatch.chdir(study.folder)
    before = sorted(study.folder.rglob("*"))
    with pytest.raises(InputError):
        sql.query(study, text.format(there=study.folder))
    assert sorted(study.folder.rglob("*")) == before


def test_the_database_is_closed_even_if_the_statement_were_taken(study, monkeypatch):
    # The rule on statements and the locks each hold alone.
    monkeypatch.setattr(sql, "_check_question", lambda connection, text: None)
    for text in REFUSED[:14]:
        with pytest.raises(InputError):
            sql.query(study, text.format(there=study.folder))
    assert not list(study.folder.glob("out*")) and not list(study.folder.glob("p.json"))


def test_python_variables_are_not_tables(study):
    with pytest.raises(InputError, match="no table sources; the tables are runs, layers"):
        sql.query(study, "FROM sources")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELEC run FROM runs", 'syntax error at or near "SELEC"'),
        ("SELECT nosuch FROM series", '"nosuch" not found'),
        ("SELECT CAST('a' AS INT)", "Could not convert"),
    ],
)
def test_a_wrong_question_is_one_sentence(study, text, says):
    with pytest.raises(InputError, match=re.escape(says)) as error:
        sql.query(study, text)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_a_question_too_big_for_memory_ends_in_a_sentence(study, monkeypatch):
    monkeypatch.setattr(sql, "_LOCKS", ("SET memory_limit = '20MB'", *sql._LOCKS[1:]))
    with pytest.raises(InputError, match="Memory"):
        sql.query(study, "SELECT list(a.range || b.range) FROM range(3000) a, range(3000) b")


def test_a_damaged_file_is_named(study, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "targets.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(StoreError, match="targets.parquet is damaged"):
        sql.query(gp.open(tmp_path), "FROM targets")
    assert len(sql.query(gp.open(tmp_path), "FROM runs")) == 0


def test_duckdb_gives_the_kinds_of_statement_that_are_relied_upon():
    kinds = [
        s.type
        for s in duckdb.connect().extract_statements("DESCRIBE x; SUMMARIZE x; FROM x; WITH a AS (SELECT 1) FROM a")
    ]
    assert set(kinds) == {duckdb.StatementType.SELECT}
