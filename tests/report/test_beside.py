"""Two runs on one page: what is offered, the difference of their maps held against the series on disk, and the way
back to nothing."""

from pathlib import Path

import numpy as np
import pytest
from atlas_study import LAYERS, NAUGHTY, write_run
from boxes import FAULTS
from browsing import READY, opened, steps

from geophone.report.page import write_page
from geophone.store.manifest import Manifest
from geophone.store.study import Study
from geophone.store.writer import RunWriter

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


@pytest.mark.parametrize("what", ["gone", "long-names", "plain-run", "__proto__"])
def test_what_cannot_be_beside_is_not(page, atlas, what):
    """Neither a run that is gone, nor one without a common layer, nor the run itself."""
    page.goto((atlas / "runs" / "plain-run.html").as_uri() + f"#beside={what}&layer=%3Cimg%3E&d={what}")
    page.wait_for_function(READY)
    assert not page.locator("#apart-title").is_visible() and page.locator("#beside").input_value() == ""
    assert page.evaluate("geophone.views.has('apart')") is False


def test_the_last_choice_counts_whichever_data_come_first(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    page.evaluate("""() => {
        const select = document.querySelector('#beside'), other = [...select.options].at(-1).value;
        for (const value of [other, '', other, '']) {
            select.value = value;
            select.dispatchEvent(new Event('change'));
        }
    }""")
    page.wait_for_timeout(600)
    page.wait_for_function(READY)
    assert not page.locator("#apart-title").is_visible() and page.locator("#beside").input_value() == ""


def write_line(folder, name: str, *, every: int, of, loss=lambda step: 1.0) -> None:
    """A run of one layer whose stable rank is `of` the step."""
    layers = (LAYERS[0],)
    about = {"total_steps": 600, "architecture": "line"}
    manifest = Manifest(
        name=name, layers=layers, rows=100, definitions={"stable_rank": 1}, versions={}, threads=1,
        schedule={"every": every}, probe={"samples": 20}, about=about,
    )  # fmt: skip
    writer = RunWriter(folder, manifest)
    steps = range(every, 601, every)
    for index, step in enumerate(steps):
        row = {"index": index, "step": step, "probe": "main", "layer": "conv1", "depth": 0, "status": "ok"}
        writer.add([row | {"stable_rank": of(step)}], {"index": index, "step": step, "loss": loss(step)})
    writer.finish("finished", steps=600, measurements=len(steps), results={})


LONG = "resnet18-cifar10-a-seed-{}-lr-0.1-batch-128-adamw"


@pytest.fixture
def lines(tmp_path):
    """Runs of the same function of the step, measured every 5, 7 and 100 steps; and one that is twice that, whose loss
    is negative. Two of them have names that differ in the middle alone."""
    folder = tmp_path / "study"
    course = lambda step: 3.0 if step < 150 else 6.0  # noqa: E731
    for number, every in enumerate((5, 100, 7)):
        write_line(folder / "runs" / str(every), LONG.format(number), every=every, of=course)
    write_line(folder / "runs" / "twice", "twice", every=5, of=lambda s: 2 * course(s), loss=lambda s: -s / 100)
    write_line(folder / "runs" / "between", "between", every=200, of=course)
    return write_page(Study(folder), partial=True).parent / "runs"


def test_runs_of_other_schedules_differ_only_where_both_were_measured(page, lines):
    opened(page, lines / f"{LONG.format(0)}.html")
    for number, steps_of in ((1, range(100, 601, 100)), (2, None)):
        beside(page, LONG.format(number))
        rows = apart(page)
        assert {row["apart"] for row in rows} == {0} and "is the same in both runs" in page.inner_text("#apart-title")
        if steps_of is not None:
            assert [row["step"] for row in rows] == list(steps_of)
        names = page.evaluate("[...new Set(geophone.views.get('beside').data('pair').map(r => r.run))]")
        assert len(names) == 2
    beside(page, "twice")
    assert {round(row["apart"], 6) for row in apart(page)} == {-1}
    assert "3 here and 6 in twice" in page.inner_text("#apart-title")
    opened(page, lines / "between.html")
    beside(page, LONG.format(2))  # every 200 and every 7, up to 600
    assert apart(page) == []
    assert page.inner_text("#apart-title") == "There is no stable rank that both runs measured at the same step."


def test_a_negative_loss_beside_a_positive_one_leaves_the_chart_as_it_is(page, lines):
    opened(page, lines / f"{LONG.format(0)}.html")
    ticks = "[...document.querySelectorAll('[data-chart=loss] .role-axis-label text')].map(t => t.textContent)"
    before = page.evaluate(ticks)
    beside(page, "twice")
    assert page.evaluate("geophone.views.get('loss').data('other_loss').length") == 0
    assert page.evaluate(ticks) == before and any("1" in tick for tick in before)
    opened(page, lines / "twice.html")  # its own loss is negative: no logarithm
    assert any("−" in tick or "-" in tick for tick in page.evaluate(ticks))


def test_transitions_of_the_other_run_are_reached_by_keys_and_fit_a_small_screen(page, atlas):
    page.set_viewport_size({"width": 420, "height": 900})
    opened(page, atlas / "runs" / "plain-run.html")
    beside(page, NAUGHTY)
    links = page.evaluate("[...document.querySelectorAll('#other-flags a')].map(a => a.getAttribute('href'))")
    flags = page.evaluate("geophone.views.get('beside').data('other_flags').map(f => '../' + f.href)")
    assert links == flags and links
    assert page.evaluate(FAULTS) == [] and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
