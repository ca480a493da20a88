"""The atlas shows what the tables say, escapes what users wrote, and names nothing outside itself."""

import html
import json
import re
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest
import torch
from atlas_study import NAUGHTY, write_run

import geophone as gp
from geophone.charts.brushed import SHOWN, run_charts
from geophone.dig.pictures import write_png
from geophone.errors import InputError, StoreError
from geophone.findings import sections
from geophone.phenomena import RunSeries, run_tables
from geophone.records import DigOptions, Target, Window
from geophone.report import page as page_module
from geophone.report.cards import marked, rendered
from geophone.report.names import file_names
from geophone.report.page import write_page
from geophone.report.runs import marks
from geophone.report.script import columns
from geophone.report.sources import SHOWN as PER_RUN
from geophone.report.sources import read_sources
from geophone.report.units import shown_units
from geophone.store.dig import Dig
from geophone.store.documents import DigDocument, write_document
from geophone.store.places import DIG
from geophone.store.study import Study
from geophone.store.tables import write_table
from geophone.study.options import DetectOptions
from geophone.study.stages import detect_stage, target_stage


def payload(text: str) -> dict:
    return json.loads(re.fullmatch(r"window\.\w+ = (.*);\n", text, re.S).group(1))


def table(data: dict) -> pd.DataFrame:
    return pd.DataFrame(data)


def pages(atlas):
    return sorted(atlas.rglob("*.html"))


def test_there_is_an_overview_a_page_per_run_and_a_page_per_transition_dug_or_not(study, atlas):
    targets = study.targets()
    shown = targets.groupby("run").head(PER_RUN)
    assert [len(list((atlas / kind).glob("*.html"))) for kind in ("", "runs", "targets")] == [1, 3, len(shown)]
    names = file_names(run.name for run in study)
    assert {page.stem for page in (atlas / "runs").glob("*.html")} == set(names.values())
    for page in (atlas / "targets").glob("*.html"):
        assert "Dig here: <code>geophone dig" in page.read_text() or "Dig again: <code>geophone dig" in page.read_text()


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
    rows = table(data["cells"])
    wide = rows.pivot(index="step", columns="layer", values="stable_rank")
    pd.testing.assert_frame_equal(
        wide[["conv1", "fc"]].astype(float), study.run("plain-run").series("stable_rank"), rtol=1e-4,
        check_names=False, check_column_type=False,
    )  # fmt: skip
    assert np.isnan(wide["fc"].astype(float).loc[55])
    assert dict(zip(rows["layer"], rows["cap"], strict=True)) == {"conv1": 8, "fc": 19}
    assert {"start", "stop", "stable_rank", "mean_fraction"} <= set(rows.columns)


def test_the_marks_drawn_are_those_of_the_detectors_in_both_forms(study):
    drawn = marks("plain-run", read_sources(study))
    for what, kind in (("jump", "jumps"), ("fast change", "critical")):
        rows = study.phenomena(kind)
        for mode in ("naive", "calibrated"):
            mine = rows[(rows["run"] == "plain-run") & (rows["mode"] == mode)]
            assert ((drawn["what"] == what) & (drawn["mode"] == mode)).sum() == len(mine)
    jumps = drawn[(drawn["dimension"] == "stable_rank") & (drawn["layer"] == "conv1") & (drawn["what"] == "jump")]
    assert 155 in list(jumps["start"]) and set(drawn["mode"]) <= {"naive", "calibrated"}


def test_every_flag_is_a_transition_and_leads_to_its_own_page(study, atlas):
    for file in (atlas / "data").glob("*.js"):
        if file.name.startswith("target-"):
            continue
        flags = table(payload(file.read_text())["data"]["flags"])
        assert len(flags) > 0 and flags["href"].is_unique
        for flag in flags.to_dict("records"):
            html = (atlas / flag["href"]).read_text()
            assert f'<span class="flag">{flag["rank"]}</span>' in html.split("<h1>")[1].split("</h1>")[0]


def test_every_chart_is_valid_has_a_description_and_the_same_steps():
    charts = run_charts(["a", "b"], ["loss"], low=2.5, high=300, dimension="stable_rank", log=["loss"])
    assert charts["loss"]["layer"][0]["encoding"]["y"]["scale"]["type"] == "log"
    assert set(charts) == {"map", "map_all", "series", "apart", "beside", "marks", "loss"}
    for name, chart in charts.items():
        assert alt.Chart.from_dict(chart, validate=True) is not None
        text = json.dumps(chart)
        assert chart["description"], name
        assert '"domainMin": {"expr": "low"}' in text and '"domainMax": {"expr": "high"}' in text
        known = {param["name"]: param["value"] for param in chart["params"]}
        assert (known["low"], known["high"], known["span_from"], known["mode"]) == (2.5, 300, None, "calibrated")
        assert (SHOWN in text) == (name in ("series", "beside"))
    assert charts["map"]["layer"][0]["encoding"]["y"]["sort"] == ["a", "b"]
    other = run_charts(["a", "b"], ["loss"], low=7.0, high=40, dimension="rankme", log=["loss"])
    for name, chart in other.items():  # of the same network, and of another run
        given = {param["name"]: param["value"] for param in chart["params"]}
        assert (given["low"], given["high"], given["dimension"]) == (7.0, 40, "rankme")
        assert {**chart, "params": None} == {**charts[name], "params": None}


def test_columns_hold_the_rows():
    rows = [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert columns(rows) == {"a": [1, 2], "b": [None, "x"]} and columns([]) == {}


def test_names_and_notes_from_users_are_text_and_nothing_else(atlas):
    for file in [*pages(atlas), *(atlas / "data").glob("*.js")]:
        text = file.read_text()
        assert NAUGHTY not in text and "<img src=x" not in text, file.name
    html = next(p for p in (atlas / "runs").glob("*.html") if p.stem not in ("plain-run", "long-names")).read_text()
    assert html.count("&lt;/script&gt;&lt;img") >= 4


def test_the_pages_name_nothing_outside_themselves_and_no_file_is_large(atlas):
    for page in pages(atlas):
        html = page.read_text()
        assert "http" not in html and "<style" not in html and "fetch(" not in html
    for script in ("atlas.js", "run.js", "target.js"):
        assert not re.search(r"fetch\(|import\(|XMLHttp|http", (atlas / "assets" / script).read_text())
    assert max(file.stat().st_size for file in atlas.rglob("*") if file.is_file()) < 6e6


def test_gaps_are_explained(atlas):
    assert "1 with no variance over the probe (dead)" in (atlas / "runs" / "plain-run.html").read_text()


def test_a_failed_writing_leaves_the_older_atlas_and_a_foreign_file_stays(study, tmp_path, monkeypatch):
    out = tmp_path / "atlas"
    first = write_page(study, out=out).read_bytes()
    (out / "mine.txt").write_text("a note of my own")
    with monkeypatch.context() as patched:
        patched.setattr("geophone.report.page.overview", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_page(study, out=out)
    assert (out / "index.html").read_bytes() == first
    write_page(study, out=out)
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


def test_a_study_without_phenomena_says_what_is_missing_or_is_shown_as_far_as_it_is(tmp_path):
    write_run(tmp_path / "runs" / "a", "a", seed=0)
    write_run(tmp_path / "runs" / "b", "b", seed=0, begun_only=True)
    with pytest.raises(StoreError, match=r"parquet is not there"):
        write_page(Study(tmp_path))
    assert not (tmp_path / "report").exists() and not list(tmp_path.glob(".report*"))
    html = write_page(Study(tmp_path), partial=True).read_text()
    assert "Nothing has been ranked yet." in html and "Without a measurement yet: b." in html
    data = payload((tmp_path / "report/data/a.js").read_text())
    assert len(data["data"]["cells"]["step"]) == 120 and data["data"]["marks"] == {}


def test_a_run_that_is_added_touches_its_own_pages_and_those_that_name_it(tmp_path):
    """Law: what says the same as before keeps the time of its last change."""

    def changed() -> dict[str, int]:
        found = write_page(Study(tmp_path), partial=True).parent
        return {str(p.relative_to(found)): p.stat().st_mtime_ns for p in found.rglob("*") if p.is_file()}

    for number, name in enumerate("abc"):
        write_run(tmp_path / "runs" / name, name, seed=number)
    before = changed()
    assert changed() == before
    write_run(tmp_path / "runs" / "d", "d", seed=3)
    after = changed()
    touched = {"data/d.js", "kept/d.json", "runs/d.html", "runs/c.html", "index.html", "assets/runs.js"}
    assert {p for p in after if after[p] != before.get(p)} == touched


def test_the_rows_of_a_run_are_those_of_the_whole_table(study):
    sources = read_sources(study)
    for run in study:
        whole = sources.phenomena["jumps"]
        kept = whole[(whole["run"] == run.name) & (whole["mode"] == "naive")]
        pd.testing.assert_frame_equal(sources.of("jumps", run=run.name, mode="naive"), kept)
    assert sources.of("jumps", run="nobody").empty and sources.of("nothing", run="nobody").empty


def test_the_first_screen_answers_when_where_on_what_how_sure_and_what_next(study, atlas):
    html = (atlas / "index.html").read_text()
    best = study.targets().iloc[0]
    answer = html[html.index('id="answer"') : html.index('id="runs"')]
    assert f"step {best['step']:,}" in answer and best["layer"] in answer
    command = f"--target {best['rank']} --model MODULE:FUNCTION --data MODULE:FUNCTION</code>"
    for words in ("When and where", "On what", "How sure", command, 'data-chart="map"'):
        assert words in answer
    assert "null" not in re.sub(r'class="null"', "", answer) and "undecided" not in answer
    assert answer.index("data-chart") < html.index("What the study says, beside") < html.index("Method and limits</h2>")


def test_where_nothing_was_found_the_page_says_that_first(tmp_path, study):
    write_run(tmp_path / "runs" / "a", "a", seed=0)
    for kind in ("stabilization", "order", "jumps", "critical"):
        Study(tmp_path).write(f"phenomena/{kind}", study.phenomena(kind).iloc[:0])
    Study(tmp_path).write("targets", study.targets().iloc[:0])
    html = write_page(Study(tmp_path)).read_text()
    assert html.index("Nothing stood out in any run.") < html.index('data-chart="map"')


def test_findings_come_from_their_one_place_calibrated_first_and_naive_in_the_method(study, atlas):
    html = (atlas / "index.html").read_text()
    findings = read_sources(study).findings
    naive = {name for name in findings if "naive" in name.split("/")}
    late = naive | {name for name in findings if name.startswith("limitation/")}
    told = {each.id for rows in sections(findings).values() for each in rows}
    method = html.index('id="method"')
    assert naive and told and not told & late
    for name in told | late:
        sentence = findings[name].sentence
        place = html.index(
            sentence.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;")
        )
        assert (place > method) == (name in late), name
    pieces = [f.sentence for name, f in findings.items() if f.part and name.startswith("rule/")]
    assert pieces and not any(f"<li>{piece}</li>" in html for piece in pieces)


def test_templates_hold_no_number_of_a_null():
    """A rate that a detector has by chance comes from its own table (the naive rule's .0455 once stood in a page)."""
    for path in Path(page_module.__file__).parent.rglob("*"):
        if path.suffix in (".py", ".j2", ".js"):
            assert not re.search(r"0?\.045|0?\.05\b", path.read_text()), path.name


def test_the_rate_of_noise_on_a_page_is_that_of_the_detection_table(study, atlas):
    rows = study.phenomena("detection")
    for mode in ("naive", "calibrated"):
        mine = rows[(rows["run"] == "plain-run") & (rows["dimension"] == "stable_rank") & (rows["mode"] == mode)]
        words = payload((atlas / "data/plain-run.js").read_text())["words"]["stable_rank"]["forms"][mode]["jumps"]
        count, null = mine["detected"].sum(), mine["expected_false"].sum()
        assert f" {count} jump" in words and words.endswith(f"noise alone gives {null:.1f}.")


def test_a_damaged_document_of_a_dig_is_one_sentence(study, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(study.folder, copy)
    document = next(copy.glob("digs/*/dig.json"))
    for text in ("", "{", "[]", '{"format": 1}', '{"format": 1, "target": 3}', "null"):
        document.write_text(text)
        with pytest.raises(StoreError, match=r"dig\.json"):
            read_sources(Study(copy))


def test_pictures_of_units_say_which_tile_is_which_unit(atlas):
    dug = [page for page in (atlas / "targets").glob("*.html") if "Dig again" in page.read_text()]
    assert len(dug) == 2
    for page in dug:
        links = ", ".join(f'<a href="#unit-{unit}">{unit}</a>' for unit in range(3))
        assert page.read_text().count(f"In order: units {links}.</p>") == 2


def test_a_scored_token_is_marked_in_its_text_and_is_the_one_that_was_to_be_said():
    tokens = pd.DataFrame({"sample": 3, "position": range(20), "token": range(50, 70), "real": True})
    assert marked({"sample": 3, "position": 4, "label": 55}, tokens) == ("50 51 52 53 54 ", "55", " 56 57 58…")
    assert marked({"sample": 3, "position": 18, "label": 69}, tokens) == ("…60 61 62 63 64 65 66 67 68 ", "69", " ")
    assert marked({"sample": 3, "position": 4, "label": 2}, tokens)[1] == "54"  # the label is no next token
    spaced = tokens.assign(text=[f" w{i}" for i in range(20)])
    assert marked({"sample": 3, "position": 1, "label": 52}, spaced) == (" w0 w1", " w2", " w3 w4 w5…")
    assert marked({"sample": 3, "label": 2}, tokens) is None and marked({"sample": 3, "position": 4}, None) is None


def test_field_notes_are_rendered_and_what_looks_like_html_in_them_stays_text():
    notes = "# Layer\n\nFive *sentences*.\n\n## Step 5\n\n- Units # 0\n\n| a | b |\n![x](y.png)\nHidden: 1\n\n"
    html = rendered(notes + "`<b>a</b>` <img src=x onerror=alert(1)> [x](javascript:alert(1))\n", ("Hidden:",))
    assert html.startswith("<p>Five <em>sentences</em>.</p>\n<h3>Step 5</h3>\n<ul>\n<li>Units # 0</li>")
    assert "Hidden" not in html and "Layer" not in html and "|" not in html and "y.png" not in html
    assert "<code>&lt;b&gt;a&lt;/b&gt;</code>" in html and "&lt;img src=x" in html
    assert "<img" not in html and "<a" not in html


def test_what_was_left_out_of_a_run_stands_on_its_page_with_the_reason(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.jit.script(torch.nn.Linear(3, 2)))
    given = {"every": 1, "dimensions": ["stable_rank"]}
    with gp.Recorder(model, torch.randn(8, 4), out=tmp_path / "runs" / "mine", **given) as recorder:
        for _ in range(12):
            recorder.step()
    detect_stage(Study(tmp_path), DetectOptions(surrogates=99))
    target_stage(tmp_path)
    write_page(Study(tmp_path))
    (page,) = (tmp_path / "report" / "runs").glob("*.html")
    text = html.unescape(page.read_text())
    left_out = gp.layers(model, torch.randn(8, 4)).left_out
    assert left_out
    for name, why in left_out.items():
        assert f"<li><code>layer {name}</code>: {why}</li>" in text


def test_every_unit_that_a_picture_shows_has_its_own_piece_of_it_and_a_place_that_the_picture_leads_to(tmp_path):
    folder = tmp_path / "dig"
    (folder / "images").mkdir(parents=True)
    target = Target(1, "r", "conv", 0, "stable_rank", Window(1, 2, 3), None, None, "naive", 1.0, "why")
    write_document(folder / DIG, DigDocument(target=target, options=DigOptions(), code="abc"))
    shown = [7, 2, 9, 4, 0, 5]  # five in a row, and one in the next
    rows = [
        {"role": "target", "moment": m, "step": 1, "unit": u, "type": "colour" if m == "after" else "untyped",
         "selectivity": 0.25, "preferred": 3.0}
        for m in ("before", "during", "after") for u in range(10)
    ]  # fmt: skip
    write_table(folder / "units.parquet", pd.DataFrame(rows))
    write_png(folder / "images" / "preferred-after.png", np.zeros((20, 50, 3), np.uint8))
    write_png(folder / "images" / "top-after.png", np.zeros((60, 90, 3), np.uint8))
    found = shown_units(Dig(folder), shown, "../pictures/x")
    assert [u["unit"] for u in found] == shown and [m["moment"] for m in found[0]["moments"]] == [
        "before",
        "during",
        "after",
    ]
    after = found[-1]["moments"][2]
    assert after["says"].startswith("colour, most to class 3, ") and "0.25" in after["says"]
    tile, row = after["pieces"]
    assert "background-size: 500% 200%; background-position: 0% 100%; aspect-ratio: 1" in tile["style"]
    assert "background-size: 100% 600%; background-position: 0% 100%; aspect-ratio: 9" in row["style"]
    assert "background-position: 50% 0%" in found[2]["moments"][2]["pieces"][0]["style"]
    assert found[0]["moments"][0]["pieces"] == [] and shown_units(Dig(folder), [], "x") == []


def test_a_run_that_was_measured_at_step_0_has_a_page(tmp_path):
    """Whose first marks lie where a log axis has no place."""
    write_run(tmp_path / "runs" / "a", "a", seed=0)
    study = Study(tmp_path)
    (run,) = study.runs
    tables = run_tables(RunSeries(run.name, run.layers, 300, run.all_series()))
    first = tables["jumps"].head(1).assign(step=0, index=0)
    tables["jumps"] = pd.concat([first, tables["jumps"]]).astype({"step": "Int64"})
    for kind, table_ in tables.items():
        study.write(f"phenomena/{kind}", table_)
    marks_ = marks(run.name, read_sources(study, partial=True))
    assert marks_["start"].min() == 0.5 and write_page(study, partial=True).is_file()


def test_the_command_of_a_dig_asks_for_what_a_run_of_ones_own_needs(atlas, study):
    commands = [line for path in (atlas / "targets").glob("*.html") for line in path.read_text().splitlines()
                if "geophone dig" in line]  # fmt: skip
    assert commands and all("--model MODULE:FUNCTION --data MODULE:FUNCTION" in line for line in commands)
