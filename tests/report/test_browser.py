"""The atlas in a real browser, from disk: every page opens, and brushing, clicking and keys do what they say."""

import threading
from pathlib import Path

import pytest
from atlas_study import NAUGHTY

from geophone.report.live import LiveAtlas, listening

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
READY = "document.documentElement.dataset.ready"
pytestmark = pytest.mark.browser


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


def opened(page, path: Path):
    page.goto(path.as_uri())
    page.wait_for_function(READY)
    return page


def signals(page, name: str) -> dict:
    """The selection that the chart `name` holds: what its data flow really has, not what the script meant."""
    code = (
        "n => { const v = geophone.views.get(n); return [v.signal('span_from'), v.signal('span_to'), v.signal('low')] }"
    )
    return page.evaluate(code, name)


def drag(page, chart: str, start: float, stop: float) -> None:
    """Drag over a chart from one share of its step axis to another."""
    origin, width = page.evaluate("n => { const v = geophone.views.get(n); return [v.origin(), v.width()] }", chart)
    drawn = page.locator(f'[data-chart="{chart}"] svg').first
    drawn.scroll_into_view_if_needed()
    box = drawn.bounding_box()
    y = box["y"] + origin[1] + 12
    page.mouse.move(box["x"] + origin[0] + start * width, y)
    page.mouse.down()
    page.mouse.move(box["x"] + origin[0] + (start + stop) / 2 * width, y)
    page.mouse.move(box["x"] + origin[0] + stop * width, y)
    page.mouse.up()


def test_every_page_opens_and_shows_what_it_has_in_light_and_dark(page, atlas):
    for path in sorted(atlas.rglob("*.html")):
        page.emulate_media(color_scheme="light")
        page.goto(path.as_uri())
        assert page.locator("h1").count() == 1
        if path.name == "index.html":
            assert page.locator("#first-chart svg").is_visible()
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            continue
        page.wait_for_function(READY)
        charts = page.locator("[data-chart]")
        assert all(charts.nth(i).locator("svg").count() == 1 for i in range(charts.count())) and charts.count() >= 3
        assert page.locator("[role=img]:not([aria-label])").count() == 0
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(100)
        page.wait_for_function(READY)
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert shade == "rgb(20, 23, 27)"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_brushing_selects_the_same_steps_in_all_charts_and_clearing_lets_go(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    drag(page, "heatmap", 0.5, 0.75)
    page.wait_for_function("document.documentElement.dataset.span")
    for chart in ("heatmap", "series", "loss", "critical"):
        start, stop, low = signals(page, chart)
        assert abs(start - 150) <= 3 and abs(stop - 225) <= 3 and low == 0
    assert page.locator("#readout").inner_text().startswith(f"Steps {start} to {stop}: conv1 ")
    assert page.locator("#span-from").input_value() == str(start)
    page.check("#zoom")
    assert signals(page, "series")[2] == start
    page.click("#clear")
    assert signals(page, "loss")[:2] == [None, None] and signals(page, "series")[2] == 0
    drag(page, "loss", 0.1, 0.2)
    start, stop, _ = signals(page, "heatmap")
    assert abs(start - 30) <= 3 and abs(stop - 60) <= 3


def test_steps_can_be_selected_by_keys_alone(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    page.focus("#span-from")
    page.keyboard.type("60")
    page.keyboard.press("Tab")
    page.keyboard.type("120")
    page.keyboard.press("Tab")
    page.wait_for_function("document.documentElement.dataset.span === '60 120'")
    assert signals(page, "loss")[:2] == [60, 120]
    said = page.locator("#readout").inner_text()
    assert said.startswith("Steps 60 to 120: ") and "loss" in said


def test_the_dimension_and_the_rule_switch_all_charts_and_their_words(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    cells = page.locator('[data-chart="heatmap"] .mark-rect path')
    assert cells.count() >= 2 * 60
    triangles = page.locator('[data-chart="series"] .mark-symbol.role-mark path')
    seed = triangles.count()
    before = cells.nth(5).get_attribute("fill"), page.locator("#finding").inner_text()
    page.select_option("#dimension", "mean_fraction")
    page.wait_for_function(f"{READY} === 'mean_fraction'")
    after = cells.nth(5).get_attribute("fill"), page.locator("#finding").inner_text()
    assert before[0] != after[0] and before[1] != after[1]
    assert "mean fraction" in page.locator('[data-chart="heatmap"]').get_attribute("aria-label")
    page.select_option("#dimension", "stable_rank")
    page.wait_for_function(f"{READY} === 'stable_rank'")
    page.select_option("#mode", "calibrated")
    page.wait_for_function("geophone.views.get('series').signal('mode') === 'calibrated'")
    page.wait_for_timeout(200)
    assert seed > 0 and triangles.count() < seed


def test_a_click_on_a_jump_opens_its_target(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    href = page.evaluate("geophone.run.data.jumps.find(j => j.href?.startsWith('../targets')).href")
    # Triangles may lie on each other; the one that is asked for is clicked through the chart's own event.
    marks = page.locator('[data-chart="series"] .mark-symbol.role-mark path')
    box = page.evaluate(
        "h => { const marks = [...document.querySelectorAll('[data-chart=\"series\"] .mark-symbol.role-mark path')];"
        "const b = marks.find(m => m.__data__?.datum?.href === h).getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2] }",
        href,
    )
    assert marks.count() > 0
    page.mouse.click(*box)
    page.wait_for_url("**/targets/*.html")
    page.wait_for_function(READY)
    assert Path(page.url).name == Path(href).name
    assert page.locator(".moments img").count() == 6
    assert page.evaluate("[...document.querySelectorAll('.crumbs a')].map(a => a.textContent)")[1] == "plain-run"


def test_the_table_of_runs_sorts_by_keys_and_says_how(page, atlas):
    page.goto((atlas / "index.html").as_uri())
    names = "[...document.querySelectorAll('#runs tbody th')].map(c => c.textContent.trim())"
    button = page.locator("#runs thead th button").first
    button.focus()
    page.keyboard.press("Enter")
    up = page.evaluate(names)
    assert page.locator("#runs thead th").first.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert page.evaluate(names) == up[::-1] and len(up) == 2
    assert page.locator("#runs thead th").first.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Control+Home")
    page.goto((atlas / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_arrow_keys_lead_to_the_runs_before_and_after(page, atlas):
    first, second = sorted((atlas / "runs").glob("*.html"), key=lambda p: p.stem != "plain-run")
    opened(page, first)
    page.keyboard.press("ArrowRight")
    page.wait_for_url(second.as_uri())
    page.wait_for_function(READY)
    assert page.locator("h1").inner_text() == NAUGHTY
    assert page.locator("img:not([alt])").count() == 0 and page.locator("img[src=x]").count() == 0
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(first.as_uri())
    page.wait_for_function(READY)


def test_a_tip_over_a_cell_shows_a_name_as_text(page, atlas):
    other = next(p for p in (atlas / "runs").glob("*.html") if p.stem != "plain-run")
    opened(page, other)
    cells = page.locator('[data-chart="heatmap"] .mark-rect path')
    said = []
    for cell in (100, 101):
        cells.nth(cell).hover()
        page.wait_for_selector("#vg-tooltip-element.visible")
        said.append(page.locator("#vg-tooltip-element").inner_text())
    assert any(NAUGHTY in words for words in said) and all("step" in words for words in said)
    assert page.locator("img[src=x]").count() == 0


def test_an_open_page_loads_itself_again_when_the_study_changes(chromium, study, atlas):
    live = LiveAtlas(study)
    live.folder, live.version = atlas, 1
    with listening(live, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        tab = chromium.new_page()
        said = []
        tab.on("console", lambda message: said.append(message.text))
        tab.goto(f"http://127.0.0.1:{server.server_address[1]}/runs/plain-run.html")
        tab.wait_for_function(READY)
        tab.evaluate("window.old = true")
        tab.wait_for_timeout(300)
        live.version = 2
        tab.wait_for_function("window.old === undefined", timeout=10_000)
        tab.wait_for_function(READY)
        tab.close()
        server.shutdown()
        thread.join()
    assert said == []
