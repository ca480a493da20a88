"""How fast the atlas of a study opens from disk, how large its files are, and how long it takes to write.

    python benchmarks/atlas.py STUDY [--times 7]; python benchmarks/atlas.py STUDY --written FOLDER

Bounds: first chart of the overview in under 1.5 seconds (median, headless Chromium, two cores), no file of 6 MB or
more; aimed at, written in under a minute on one core. The clock of a page starts with its navigation; the overview's
first chart counts as shown at the first frame after its drawing is laid out, the charts of a run when Vega has drawn
them all.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from geophone.report.page import write_page
from geophone.store.study import Study

FLAGS = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update"
FRAME = """() => new Promise((done) => {
  const look = () => document.querySelector("figure.map :is(svg, canvas)")?.getBoundingClientRect().height > 0
    ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(look);
  look();
})"""


def opened(page: Path, times: int, *, first: bool) -> list[float]:
    """Seconds from navigation to the first chart (`first`) or to all charts of `page`, each in a browser of its own."""
    found = []
    with sync_playwright() as driver:
        for _ in range(times):
            args = [f"--{flag}" for flag in [*FLAGS.split(), "disable-sync"]]
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=args)
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.goto(page.as_uri(), wait_until="commit")
            if first:
                found.append(tab.evaluate(FRAME) / 1000)
            else:
                tab.wait_for_function("document.documentElement.dataset.ready", polling=10)
                found.append(tab.evaluate("performance.now()") / 1000)
            browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--written", type=Path, help="an atlas of the study that is there already")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = given.written or Path(folder) / "atlas"
        if given.written is None:
            began, cpu = time.perf_counter(), time.process_time()
            write_page(Study(given.study), out=out)
            print(f"written in {time.perf_counter() - began:.1f} s ({time.process_time() - cpu:.1f} s of CPU)")
        _told(out, given.times)


def _told(out: Path, times: int) -> None:
    index = out / "index.html"
    files = [path for path in out.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    total = sum(path.stat().st_size for path in files) / 1e6
    print(f"{len(files)} files, {total:.1f} MB; the largest {largest.relative_to(out)}, ", end="")
    print(f"{largest.stat().st_size / 1e6:.2f} MB; index.html {index.stat().st_size / 1e6:.2f} MB")
    runs = sorted((out / "runs").glob("*.html"), key=lambda p: (out / "data" / f"{p.stem}.js").stat().st_size)
    pages = [("overview, first chart", index, True), ("largest run, all charts", runs[-1], False)]
    for name, page, first in pages:
        seconds = opened(page, times, first=first)
        print(f"{name}: median {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s of {times}", flush=True)


if __name__ == "__main__":
    main()
