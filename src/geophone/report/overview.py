"""The overview of a study: what was found in all its runs, and where to look first."""

from typing import Any

from geophone.report.charts import order_plot
from geophone.report.digs import drawing
from geophone.report.phase1 import headline, phase1
from geophone.report.sources import Sources, shown_target
from geophone.report.words import order_count, plain
from geophone.store.study import targets_in


def overview(sources: Sources, rows: list[dict[str, Any]], *, targets: int) -> dict[str, Any]:
    """What the overview shows, ready for its template: `rows` are the runs, `targets` how many undug are listed."""
    pages = {dig.target["rank"]: dig.file for dig in sources.digs}
    listed = [shown_target(target) for target in targets_in(sources.targets)]
    dug = [row for row in listed if row["rank"] in pages]
    others = [row for row in listed if row["rank"] not in pages][:targets]
    return {
        "headline": headline(sources),
        "count": _count(sources, rows),
        "order": _order(sources),
        "dimension": plain(sources.first),
        "rows": rows,
        "accuracies": any(row["accuracy"] is not None for row in rows),
        "phase1": phase1(sources),
        "dug": [_listed(row, sources, pages) for row in dug],
        "others": [_listed(row, sources, pages) for row in others],
        "target_count": len(listed),
        "waiting": sources.waiting,
        "pending": "jumps" not in sources.phenomena,
    }


def _count(sources: Sources, rows: list[dict[str, Any]]) -> str:
    measured = sum(run.manifest.measurements for run in sources.runs)
    layers = sum(row["layers"] for row in rows)
    architectures = sorted({row["architecture"] for row in rows})
    return f"{len(rows)} runs ({', '.join(architectures)}), {layers} layers, {measured:,} measurements in all"


def _order(sources: Sources) -> dict[str, str] | None:
    """The convergence order of all runs: a drawing, and what it shows in words."""
    mine = sources.of("order", dimension=sources.first)
    if mine.empty:
        return None
    architectures = {run.name: str(run.manifest.about.get("architecture", "unknown")) for run in sources.runs}
    return {"title": order_count(mine, sources.first), "svg": drawing(order_plot(mine, architectures))}


def _listed(row: dict[str, Any], sources: Sources, pages: dict[int, str]) -> dict[str, Any]:
    rank = row["rank"]
    run = f"runs/{sources.files[row['run']]}.html" if row["run"] in sources.files else None
    page = f"targets/{pages[rank]}.html" if rank in pages else f"{run}#target-{rank}" if run else None
    return {**row, "href": page, "run_href": run}
