"""The page of one run, the data beside it, and its row in the overview."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from geophone.charts.brushed import run_charts
from geophone.charts.maps import cells, extent, flags, members, scalar
from geophone.charts.pictures import thumbnail
from geophone.charts.theme import plain, records, unit
from geophone.findings import ranking
from geophone.findings import runs as said
from geophone.point.heard import grouped
from geophone.point.reading import has_signals, run_signals
from geophone.report.kept import Page
from geophone.report.script import columns, script
from geophone.report.sources import RunTables, Sources
from geophone.store.run import Run

MODES = ("calibrated", "naive")
BINS = 600  # columns of a map at most, so that no file grows with the length of a run


def run_page(measured: RunTables, sources: Sources) -> Page:
    """The page of a run, its data and its row."""
    run, series, scalars = measured.run, measured.series, measured.scalars
    first, names = measured.first, [layer.name for layer in run.layers]
    mine = measured.transitions
    data = _data(run, series, sources) | {name: scalar(values) for name, values in scalars.items()}
    low, last = float(data["cells"]["start"].min()), float(data["cells"]["stop"].max())
    high = last * (last / low) ** 0.015  # a little room, so that a flag at the end widens no chart of its own
    data |= {"flags": flags(mine, low=low, high=high), "members": members(mine)}
    log = [name for name, values in scalars.items() if name == "loss" and bool(values.min() > 0)]
    words = {name: _words(run, table, sources, name) for name, table in series.items()}
    payload = {
        "charts": run_charts(names, list(scalars), low=low, high=high, dimension=first, log=log),
        "data": {name: columns(records(table)) for name, table in data.items()},
        "words": words, "apart": said.APART, "names": names, "log": log,
        "low": low, "last": high, "first": first, "extent": extent(names), "binned": len(series[first]) > BINS,
    }  # fmt: skip
    gaps = said.gaps(run.statuses(), source=f"runs/{run.name}/series")
    picture, listed = thumbnail(series[first]), mine.drop(columns="known").to_dict("records")
    file, ranked = sources.files[run.name], int((sources.transitions["run"] == run.name).sum())
    shown = {
        "name": run.name, "file": file, "status": run.status, "note": run.manifest.note, "facts": facts(run),
        "gaps": gaps.sentence if gaps else "", "words": words[first], "first": first, "dimensions": list(series),
        "scalars": list(scalars), "layers": run.layers, "absent": absent(run), "last": int(last), "picture": picture,
        "pending": "" if sources.ranked else ranking.none_yet().sentence, "detected": "jumps" in sources.phenomena,
        "transitions": listed,
        "apart": measured.apart,
        "alarms": "" if sources.ranked else _alarms(run),
        "ranked": ranking.ranked(ranked, listed=len(listed), of="of this run").sentence, "rows": len(names),
    }  # fmt: skip
    row = {
        "name": run.name, "file": file, "status": run.status, "layers": len(names), "picture": picture,
        "architecture": str(run.manifest.about.get("architecture", "unknown")),
        "task": str(run.manifest.about.get("task", "")), "accuracy": run.manifest.results.get("test_accuracy"),
        "first": listed[0] if listed else None,
        "ranked": ranked,
    }  # fmt: skip
    return Page(shown, script("geophoneRun", payload), row)


def _data(run: Run, series: Mapping[str, pd.DataFrame], sources: Sources) -> dict[str, pd.DataFrame]:
    """The cells of the map, a column per dimension, and what the detectors marked."""
    tables = [cells(table, bins=BINS, name=name) for name, table in series.items()]
    rows = pd.concat([tables[0], *(table.iloc[:, -1] for table in tables[1:])], axis=1)
    rows["cap"] = rows["layer"].map({layer.name: min(layer.rows - 1, layer.features) for layer in run.layers})
    return {"cells": rows, "marks": marks(run.name, sources)}


def _alarms(run: Run) -> str:
    """What the causal ranker has heard so far of a run that nothing is ranked of yet; empty where it heard nothing."""
    heard = said.alarms(grouped(run_signals(run)), source=f"runs/{run.name}") if has_signals(run) else None
    return heard.sentence if heard else ""


def marks(run: str, sources: Sources) -> pd.DataFrame:
    """What the detectors marked in a run: layer, dimension, mode, what, start, stop."""
    settled, jumps, fast = (sources.of(kind, run=run) for kind in ("stabilization", "jumps", "critical"))
    keys = ["layer", "dimension", "mode"]
    settled = settled[settled["status"] == "stable"] if len(settled) else settled
    parts = [
        table.assign(what=what, start=table["step"], stop=table["step"])
        for what, table in (("settled", settled), ("jump", jumps))
        if len(table)
    ]
    parts += [fast.assign(what="fast change")] if len(fast) else []
    there = [part[[*keys, "what", "start", "stop"]] for part in parts]
    table = pd.concat(there, ignore_index=True) if there else pd.DataFrame(columns=[*keys, "what", "start", "stop"])
    table = table[table["mode"].isin(MODES)]
    # Steps are whole numbers, and a step 0 has no place on a log axis.
    places = table[["start", "stop"]].astype(float).clip(lower=0.5)
    return table.assign(start=places["start"], stop=places["stop"])


def _words(run: Run, table: pd.DataFrame, sources: Sources, dimension: str) -> dict[str, Any]:
    """What is said of one dimension, and by each form of the detectors."""
    source = f"runs/{run.name}/series, {dimension}"
    label = plain(dimension)
    forms = {}
    for mode in MODES:
        order = said.order(
            sources.of("order", run=run.name, mode=mode, dimension=dimension), mode, source="phenomena/order.parquet"
        )
        detection = sources.of("detection", run=run.name, dimension=dimension)
        jumps = said.jumps(detection, mode, label, source="phenomena/detection.parquet")
        forms[mode] = {
            "jumps": jumps.sentence, "order": order.sentence if order else "",
            "numbers": numbers(run, table, sources, dimension, mode),
        }  # fmt: skip
    change = said.change(table, label, source=source).sentence
    return {"change": change, "unit": unit(dimension), "name": label, "forms": forms}


def numbers(run: Run, table: pd.DataFrame, sources: Sources, dimension: str, mode: str) -> list[list[str]]:
    """A row per layer, in words: first, last, least, most, where it settled and how many jumps, by one form."""
    where = {"run": run.name, "dimension": dimension, "mode": mode}
    settled, jumps = sources.of("stabilization", **where), sources.of("jumps", **where)
    ends = {row.layer: f"{int(row.step):,}" if row.status == "stable" else row.status for row in settled.itertuples()}
    counts = jumps["layer"].value_counts() if len(jumps) else {}
    rows = []
    for layer in run.layers:
        values = table[layer.name].dropna()
        four = (values.iloc[0], values.iloc[-1], values.min(), values.max()) if len(values) else ()
        cells = [f"{value:.4g}" for value in four] or ["–"] * 4
        rows.append([layer.name, *cells, ends.get(layer.name, "–"), str(counts.get(layer.name, 0))])
    return rows


def absent(run: Run) -> list[tuple[str, str]]:
    """What is not in the run's tables, or not looked at, each with the reason: layers, checkpoints, steps."""
    manifest = run.manifest
    return [
        *((f"layer {name}", why) for name, why in manifest.left_out.items()),
        *((f"checkpoint {name}", str(why)) for name, why in manifest.about.get("failed", {}).items()),
        *((f"step {step:,}", why) for step, why in manifest.misplaced.items()),
    ]


def facts(run: Run) -> Sequence[str]:
    """The run in short: architecture, task, layers, measurements, probe, and its accuracy beside chance."""
    manifest = run.manifest
    about = [str(manifest.about[key]) for key in ("architecture", "task") if manifest.about.get(key)]
    parts = [
        *about,
        f"{len(run.layers)} layers",
        f"{manifest.measurements} measurements, one every {manifest.schedule.get('every', '?')} steps",
        f"probe of {manifest.probe.get('samples', '?')} samples",
    ]
    accuracy = manifest.results.get("test_accuracy")
    if accuracy is not None:
        chance = manifest.results.get("chance")
        beside = f" (chance {100 * chance:.0f} %)" if chance is not None else ""
        parts.append(f"test accuracy {100 * accuracy:.1f} %{beside}")
    return parts
