"""A series measured elsewhere: every layout comes out as the same run, and what is ambiguous is said."""

import numpy as np
import pandas as pd
import pytest

import geophone as gp
from geophone.errors import InputError, StoreError
from geophone.ingest.tables import Columns, import_series
from geophone.store.tables import write_table

STEPS = [0, 10, 30]
VALUES = pd.DataFrame({"conv1": [3.0, np.nan, 2.0], "fc": [5.0, 6.0, 7.5]}, index=pd.Index(STEPS, name="step"))


def long(**rename):
    table = VALUES.stack(future_stack=True).rename("value").rename_axis(["step", "layer"]).reset_index()
    return table.rename(columns=rename)


LAYOUTS = {
    "wide": (VALUES.reset_index(), {"dimension": "stable_rank"}),
    "long": (long(), {"dimension": "stable_rank"}),
    "long with dimensions": (long().assign(dimension="stable_rank"), {}),
    "long with other names": (
        long(value="sr", layer="module", step="it"),
        {"dimension": "stable_rank", "columns": Columns(step="it", layer="module", value="sr")},
    ),
    "wandb history": (
        VALUES.add_prefix("stable_rank/")
        .reset_index()
        .rename(columns={"step": "_step"})
        .assign(_runtime=1.5, loss=0.1),
        {},
    ),
    "shuffled": (long().sample(frac=1, random_state=3).sort_values("layer"), {"dimension": "stable_rank"}),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_run(tmp_path, layout, kind):
    table, options = LAYOUTS[layout]
    path = tmp_path / f"t.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else write_table(path, table)
    run = import_series(path, out=tmp_path / "run", **options)
    found = gp.open(tmp_path / "run").series("stable_rank")
    pd.testing.assert_frame_equal(found[["conv1", "fc"]], VALUES, check_index_type=False, check_column_type=False)
    assert run.statuses()["conv1"].tolist() == ["ok", "absent", "ok"]
    assert run.manifest.definitions == {"stable_rank": 0}
    assert [layer.view for layer in run.layers] == ["imported", "imported"]


def test_several_dimensions_at_once(tmp_path):
    both = pd.concat([VALUES.add_prefix("rankme/"), 2 * VALUES.add_prefix("stable_rank/")], axis=1)
    both.reset_index().to_csv(tmp_path / "t.csv", index=False)
    run = import_series(tmp_path / "t.csv", out=tmp_path / "run")
    assert run.dimensions == ("rankme", "stable_rank")
    np.testing.assert_array_equal(run.series("stable_rank"), 2 * run.series("rankme"))


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("step,a\n1,2\n", {}, "pass --dimension"),
        ("epoch,a\n1,2\n", {"dimension": "d"}, "which column is the step"),
        ("step,layer,value\n1,a,2\n1,a,3\n", {"dimension": "d"}, "more than one d of a at step 1"),
        ("step,layer,value\n1,a,big\n", {"dimension": "d"}, "not a number"),
        ("step,layer,value\n1.5,a,2\n", {"dimension": "d"}, "whole numbers"),
        ("step,layer,size\n1,a,2\n", {"dimension": "d", "columns": Columns(layer="layer")}, "is the value"),
        ("Wall time,Step,Value\n1.0,1,2\n", {"columns": Columns(), "dimension": "d"}, "TensorBoard export"),
        ("step,name\n1,a\n", {"dimension": "d"}, "no column of numbers"),
        ("step,layer,value\n", {"dimension": "d"}, "holds no value"),
    ],
)
def test_what_cannot_be_told_is_said(tmp_path, text, options, says):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        import_series(tmp_path / "t.csv", out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00\x01")
    for name in ("bad.parquet", "bad.csv", "none.csv", "none.parquet"):
        with pytest.raises(StoreError):
            import_series(tmp_path / name, out=tmp_path / "run", dimension="d")


def test_an_imported_run_goes_through_the_detectors(tmp_path):
    x = np.r_[np.full(60, 3.0), np.full(60, 9.0)] + 0.01 * np.random.default_rng(0).normal(size=120)
    pd.DataFrame({"step": 5 * np.arange(120), "a": x, "b": x[::-1]}).to_csv(tmp_path / "t.csv", index=False)
    run = import_series(tmp_path / "t.csv", out=tmp_path / "run", dimension="stable_rank")
    assert gp.jumps(run.series("stable_rank")["a"], mode="naive")[0].step == 300


def test_a_chart_s_own_export_is_one_run_without_its_bands(tmp_path):
    key = "fresh-sun-1 - stable_rank/conv1"
    table = pd.DataFrame({"Step": STEPS} | {key + end: [3.0, 2.5, 2.0] for end in ("", "__MIN", "__MAX")})
    table.to_csv(tmp_path / "chart.csv", index=False)
    run = import_series(tmp_path / "chart.csv", out=tmp_path / "run")
    assert run.series("stable_rank")["conv1"].tolist() == [3.0, 2.5, 2.0] and len(run.layers) == 1
    table.assign(**{"calm-sea-2 - stable_rank/conv1": 1.0}).to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(InputError, match=r"2 runs side by side \(calm-sea-2, fresh-sun-1\)"):
        import_series(tmp_path / "two.csv", out=tmp_path / "none")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_an_index_and_a_byte_order_mark(tmp_path, separator):
    VALUES.reset_index().to_csv(tmp_path / "t.csv", sep=separator, encoding="utf-8-sig")
    run = import_series(tmp_path / "t.csv", out=tmp_path / "run", dimension="stable_rank")
    assert [layer.name for layer in run.layers] == ["conv1", "fc"]
    VALUES.reset_index().to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    again = import_series(tmp_path / "t.jsonl", out=tmp_path / "again", dimension="stable_rank")
    pd.testing.assert_frame_equal(again.series("stable_rank"), run.series("stable_rank"))
