"""What is shown of a dig: words, tables and drawings for the page of its target, and what all digs say together."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert

from geophone.report.digging import ablation_chart, dependency_chart, recovery_chart
from geophone.report.moments import moment_chart, units_chart
from geophone.report.runs import script_json
from geophone.report.sources import Dig, Sources
from geophone.store.dig import Dig as Dug
from geophone.store.run import Run

MOMENTS = ("before", "during", "after")
# How lines of the field notes begin that the page shows in other places.
OBSERVATION, SHOWN = "**Observation:**", "Units shown, in this order:"
# Of each kind of picture: its title, and what it does not show.
PICTURES = {
    "preferred": ("What excites units", "Images made to excite each unit; one tile a unit."),
    "top": ("The data's own best images", "One row a unit, best first; of the held-out samples only."),
    "decided": (
        "Where the class is decided",
        "One sample a class, and below it where GradCAM puts the decision (white).",
    ),
    "classes": ("Mean answers to classes", "One row a class, one column a unit; dark is the unit's greatest."),
}
NUMBERS = {
    "selectivity": "selectivity", "d_prime": "d′", "typed": "typed units", "types": "types",
    "class_units": "class units", "turnover": "turnover", "probe_accuracy": "probe accuracy", "accuracy": "accuracy",
}  # fmt: skip
CAPTIONS = {
    "moment": "Orange: the layer of the target; grey: the other layers. The bands span the moments of the target and "
    "of its control, the dashed line is the jump. Main probe; n and view as on the page of the run.",
    "units": "A tick a unit, the median in orange. Such numbers drift anyway: compare with the control.",
    "composition": "Arcs lead from early to late layers; the wider, the greater the share of the two layers' unit "
    "pairs that are linked. Correlation is mostly common drive: the causal rung, between neighbours, counts.",
    "ablation": "Percentage points of accuracy lost without each layer at the three moments, by what its output is "
    "replaced with.",
    "recovery": "Accuracy after the layer was ablated and trained on; the sham arm was forked and left whole. One run.",
}
HEADS = ("previous", "duplicate", "induction", "copying")


def drawing(spec: dict[str, Any]) -> str:
    """A chart as SVG that stands inside the page; there it needs no namespace, and the page is to name no address."""
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", vl_convert.vegalite_to_svg(json.dumps(spec)))


@dataclass(frozen=True)
class TargetPage:
    """What is shown of a dug target: `shown` for the template of its page, `script` (its charts, as JavaScript)."""

    shown: dict[str, Any]
    script: str


def target_page(dig: Dig, run: Run, sources: Sources) -> TargetPage:
    """Read the dig of a target and put its page and its charts together."""
    target, dug = dig.target, dig.on_disk
    notes = dug.notes
    units = dug.get("units")
    series = run.series(target["dimension"])
    charts = {"moment": moment_chart(series, target)}
    statistic = next((c for c in ("selectivity", "d_prime") if c in units and units[c].notna().any()), None)
    if statistic is not None:
        charts["units"] = units_chart(units, statistic)
    charts |= _charts(dug, [layer.name for layer in run.layers], target["run"])
    shown = {
        "run": target["run"],
        "file": dig.file,
        "run_file": sources.files[target["run"]],
        "title": dig.title,
        "target": target,
        "reason": target["reason"],
        "observation": _noted(notes, OBSERVATION) or "No observation was noted.",
        "notes": _plain_notes(notes),
        "charts": {name: _said(name, chart) for name, chart in charts.items()},
        "pictures": _pictures(dig, _noted(notes, SHOWN)),
        "types": _types(units),
        "heads": _heads(dug.get("heads")),
        "columns": list(NUMBERS.values()),
        "moments": [_row(row) for row in dug.get("moments").to_dict("records")],
        "folder": f"digs/{dug.name}",
    }
    untitled = {name: {k: v for k, v in chart.items() if k != "title"} for name, chart in charts.items()}
    return TargetPage(shown, f"window.geophoneTarget = {script_json(untitled)};\n")


def _said(name: str, chart: dict[str, Any]) -> dict[str, str]:
    """The words around a chart: its title is the finding, and stands in the page as a heading."""
    title = chart["title"]["text"]
    return {"title": title, "alt": f"{chart['description']} {title}.", "caption": CAPTIONS[name]}


def picture_files(dig: Dig) -> list[Path]:
    """The pictures of a dig that its page shows."""
    paths = [dig.on_disk.image(f"{kind}-{moment}") for kind in PICTURES for moment in MOMENTS]
    return [path for path in paths if path.is_file()]


def evidence(sources: Sources) -> dict[str, Any] | None:
    """The founding document's questions with their verdicts, a row a form, and everything else in lines."""
    if sources.statistics is None:
        return None
    # Statistics need statsmodels, which an atlas without evidence is spared.
    from geophone.evidence import said

    rows = [_criterion(row) for row in sources.statistics["criteria"]]
    return {"criteria": rows, "lines": list(said(sources.statistics))}


def _criterion(row: dict[str, Any]) -> dict[str, str]:
    def short(value: float | None) -> str:
        return "–" if value is None else f"{value:.3g}"

    interval = "–" if row["low"] is None or row["high"] is None else f"[{short(row['low'])}, {short(row['high'])}]"
    return {
        **{key: str(row[key]) for key in ("question", "form", "criterion", "verdict", "n", "test")},
        "value": short(row["value"]), "interval": interval, "p": short(row["p"]), "adjusted": short(row["p_adjusted"]),
        "runs": str(row["runs"] or "–"), "status": "" if row["status"] == "ok" else str(row["status"]),
    }  # fmt: skip


def _noted(notes: str, start: str) -> str:
    """The rest of the line of the notes that begins with `start`; empty where there is none."""
    return next((line.removeprefix(start).strip() for line in notes.splitlines() if line.startswith(start)), "")


def _plain_notes(notes: str) -> str:
    """The field notes without what the page shows beside them: table, pictures and the units of these."""
    kept = [line for line in notes.splitlines() if not line.startswith(("|", "![", OBSERVATION, SHOWN, "# "))]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def _pictures(dig: Dig, units: str) -> list[dict[str, Any]]:
    there = {path.stem for path in picture_files(dig)}
    found = []
    for kind, (title, caption) in PICTURES.items():
        moments = [
            {"moment": moment, "step": dig.target[key], "src": f"../pictures/{dig.file}/{kind}-{moment}.png"}
            for moment, key in zip(MOMENTS, ("before", "step", "after"), strict=True)
            if f"{kind}-{moment}" in there
        ]
        if moments and units and kind in ("preferred", "top"):
            caption += f" In order: units {units}"
        if moments:
            found.append({"title": title, "caption": caption, "images": moments, "kind": kind})
    return found


def _charts(dug: Dug, layers: list[str], run: str) -> dict[str, dict]:
    charts = {}
    tables = {name: dug.get(name) for name in ("composition", "ablation", "recovery_curves")}
    if len(tables["composition"]):
        charts["composition"] = dependency_chart(tables["composition"], layers)
    if len(tables["ablation"]):
        charts["ablation"] = ablation_chart(tables["ablation"], layers)
    if len(tables["recovery_curves"]):
        curves = tables["recovery_curves"]
        charts["recovery"] = recovery_chart(curves[curves["role"] == "target"].assign(run=run))
    return charts


def _types(units: pd.DataFrame) -> dict[str, Any] | None:
    """How many units of each type there are at each moment: target, then control."""
    if units.empty:
        return None
    counts = units.groupby(["type", "role", "moment"]).size()
    heads = [(role, moment) for role in ("target", "control") for moment in MOMENTS if role in set(units["role"])]
    names = [*sorted(set(units["type"]) - {"untyped"}), "untyped"]
    rows = [{"name": name, "cells": [int(counts.get((name, *head), 0)) for head in heads]} for name in names]
    return {"heads": heads, "rows": rows}


def _heads(heads: pd.DataFrame) -> list[dict[str, Any]] | None:
    """A row a head: what it does before, during and after, of the target only."""
    if heads.empty:
        return None
    mine = heads[heads["role"] == "target"]
    rows = []
    for (layer, head), part in mine.groupby(["layer", "head"], sort=False):
        at = part.set_index("moment")
        there = [moment for moment in MOMENTS if moment in at.index]
        scores = {name: " · ".join(f"{at.loc[m, name]:.2f}" for m in there) for name in HEADS if name in at}
        rows.append({"name": f"{layer}, head {head}", "scores": scores, "type": " · ".join(at.loc[there, "type"])})
    return rows


def _row(row: dict[str, Any]) -> dict[str, Any]:
    cells = ["–" if pd.isna(row[name]) else f"{row[name]:.3g}" for name in NUMBERS]
    return {"what": f"{row['role']}, {row['moment']}", "step": int(row["step"]), "cells": cells}
