"""The page of one run, the data beside it, and its row in the overview."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from geophone.report.charts import run_charts
from geophone.report.phase1 import jump_counts
from geophone.report.sources import FIRST, Dig, Sources
from geophone.report.tables import MODES, RunTables, columns, run_data, run_tables_of
from geophone.report.thumbs import thumbnail
from geophone.report.words import finding, gap_line, jump_line, order_line, plain, unit
from geophone.store.run import Run

_PENDING = "Phase 1 has not run: no jumps, no order yet."


@dataclass(frozen=True)
class RunPage:
    """What is shown of one run: `shown` for the template of its page, `script` (the data, as JavaScript), and `row` for
    the table of all runs."""

    shown: dict[str, Any]
    script: str
    row: dict[str, Any]


def run_page(run: Run, sources: Sources) -> RunPage:
    """Read `run` and put its page, its data and its row together."""
    tables = run_tables_of(run, sources.phenomena)
    first = FIRST if FIRST in tables.series else next(iter(tables.series))
    digs = [dig for dig in sources.digs if dig.target["run"] == run.name]
    targets = sources.targets[sources.targets["run"] == run.name] if len(sources.targets) else sources.targets
    hrefs = jump_pages(tables.jumps, targets, digs)
    words = {name: _words(tables, sources, name) for name in tables.series}
    picture = thumbnail(tables.series[first])
    payload = {
        "charts": run_charts(tables, dimension=first),
        "data": {name: columns(rows) for name, rows in run_data(tables, hrefs=hrefs).items()},
        "words": words,
        "last": tables.last_step,
    }
    shown = {
        "name": run.name,
        "file": sources.files[run.name],
        "status": run.status,
        "note": run.manifest.note,
        "facts": facts(run),
        "gaps": gap_line(run.statuses()),
        "words": words[first],
        "first": first,
        "dimensions": list(tables.series),
        "charts": list(payload["charts"]),
        "layers": run.layers,
        "last": tables.last_step,
        "picture": picture,
        "pending": "" if "jumps" in sources.phenomena else _PENDING,
        "targets": [_target(row, digs) for row in targets.to_dict("records")],
    }
    return RunPage(shown, f"window.geophoneRun = {script_json(payload)};\n", _row(run, sources, digs, picture))


def jump_pages(jumps: pd.DataFrame, targets: pd.DataFrame, digs: list[Dig]) -> dict[int, str]:
    """Where a click on a jump leads, by its place in the index of `jumps`: to the nearest dug target of the layer whose
    moments hold the jump's step, else to the row of the nearest such target on the run's own page, else nowhere."""
    found: dict[int, str] = {}
    rows = targets.to_dict("records")
    for place, jump in zip(jumps.index, jumps[["layer", "step"]].itertuples(index=False), strict=True):
        dug = _nearest(jump, [dig.target for dig in digs])
        if dug is not None:
            found[place] = f"../targets/{digs[dug].file}.html"
            continue
        near = _nearest(jump, rows)
        if near is not None:
            found[place] = f"#target-{rows[near]['rank']}"
    return found


def _nearest(jump: Any, targets: list[dict]) -> int | None:
    near = [
        (abs(target["step"] - jump.step), i)
        for i, target in enumerate(targets)
        if target["layer"] == jump.layer and target["before"] <= jump.step <= target["after"]
    ]
    return min(near)[1] if near else None


def _words(tables: RunTables, sources: Sources, name: str) -> dict[str, Any]:
    rows = sources.of("order", run=tables.name, mode="naive", dimension=name)
    return {
        "finding": finding(tables, name),
        "order": order_line(rows.iloc[0]) if len(rows) else "",
        "jumps": jump_line(tables, name) if "jumps" in sources.phenomena else _PENDING,
        "unit": unit(name),
        "name": plain(name),
        "numbers": _numbers(tables, name),
    }


def _numbers(tables: RunTables, dimension: str) -> list[list[str]]:
    """A row a layer, in words: first, last, least, most, settled (naive, calibrated), jumps (naive, calibrated)."""
    settled, jumps = (t[t["dimension"] == dimension] for t in (tables.stabilization, tables.jumps))
    ends = {
        (row.layer, row.mode): f"{int(row.step):,}" if row.status == "stable" else row.status
        for row in settled.itertuples()
    }
    counts = jumps.groupby(["layer", "mode"]).size()
    rows = []
    for layer in tables.layers:
        values = tables.series[dimension][layer.name].dropna()
        four = (values.iloc[0], values.iloc[-1], values.min(), values.max()) if len(values) else ()
        said = [f"{value:.4g}" for value in four] or ["–"] * 4
        said += [ends.get((layer.name, mode), "–") for mode in MODES]
        rows.append([layer.name, *said, *(str(counts.get((layer.name, mode), 0)) for mode in MODES)])
    return rows


def facts(run: Run) -> list[str]:
    """The run in short: architecture, task, layers, measurements, probe, and its accuracy beside chance."""
    manifest = run.manifest
    about = [str(manifest.about[key]) for key in ("architecture", "task") if manifest.about.get(key)]
    said = [
        *about,
        f"{len(run.layers)} layers",
        f"{manifest.measurements} measurements, one every {manifest.schedule.get('every', '?')} steps",
        f"probe of {manifest.probe.get('samples', '?')} samples",
    ]
    accuracy = manifest.results.get("test_accuracy")
    if accuracy is not None:
        chance = manifest.results.get("chance")
        beside = f" (chance {100 * chance:.0f} %)" if chance is not None else ""
        said.append(f"test accuracy {100 * accuracy:.1f} %{beside}")
    return said


def _target(row: dict[str, Any], digs: list[Dig]) -> dict[str, Any]:
    dug = next((d.file for d in digs if d.target["rank"] == row["rank"]), None)
    return {**row, "page": f"../targets/{dug}.html" if dug else None}


def _row(run: Run, sources: Sources, digs: list[Dig], picture: str) -> dict[str, Any]:
    orders = {}
    for mode in ("naive", "calibrated"):
        rows = sources.of("order", run=run.name, mode=mode, dimension=sources.first)
        orders[mode] = rows.iloc[0].to_dict() if len(rows) else {"rho": float("nan"), "verdict": "–"}
    accuracy = run.manifest.results.get("test_accuracy")
    return {
        "name": run.name,
        "file": sources.files[run.name],
        "architecture": str(run.manifest.about.get("architecture", "unknown")),
        "task": str(run.manifest.about.get("task", "")),
        "status": run.status,
        "layers": len(run.layers),
        "accuracy": accuracy,
        "orders": orders,
        "naive": jump_counts(sources, "naive", run.name),
        "calibrated": jump_counts(sources, "calibrated", run.name),
        "dig": digs[0] if digs else None,
        "picture": picture,
    }


def script_json(value: Mapping[str, Any]) -> str:
    """JSON that can stand in a script, of its own or inside a page, whatever names it holds."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
