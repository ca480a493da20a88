"""Files appear whole or not at all, say what is wrong with them, and are never harmed by being read."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from geophone.errors import StoreError
from geophone.records import Layer
from geophone.store.locks import claim_empty, is_held, lock
from geophone.store.manifest import Manifest, read_manifest
from geophone.store.run import Run
from geophone.store.study import Study, open_folder
from geophone.store.tables import read_parts, write_table
from geophone.store.writer import RunWriter, series_row


def manifest(**changes) -> Manifest:
    layers = (Layer("a", 0, "flat", 4, 10, (4,)), Layer("b", 1, "channels", 2, 40, (2, 3, 3)))
    given = {
        "name": "r",
        "layers": layers,
        "rows": 10,
        "definitions": {"stable_rank": 1},
        "versions": {},
        "threads": 1,
    }
    return Manifest(**(given | changes))


def write_run(folder, measurements=7, *, part_rows=3, name="r"):
    writer = RunWriter(folder, manifest(name=name), part_rows=part_rows)
    for index in range(measurements):
        rows = [
            {"index": index, "step": 5 * index, "probe": "main", "layer": name, "depth": depth, "status": "ok",
             "stable_rank": 10.0 * depth + index}
            for depth, name in enumerate("ab")
        ]  # fmt: skip
        writer.add(rows, {"index": index, "step": 5 * index, "loss": 1.0 / (index + 1)})
    writer.finish("finished", steps=5 * measurements, measurements=measurements)
    return folder


def test_a_run_round_trips_over_several_parts(tmp_path):
    run = Run(write_run(tmp_path / "r"))
    assert len(list((tmp_path / "r/series").glob("*.parquet"))) == 3
    wide = run.series("stable_rank")
    assert list(wide.columns) == ["a", "b"]
    np.testing.assert_array_equal(wide["b"], 10.0 + np.arange(7))
    np.testing.assert_array_equal(run.scalars()["loss"], 1 / np.arange(1, 8))
    assert run.layers[1].shape == (2, 3, 3)
    assert list(tmp_path.glob("r/**/*.tmp")) == []


def test_parts_on_disk_are_readable_before_the_run_ends(tmp_path):
    writer = RunWriter(tmp_path / "r", manifest(), part_rows=2)
    for index in range(5):
        row = {"index": index, "step": index, "probe": "main", "layer": "a", "depth": 0, "status": "ok"}
        writer.add([row | {"stable_rank": 1.0}, row | {"layer": "b", "depth": 1, "stable_rank": 2.0}], None)
    run = Run(tmp_path / "r")
    assert run.status == "running"
    assert len(run.series("stable_rank")) == 4
    writer.finish("finished", steps=5, measurements=5)
    assert len(run.series("stable_rank")) == 5


def test_a_writer_that_vanished_leaves_an_interrupted_run(tmp_path):
    writer = RunWriter(tmp_path / "r", manifest())
    writer._lock.release()
    run = Run(tmp_path / "r")
    assert run.status == "interrupted"
    with pytest.raises(StoreError, match="no measurement yet"):
        run.series("stable_rank")


def test_a_damaged_part_is_named(tmp_path):
    folder = write_run(tmp_path / "r")
    part = folder / "series" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(StoreError, match="part-00001.parquet is damaged"):
        Run(folder).series("stable_rank")
    assert len(read_parts([folder / "series" / "part-00000.parquet"])) == 6


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda raw: raw | {"format": 99}, "reads up to 2"),
        (lambda raw: {k: v for k, v in raw.items() if k != "format"}, "no format number"),
        (lambda raw: raw | {"threads": "many"}, "damaged at threads"),
        (lambda raw: raw | {"surprise": 1}, "damaged at surprise"),
        (lambda raw: [raw], "no format number"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_why(tmp_path, change, says):
    folder = write_run(tmp_path / "r")
    path = folder / "run.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(StoreError, match=says):
        read_manifest(folder)


def test_a_truncated_manifest_and_a_missing_one(tmp_path):
    folder = write_run(tmp_path / "r")
    (folder / "run.json").write_text('{"format": 1, "na')
    with pytest.raises(StoreError, match="damaged"):
        Run(folder)
    with pytest.raises(StoreError, match="holds neither a run"):
        open_folder(tmp_path)
    with pytest.raises(StoreError, match="not a folder"):
        open_folder(tmp_path / "nowhere")


def test_a_failed_write_leaves_what_was_there_and_no_litter(tmp_path):
    in_the_way = tmp_path / "table.parquet"
    in_the_way.mkdir()
    (in_the_way / "kept.txt").write_text("kept")
    with pytest.raises(StoreError, match="could not write .*Nothing that was there is lost"):
        write_table(in_the_way, pd.DataFrame({"a": [1]}))
    assert (in_the_way / "kept.txt").read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["table.parquet"]


def test_a_study_iterates_over_its_runs_and_keeps_tables(tmp_path):
    for name in ("b", "a"):
        write_run(tmp_path / "runs" / name, name=name)
    (tmp_path / "runs" / "stray").mkdir()
    study = open_folder(tmp_path)
    assert isinstance(study, Study)
    assert [run.folder.name for run in study] == ["a", "b"]
    table = pd.DataFrame({"run": ["r"], "step": pd.array([None], dtype="Int64")})
    study.write("phenomena/counts", table)
    assert study.phenomena("counts")["run"].tolist() == ["r"]
    with pytest.raises(StoreError, match="is not there"):
        study.targets()


def test_noise_is_what_one_reading_varies_by(tmp_path):
    """Two probes that each vary by sd around one value: half the variance of their ratio is each one's own."""
    rng, sd = np.random.default_rng(0), {"a": 0.1, "b": 0.3}
    writer = RunWriter(tmp_path / "r", manifest(), part_rows=1000)
    for index in range(400):
        rows = [
            series_row(index, index, layer, "ok", {"stable_rank": np.exp(rng.normal(3, sd[layer.name]))}, probe=probe)
            for layer in writer.manifest.layers
            for probe in ("main", "noise")
        ]
        writer.add(rows, None)
    writer.finish("finished", steps=400, measurements=400)
    noise = Run(tmp_path / "r").noise()["stable_rank"]
    assert noise["a"] == pytest.approx(0.1, rel=0.1) and noise["b"] == pytest.approx(0.3, rel=0.1)


def test_a_folder_is_held_by_one_and_says_by_whom_and_nothing_stays_of_it_but_the_lock(tmp_path):
    held = lock(tmp_path)
    assert is_held(tmp_path)
    with pytest.raises(StoreError, match=rf"is being written by process {os.getpid()} on .+, since 20"):
        lock(tmp_path)
    held.release()
    held.release()
    assert not is_held(tmp_path) and [p.name for p in tmp_path.iterdir()] == [".lock"]
    claim_empty(tmp_path)
    with lock(tmp_path):
        claim_empty(tmp_path)


def test_a_damaged_table_does_not_hinder_the_next_nor_a_forked_process(tmp_path):
    """All are read over one connection, which a process opens for itself."""
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    write_table(good, pd.DataFrame({"a": [1, 2]}))
    bad.write_bytes(good.read_bytes()[:-40] + b"x" * 36 + b"PAR1")
    for _ in range(3):
        with pytest.raises(StoreError, match="bad.parquet is damaged"):
            read_parts([bad])
        assert list(read_parts([good])["a"]) == [1, 2]
    child = os.fork()
    if child == 0:
        os._exit(0 if len(read_parts([good])) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    with ThreadPoolExecutor(4) as threads:
        assert [len(table) for table in threads.map(lambda _: read_parts([good]), range(64))] == [2] * 64


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("threads", 10**30, "no count"), ("threads", 10**6, "threads"), ("threads", -1, "threads"),
     ("steps", 2**63, "no count"), ("steps", "huge", "no count"), ("about", {"seed": 10**40}, "no count"),
     ("about", {"seed": -1}, "seed")],
)  # fmt: skip
def test_a_number_that_no_computer_counts_to_is_damage(tmp_path, field, value, said):
    path = tmp_path / "run.json"
    written = json.dumps(json.loads(manifest().model_dump_json()) | {field: value})
    path.write_text(written.replace('"huge"', "9" * 5000))  # more digits than Python itself would read
    with pytest.raises(StoreError, match=said):
        read_manifest(tmp_path)


@pytest.mark.parametrize("kind", ["behaviour", "outputs"])
def test_nan_in_a_list_is_read_as_nan_and_not_as_0(tmp_path, kind):
    run = Run(write_run(tmp_path / "r"))
    values = np.array([[np.nan, np.nan], [0.5, np.nan], [0.25, 0.0]], dtype=np.float32)
    for part, steps in enumerate(([0], [1, 2])):
        rows = pd.DataFrame({"step": steps, kind: [values[step] for step in steps]})
        write_table(run.folder / kind / f"part-{part:05}.parquet", rows)
    read = getattr(run, kind)()
    np.testing.assert_array_equal(read, values)
    write_table(tmp_path / "nothing.parquet", pd.DataFrame({"step": [0], kind: [values[0]]}))
    np.testing.assert_array_equal(read_parts([tmp_path / "nothing.parquet"])[kind][0], values[0])
