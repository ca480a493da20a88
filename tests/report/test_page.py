"""The atlas shows what the tables say, escapes what users wrote, and names nothing outside itself."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from atlas_study import NAUGHTY, write_run

from geophone.errors import InputError, StoreError
from geophone.report.charts import SHOWN, order_plot, run_charts
from geophone.report.names import file_names
from geophone.report.page import write_page
from geophone.report.runs import jump_pages
from geophone.report.tables import columns, measurements, run_data, run_tables_of
from geophone.report.words import finding, order_count, order_line
from geophone.store.study import Study


def tables_of(study, number=0):
    phenomena = {kind: study.phenomena(kind) for kind in ("stabilization", "jumps", "critical")}
    return run_tables_of(study.run(["plain-run", NAUGHTY][number]), phenomena)


def payload(text: str) -> dict:
    return json.loads(re.fullmatch(r"window\.\w+ = (.*);\n", text, re.S).group(1))


def pages(atlas):
    return sorted(atlas.rglob("*.html"))


def test_there_is_an_overview_a_page_a_run_and_a_page_a_dug_target(study, atlas):
    assert [len(list((atlas / kind).glob("*.html"))) for kind in ("", "runs", "targets")] == [1, 2, 2]
    names = file_names(run.name for run in study)
    assert {page.stem for page in (atlas / "runs").glob("*.html")} == set(names.values())


def test_every_link_and_picture_leads_to_a_file_of_the_atlas(atlas):
    for page in pages(atlas):
        html = page.read_text()
        for place in re.findall(r'(?:href|src|data-data|data-vega)="([^"]+)"', html):
            file, _, fragment = place.partition("#")
            if place.startswith("data:"):
                continue
            there = (page.parent / file).resolve() if file else page
            assert there.is_file() and there.is_relative_to(atlas), f"{page.name}: {place}"
            if fragment:
                assert f'id="{fragment}"' in there.read_text(), f"{page.name}: {place}"


def test_the_data_beside_the_page_are_the_series(study, atlas):
    data = payload((atlas / "data" / "plain-run.js").read_text())["data"]
    rows = pd.DataFrame(data["measurements"])
    wide = rows.pivot(index="step", columns="layer", values="stable_rank")
    pd.testing.assert_frame_equal(
        wide[["conv1", "fc"]].astype(float), study.run("plain-run").series("stable_rank"), rtol=1e-4,
        check_names=False, check_column_type=False,
    )  # fmt: skip
    assert np.isnan(wide["fc"].astype(float).loc[55])
    assert dict(zip(rows["layer"], rows["cap"], strict=True)) == {"conv1": 8, "fc": 19}
    assert set(rows["step"] - rows["since"]) == {5}


def test_the_jumps_drawn_are_the_jumps_found_in_both_forms(study):
    run = tables_of(study)
    drawn = pd.DataFrame(run_data(run)["jumps"])
    found = study.phenomena("jumps")
    for mode in ("naive", "calibrated"):
        mine = found[(found["run"] == "plain-run") & (found["mode"] == mode)]
        assert (drawn["mode"] == mode).sum() == len(mine)
    assert set(drawn["mode"]) <= {"naive", "calibrated"}
    seed = drawn[(drawn["dimension"] == "stable_rank") & (drawn["layer"] == "conv1") & (drawn["mode"] == "naive")]
    assert 155 in list(seed["step"])


def test_a_jump_leads_to_the_nearest_dug_target_of_its_layer_or_to_a_row_or_nowhere():
    jumps = pd.DataFrame({"layer": ["a", "a", "a", "b"], "step": [100, 210, 900, 100]}, index=[7, 8, 9, 10])
    rows = [(1, "a", 60, 100, 140), (2, "a", 60, 110, 200), (3, "a", 170, 200, 230), (4, "b", 500, 510, 520)]
    targets = pd.DataFrame(rows, columns=["rank", "layer", "before", "step", "after"])
    digs = [SimpleNamespace(target=dict(zip(targets, row, strict=True)), file=f"t{row[0]}") for row in rows[:2]]
    assert jump_pages(jumps, targets, digs) == {7: "../targets/t1.html", 8: "#target-3"}


def test_every_chart_is_valid_has_titles_a_description_and_the_same_steps(study):
    alt = pytest.importorskip("altair")
    for name, chart in run_charts(tables_of(study), dimension="stable_rank").items():
        assert alt.Chart.from_dict(chart, validate=True) is not None
        text = json.dumps(chart)
        assert chart["description"], name
        assert '"title": "training step"' in text
        assert '"domainMin": {"expr": "low"}' in text and '"domainMax": {"expr": "high"}' in text
        known = {param["name"]: param["value"] for param in chart["params"]}
        assert (known["low"], known["high"], known["span_from"]) == (0, 300, None)
        if name in ("heatmap", "series"):
            assert SHOWN in text


def test_the_heatmap_has_a_row_a_layer_in_depth_order(study):
    chart = run_charts(tables_of(study), dimension="stable_rank")["heatmap"]
    assert chart["layer"][0]["encoding"]["y"]["sort"] == ["conv1", "fc"]
    assert len(measurements(tables_of(study))) == 2 * 60


def test_columns_hold_the_rows():
    rows = [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert columns(rows) == {"a": [1, 2], "b": [None, "x"]} and columns([]) == {}


def test_the_order_of_all_runs_is_one_plot_with_a_row_a_run_and_a_mark_where_there_is_an_order(atlas):
    order = pd.DataFrame(
        {"run": ["a", "b", "a", "b"], "mode": ["naive", "naive", "calibrated", "calibrated"], "rho": [0.5, np.nan,
        -0.2, 0.9],
         "p": [0.1, np.nan, 0.4, 0.01], "verdict": ["weak", "undefined", "simultaneous", "bottom-up"]}
    )  # fmt: skip
    chart = order_plot(order, {"a": "mlp", "b": "cnn"})
    rows = chart["layer"][1]["data"]["values"]
    assert [(r["run"], r["architecture"], r["mode"], r["rho"]) for r in rows] == [
        ("a", "mlp", "naive", 0.5), ("b", "cnn", "naive", None), ("a", "mlp", "calibrated", -0.2), ("b", "cnn",
        "calibrated", 0.9)
    ]  # fmt: skip
    assert chart["layer"][0]["data"]["values"] == [{"rho": -0.6}, {"rho": 0.6}]
    said = (
        "Layers settle bottom-up in the stable rank of 0 of 2 runs by the naive rule (1 undefined), 1 of 2 runs by the"
    )
    assert order_count(order, "stable_rank").startswith(said)
    assert "Layers settle bottom-up in the stable rank of" in (atlas / "index.html").read_text()


def test_titles_follow_from_the_numbers(study):
    run = tables_of(study)
    assert finding(run, "stable_rank").startswith("conv1 changed most: its stable rank rose 2.")
    assert finding(run, "mean_fraction") == "The mean fraction of every layer ended within 10 % of where it began."
    row = pd.Series({"verdict": "bottom-up", "rho": 0.8, "p": 0.042, "layers": 5})
    assert "settle bottom-up: Spearman ρ = +0.80 over 5 layers" in order_line(row)
    assert "seldom makes (exact one-sided p = 0.042)" in order_line(row)


def test_the_overview_says_jumps_with_what_noise_gives(study, atlas):
    rows = study.phenomena("detection")
    rows = rows[(rows["dimension"] == "stable_rank") & (rows["mode"] == "naive")]
    said = f"{rows['detected'].sum():,} by the naive rule, where noise alone gives {rows['expected_false'].sum():,.1f}."
    assert said in (atlas / "index.html").read_text()


def test_names_and_notes_from_users_are_text_and_nothing_else(atlas):
    for file in [*pages(atlas), *(atlas / "data").glob("*.js")]:
        text = file.read_text()
        assert NAUGHTY not in text and "<img src=x" not in text, file.name
    html = next(p for p in (atlas / "runs").glob("*.html") if p.stem != "plain-run").read_text()
    assert html.count("&lt;/script&gt;&lt;img") >= 4


def test_pictures_of_units_say_which_tile_is_which_unit(atlas):
    for page in (atlas / "targets").glob("*.html"):
        assert page.read_text().count("In order: units 0, 1, 2.</p>") == 2


def test_the_pages_name_nothing_outside_themselves_and_no_file_is_large(atlas):
    for page in pages(atlas):
        html = page.read_text()
        assert "http" not in html and "<style" not in html and "fetch(" not in html
    for script in ("atlas.js", "run.js", "target.js"):
        assert not re.search(r"fetch\(|import\(|XMLHttp|http", (atlas / "assets" / script).read_text())
    assert max(file.stat().st_size for file in atlas.rglob("*") if file.is_file()) < 6e6


def test_gaps_are_explained(atlas):
    assert "1 with no variance over the probe (dead)" in (atlas / "runs" / "plain-run.html").read_text()


def test_a_study_without_phenomena_says_what_is_missing_or_is_shown_as_far_as_it_is(tmp_path):
    write_run(tmp_path / "runs" / "a", "a", seed=0)
    write_run(tmp_path / "runs" / "b", "b", seed=0, begun_only=True)
    with pytest.raises(StoreError, match=r"stabilization.parquet is not there"):
        write_page(Study(tmp_path))
    assert not (tmp_path / "report").exists() and not list(tmp_path.glob(".report*"))
    html = write_page(Study(tmp_path), partial=True).read_text()
    assert "Phase 1 has not run" in html and "Without a measurement yet: b." in html
    data = payload((tmp_path / "report/data/a.js").read_text())
    assert len(data["data"]["measurements"]["step"]) == 120 and data["data"]["jumps"] == {}


def test_a_failed_writing_leaves_the_older_atlas_and_a_foreign_file_stays(study, memory, tmp_path, monkeypatch):
    out = tmp_path / "atlas"
    first = write_page(study, out=out, memory=memory).read_bytes()
    (out / "mine.txt").write_text("a note of my own")
    with monkeypatch.context() as patched:
        patched.setattr("geophone.report.page.overview", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_page(study, out=out, memory=memory)
    assert (out / "index.html").read_bytes() == first
    write_page(study, out=out, memory=memory)
    assert (out / "mine.txt").read_text() == "a note of my own"
    assert [path.name for path in tmp_path.iterdir()] == ["atlas"]


def test_a_folder_of_something_else_is_refused_and_left(study, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="no atlas"):
        write_page(study, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_file_names_are_safe_all_different_and_the_same_each_time():
    names = ["a", "A", NAUGHTY, "../../etc/passwd", "con", "x" * 300, "é", "è", ".hidden", "a b", "end."]
    found = file_names(names)
    assert found["a"] == "a" and found == file_names(names)
    assert len({name.lower() for name in found.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in found.values())
    assert max(map(len, found.values())) <= 100 and found["con"] != "con"
    assert file_names([NAUGHTY])[NAUGHTY] == found[NAUGHTY]
    assert file_names(["net.v2_run-0"]) == {"net.v2_run-0": "net.v2_run-0"}
