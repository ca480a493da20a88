"""The study that the pages are made of."""

from pathlib import Path

import pandas as pd
import pytest
from atlas_study import LAYERS, NAUGHTY, write_dig, write_run

from geophone.phenomena import RunSeries, run_tables
from geophone.point.study import targets
from geophone.records import Layer
from geophone.report.page import write_page
from geophone.store.study import Study

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
LONG = tuple(
    Layer(f"bert.encoder.layer.{i}.attention.self.{part}", 2 * i + j, "tokens", 12, 100, (9, 12))
    for i in range(3) for j, part in enumerate(("query_projection", "key_projection"))
)  # fmt: skip


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    layers = (LAYERS[0], Layer(f"fc {NAUGHTY}", 1, "flat", 30, 20, (30,)))
    write_run(folder / "runs" / "a", "plain-run", seed=0)
    write_run(folder / "runs" / "b", NAUGHTY, seed=1, layers=layers, status="failed", note=NAUGHTY)
    write_run(folder / "runs" / "c", "long-names", seed=2, layers=LONG)
    made = Study(folder)
    parts = [run_tables(RunSeries(r.name, r.layers, 300, r.all_series())) for r in made]
    tables = {kind: pd.concat([p[kind] for p in parts], ignore_index=True) for kind in parts[0]}
    # Without surrogates the calibrated form has no null; the pages are to show one.
    detection = tables["detection"]
    calibrated = detection[detection["mode"] == "naive"].assign(mode="calibrated", detected=1, expected_false=0.4)
    tables["detection"] = pd.concat([detection[detection["mode"] != "calibrated"], calibrated], ignore_index=True)
    for kind, table in tables.items():
        made.write(f"phenomena/{kind}", table)
    made.write("targets", targets(made, method="naive"))
    for name, known in (("plain-run", LAYERS), (NAUGHTY, layers)):
        target = next(target for target in made.ranked() if target.run == name and target.layer == "conv1")
        write_dig(made, target, [layer.name for layer in known])
    return made


@pytest.fixture(scope="session")
def atlas(study, tmp_path_factory):
    """The folder of the study's atlas, which is only read."""
    return write_page(study, out=tmp_path_factory.mktemp("out") / "atlas").parent


@pytest.fixture(scope="module")
def chromium():
    if not CHROMIUM.exists():
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        args = [f"--{flag}" for flag in [*FLAGS.split(), "disable-sync"]]
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=args)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page that must say nothing on its console and ask for nothing but files."""
    opened = chromium.new_page(viewport={"width": 1100, "height": 900})
    said, asked = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: (said.append(f"dialog {dialog.message}"), dialog.dismiss()))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    opened.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
