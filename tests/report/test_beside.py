"""Two runs on one page: what is offered, the difference of their maps held against the series on disk, and the way
back to nothing."""

from pathlib import Path

import numpy as np
import pytest
from atlas_study import LAYERS, NAUGHTY, write_run
from boxes import FAULTS
from browsing import READY, opened, steps

from geophone.report.page import write_page
from geophone.store.study import Study

pytestmark = pytest.mark.browser
OPTIONS = "[...document.querySelectorAll('#beside optgroup')].map(g => [g.label, [...g.children].map(o => o.text)])"


def beside(page, text: str) -> None:
    """Choose the run of that name."""
    page.select_option("#beside", label=text)
    page.wait_for_function("document.querySelector('#apart-title').checkVisibility()")
    page.wait_for_timeout(150)
    page.wait_for_function(READY)


def apart(page) -> list[dict]:
    return page.evaluate("geophone.views.get('apart').data('apart')")


def test_runs_that_share_a_layer_are_offered_those_of_the_same_layers_first(page, tmp_path):
    folder = tmp_path / "study"
    other = (LAYERS[0], LAYERS[1].__class__("elsewhere", 1, "flat", 30, 20, (30,)))
    for name, layers in (("a", LAYERS), ("b", other), ("c", LAYERS), ("d", (other[1],))):
        write_run(folder / "runs" / name, name, seed=ord(name), layers=layers)
    index = write_page(Study(folder), partial=True)
    opened(page, index.parent / "runs" / "a.html")
    assert page.evaluate(OPTIONS) == [["same layers", ["c"]], ["some layers alike", ["b"]]]
    opened(page, index.parent / "runs" / "d.html")
    assert page.evaluate(OPTIONS) == [["some layers alike", ["b"]]]


def test_a_run_that_shares_no_layer_with_another_offers_none(page, atlas):
    opened(page, atlas / "runs" / "long-names.html")
    assert not page.locator("#beside").is_visible() and not page.locator("#apart-title").is_visible()


def test_the_difference_is_that_of_the_series_on_disk_and_its_title_names_the_farthest(page, atlas, study):
    opened(page, atlas / "runs" / "plain-run.html")
    assert not page.locator("[data-chart=apart] svg").count()
    beside(page, NAUGHTY)
    ours, theirs = (next(run for run in study if run.name == name).series("stable_rank") for name in
                    ("plain-run", NAUGHTY))  # fmt: skip
    wanted = np.log2(ours["conv1"] / theirs["conv1"])
    found = {row["step"]: row["apart"] for row in apart(page)}
    assert set(found) == set(wanted.index) and {row["layer"] for row in apart(page)} == {"conv1"}
    assert np.allclose([found[step] for step in wanted.index], wanted, atol=2e-4)
    at = wanted.abs().idxmax()
    assert page.locator("#apart-title").inner_text() == (
        f"Of the layers that both have, conv1 is farthest apart: {float(f'{ours.conv1[at]:.3g}'):g} here and "
        f"{float(f'{theirs.conv1[at]:.3g}'):g} in {NAUGHTY}, at step {at}."
    )
    pair = page.evaluate("geophone.views.get('beside').data('pair')")
    drawn = [[row["value"] for row in pair if (row["run"] == "plain-run") == mine] for mine in (True, False)]
    assert np.allclose(drawn[0], ours["conv1"], rtol=1e-4) and np.allclose(drawn[1], theirs["conv1"], rtol=1e-4)
    losses = page.evaluate("geophone.views.get('loss').data('other_loss').length")
    assert losses == 60 and page.evaluate(FAULTS) == []


def test_a_share_differs_by_what_is_taken_away_and_steps_bound_the_title(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    beside(page, NAUGHTY)
    whole = page.locator("#apart-title").inner_text()
    steps(page, "200", "290")
    page.wait_for_function("document.documentElement.dataset.span === '200 290'")
    inside = page.locator("#apart-title").inner_text()
    assert "in steps 200 to 290" in inside and inside != whole
    rows = [row for row in apart(page) if 200 <= row["step"] <= 290]
    most = max(rows, key=lambda row: abs(row["apart"]))
    assert inside.endswith(f"at step {most['step']}.")
    page.select_option("#dimension", "mean_fraction")
    page.wait_for_function(f"{READY} === 'mean_fraction'")
    assert page.locator("#apart-title").inner_text().startswith("The mean fraction is the same in both runs")
    assert {row["apart"] for row in apart(page)} == {0}


def test_two_runs_stand_in_the_address_and_none_takes_them_away(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    beside(page, NAUGHTY)
    address = page.url
    assert "beside=" in address and "layer=conv1" in address
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_function(READY)
    assert page.locator("#apart-title").is_visible() and page.locator("#layer").input_value() == "conv1"
    assert page.locator("#other-run").get_attribute("href").endswith(".html")
    with page.expect_download() as download:
        page.locator('.exports[data-of="apart"] button', has_text="CSV").click()
    assert Path(download.value.path()).read_text().startswith("layer,step,here,there\nconv1,5,")
    page.select_option("#beside", "")
    page.wait_for_function("!document.querySelector('#apart-title').checkVisibility()")
    page.wait_for_function("geophone.views.get('loss').data('other_loss').length === 0")
    assert "beside" not in page.url


def test_a_run_that_is_not_there_any_more_is_not_beside(page, atlas):
    page.goto((atlas / "runs" / "plain-run.html").as_uri() + "#beside=gone&layer=%3Cimg%3E")
    page.wait_for_function(READY)
    assert not page.locator("#apart-title").is_visible() and page.locator("#beside").input_value() == ""
