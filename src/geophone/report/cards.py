"""The short answer for one transition: when, where, on what, how sure, and what to do next."""

import re
import shlex
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt

from geophone.charts.theme import plain
from geophone.findings import moments as said
from geophone.findings import transitions as happenings
from geophone.records import Transition
from geophone.report.sources import RunTables, Sources
from geophone.store.dig import Dig
from geophone.store.run import Run

OBSERVATION = "**Observation:**"
PICTURES = ("top", "preferred")
SAMPLES = 6  # in the list of a card
CONTEXT = 9  # tokens before the one that is marked


def cards(row: Mapping[Hashable, Any], measured: RunTables, sources: Sources) -> dict[str, Any]:
    """The cards of one transition (a row of `Sources.transitions`), as texts and links from the top of the atlas."""
    series = measured.series[row["dimension"]]
    window = (row["start"], row["end"])
    known, dug = row["known"], sources.digs.get(row["rank"])
    meanwhile = said.meanwhile(measured.scalars, window, series.index.tolist())
    described = said.moved(series, row["named"], window, plain(row["dimension"]))
    happened = happenings.happened(known) if known else described
    on_what = happenings.on_what(known) if known else None
    if known:
        sure = [happenings.beyond(known, row["yields"]), happenings.compared(row["controls"])]
    else:
        sure = [said.beside(series, row["named"], window, row["controls"])]
    return {
        "rank": row["rank"], "label": row["label"], "run": row["run"], "kind": row["kind"],
        "href": f"targets/{row['file']}.html", "run_href": f"runs/{sources.files[row['run']]}.html",
        "start": row["start"], "peak": row["peak"], "end": row["end"], "layers": row["layers"],
        "named": row["named"], "happened": happened.sentence, "described": described.sentence,
        "meanwhile": meanwhile.sentence if meanwhile else "",
        "sure": " ".join(each.sentence for each in sure if each), "controls": row["controls"],
        "observation": noted(dug.notes, OBSERVATION) if dug else "", "samples": samples(known, measured.run),
        "on_what": on_what.sentence if on_what else "", "pictures": _pictures(dug, row["file"]), "dug": dug is not None,
        "command": f"geophone dig {shlex.quote(sources.name)} --target {row['rank']}{_subject(measured.run)}",
    }  # fmt: skip


def _subject(run: Run) -> str:
    """What a dig of a run of one's own has to be told: how its network is built, and what to show it."""
    known = run.manifest.about.get("experiment") is not None or run.manifest.of_revisions
    return "" if known else " --model MODULE:FUNCTION --data MODULE:FUNCTION"


def samples(known: Transition | None, run: Run) -> list[dict[str, Any]]:
    """The samples that moved most, where the ranker knows them: what the probe knows of each, and its behaviour before
    and after."""
    if known is None or not known.own:
        return []
    about = run.samples().to_dict("records")
    tokens = run.tokens() if run.has_tokens else None
    rows = known.samples.head(min(known.own, SAMPLES)).to_dict("records")
    there = [about[int(row["sample"])] for row in rows]
    return [
        {"what": _named(what), "before": row["before"], "after": row["after"], "text": marked(what, tokens)}
        for row, what in zip(rows, there, strict=True)
    ]


def marked(about: Mapping[Hashable, Any], tokens: pd.DataFrame | None) -> tuple[str, str, str] | None:
    """The text around a scored token: what stands before it, the token that was to be said (or, where the label is no
    next token, the one at the position), and what follows. None where the sample has no tokens."""
    if tokens is None or pd.isna(about.get("position", None)):
        return None
    row = tokens[tokens["sample"] == about["sample"]].set_index("position").sort_index()
    at = int(about["position"])
    at += int(at + 1 in row.index and row.at[at + 1, "token"] == about.get("label"))
    words = (row["text"] if "text" in row else row["token"]).astype(str)
    space = "" if words.str.contains(r"\s").any() else " "
    before, after = words.loc[at - CONTEXT : at - 1], words.loc[at + 1 : at + CONTEXT // 3]
    left = ("…" if len(before) and before.index[0] > row.index[0] else "") + space.join(before)
    right = space.join(after) + ("…" if len(after) and after.index[-1] < row.index[-1] else "")
    return left + space, words.at[at], space + right


def _named(about: Mapping[Hashable, Any]) -> str:
    """A sample of the probe in words: "input 12, position 31, label 4"."""
    parts = [f"{key} {int(about[key])}" for key in ("position", "label") if not pd.isna(about.get(key, None))]
    return ", ".join([f"input {int(about['sample'])}", *parts])


def noted(notes: str, start: str) -> str:
    """The rest of the line of the notes that begins with `start`; empty where there is none."""
    return next((line.removeprefix(start).strip() for line in notes.splitlines() if line.startswith(start)), "")


def rendered(notes: str, hidden: tuple[str, ...]) -> str:
    """The field notes as HTML, headings one level down, without what the page shows beside them: title, table,
    pictures, lines that begin as `hidden`. What looks like HTML in them, as a token may, stays text."""
    lines = [line for line in notes.splitlines() if not line.startswith(("|", "![", "# ", *hidden))]
    text = "\n".join(re.sub(r"^(#+) ", r"#\1 ", line) for line in lines)
    return MarkdownIt("commonmark", {"html": False}).disable(["image", "link", "autolink"]).render(text)


def _pictures(dug: Dig | None, file: str) -> list[dict[str, str]]:
    """The data's own best images before and after, as files of the atlas."""
    kinds = [kind for kind in PICTURES if dug and all(dug.image(f"{kind}-{m}").is_file() for m in ("before", "after"))]
    return [
        {"moment": moment, "src": f"pictures/{file}/{kinds[0]}-{moment}.png"}
        for moment in (("before", "after") if kinds else ())
    ]
