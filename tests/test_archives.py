"""What earlier releases wrote is opened, with the values they had; what a later one wrote is said to be later."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch

import geophone as gp
from geophone.dimensions import VERSIONS
from geophone.errors import GeophoneError, NewerFormatError
from geophone.record.checkpoints import weights_digest
from geophone.store.formats import FORMER
from geophone.store.sql import query

FORMATS = sorted((Path(__file__).parent / "archives").glob("format-*"))
KINDS = {"recorded": "recorded", "imported": "imported", "measured": "measured", "study": "study/runs/*"}


@pytest.fixture(params=FORMATS, ids=lambda folder: folder.name)
def archive(request):
    return request.param


def expected(archive):
    return json.loads((archive / "expected.json").read_text())


def folder_of(archive, kind):
    (found,) = archive.glob(KINDS[kind])
    return found


def changed(archive, kind, tmp_path, **fields):
    """A copy of an archived run whose manifest says something else."""
    copy = shutil.copytree(folder_of(archive, kind), tmp_path / kind)
    manifest = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(manifest | fields))
    return copy


def test_there_is_an_archive_and_it_is_small():
    assert FORMATS
    files = [p for folder in FORMATS for p in folder.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 300_000 * len(FORMATS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_reads_as_it_was_written(archive, kind):
    run, told = gp.open(folder_of(archive, kind)), expected(archive)["runs"][kind]
    assert [layer.name for layer in run.layers] == told["layers"]
    assert set(run.dimensions) == set(told["values"])
    assert run.status == "finished" and len(run.statuses()) == len(told["steps"])
    for name, by_layer in told["values"].items():
        table = run.series(name)
        assert table.index.tolist() == told["steps"]
        for layer, values in by_layer.items():
            np.testing.assert_array_equal(table[layer], np.array(values, dtype=float))


def test_the_study_has_its_tables_targets_digs_and_statistics(archive):
    study, told = gp.open(archive / "study"), expected(archive)
    assert len(study) == 1 and study.runs[0].scalars()["loss"].tolist() == told["loss"]
    former = {name: kind for kind, name in FORMER.items()}
    counts = {former.get(kind, kind): count for kind, count in told["phenomena"].items()}
    assert {kind: len(study.phenomena(kind)) for kind in study.kinds} == counts
    assert [[t.layer, t.step] for t in study.targets().itertuples()] == told["targets"]
    assert sorted(study.statistics().plain) == told["statistics"]
    assert told["digs"]
    for name in told["digs"]:
        assert study.dig(name).name == name


def as_stored(path):
    with duckdb.connect() as connection:
        return connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).df()


FORMS = {"seed": "naive", "robust": "calibrated"}
RENAMED = {"family": "architecture", "seed_edges": "naive_edges"}


def test_every_table_holds_what_is_stored_under_the_names_of_now(archive):
    """Value by value: only forms, an architecture and the control's columns have other names since."""
    study = gp.open(archive / "study")
    tables = {path: study.phenomena(kind) for kind, path in study.places.phenomena.items()}
    tables |= {study.places.targets: study.targets(), study.places.evidence: study.evidence()}
    tables |= {dig.folder / f"{name}.parquet": dig[name] for dig in study.digs() for name in dig.tables}
    assert len(tables) >= 20
    for path, table in tables.items():
        stored = as_stored(path)
        assert len(table) == len(stored)
        for column in [c for c in stored if not c.startswith("control_")]:
            values = stored[column].replace(FORMS) if column == "mode" else stored[column]
            if column in ("test", "grouped_by"):
                values = values.str.replace("family", "architecture")
            read = table[RENAMED.get(column, column)]
            assert read.isna().tolist() == values.isna().tolist(), (path.name, column)
            assert read.dropna().tolist() == values.dropna().tolist(), (path.name, column)


def test_a_dig_and_its_target_are_the_same_in_the_table_and_in_the_document(archive):
    study = gp.open(archive / "study")
    (dig,) = study.digs()
    assert dig.target == study.target(1)
    assert dig.about.options.per_class == 20 and dig.about.options.units == 3
    moments = dig["moments"].set_index(["role", "moment"])["step"]
    assert {role: dict(moments.loc[role]) for role in dig.steps} == dig.steps
    assert set(dig.steps) == ({"target"} if archive.name == "format-1" else {"target", "control"})


def test_statistics_speak_of_forms_as_now_and_their_values_are_those_of_the_file(archive):
    study = gp.open(archive / "study")
    stored = json.loads(study.places.statistics.read_text())
    read = study.statistics().plain
    assert {n["form"] for n in read["numbers"]} == {"naive", "calibrated"}
    assert {"diversity/naive", "order/calibrated"} <= {n["id"] for n in read["numbers"]}
    assert [n["value"] for n in read["numbers"]] == [n["value"] for n in stored["numbers"]]
    assert "seed" not in read["study"]["modes"] and not any("robust" in n["says"] for n in read["numbers"])


def test_sql_knows_the_words_of_now(archive):
    study = gp.open(archive / "study")
    assert set(query(study, "SELECT DISTINCT mode FROM stabilization")["mode"]) == {"naive", "calibrated"}
    assert query(study, "SELECT architecture FROM runs")["architecture"].tolist() == ["mlp"]
    (dig,) = study.digs()
    assert query(study, "SELECT naive_edges FROM composition")["naive_edges"].tolist() == [
        *dig["composition"]["naive_edges"]
    ]


def test_checkpoints_are_the_networks_they_were(archive):
    told = expected(archive)["checkpoints"]
    run = gp.open(folder_of(archive, "study"))
    for step, digest in told.items():
        assert weights_digest(run.at(int(step))) == digest
    assert len(told) >= 2


def test_dimensions_of_an_archived_network_are_those_of_the_archive(archive):
    """The definitions have not moved since: a measurement made again is the one that is stored."""
    weights = torch.randn(15, 6, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    first = torch.nn.Linear(6, 5)
    told = expected(archive)["runs"]["measured"]
    with torch.no_grad():
        found = gp.dimensions(first(weights))
    for name, value in found.items():
        assert told["values"][name][told["layers"][0]][0] == pytest.approx(value, rel=1e-5), name


def test_a_later_format_says_so(archive, tmp_path):
    copy = changed(archive, "recorded", tmp_path, format=99)
    with pytest.raises(NewerFormatError, match="99"):
        gp.open(copy)


def test_another_definition_of_a_dimension_is_not_mixed_with_ours(archive, tmp_path):
    """A run whose stable_rank means something else can be read, but is not gone on with."""
    manifest = json.loads((folder_of(archive, "study") / "run.json").read_text())
    every = manifest["schedule"]
    other = manifest["definitions"] | {"stable_rank": VERSIONS["stable_rank"] + 98}
    copy = changed(archive, "study", tmp_path, definitions=other)
    assert gp.open(copy).manifest.definitions["stable_rank"] == VERSIONS["stable_rank"] + 98
    with pytest.raises(GeophoneError):
        gp.train("mlp_1_parity", out=copy, steps=100, probe_samples=32, resume=True, **every)
    assert gp.open(copy).manifest.definitions == other
    ours = shutil.copytree(folder_of(archive, "study"), tmp_path / "ours")
    assert gp.train("mlp_1_parity", out=ours, steps=100, probe_samples=32, resume=True, **every).manifest.steps == 100
    assert set(gp.open(folder_of(archive, "imported")).manifest.definitions.values()) == {0}
