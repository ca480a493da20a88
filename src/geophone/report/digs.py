"""What the page shows of digs and evidence: words, pictures as part of the page, and drawings."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert

from geophone.evidence import said
from geophone.report.digging import ablation_chart, dependency_chart, recovery_chart
from geophone.store.study import Study
from geophone.store.tables import read_table

SHOWN = 6
_PICTURES = ("preferred", "top", "decided", "classes")
_TITLES = {
    "preferred": "Images made to excite each unit; one tile a unit",
    "top": "The data's own best images; one row a unit, best first",
    "decided": "One sample a class, and below it where GradCAM puts the decision (white)",
    "classes": "Mean answers: one row a class, one column a unit, dark is the unit's greatest",
}


def drawing(spec: dict[str, Any]) -> str:
    """A chart as SVG that stands inside the page; there it needs no namespace, and the page is to name no address."""
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", vl_convert.vegalite_to_svg(json.dumps(spec)))


def dig_sections(study: Study) -> list[dict[str, Any]]:
    """The first digs of a study in the order of their targets' rank, ready for the template; none without digs."""
    folders = [p.parent for p in (study.folder / "digs").glob("*/dig.json")]
    digs = [(json.loads((folder / "dig.json").read_text(encoding="utf-8"))["target"], folder) for folder in folders]
    layers = {run.name: [layer.name for layer in run.layers] for run in study}
    known = sorted((dig for dig in digs if dig[0]["run"] in layers), key=lambda dig: (dig[0]["rank"], dig[1].name))
    return [_section(target, folder, layers[target["run"]]) for target, folder in known[:SHOWN]]


def dig_count(study: Study) -> int:
    return len(list((study.folder / "digs").glob("*/dig.json")))


def evidence_lines(study: Study) -> list[str]:
    """What statistics.json says, in words; nothing where it is not there."""
    path = study.folder / "statistics.json"
    return said(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []


def _section(target: dict[str, Any], folder: Path, layers: list[str]) -> dict[str, Any]:
    notes = (folder / "notes.md").read_text(encoding="utf-8")
    observed = next(line for line in notes.splitlines() if line.startswith("**Observation:**"))
    moments = read_table(folder / "moments.parquet")
    charts = [drawing(ablation_chart(read_table(folder / "ablation.parquet"), layers))]
    if (folder / "composition.parquet").is_file():
        charts.insert(0, drawing(dependency_chart(read_table(folder / "composition.parquet"), layers)))
    if (folder / "recovery_curves.parquet").is_file():
        curves = read_table(folder / "recovery_curves.parquet")
        charts.append(drawing(recovery_chart(curves[curves["role"] == "target"].assign(run=target["run"]))))
    return {
        "title": f"{target['run']}, {target['layer']}, step {target['step']}",
        "reason": target["reason"],
        "observation": observed.removeprefix("**Observation:** "),
        "notes": notes.split("**Observation:**")[0].split("\n## ", 1)[-1],
        "pictures": _pictures(folder),
        "charts": charts,
        "moments": [_row(row) for row in moments.to_dict("records")],
        "folder": f"digs/{folder.name}",
    }


def _pictures(folder: Path) -> list[dict[str, Any]]:
    found = []
    for kind in _PICTURES:
        paths = [(moment, folder / "images" / f"{kind}-{moment}.png") for moment in ("before", "during", "after")]
        shown = [
            {"moment": moment, "src": f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"}
            for moment, path in paths
            if path.is_file()
        ]
        if shown:
            found.append({"title": _TITLES[kind], "images": shown})
    return found


def _row(row: dict[str, Any]) -> dict[str, Any]:
    numbers = ("selectivity", "d_prime", "typed", "types", "class_units", "turnover", "probe_accuracy", "accuracy")
    cells = ["–" if pd.isna(row[name]) else f"{row[name]:.3g}" for name in numbers]
    return {"what": f"{row['role']}, {row['moment']}", "step": int(row["step"]), "cells": cells}
