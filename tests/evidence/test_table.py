"""The evidence table of a study made by hand: every number traced back to the stored one it came from."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geophone.errors import InputError, StoreError
from geophone.evidence import evidence_table, write_evidence
from geophone.evidence.columns import WINDOW_COLUMNS
from geophone.findings.lines import evidence_lines
from geophone.records import DigOptions, Layer, Target, Window
from geophone.rows import DUG, TargetRow
from geophone.rows.evidence import COLUMNS, as_markdown
from geophone.rows.windows import CENSUS_COLUMNS
from geophone.store.documents import DigDocument, write_document
from geophone.store.manifest import Manifest
from geophone.store.places import DIG
from geophone.store.study import Study
from geophone.store.tables import read_rows, write_table

LAYERS = (Layer("a", 0, "flat", 9, 20, (9,)), Layer("b", 1, "flat", 9, 20, (9,)), Layer("c", 2, "flat", 9, 20, (9,)))
STEPS = np.arange(5, 205, 5)
DIMENSION = "stable_rank"
HORIZONS = ("100", "500", "plateau")


def series(layer, step):
    return 2.0 + layer.depth + step / 100


def make_run(folder, name, architecture, seed=0):
    about = {
        "experiment": f"{architecture}_net",
        "architecture": architecture,
        "task": "digits",
        "seed": seed,
        "total_steps": 200,
    }
    Manifest(
        name=name, status="finished", layers=LAYERS, rows=20, definitions={DIMENSION: 1}, versions={}, threads=1,
        steps=200, measurements=len(STEPS), about=about,
    ).write(folder / "runs" / name)  # fmt: skip
    rows = [
        {"index": i, "step": int(step), "probe": "main", "layer": layer.name, "depth": layer.depth, "status": "ok",
         DIMENSION: series(layer, step)}
        for i, step in enumerate(STEPS) for layer in LAYERS
    ]  # fmt: skip
    write_table(folder / "runs" / name / "series" / "part-00000.parquet", pd.DataFrame(rows))


def jump(run, step, mode="naive", score=3.0, layer="b"):
    return {"run": run, "layer": layer, "depth": 1, "dimension": DIMENSION, "mode": mode, "index": step // 5 - 1,
            "step": step, "log_ratio": 0.1, "score": score}  # fmt: skip


def target(rank, run, step, control=150):
    there = control is not None
    return Target(
        rank, run, "b", 1, DIMENSION, Window(step - 25, step, step + 25), None,
        Window(control - 25, control, control + 25) if there else None, "naive", 0.3, "",
    )  # fmt: skip


TABLES = ("moments", "composition", "ablation", "recovery")


def dig(folder, run, step, *, tables=TABLES, shift=0.0, about=None, code="abc", **options):
    place = folder / "digs" / f"{run}.b.step{step:08d}"
    place.mkdir(parents=True)
    at = {"before": 0.1, "during": 0.2, "after": 0.4}
    roles = {"target": 1.0, "control": 0.5}
    keys = [(role, k, moment, v) for role, k in roles.items() for moment, v in at.items()]
    made = {
        "moments": [
            {"role": role, "moment": m, "step": 0, "selectivity": k * v + shift, "types": 10 * k * v,
             "new_types": np.nan if m == "before" else k, "turnover": v, "accuracy": v, "loss": -v,
             "probe_accuracy": v, "pattern_pr": 3.0}
            for role, k, m, v in keys
        ],
        "composition": [
            {"role": role, "moment": m, "early": "a", "late": late, "compositional_depth": int(20 * k * v)}
            for role, k, m, v in keys for late in "bc"
        ],
        "ablation": [
            {"role": role, "moment": m, "layer": layer, "kind": kind, "accuracy": 0.9 - off * k * v,
             "loss": 1.0 + off * k * v, "baseline_accuracy": 0.9, "baseline_loss": 1.0}
            for role, k, m, v in keys for layer in "ab" for kind, off in (("zero", 2.0), ("resample", 1.0))
        ],
        "recovery": [
            {"moment": m, "arm": arm, "horizon": horizon, "accuracy": 0.5, "deficit": v * (arm == "ablated") / n}
            for m, v in at.items() for arm in ("ablated", "sham") for n, horizon in enumerate(HORIZONS, 1)
        ],
    }  # fmt: skip
    for name in tables:
        write_table(place / f"{name}.parquet", pd.DataFrame(made[name]))
    dug = DigDocument(target=about or target(1, run, step), options=DigOptions(**options), code=code)
    write_document(place / DIG, dug)


def make_study(folder, *, targets=None, digs=True):
    for name, architecture in (("r0", "mlp"), ("r1", "cnn")):
        make_run(folder, name, architecture)
    jumps = [
        jump("r0", 50),
        jump("r0", 100),
        jump("r0", 100, mode="calibrated", score=9.0),
        jump("r1", 100),
        jump("r1", 60),
    ]
    targets = targets or [target(1, "r1", 100), target(2, "r0", 100, control=None), target(3, "r0", 50)]
    detection = [
        {"run": run, "layer": layer.name, "depth": layer.depth, "dimension": DIMENSION, "mode": "naive", "detected": 1,
         "expected_false": 0.5, "status": "ok"}
        for run in ("r0", "r1") for layer in LAYERS
    ]  # fmt: skip
    order = [{"run": run, "dimension": DIMENSION, "mode": "naive", "rho": 1.0, "p": 0.2, "verdict": "bottom-up",
              "tau": 1.0, "layers": 3} for run in ("r0", "r1")]  # fmt: skip
    members = [{"run": "r1", "layer": "b", "depth": 1, "step": 100, "type": 0, "representative": True,
                "dimension": DIMENSION, "mode": "naive"}]  # fmt: skip
    types = [{"dimension": DIMENSION, "mode": "naive", "type": 0, "name": "mid refinement"}]
    study = Study(folder)
    tables = {
        "targets": [TargetRow.of(each) for each in targets], "phenomena/jumps": jumps,
        "phenomena/detection": detection, "phenomena/order": order, "phenomena/type_members": members,
        "phenomena/types": types,
    }  # fmt: skip
    for name, rows in tables.items():
        study.write(name, pd.DataFrame(rows))
    if digs:
        dig(folder, "r1", 100)
        dig(folder, "r0", 100, about=target(2, "r0", 100, control=None))
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def table(study):
    return evidence_table(study)


def test_a_row_a_target_and_a_row_its_control_and_none_for_what_was_not_dug(table):
    assert list(zip(table["run"], table["role"], table["step"], strict=True)) == [
        ("r1", "target", 100), ("r1", "control", 150), ("r0", "target", 100)
    ]  # fmt: skip
    assert table["pair"].tolist() == ["r1.b.step00000100"] * 2 + ["r0.b.step00000100"]
    assert list(table.columns) == [c.name for c in COLUMNS]


def test_place_and_jump_are_those_of_the_run(table):
    row, control = table.iloc[0], table.iloc[1]
    assert (row["experiment"], row["architecture"], row["task"], row["seed"]) == ("cnn_net", "cnn", "digits", 0)
    assert (row["relative_depth"], row["phase"], row["mode"], row["type"]) == (0.5, 0.5, "naive", "mid refinement")
    assert row["magnitude"] == pytest.approx(0.5)
    assert row["log_magnitude"] == pytest.approx(math.log(4.25 / 3.75)) == row["size"]
    assert control["log_magnitude"] == pytest.approx(math.log(4.75 / 4.25)) and control["type"] == ""
    assert row["num_jumps"] == 2 and row["expected_jumps"] == pytest.approx(1.5)


def test_measures_come_from_the_row_of_their_role_and_moment(table):
    row, control = table.iloc[0], table.iloc[1]
    for k, mine in ((1.0, row), (0.5, control)):
        assert mine["selectivity_during"] == pytest.approx(0.2 * k)
        assert mine["selectivity_change"] == pytest.approx(0.3 * k)
        assert mine["types_change"] == pytest.approx(3 * k) and mine["new_types_after"] == k
        assert mine["compositional_depth_after"] == int(8 * k)
        assert mine["ablation_impact_after"] == pytest.approx(0.4 * k) == mine["ablation_loss_after"]
        assert mine["ablation_impact_zero_before"] == pytest.approx(0.2 * k)
    assert row["recovery_deficit_after"] == pytest.approx(0.4 / 3)  # of the plateau, the longest horizon
    assert np.isnan(control["recovery_deficit_after"]) and np.isnan(row["sparsity_before"])


def test_every_row_names_what_it_was_read_from(table, study):
    for row in table.itertuples():
        run, steps = row.source.split("; ")[0].removeprefix("runs/").split(" at steps ")
        assert (study.folder / "runs" / run).is_dir()
        assert [int(s) for s in steps.split(", ")] == [row.before, row.step, row.after]
        place, rest = row.source.split("; ")[1].split(": ")
        for name in rest.split(", role ")[0].split(", "):
            assert (study.folder / place / name).is_file()


def test_a_dig_with_tables_missing_leaves_nan(tmp_path):
    study = make_study(tmp_path, digs=False)
    dig(tmp_path, "r1", 100, tables=("moments",))
    dig(tmp_path, "r0", 50, tables=())
    table = evidence_table(study)
    assert len(table) == 4 and table["selectivity_after"].notna().tolist() == [True, True, False, False]
    gone = ["compositional_depth_after", "ablation_impact_after", "recovery_deficit_after"]
    assert table[gone].isna().all(axis=None)
    assert table["source"].iloc[2].endswith("nothing, role target")


def test_a_moment_that_is_an_end_of_the_window_has_its_numbers_and_a_control_that_was_not_dug_no_row(tmp_path):
    early = replace(target(1, "r1", 100), window=Window(100, 100, 125))
    study = make_study(tmp_path, targets=[early], digs=False)
    dig(tmp_path, "r1", 100, about=early)
    for name in TABLES[:3]:
        path = tmp_path / "digs" / "r1.b.step00000100" / f"{name}.parquet"
        rows = read_rows(path, DUG[name])
        write_table(path, rows[(rows["moment"] != "during") & (rows["role"] == "target")])
    (row,) = evidence_table(study).to_dict("records")
    assert row["role"] == "target" and row["selectivity_during"] == row["selectivity_before"] == pytest.approx(0.1)
    assert row["ablation_impact_during"] == pytest.approx(0.1) and row["compositional_depth_during"] == 2


def test_jumps_are_counted_by_the_detector_that_pointed_at_the_target(tmp_path):
    first, second = target(1, "r0", 100, control=None), target(2, "r1", 100)
    study = make_study(tmp_path, targets=[replace(first, method="calibrated"), replace(second, method="another")])
    table = evidence_table(study).query("role == 'target'")
    assert table["mode"].tolist() == ["calibrated", "another"]
    assert table["num_jumps"].iloc[0] == 1 and np.isnan(table["num_jumps"].iloc[1])


def test_files_are_the_same_byte_for_byte_and_agree(tmp_path):
    study = make_study(tmp_path)
    names = ("statistics.json", "evidence.csv", "evidence.parquet")
    first = write_evidence(study, draws=99)
    before = {name: (tmp_path / name).read_bytes() for name in names}
    assert write_evidence(Study(tmp_path), draws=99) == first
    assert before == {name: (tmp_path / name).read_bytes() for name in names}
    strict = {"parse_constant": lambda text: pytest.fail(f"{text} is not JSON")}
    assert json.loads((tmp_path / "statistics.json").read_text(), **strict) == first
    assert first["study"]["targets_found"] == 3 and first["study"]["targets_dug"] == 2
    again = pd.read_csv(tmp_path / "evidence.csv")
    assert again["selectivity_change"].tolist() == pytest.approx(evidence_table(study)["selectivity_change"].tolist())


def test_a_study_of_two_runs_is_said_to_be_too_small(tmp_path):
    found = write_evidence(make_study(tmp_path), draws=99)
    assert {row["verdict"] for row in found["criteria"]} == {"undecided"}
    assert all(number["p"] is None and number["low"] is None for number in found["numbers"])
    text = "\n".join(evidence_lines(found))
    assert "too few runs for an interval: 2, 5 are needed" in text and "could not have seen" in text
    assert "never measured: selectivity_raw" in text


def test_nothing_dug_and_no_targets(tmp_path):
    study = make_study(tmp_path, digs=False)
    assert len(evidence_table(study)) == 0
    assert "0 targets dug" in evidence_lines(write_evidence(study, draws=99))[0]
    (tmp_path / "targets.parquet").unlink()
    with pytest.raises(InputError, match="no targets yet"):
        write_evidence(study)


def test_a_dig_of_other_steps_or_without_its_mark_is_no_evidence(tmp_path):
    study = make_study(tmp_path, digs=False)
    dig(tmp_path, "r1", 100, about=target(1, "r1", 100, control=60))
    dig(tmp_path, "r0", 50)
    (tmp_path / "digs" / "r0.b.step00000050" / "dig.json").unlink()
    assert evidence_table(study).empty
    dig(tmp_path, "r0", 100, about=target(2, "r0", 100, control=None))
    assert evidence_table(study)["run"].tolist() == ["r0"]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({}, {"per_class": 10}, r"samples per class .*r1.b.step00000100 \(200\) and r0.b.step00000050 \(10\)"),
        ({}, {"code": "other" * 9}, r"different code .*r1.b.step00000100 \(abc\) and r0.b.step00000050 \(otheroth\)"),
        ({"recovery": True}, {"recovery": True, "horizons": (7,)}, r"different horizons .*plateau.* and .*\(7,\)"),
    ],
)
def test_digs_whose_numbers_do_not_mean_the_same_do_not_mix(tmp_path, first, second, words):
    study = make_study(tmp_path, digs=False)
    dig(tmp_path, "r1", 100, **first)
    dig(tmp_path, "r0", 50, **second)
    with pytest.raises(InputError, match=words.replace(" .*", ".*")):
        evidence_table(study)


def test_pictures_seeds_and_a_recovery_at_one_of_two_digs_change_no_meaning(tmp_path):
    study = make_study(tmp_path, digs=False)
    dig(tmp_path, "r1", 100, units=(1, 2), steps=8, recovery=True)
    dig(tmp_path, "r0", 50, seed=3)
    assert len(evidence_table(study)) == 4


def test_a_damaged_dig_is_named(tmp_path):
    study = make_study(tmp_path)
    path = tmp_path / "digs" / "r1.b.step00000100" / "moments.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StoreError, match=r"moments\.parquet is damaged"):
        write_evidence(study)
    assert not (tmp_path / "evidence.csv").exists()


def test_the_page_of_columns_is_the_code():
    page = (Path(__file__).parents[2] / "docs" / "columns.md").read_text(encoding="utf-8")
    for columns in (COLUMNS, WINDOW_COLUMNS, CENSUS_COLUMNS):
        assert as_markdown(columns) in page
        assert all(column.says and column.unit and column.source for column in columns)
