"""The page shows what the tables say, escapes what users wrote, and opens without a network."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geophone.detect.tables import run_tables
from geophone.errors import StoreError
from geophone.records import Layer
from geophone.report.charts import SHOWN, measurements, order_plot, run_charts, run_data
from geophone.report.page import run_tables_of, write_page
from geophone.report.words import finding, order_count, order_line
from geophone.store.manifest import Manifest
from geophone.store.study import Study
from geophone.store.writer import RunWriter
from geophone.target import targets

CHROMIUM = Path("/usr/bin/chromium")
NAUGHTY = "</script><img src=x onerror=alert(1)>"
LAYERS = (Layer("conv1", 0, "channels", 8, 100, (8, 6, 6)), Layer("fc", 1, "flat", 30, 20, (30,)))


def write_run(folder: Path, name: str, *, seed: int) -> None:
    """60 measurements of two layers: conv1 jumps from 3 to 6 at measurement 30, fc is dead at measurement 10."""
    rng = np.random.default_rng(seed)
    definitions = {"stable_rank": 1, "mean_fraction": 1}
    writer = RunWriter(folder)
    writer.begin(
        Manifest(
            name=name, layers=LAYERS, rows=100, definitions=definitions, versions={}, threads=1,
            schedule={"every": 5}, probe={"samples": 20}, about={"total_steps": 300},
        )
    )  # fmt: skip
    for index in range(60):
        rows = []
        for layer in LAYERS:
            dead = layer.name == "fc" and index == 10
            level = 3.0 if index < 30 or layer.name == "fc" else 6.0
            values = {"stable_rank": level + 0.05 * rng.normal(), "mean_fraction": 0.4}
            rows.append(
                {
                    "index": index, "step": 5 * index + 5, "probe": "main", "layer": layer.name,
                    "depth": layer.depth, "status": "dead" if dead else "ok",
                    **(dict.fromkeys(values, np.nan) if dead else values),
                }
            )  # fmt: skip
        writer.add(rows, {"index": index, "step": 5 * index + 5, "loss": 2.0 / (index + 1)})
    writer.finish("finished", steps=300, measurements=60, results={"test_accuracy": 0.9, "chance": 0.1})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_run(folder / "runs" / "a", "plain-run", seed=0)
    write_run(folder / "runs" / "b", NAUGHTY, seed=1)
    made = Study(folder)
    parts = [run_tables(r.all_series(), run=r.name, layers=r.layers, total_steps=300) for r in made]
    for kind in parts[0]:
        made.write(f"phenomena/{kind}", pd.concat([p[kind] for p in parts], ignore_index=True))
    made.write("targets", targets(made))
    return made


def tables_of(study, number=0):
    phenomena = {kind: study.phenomena(kind) for kind in ("stabilization", "jumps", "critical")}
    return run_tables_of(study.runs[number], phenomena)


def payload(html: str) -> dict:
    return json.loads(re.search(r'id="payload">(.*?)</script>', html, re.S).group(1))


def test_the_data_in_the_page_are_the_series(study):
    data = payload(write_page(study).read_text())["run-0"]["data"]
    rows = pd.DataFrame(data["measurements"])
    wide = rows.pivot(index="step", columns="layer", values="stable_rank")
    pd.testing.assert_frame_equal(
        wide[["conv1", "fc"]].astype(float), study.runs[0].series("stable_rank"), rtol=1e-4, check_names=False,
        check_column_type=False,
    )  # fmt: skip
    assert wide.loc[55, "fc"] is None or np.isnan(wide.loc[55, "fc"])
    assert dict(zip(rows["layer"], rows["cap"], strict=True)) == {"conv1": 8, "fc": 19}


def test_the_jumps_drawn_are_the_jumps_found(study):
    run = tables_of(study)
    drawn = [j for j in run_data(run)["jumps"] if j["dimension"] == "stable_rank" and j["layer"] == "conv1"]
    assert 155 in [j["step"] for j in drawn]
    assert len(drawn) == len(run.jumps[(run.jumps["layer"] == "conv1") & (run.jumps["dimension"] == "stable_rank")])


def test_every_chart_has_axes_with_titles_a_description_and_the_same_steps(study):
    for name, chart in run_charts(tables_of(study), dimension="stable_rank").items():
        text = json.dumps(chart)
        assert chart["description"], name
        assert '"title": "training step"' in text
        assert '"domain": [0, 300]' in text
        if name in ("heatmap", "series"):
            assert SHOWN in text


def test_the_heatmap_has_a_row_a_layer_in_depth_order(study):
    chart = run_charts(tables_of(study), dimension="stable_rank")["heatmap"]
    assert chart["layer"][0]["encoding"]["y"]["sort"] == ["conv1", "fc"]
    assert len(measurements(tables_of(study))) == 2 * 60


def test_the_order_of_all_runs_is_one_plot_with_a_row_a_run_and_a_mark_where_there_is_an_order(study):
    order = pd.DataFrame(
        {"run": ["a", "b", "a", "b"], "mode": ["seed", "seed", "robust", "robust"], "rho": [0.5, np.nan, -0.2, 0.9],
         "p": [0.1, np.nan, 0.4, 0.01], "verdict": ["weak", "undefined", "simultaneous", "bottom-up"]}
    )  # fmt: skip
    chart = order_plot(order, {"a": "mlp", "b": "cnn"})
    rows = chart["layer"][1]["data"]["values"]
    assert [(r["run"], r["family"], r["mode"], r["rho"]) for r in rows] == [
        ("a", "mlp", "seed", 0.5), ("b", "cnn", "seed", None), ("a", "mlp", "robust", -0.2), ("b", "cnn", "robust", 0.9)
    ]  # fmt: skip
    assert chart["layer"][0]["data"]["values"] == [{"rho": -0.6}, {"rho": 0.6}]
    said = (
        "Layers settle bottom-up in the stable rank of 0 of 2 runs by the seed rule (1 undefined), 1 of 2 runs by the"
    )
    assert order_count(order, "stable_rank").startswith(said)
    assert "Layers settle bottom-up in the stable rank of" in write_page(study).read_text()


def test_titles_follow_from_the_numbers(study):
    run = tables_of(study)
    assert finding(run, "stable_rank").startswith("conv1 changed most: its stable rank rose 2.")
    assert finding(run, "mean_fraction") == "The mean fraction of every layer ended within 10 % of where it began."
    row = pd.Series({"verdict": "bottom-up", "rho": 0.8, "p": 0.042, "layers": 5})
    assert "settle bottom-up: Spearman ρ = +0.80 over 5 layers" in order_line(row)
    assert "seldom makes (exact one-sided p = 0.042)" in order_line(row)


def test_names_from_users_are_text_and_nothing_else(study):
    html = write_page(study).read_text()
    assert NAUGHTY not in html
    assert "&lt;/script&gt;&lt;img" in html
    assert payload(html)["run-1"]["charts"]["heatmap"]["description"].startswith(f"Heatmap of {NAUGHTY}")


def test_the_page_names_nothing_outside_itself(study):
    html = write_page(study).read_text()
    outside_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert not re.search(r'<(script|link|img|iframe)[^>]*(src|href)="(?!data:)', outside_scripts)
    assert "http" not in outside_scripts
    assert len(html) < 6e6


def test_gaps_are_explained(study):
    assert "1 with no variance over the probe (dead)" in write_page(study).read_text()


def test_a_study_without_phenomena_says_what_is_missing(tmp_path):
    write_run(tmp_path / "runs" / "a", "a", seed=0)
    with pytest.raises(StoreError, match=r"stabilization.parquet is not there"):
        write_page(Study(tmp_path))


@pytest.mark.browser
def test_in_a_real_browser(study, tmp_path):
    if not CHROMIUM.exists():
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    page_file = write_page(study)
    flags = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=[f"--{flag}" for flag in [*flags.split(), "disable-sync"]]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === 'stable_rank'")
        assert page.locator('[data-chart="heatmap"] svg').count() == 2
        cells = page.locator('#run-0 [data-chart="heatmap"] .mark-rect path')
        assert cells.count() >= 2 * 60
        before = cells.nth(5).get_attribute("fill"), page.locator("#run-0 [data-word=finding]").inner_text()
        page.select_option("#dimension", "mean_fraction")
        page.wait_for_function("document.documentElement.dataset.ready === 'mean_fraction'")
        after = cells.nth(5).get_attribute("fill"), page.locator("#run-0 [data-word=finding]").inner_text()
        assert before[0] != after[0] and before[1] != after[1]
        assert page.locator("img").count() == 0
        assert page.locator("#run-1 h2").inner_text() == NAUGHTY
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(200)
        page.wait_for_function("document.documentElement.dataset.ready")
        browser.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
