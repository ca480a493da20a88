"""Versions of tables and documents, what format 1 had in other words, and folders that are replaced whole."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from geophone.errors import NewerFormatError, StoreError
from geophone.records import DigOptions, Target, Window
from geophone.rows import Row, TargetRow, frame
from geophone.store import tables
from geophone.store.documents import DigDocument, read_document, write_document
from geophone.store.folders import replace_folder
from geophone.store.formats import FORMAT
from geophone.store.study import targets_in
from geophone.store.tables import format_of, read_rows, write_rows, write_table

PLACE = ("r", "a", 0, "stable_rank", Window(10, 20, 30))
WINDOWS = [(None, None), (Window(1, 2, 3), None), (None, Window(40, 50, 60)), (Window(1, 2, 3), Window(40, 50, 60))]


class Place(Row):
    run: str
    step: int


@pytest.mark.parametrize(("earlier", "later"), WINDOWS)
def test_a_target_comes_back_from_a_table_and_from_a_document(tmp_path, earlier, later):
    target = Target(1, *PLACE, earlier, later, "naive", 0.5, "why")
    write_rows(tmp_path / "t.parquet", frame([TargetRow.of(target)], TargetRow), TargetRow)
    assert targets_in(read_rows(tmp_path / "t.parquet", TargetRow)) == [target]
    options = DigOptions(units=(3, 1), recovery=True, horizons=(5, "plateau"))
    document = DigDocument(target=target, options=options, code="abc")
    write_document(tmp_path / "dig.json", document)
    assert read_document(tmp_path / "dig.json", DigDocument) == document


@pytest.mark.parametrize(("side", "control"), [("earlier", (5, 10, 15)), ("later", (60, 70, 80)), (None, (None,) * 3)])
def test_the_control_of_format_1_gets_its_side(tmp_path, side, control):
    flat = {"rank": 1, "run": "r", "layer": "a", "depth": 0, "dimension": "d", "step": 40, "before": 30, "after": 50,
            "score": 0.5, "reason": "why"}  # fmt: skip
    flat |= dict(zip(("control_before", "control_step", "control_after"), control, strict=True))
    table = pd.DataFrame([flat]).astype({key: "Int64" for key in flat if key.startswith("control")})
    with tables.connect() as connection:
        connection.register("frame", table)
        connection.execute("COPY frame TO ? (FORMAT parquet)", [str(tmp_path / "t.parquet")])
    (tmp_path / "dig.json").write_text(json.dumps({"format": 1, "target": flat, "options": {"per_class": 9}}))
    expected = Target(
        1, "r", "a", 0, "d", Window(30, 40, 50), Window(*control) if side == "earlier" else None,
        Window(*control) if side == "later" else None, "unknown", 0.5, "why",
    )  # fmt: skip
    assert targets_in(read_rows(tmp_path / "t.parquet", TargetRow)) == [expected]
    assert read_document(tmp_path / "dig.json", DigDocument).target == expected


def test_the_nearer_control_in_log_step_is_the_one_that_is_compared():
    near = Target(1, *PLACE, Window(9, 10, 11), Window(35, 39, 43), "naive", 0.5, "")
    assert near.control == Window(35, 39, 43)  # 39 / 20 is less than 20 / 10
    assert Target(1, *PLACE, Window(9, 10, 11), Window(38, 41, 43), "naive", 0.5, "").control == Window(9, 10, 11)


def test_every_table_and_document_carries_its_version_and_a_later_one_is_refused(tmp_path, monkeypatch):
    path, document = tmp_path / "t.parquet", tmp_path / "dig.json"
    write_table(path, pd.DataFrame({"run": ["a"], "step": [1]}))
    with tables.connect() as connection:
        assert format_of(connection, path) == FORMAT
    monkeypatch.setattr(tables, "FORMAT", FORMAT + 1)
    write_table(path, pd.DataFrame({"run": ["a"], "step": [1]}))
    with pytest.raises(NewerFormatError, match=f"t.parquet has format {FORMAT + 1}"):
        read_rows(path, Place)
    document.write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(NewerFormatError, match=f"dig.json has format {FORMAT + 1}"):
        read_document(document, DigDocument)
    for wrong in ("[]", "{}", '{"format": true}', '{"format": "2"}', '{"format": 0}'):
        document.write_text(wrong)
        with pytest.raises(StoreError, match="no format number"):
            read_document(document, DigDocument)


def test_a_table_that_is_not_as_its_rows_are_is_not_written(tmp_path):
    with pytest.raises(StoreError, match="was not written: the table has no column 'step'"):
        write_rows(tmp_path / "t.parquet", pd.DataFrame({"run": ["a"]}), Place)
    assert not (tmp_path / "t.parquet").exists()


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path):
    folder = tmp_path / "f"
    with replace_folder(folder) as fresh:
        (fresh / "a").write_text("first")
    with pytest.raises(ZeroDivisionError), replace_folder(folder) as fresh:
        (fresh / "a").write_text("second")
        raise ZeroDivisionError
    assert (folder / "a").read_text() == "first"
    (folder / "mine").write_text("kept")
    with replace_folder(folder, own=("a",)) as fresh:
        (fresh / "a").write_text("third")
    assert (folder / "a").read_text() == "third" and (folder / "mine").read_text() == "kept"
    with replace_folder(folder) as fresh:
        (fresh / "b").write_text("fourth")
    assert [p.name for p in folder.iterdir()] == ["b"] and [p.name for p in tmp_path.iterdir()] == ["f"]


def test_what_a_killed_process_left_is_taken_away_and_what_it_had_moved_aside_comes_back(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for kind in ("tmp", "old"):
        (tmp_path / f".f.{gone.pid}.{kind}").mkdir()
    (tmp_path / f".f.{gone.pid}.old" / "a").write_text("first")
    (tmp_path / f".f.{os.getppid()}.tmp").mkdir()
    with pytest.raises(ZeroDivisionError), replace_folder(tmp_path / "f"):
        raise ZeroDivisionError
    assert (tmp_path / "f" / "a").read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".f.{os.getppid()}.tmp", "f"]
