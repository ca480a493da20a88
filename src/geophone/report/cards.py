"""The short answer for one transition: when, where, on what, how sure, and what to do next."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from geophone.charts.theme import plain
from geophone.findings import moments as said
from geophone.report.sources import Measured, Sources
from geophone.store.dig import Dig

OBSERVATION = "**Observation:**"
PICTURES = ("top", "preferred")


def cards(row: Mapping[str, Any], measured: Measured, sources: Sources) -> dict[str, Any]:
    """The cards of one transition (a row of `Sources.transitions`), as texts and links from the top of the atlas."""
    series = measured.series[row["dimension"]]
    window = (row["start"], row["end"])
    meanwhile = said.meanwhile(measured.scalars, window)
    control = said.beside(series, row["layers"][0], window, row["controls"])
    dug = sources.digs.get(row["rank"])
    observation = noted(dug.notes, OBSERVATION) if dug else ""
    return {
        "rank": row["rank"], "label": row["label"], "run": row["run"], "kind": row["kind"],
        "href": f"targets/{row['file']}.html", "run_href": f"runs/{sources.files[row['run']]}.html",
        "start": row["start"], "peak": row["peak"], "end": row["end"], "layers": row["layers"],
        "moved": said.moved(series, row["layers"], window, plain(row["dimension"])).sentence,
        "meanwhile": meanwhile.sentence if meanwhile else "",
        "control": control.sentence, "apart": control.verdict == "met",
        "observation": observation, "samples": samples(row), "pictures": _pictures(dug, row["file"]),
        "command": f"geophone dig {shlex.quote(sources.name)} --target {row['rank']}",
        "dug": dug is not None,
    }  # fmt: skip


def samples(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The samples that moved most, where the ranking knows them: what each is, p before and after."""
    table = row.get("samples")
    return [] if table is None else list(table)[:8]


def noted(notes: str, start: str) -> str:
    """The rest of the line of the notes that begins with `start`; empty where there is none."""
    return next((line.removeprefix(start).strip() for line in notes.splitlines() if line.startswith(start)), "")


def plain_notes(notes: str, hidden: tuple[str, ...]) -> str:
    """The field notes without what the page shows beside them: table, pictures and lines that begin as `hidden`."""
    lines = [line for line in notes.splitlines() if not line.startswith(("|", "![", "# ", *hidden))]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _pictures(dug: Dig | None, file: str) -> list[dict[str, str]]:
    """The data's own best images before and after, as files of the atlas."""
    kinds = [kind for kind in PICTURES if dug and all(dug.image(f"{kind}-{m}").is_file() for m in ("before", "after"))]
    return [
        {"moment": moment, "src": f"pictures/{file}/{kinds[0]}-{moment}.png"}
        for moment in (("before", "after") if kinds else ())
    ]
