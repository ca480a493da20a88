"""The overview of a study: the strongest transition on the map of its run first, then all runs, then what they say."""

from collections.abc import Mapping, Sequence
from typing import Any

from geophone.charts.study import order_strip
from geophone.charts.theme import BLANK, plain
from geophone.findings import ranking, sections
from geophone.report.script import drawing
from geophone.report.sources import Sources

LISTED = 15  # transitions in the list of the overview
QUESTIONS = ("diversity", "selectivity", "depth")


def overview(sources: Sources, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the overview shows below its first screen, ready for its template; `rows` are the runs."""
    ranked = sources.transitions
    findings = list(sources.findings.values())
    return {
        "count": _count(sources, rows),
        "order": _order(sources),
        "dimension": plain(sources.first),
        "rows": rows,
        "accuracies": any(row["accuracy"] is not None for row in rows),
        "listed": [_listed(row, sources) for row in ranked.head(LISTED).to_dict("records")],
        "ranked": ranking.ranked(len(ranked), listed=min(LISTED, len(ranked)), dug=len(sources.digs)).sentence,
        "nothing": (ranking.nothing("any run") if sources.ranked else ranking.none_yet()).sentence,
        "says": sections(sources.findings),
        "naive": [each for each in findings if "naive" in each.id.split("/")],
        "limits": [each for each in findings if each.id.startswith("limitation/")],
        "waiting": sources.waiting,
        "pending": not sources.ranked,
    }


def _count(sources: Sources, rows: Sequence[Mapping[str, Any]]) -> str:
    measured = sum(run.manifest.measurements for run in sources.runs)
    layers = sum(row["layers"] for row in rows)
    architectures = sorted({row["architecture"] for row in rows})
    runs = f"{len(rows)} run{'s' if len(rows) > 1 else ''}"
    return f"{runs} ({', '.join(architectures)}), {layers} layers, {measured:,} measurements in all"


def _order(sources: Sources) -> str:
    """The convergence order of all runs as a drawing; empty where none has one."""
    mine = sources.of("order", dimension=sources.first)
    if mine.empty or mine["rho"].isna().all():
        return ""
    architectures = {run.name: str(run.manifest.about.get("architecture", "unknown")) for run in sources.runs}
    return drawing(order_strip(mine[mine["mode"].isin(("naive", "calibrated"))], architectures, BLANK))


def _listed(row: dict[str, Any], sources: Sources) -> dict[str, Any]:
    run = f"runs/{sources.files[row['run']]}.html" if row["run"] in sources.files else None
    page = f"targets/{row['file']}.html" if row["file"] else run
    return {**row, "href": page, "run_href": run, "dug": row["rank"] in sources.digs}
