"""The atlas of a study: an overview, a page a run, a page a target; it opens from disk and asks no network for
anything."""

from collections.abc import Hashable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from shutil import copyfile
from typing import Any

import vl_convert
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined

from geophone.charts.theme import plain
from geophone.dimensions import CATALOGUE
from geophone.report.cards import cards
from geophone.report.kept import Kept, Page, digest_of, stamp
from geophone.report.overview import overview
from geophone.report.runs import run_page
from geophone.report.script import script
from geophone.report.sources import RunTables, Sources, read_sources
from geophone.report.swap import swapped
from geophone.report.transitions import transition_page
from geophone.store.manifest import versions_here
from geophone.store.run import Run
from geophone.store.study import Study


def write_page(study: Study, *, out: Path | None = None, partial: bool = False) -> Path:
    """Write the atlas of `study` into the folder `out` (default: report/ in the study) and return its index.html.

    Needs the phenomena and the targets on disk; raises StoreError when they are not there, unless `partial`: then a
    study that still trains is shown as far as it is. The folder is put in the place of an older atlas when it is whole;
    on an error the older one stays. Raises InputError when `out` is a folder of something else. What comes from users
    (names, notes) is escaped, in texts, data and file names. Pages of an older atlas there are used again where nothing
    that they show has changed.
    """
    sources = read_sources(study, partial=partial)
    place = out or study.places.report
    # Altair checks every part of a chart as it is made, which takes longer than all else; the tests check the charts.
    with swapped(place) as folder, debug_mode(False):
        _Atlas(folder, sources, Kept(place, folder)).write()
    return place / study.places.page.name


class _Atlas:
    """The pages of one study, on their way into `folder`."""

    def __init__(self, folder: Path, sources: Sources, kept: Kept) -> None:
        self._folder, self._sources, self._kept = folder, sources, kept
        self._environment = Environment(
            loader=PackageLoader("geophone.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._measured: dict[str, RunTables] = {}
        self._states: dict[str, tuple] = {}
        self._said = {"study": sources.name, "versions": versions_here()}

    def write(self) -> None:
        _write_assets(self._folder / "assets")
        proved = _write_proving(self._sources.places.prove, self._folder / "prove")
        # A run's pages one after the other, since all show what its ranker says.
        pages: list[Page] = []
        targets: dict[int, Page] = {}
        for run in self._sources.runs:
            pages.append(self._run(run))
            mine = self._sources.of_run(run.name).to_dict("records")
            targets |= {row["rank"]: self._transition(run, row) for row in mine}
        every = [
            {key: page.shown[key] for key in ("file", "name")}
            | {"layers": [layer["name"] for layer in page.shown["layers"]]}
            for page in pages
        ]
        _write(self._folder / "assets" / "runs.js", script("geophoneRuns", every))
        for number, page in enumerate(pages):
            self._write_run(page, pages[max(number - 1, 0) : number], pages[number + 1 : number + 2])
        paged = self._sources.shown.to_dict("records")
        titles = [{"file": row["file"], "name": f"{row['run']}, {row['label']}"} for row in paged]
        for number, row in enumerate(paged):
            around = titles[max(number - 1, 0) : number], titles[number + 1 : number + 2]
            self._write_transition(row["file"], targets[row["rank"]], *around)
        shown = overview(self._sources, [page.row for page in pages])
        self._render("overview", "index.html", root="", proved=proved, **self._answer(pages), **shown)

    def _answer(self, pages: list[Page]) -> dict[str, Any]:
        """What the first screen shows: the map of the run with the strongest transition, and its cards."""
        names = {page.shown["name"]: page for page in pages}
        best = self._sources.shown[self._sources.shown["run"].isin(list(names))].head(1).to_dict("records")
        if not best:
            return {"answer": None, "hero": pages[0].shown if pages else None}
        run = next(run for run in self._sources.runs if run.name == best[0]["run"])
        measured = self._read(run)
        answer = cards(measured.transition(best[0]["rank"]), measured, self._sources)
        return {"answer": answer, "hero": names[run.name].shown}

    def _read(self, run: Run) -> RunTables:
        """What was measured in a run; the last one that was asked for is kept, since its pages follow each other."""
        if run.name not in self._measured:
            self._measured = {run.name: RunTables.of(run, self._sources.of_run(run.name))}
        return self._measured[run.name]

    def _run(self, run: Run) -> Page:
        name = self._sources.files[run.name]
        return self._kept.page(name, self._state(run), lambda: run_page(self._read(run), self._sources))

    def _state(self, run: Run) -> tuple:
        """All that the pages of a run are made of."""
        if run.name not in self._states:
            it = self._sources
            mine = it.transitions[it.transitions["run"] == run.name]
            tables = [mine, *(it.of(kind, run=run.name) for kind, table in it.phenomena.items() if "run" in table)]
            dug = {rank: it.digs[rank].name for rank in mine["rank"] if rank in it.digs}
            about = it.name, it.ranked, tuple(it.phenomena), it.files[run.name], run.status, dug
            self._states[run.name] = about, digest_of(tables), stamp(run.files)
        return self._states[run.name]

    def _write_run(self, page: Page, before: list[Page], after: list[Page]) -> None:
        shown = page.shown
        self._render(
            "run",
            f"runs/{shown['file']}.html",
            root="../",
            run=shown,
            described=[_described(name) for name in shown["dimensions"]],
            **_neighbours([p.shown for p in before], [p.shown for p in after]),
        )

    def _write_transition(
        self, file: str, page: Page, before: list[dict[str, str]], after: list[dict[str, str]]
    ) -> None:
        for path in map(Path, page.pictures):
            place = self._folder / "pictures" / file / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            copyfile(path, place)
        self._render("target", f"targets/{file}.html", root="../", **page.shown, **_neighbours(before, after))

    def _transition(self, run: Run, row: Mapping[Hashable, Any]) -> Page:
        dug = self._sources.digs.get(row["rank"])
        files = [*dug.folder.glob("*"), *(dug.folder / "images").glob("*")] if dug else []
        return self._kept.page(
            f"target-{row['file']}",
            (self._state(run), row["rank"], stamp(files)),
            lambda: transition_page(row["rank"], self._read(run), self._sources),
        )

    def _render(self, template: str, place: str, **shown: Any) -> None:
        html = self._environment.get_template(f"{template}.html.j2").render(**self._said, **shown)
        _write(self._folder / place, html)


def _neighbours(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ends = {"previous": before, "next": after}
    return {k: {"href": f"{v[0]['file']}.html", "name": v[0]["name"]} if v else None for k, v in ends.items()}


def _write_assets(folder: Path) -> None:
    templates = files("geophone.report") / "templates"
    for source in ("atlas.css", "atlas.js", "run.js", "target.js"):
        _write(folder / source, (templates / source).read_text(encoding="utf-8"))
    # The stub asks for a snippet, which the library does without: then the bundle puts vegaEmbed on the window.
    _write(folder / "vega.js", vl_convert.javascript_bundle())  # type: ignore[call-arg]


def _write_proving(tables: Path, out: Path) -> list[str]:
    """The page of the proving ground, where the study has one: the first lines of what it says; else none."""
    if not (tables / "verdict.csv").is_file():
        return []
    # Testbeds need torch, which a report without them is spared.
    from geophone.findings.lines import benchmark_lines
    from geophone.prove import read_tables
    from geophone.report.prove_page import write_prove_page

    found = read_tables(tables)
    lines = benchmark_lines(found)
    write_prove_page(found, lines, out=out)
    return lines


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _described(name: str) -> dict[str, str]:
    found = next(d for d in CATALOGUE if d.name == name)
    return {"name": name, "plain": plain(name), "formula": found.formula, "source": found.source}
