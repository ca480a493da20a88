"""The atlas in a real browser, from disk: every page opens, and brushing, clicking and keys do what they say."""

import socket
import threading
from pathlib import Path

import pytest
from atlas_study import NAUGHTY
from boxes import FAULTS
from browsing import READY, opened, steps
from made_proof import made_tables

from geophone.findings.lines import benchmark_lines
from geophone.report.live import LiveAtlas, listening
from geophone.report.prove_page import write_prove_page

pytestmark, SLOW = pytest.mark.browser, pytest.mark.slow


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


# Text whose contrast with its ground is below WCAG 2.1's AA: 4.5, or 3 where it is large. Grounds are composited.
FAINT = """() => {
  const parsed = (c) => {
    const m = c.match(/[\\d.]+/g).map(Number), scale = c.startsWith('color(') ? 255 : 1;
    return [m[0] * scale, m[1] * scale, m[2] * scale, m[3] ?? 1];
  };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (c) => [.2126, .7152, .0722].reduce((sum, w, i) => sum + w * linear(c[i] / 255), 0);
  const white = [255, 255, 255, 1];
  const ground = (e) => e ? over(parsed(getComputedStyle(e).backgroundColor), ground(e.parentElement)) : white;
  const worded = (e) => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  const found = [];
  for (const e of document.querySelectorAll('body *')) {
    const overMarks = e.closest('.role-mark') && !e.matches('[fill="#808080"], [fill="#D55E00"]');
    if (!worded(e) || !e.checkVisibility() || e.disabled || e.closest('[opacity="0"]') || overMarks) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize), own = ground(e);
    const ink = over(parsed(e instanceof SVGElement ? style.fill : style.color), own);
    const [y, x] = [light(ink), light(own)].sort((p, q) => p - q);
    const ratio = (x + .05) / (y + .05), least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < least) found.push(`${e.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""


def test_every_page_opens_and_shows_what_it_has_and_every_kind_of_page_in_the_dark_too(page, atlas):
    dark: set[tuple[str, bool]] = set()
    for path in sorted(atlas.rglob("*.html")):
        page.emulate_media(color_scheme="light")
        page.goto(path.as_uri())
        assert page.locator("h1").count() == 1
        if path.name == "index.html":
            assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        page.wait_for_function(READY)
        charts = page.locator("[data-chart]:not([hidden] *)")
        assert all(charts.nth(i).locator("svg").count() == 1 for i in range(charts.count())) and charts.count() >= 1
        assert page.locator("[role=img]:not([aria-label])").count() == 0
        assert page.evaluate(FAINT) == [], f"{path.name}, light"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        kind = path.parent.name, "Dig again" in path.read_text(encoding="utf-8")
        if kind in dark:
            continue
        dark.add(kind)
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(100)
        page.wait_for_function(READY)
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert shade == "rgb(21, 23, 26)"
        assert page.evaluate(FAINT) == [], f"{path.name}, dark"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert {("runs", False), ("targets", False), ("targets", True)} <= dark


def test_brushing_selects_the_same_steps_in_all_charts_and_clearing_lets_go(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    drag(page, "map", 0.5, 0.75)
    page.wait_for_function("document.documentElement.dataset.span")
    low, high = page.evaluate("[geophone.run.low, geophone.run.last]")
    places = [low * (high / low) ** share for share in (0.5, 0.75)]
    for chart in ("map", "series", "loss", "marks"):
        start, stop, first = signals(page, chart)
        assert abs(start - places[0]) <= 2 and abs(stop - places[1]) <= 3 and first == low
    assert page.locator("#readout").inner_text().startswith(f"Steps {start} to {stop}: conv1 ")
    assert page.locator("#span-from").input_value() == str(start)
    page.check("#zoom")
    assert signals(page, "series")[2] == start
    page.click("#clear")
    assert signals(page, "loss")[:2] == [None, None] and signals(page, "series")[2] == low
    drag(page, "loss", 0.6, 0.7)
    start, stop, _ = signals(page, "map")
    assert abs(start - low * (high / low) ** 0.6) <= 2 and abs(stop - low * (high / low) ** 0.7) <= 2


def test_a_selection_gives_the_map_colours_of_its_own(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    cells = "document.querySelectorAll('[data-chart=\"map\"] .mark-rect.role-mark path')"
    shades = f"[...{cells}].map(c => c.getAttribute('fill'))"
    before = page.evaluate(shades)
    steps(page, "200", "290")
    page.wait_for_function("document.documentElement.dataset.span === '200 290'")
    page.wait_for_timeout(200)
    after = page.evaluate(shades)
    assert before != after and len(set(after)) > 20


def test_what_is_chosen_stands_in_the_address_and_comes_back(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    page.select_option("#dimension", "mean_fraction")
    page.wait_for_function(f"{READY} === 'mean_fraction'")
    page.select_option("#mode", "naive")
    steps(page, "60", "120")
    page.wait_for_function("document.documentElement.dataset.span === '60 120'")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_function(f"{READY} === 'mean_fraction'")
    page.wait_for_function("document.documentElement.dataset.span === '60 120'")
    assert (
        page.locator("#mode").input_value() == "naive" and page.locator("#dimension").input_value() == "mean_fraction"
    )


def test_steps_can_be_selected_by_keys_alone(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    steps(page, "60", "120")
    page.wait_for_function("document.documentElement.dataset.span === '60 120'")
    assert signals(page, "loss")[:2] == [60, 120]
    said = page.locator("#readout").inner_text()
    assert said.startswith("Steps 60 to 120: ") and "loss" in said


def test_the_dimension_and_the_form_switch_all_charts_and_their_words(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    cells = page.locator('[data-chart="map"] .mark-rect.role-mark path')
    assert cells.count() >= 2 * 59

    def said():
        words = page.evaluate("[...document.querySelectorAll('[data-word], [data-form]')].map(e => e.textContent)")
        return words, page.locator("#numbers").text_content(), cells.nth(5).get_attribute("fill")

    first = said()
    page.select_option("#dimension", "mean_fraction")
    page.wait_for_function(f"{READY} === 'mean_fraction'")
    other = said()
    changed = [a != b for a, b in zip(first[0], other[0], strict=True)]
    assert sum(changed) >= 5 and first[1] != other[1] and first[2] != other[2]
    assert "mean fraction" in page.locator('[data-chart="map"]').get_attribute("aria-label")
    page.select_option("#dimension", "stable_rank")
    page.wait_for_function(f"{READY} === 'stable_rank'")
    marks = page.locator('[data-chart="marks"] .mark-rect.role-mark path')
    calibrated = marks.count()
    page.select_option("#mode", "naive")
    page.wait_for_function("geophone.views.get('marks').signal('mode') === 'naive'")
    page.wait_for_timeout(200)
    naive = said()
    assert marks.count() > calibrated and naive[1] != first[1]
    titles = page.evaluate(
        "['#marks-title', '[data-form=order]', '[data-form=mode]'].map(q => document.querySelector(q).textContent)"
    )
    assert "naive" in titles[0] and "naive" in titles[1] and titles[2] == "naive"
    page.select_option("#colour", "map_all")
    page.wait_for_function("document.querySelector('[data-word=colour]').textContent.includes('one scale')")


# Everything on a run's page that says or lists something, by what it depends on.
SAID = """() => {
  const text = (q) => [...document.querySelectorAll(q)].map(e => e.hidden ? "" : e.textContent.trim()).join(" | ");
  const label = (n) => document.querySelector(`[data-chart="${n}"]`).getAttribute('aria-label');
  const drawn = (n) => text(`[data-chart="${n}"] svg text`);
  const captions = text('figcaption');
  return { change: text('#change'), formula: text('.formula'), map: label('map'), map_caption: captions.split(' | ')[0],
    series_title: text('#series-title'), series: label('series'), series_caption: captions.split(' | ')[1],
    series_axis: drawn('series'), marks_title: text('#marks-title'), order: text('[data-form=order]'),
    marks: label('marks'), marks_caption: captions.split(' | ')[4], numbers: text('#numbers'),
    numbers_caption: text('details caption'), flags: text('.flags li'), listed: text('table.stack tbody tr'),
    listed_caption: text('table.stack caption'), readout: text('#readout'), legend: drawn('map'),
    series_ticks: text('[data-chart="series"] .role-axis-label text') };
}"""
OF_VALUES = {"map", "map_caption", "series", "series_caption", "series_axis", "series_ticks"}
OF_STEPS = {"map", "map_caption", "series", "series_caption", "marks", "flags", "listed", "listed_caption", "readout"}
DEPENDS = {
    "dimension": OF_VALUES | {"change", "formula", "series_title", "marks_title", "order", "marks", "numbers",
                              "numbers_caption", "readout"},
    "mode": {"marks_title", "order", "marks", "marks_caption", "numbers", "numbers_caption"},
    "colour": {"map_caption", "legend"},
    "share": OF_VALUES | {"readout"},
    "range": OF_STEPS,
    "zoom": {"series_axis", "series_ticks", "legend"},
}  # fmt: skip


def test_a_switch_changes_every_title_caption_and_list_that_depends_on_it_and_no_other(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")

    def switched(act) -> set[str]:
        before = page.evaluate(SAID)
        act()
        page.wait_for_timeout(150)
        page.wait_for_function(READY)
        after = page.evaluate(SAID)
        return {name for name in before if before[name] != after[name]}

    assert switched(lambda: steps(page, "60", "120")) == DEPENDS["range"]
    inside = page.evaluate("[...document.querySelectorAll('[data-peak]:not([hidden])')].map(e => +e.dataset.peak)")
    every = page.evaluate("[...document.querySelectorAll('[data-peak]')].map(e => +e.dataset.peak)")
    assert inside == [peak for peak in every if 60 <= peak <= 120] and len(inside) < len(every)
    assert switched(lambda: page.check("#share")) == DEPENDS["share"]
    assert switched(lambda: page.uncheck("#share")) == DEPENDS["share"]
    assert switched(lambda: page.select_option("#colour", "map_all")) == DEPENDS["colour"]
    assert switched(lambda: page.select_option("#mode", "naive")) == DEPENDS["mode"]
    assert switched(lambda: page.check("#zoom")) == DEPENDS["zoom"]
    assert switched(lambda: page.uncheck("#zoom")) == DEPENDS["zoom"]
    assert switched(lambda: page.select_option("#dimension", "mean_fraction")) >= DEPENDS["dimension"] - {"order"}
    assert switched(lambda: page.click("#clear")) == DEPENDS["range"]


def flagged(page, chart: str) -> list[dict]:
    """Where the flags of a chart are drawn and what each opens."""
    return page.evaluate(
        "n => [...document.querySelectorAll(`[data-chart=\"${n}\"] .mark-symbol.role-mark path`)]"
        ".filter(m => m.__data__?.datum?.href).map(m => { const b = m.getBoundingClientRect();"
        "return { href: m.__data__.datum.href, x: b.x + b.width / 2, y: b.y + b.height / 2 } })", chart
    )  # fmt: skip


def in_view(page, path: Path, chart: str) -> list[dict]:
    """The flags of a chart of the page at `path`, opened and scrolled to."""
    opened(page, path)
    page.locator(f'[data-chart="{chart}"]').scroll_into_view_if_needed()
    return flagged(page, chart)


def test_every_flag_of_every_run_opens_its_own_transition_by_click(page, atlas):
    runs = sorted((atlas / "runs").glob("*.html"))
    for path in [atlas / "index.html", *runs]:
        for chart in ("map", "series") if path == runs[0] else ("map",):
            flags = in_view(page, path, chart)
            assert flags and len({flag["href"] for flag in flags}) == len(flags)
            # All but the last are asked for and not shown, so that the page need not be opened again for each.
            page.route("**/targets/*.html", lambda route: route.fulfill(status=204))
            for flag in flags[:-1]:
                with page.expect_request(lambda asked, flag=flag: asked.url.endswith(flag["href"].split("/")[-1])):
                    page.mouse.click(flag["x"], flag["y"])
            page.unroute("**/targets/*.html")
            last = in_view(page, path, chart)[-1]
            page.mouse.click(last["x"], last["y"])
            page.wait_for_url(f"**/{last['href'].split('/')[-1]}")


def test_tab_reaches_every_link_control_and_flag_and_enter_opens_the_last_flag(page, atlas):
    every = "a[href], button:not([disabled]), select, input, summary, [tabindex='0']"
    wanted = f"""[...document.querySelectorAll("{every}")].filter(e => e.tabIndex >= 0 && e.checkVisibility())"""
    for path in (
        atlas / "index.html",
        atlas / "runs" / "plain-run.html",
        sorted((atlas / "targets").glob("*.html"))[0],
    ):
        opened(page, path)
        page.evaluate(f"window.places = {wanted}; window.met = new Set()")
        count = page.evaluate("places.length")
        for _ in range(count):
            page.keyboard.press("Tab")
            page.evaluate("met.add(document.activeElement)")
        missed = page.evaluate("places.filter(e => !met.has(e)).map(e => e.outerHTML.slice(0, 80))")
        assert missed == [], path.name
        flags = {flag["href"] for flag in flagged(page, "map")} if path.parent.name != "targets" else set()
        links = page.evaluate("[...met].map(e => e.getAttribute?.('href') ?? '')")
        assert flags <= {link.removeprefix("../") for link in links}
        if flags:
            page.locator(".flags a").last.focus()
            page.keyboard.press("Enter")
            page.wait_for_url("**/targets/*.html")


def test_a_dug_transition_shows_its_pictures_and_its_way_back(page, atlas):
    dug = next(path for path in (atlas / "targets").glob("*.html") if "Dig again" in path.read_text())
    opened(page, dug)
    assert page.locator(".moments img").count() == 6
    assert len(page.evaluate("[...document.querySelectorAll('.crumbs a')].map(a => a.textContent)")) == 2


def test_a_chart_can_be_saved_as_svg_png_and_its_rows_as_csv(page, atlas):
    opened(page, atlas / "runs" / "plain-run.html")
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG"), ("CSV", b"layer,step,stable_rank\n")):
        with page.expect_download() as download:
            page.locator('.exports[data-of="map"] button', has_text=kind).click()
        assert Path(download.value.path()).read_bytes().startswith(start)


def fault_free(page, path, width: int) -> None:
    """No word of the page is cut or printed over another, in light and in dark, and it is as wide as the window."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="light")
    page.goto(path.as_uri())
    for shade in ("light", "dark"):
        page.emulate_media(color_scheme=shade)
        page.wait_for_timeout(60)
        page.wait_for_function(f"{READY} || !document.body.dataset.data")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(FAULTS) == [], f"{path.name}, {width}, {shade}"


@pytest.mark.parametrize("width", [420, pytest.param(1000, marks=SLOW), pytest.param(1400, marks=SLOW)])
def test_no_word_of_the_atlas_is_cut_or_printed_over_another(page, atlas, width):
    """On the overview, every run, a transition that was dug and one that was not."""
    targets = sorted((atlas / "targets").glob("*.html"), key=lambda p: "Dig again" not in p.read_text())
    for path in (atlas / "index.html", *sorted((atlas / "runs").glob("*.html")), targets[0], targets[-1]):
        fault_free(page, path, width)


@pytest.mark.slow
def test_no_word_of_the_proving_ground_is_cut_or_printed_over_another(page, tmp_path):
    tables = made_tables(-0.2)
    path = write_prove_page(tables, benchmark_lines(tables), out=tmp_path)
    for width in (420, 1400):
        fault_free(page, path, width)


@pytest.mark.parametrize(
    ("what", "harm"),
    [
        ("is cut by svg", "document.querySelectorAll('[data-chart=map] text').forEach(e => e.setAttribute('x', -300))"),
        ("is printed over", "document.querySelectorAll('.card p').forEach(e => { e.style.lineHeight = '.2' })"),
        ("is printed over", "document.querySelectorAll('[data-chart=map] .mark-text text').forEach(e => {"
         " e.setAttribute('transform', 'translate(20, 20)'); e.textContent = 'one over another' })"),
        ("is cut by P", "document.querySelectorAll('.card p').forEach(e => Object.assign(e.style,"
         " { whiteSpace: 'nowrap', width: '3rem', overflow: 'hidden' }))"),
    ],
)  # fmt: skip
def test_a_word_that_is_cut_or_printed_over_is_seen(page, atlas, what, harm):
    opened(page, atlas / "index.html")
    page.evaluate(f"() => {{ {harm} }}")
    assert any(what in fault for fault in page.evaluate(FAULTS))


def test_the_first_screen_shows_the_map_a_flag_and_the_three_cards(page, atlas):
    page.set_viewport_size({"width": 1400, "height": 900})
    opened(page, atlas / "index.html")
    for place in ('[data-chart="map"] svg', ".card >> nth=0", ".card >> nth=1", ".card >> nth=2", ".next code"):
        box = page.locator(place).first.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900, place
    assert 0 < flagged(page, "map")[0]["y"] < 900


def test_the_table_of_runs_sorts_by_keys_and_says_how(page, atlas):
    page.goto((atlas / "index.html").as_uri())
    names = "[...document.querySelectorAll('#runs tbody th')].map(c => c.textContent.trim())"
    button = page.locator("#runs thead th button").first
    button.focus()
    page.keyboard.press("Enter")
    up = page.evaluate(names)
    assert page.locator("#runs thead th").first.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert page.evaluate(names) == up[::-1] and len(up) == 3
    assert page.locator("#runs thead th").first.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Control+Home")
    page.goto((atlas / "index.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def naughty(atlas) -> Path:
    """The page of the run with the unkind name."""
    return next(p for p in (atlas / "runs").glob("*.html") if p.stem not in ("plain-run", "long-names"))


def test_arrow_keys_lead_to_the_runs_before_and_after(page, atlas):
    first, second = atlas / "runs" / "plain-run.html", naughty(atlas)
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
    opened(page, naughty(atlas))
    cells = page.locator('[data-chart="map"] .mark-rect.role-mark path')
    said = []
    for cell in (40, 41):
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
        port = server.server_address[1]
        assert f"ssh -L {port}:localhost:{port} {socket.gethostname()}" in tab.locator("#from-afar").inner_text()
        tab.evaluate("window.old = true")
        tab.wait_for_timeout(300)
        live.version = 2
        tab.wait_for_function("window.old === undefined", timeout=10_000)
        tab.wait_for_function(READY)
        tab.close()
        server.shutdown()
        thread.join()
    assert said == []
