"""Nothing that a file says makes geophone read or write outside the folder it was given; what cannot harm is kept."""

import json
import os
import shutil

import pandas as pd
import pytest
import torch
from torch import nn

import geophone as gp
from geophone.errors import GeophoneError, InputError, StoreError
from geophone.ingest.sources import revisions
from geophone.records import target_name
from geophone.rows import Row
from geophone.store.inside import is_inside
from geophone.store.tables import read_rows, write_table
from geophone.study import parse_study
from geophone.zoo.catalogue import experiment

NAMES = [
    "../../x",
    "/etc/passwd",
    "..",
    "a/b",
    "<img src=x onerror=alert(1)>",
    "a\x00b",
    "\u202egnp",
    "'; DROP TABLE x",
]


@pytest.fixture
def run(tmp_path):
    out = tmp_path / "study" / "runs" / "one"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    with gp.Recorder(model, torch.randn(16, 4), out=out, every=1, name="<b>one</b>/../..") as recorder:
        for _ in range(3):
            recorder.step(loss=1.0)
    return out


def listing(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_of_a_dig_stays_in_digs_whatever_run_and_layer_are_called(name, tmp_path):
    for run, layer in ((name, "conv1"), ("one", name), (name, name)):
        made = target_name(run, layer, 5)
        assert (tmp_path / "digs" / made).parent == tmp_path / "digs"
        assert is_inside(tmp_path / "digs" / made, tmp_path / "digs") and made not in ("", ".", "..")


def test_names_and_notes_with_html_and_dots_come_back_as_they_were_and_make_no_file(run, tmp_path):
    assert gp.open(run).name == "<b>one</b>/../.."
    raw = json.loads((run / "run.json").read_text())
    raw["note"], raw["about"] = "<script>alert(1)</script>", {"architecture": "../../x"}
    (run / "run.json").write_text(json.dumps(raw))
    opened = gp.open(run)
    assert opened.manifest.note == "<script>alert(1)</script>" and opened.manifest.about == {"architecture": "../../x"}
    assert listing(tmp_path) == sorted(["study", "study/runs", *(f"study/runs/one{'/' + p if p else ''}" for p in
                                        ["", *listing(run)])])  # fmt: skip


@pytest.mark.parametrize("name", ["series/../../../secret", "/etc/passwd", "../x", "series/part-0.parquet/../x"])
def test_a_manifest_cannot_name_a_part_outside_its_run(run, name):
    raw = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(raw | {"parts": {name: "0"}}))
    with pytest.raises(StoreError, match="is no part of a run"):
        gp.open(run)


@pytest.mark.parametrize("step", ["../../x", "1/../2", "1e3"])
def test_a_manifest_cannot_name_a_checkpoint_by_a_path(run, step):
    raw = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(raw | {"checkpoints": {step: "0"}}))
    with pytest.raises(StoreError, match="damaged at checkpoints"):
        gp.open(run)


def test_a_link_out_of_the_folder_is_refused_and_one_within_it_is_not(run, tmp_path):
    study = tmp_path / "study"
    (study / "kept").mkdir()
    run.rename(study / "kept" / "one")
    run.symlink_to(study / "kept" / "one")
    assert len(gp.open(study)) == 1
    (tmp_path / "elsewhere").mkdir()
    (study / "phenomena").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="leads out of"):
        gp.open(study)
    (study / "phenomena").unlink()
    part = run / "series" / "part-00000.parquet"
    shutil.move(part, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere" / part.name, part)
    with pytest.raises(StoreError, match="leads out of"):
        gp.open(run)
    assert listing(tmp_path / "elsewhere") == [part.name]


def test_a_study_may_itself_be_reached_through_a_link(run, tmp_path):
    (tmp_path / "short").symlink_to(tmp_path / "study")
    assert len(gp.open(tmp_path / "short")) == 1


def climbing():
    from dataclasses import replace

    return replace(experiment("mlp_1_digits"), name="../../climbed")


@pytest.mark.parametrize(
    "text", ['name = "../x"', 'name = "/tmp/x"', 'name = ".."', 'name = "a/b"', 'name = "a\\\\nb"']
)
def test_a_study_cannot_be_called_by_a_path(text):
    with pytest.raises(InputError, match="line 1: name"):
        parse_study(f'{text}\nnetworks = ["mlp_1_digits"]', where="here")


def test_an_experiment_of_ones_own_cannot_be_called_by_a_path(monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    with pytest.raises(InputError, match="cannot name a folder"):
        parse_study('name = "s"\nnetworks = ["test_paths:climbing"]', where="here")


@pytest.mark.parametrize("name", ["../step1", "/tmp/step1", "a/../../step1"])
def test_a_revision_lies_in_the_model_s_folder(name, tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "model").mkdir()
    with pytest.raises(InputError, match="lies outside"):
        revisions(str(tmp_path / "model"), [name])


def test_an_error_shows_what_a_file_said_as_text_on_one_line():
    said = str(GeophoneError("run \x1b[31mred\x07\nnext \u202egnp \ud800 " + "x" * 5_000))
    assert said.startswith(r"run \x1b[31mred\x07 next \u202egnp \ud800 xxx") and len(said) < 1_010
    said.encode()


class Place(Row):
    run: str
    step: int


def test_a_table_that_lacks_a_column_or_holds_another_kind_is_named(tmp_path):
    path = tmp_path / "table.parquet"
    write_table(path, pd.DataFrame({"run": ["a"], "step": [1], "more": [0.5]}))
    assert read_rows(path, Place)["more"].tolist() == [0.5]
    wrong = (
        ({"run": ["a"]}, "no column 'step'"),
        ({"run": [1], "step": [1]}, "no text in its column 'run'"),
        ({"run": ["a"], "step": ["1"]}, "no whole numbers in its column 'step'"),
        ({"run": ["a"], "step": [1.5]}, "no whole numbers in its column 'step'"),
        ({"run": ["a"], "step": [True]}, "no whole numbers in its column 'step'"),
        ({"run": ["a", None], "step": [1, 2]}, "lacks a value in its column 'run'"),
    )
    for columns, words in wrong:
        write_table(path, pd.DataFrame(columns))
        with pytest.raises(StoreError, match=words):
            read_rows(path, Place)
