"""One self-contained page: it opens from disk and asks no network for anything."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from geophone.dimensions import CATALOGUE
from geophone.report.charts import RunTables, order_plot, run_charts, run_data
from geophone.report.digs import dig_count, dig_sections, drawing, evidence_lines
from geophone.report.words import finding, gap_line, jump_line, order_count, order_line, plain, unit
from geophone.store.manifest import versions_here
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.store.tables import write_text

MODE = "seed"
FIRST = "stable_rank"
TARGETS_SHOWN = 15


def write_page(study: Study, *, out: Path | None = None) -> Path:
    """Write the page of `study` (default: report/index.html in it) from its tables, and return its path.

    Needs the phenomena and the targets on disk; raises StoreError when they are not there. What comes from users
    (names, notes) is escaped, in the text and inside the data.
    """
    phenomena = {kind: study.phenomena(kind) for kind in ("stabilization", "order", "jumps", "critical")}
    targets = study.targets()
    environment = Environment(
        loader=PackageLoader("geophone.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    runs = [_section(run, phenomena, number) for number, run in enumerate(study)]
    shown = sorted({name for run in runs for name in run["dimensions"]}, key=[d.name for d in CATALOGUE].index)
    html = environment.get_template("page.html.j2").render(
        title=study.folder.resolve().name,
        runs=runs,
        order=_order(study, phenomena["order"], shown),
        dimensions=[_described(name) for name in shown],
        first=FIRST if FIRST in shown else shown[0],
        targets=targets.head(TARGETS_SHOWN).to_dict("records"),
        target_count=len(targets),
        digs=dig_sections(study),
        dig_count=dig_count(study),
        evidence=evidence_lines(study),
        versions=versions_here(),
        data=_script_json({run["id"]: run.pop("payload") for run in runs}),
        bundle=vl_convert.javascript_bundle().replace("</script", "<\\/script"),
    )
    path = out or study.folder / "report" / "index.html"
    write_text(path, html)
    return path


def run_tables_of(run: Run, phenomena: dict[str, pd.DataFrame]) -> RunTables:
    """What the charts of `run` need, from the run and the study's phenomenon tables."""

    def mine(kind: str) -> pd.DataFrame:
        table = phenomena[kind]
        return table[(table["run"] == run.name) & (table["mode"] == MODE)]

    scalars = run.scalars()
    return RunTables(
        name=run.name,
        layers=run.layers,
        series=run.all_series(),
        loss=scalars["loss"].dropna() if "loss" in scalars else pd.Series(dtype=float),
        stabilization=mine("stabilization"),
        jumps=mine("jumps"),
        critical=mine("critical"),
    )


def _section(run: Run, phenomena: dict[str, pd.DataFrame], number: int) -> dict[str, Any]:
    tables = run_tables_of(run, phenomena)
    first = FIRST if FIRST in tables.series else next(iter(tables.series))
    order = phenomena["order"]
    order = order[(order["run"] == run.name) & (order["mode"] == MODE)].set_index("dimension")
    words = {
        name: {
            "finding": finding(tables, name),
            "order": order_line(order.loc[name]) if name in order.index else "",
            "jumps": jump_line(tables, name),
            "unit": unit(name),
            "name": plain(name),
        }
        for name in tables.series
    }
    manifest = run.manifest
    return {
        "id": f"run-{number}",
        "name": run.name,
        "status": run.status,
        "note": manifest.note,
        "facts": _facts(run),
        "gaps": gap_line(run.statuses()),
        "words": words[first],
        "dimensions": list(tables.series),
        "layers": run.layers,
        "payload": {"charts": run_charts(tables, dimension=first), "data": run_data(tables), "words": words},
    }


def _order(study: Study, order: pd.DataFrame, shown: list[str]) -> dict[str, str]:
    """The convergence order of all runs: a drawing, and what it shows in words."""
    name = FIRST if FIRST in shown else shown[0]
    mine = order[order["dimension"] == name]
    families = {run.name: str(run.manifest.about.get("family", "unknown")) for run in study}
    return {"title": order_count(mine, name), "svg": drawing(order_plot(mine, families)), "dimension": plain(name)}


def _facts(run: Run) -> list[str]:
    manifest = run.manifest
    accuracy = manifest.results.get("test_accuracy")
    said = [
        f"{len(run.layers)} layers",
        f"{manifest.measurements} measurements, one every {manifest.schedule.get('every', '?')} steps",
        f"probe of {manifest.probe.get('samples', '?')} samples",
    ]
    if accuracy is not None:
        said.append(f"test accuracy {100 * accuracy:.1f} % (chance {100 * manifest.results['chance']:.0f} %)")
    return said


def _described(name: str) -> dict[str, str]:
    found = next(d for d in CATALOGUE if d.name == name)
    return {"name": name, "plain": plain(name), "formula": found.formula, "source": found.source}


def _script_json(value: Any) -> str:
    """JSON that can stand inside a <script> element whatever names it holds."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
