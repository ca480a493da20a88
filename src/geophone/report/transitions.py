"""The page of one transition: its cards, the series around it, every layer's change, and what was dug up there."""

import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from geophone.charts import dig as draw
from geophone.charts.theme import AnyChart, plain, specification
from geophone.findings import moments as said
from geophone.records import MOMENTS
from geophone.report.cards import OBSERVATION, cards, noted, rendered
from geophone.report.kept import Page
from geophone.report.script import script
from geophone.report.sources import RunTables, Sources
from geophone.report.units import shown_units
from geophone.rows.measures import BY_NAME, MEASURES, label
from geophone.store.dig import Dig

UNITS = "Units shown, in this order:"
# Pictures of a dig as a whole, and what they show.
SHOWN = {
    "learned": "The samples that moved most between before and after, a row per group.",
    "heads": "What the heads that changed their kind attend to on the sequence that moved most, before (above) and "
    "after (below): queries downwards, keys to the right, a column per head, in the order of the sentence above.",
}
# Of each kind of picture: its title, and what it does not show.
PICTURES = {
    "preferred": ("What excites units", "Images made to excite each unit; one tile per unit."),
    "top": ("The data's own best images", "One row per unit, best first; of the held-out samples only."),
    "decided": ("Where the class is decided", "A sample per class, and below it where GradCAM puts the decision."),
    "classes": ("Mean answers to classes", "One row per class, one column per unit; dark is the unit's greatest."),
}
CAPTIONS = {
    "around": "In colour: the layers that take part; grey: the others. The bands span the transition and its controls, "
    "the dashed line is where it is fastest. Main probe; n and view as on the page of the run.",
    "units": "A tick per unit, the median in orange. Such numbers drift anyway: compare with the control.",
    "composition": "Arcs lead from early to late layers; the wider, the greater the share of the two layers' unit "
    "pairs that are linked. Correlation is mostly common drive: the causal rung, between neighbours, counts.",
    "ablation": "Percentage points of accuracy lost without each layer at the three moments, by what its output is "
    "replaced with.",
    "recovery": "Accuracy after the layer was ablated and trained on; the sham arm was forked and left whole. One run.",
}
HEADS = ("previous", "duplicate", "induction", "copying")
Titled = tuple[str, AnyChart]


def transition_page(rank: int, measured: RunTables, sources: Sources) -> Page:
    """What is known of the transition of that rank: its page and its charts."""
    row = measured.transition(rank)
    run, series, dug = measured.run, measured.series[row["dimension"]], sources.digs.get(row["rank"])
    answer = cards(row, measured, sources)
    around = draw.around(series, (row["start"], row["peak"], row["end"]), row["controls"], row["layers"],
                         measure=plain(row["dimension"]), title="")  # fmt: skip
    charts: dict[str, Titled] = {"around": (answer["described"], around)}
    shown: dict[str, Any] = {
        "answer": answer, "file": row["file"], "reason": row["reason"], "dimension": plain(row["dimension"]),
        "controls": row["controls"], "changes": changes(series, row), "pictures": [], "dug": None,
    }  # fmt: skip
    if dug is not None:
        charts |= _dug_charts(dug, [layer.name for layer in run.layers], run.name)
        shown |= {"pictures": _pictures(dug, row), "dug": _dug(dug, row["file"])}
    payload = {name: specification(chart) for name, (_, chart) in charts.items()}
    shown["charts"] = {
        name: {"title": title, "alt": f"{payload[name]['description']} {title}", "caption": CAPTIONS[name]}
        for name, (title, _) in charts.items()
    }
    return Page(shown, script("geophoneTarget", payload), pictures=[str(path) for path in picture_files(dug)])


def changes(series: pd.DataFrame, row: Mapping[Hashable, Any]) -> list[dict[str, Any]]:
    """A row per layer: its dimension before, during and after, the fold change, and that at the first control."""
    places = [_nearest(series, row[key]) for key in ("start", "peak", "end")]
    control = [_nearest(series, step) for step in row["controls"][0]] if row["controls"] else None
    rows = []
    for layer in series.columns:
        values = [float(series.at[place, layer]) for place in places]
        other = [float(series.at[place, layer]) for place in control] if control else []
        rows.append(
            {"layer": layer, "part": layer in row["layers"], "values": [_number(value) for value in values],
             "fold": _fold(values[0], values[-1]), "control": _fold(*other) if other else "–"}
        )  # fmt: skip
    return rows


def _nearest(series: pd.DataFrame, step: int) -> int:
    return int(series.index[series.index.get_indexer([step], method="nearest")[0]])


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3g}"


def _fold(first: float, last: float) -> str:
    return f"× {last / first:.2f}" if first > 0 and last > 0 else "–"


def picture_files(dug: Dig | None) -> list[Path]:
    """The pictures of a dig that its page shows."""
    names = [*SHOWN, *(f"{kind}-{moment}" for kind in PICTURES for moment in MOMENTS)]
    paths = [dug.image(name) for name in names] if dug else []
    return [path for path in paths if path.is_file()]


def _dug(dug: Dig, file: str) -> dict[str, Any]:
    """What the page says of a dig besides its charts and the pictures of units."""
    moments = dug.get("moments")
    # The five sentences, then the pictures, then the rest.
    lead, end, rest = rendered(dug.notes, (OBSERVATION, UNITS)).partition("</p>")
    shown = [measure.name for measure in MEASURES if measure.noted and measure.name in moments]
    return {
        "lead": lead + end,
        "whole": [
            {"src": f"../pictures/{file}/{name}.png", "says": says}
            for name, says in SHOWN.items()
            if dug.image(name).is_file()
        ],
        "notes": rest,
        "types": _types(dug.get("units")),
        "units": shown_units(dug, _numbers(noted(dug.notes, UNITS)), f"../pictures/{file}"),
        "heads": _heads(dug.get("heads")),
        "columns": [{"label": label(name), "says": BY_NAME[name].says} for name in shown],
        "moments": [_row(row, shown) for row in moments.to_dict("records")],
        "folder": f"digs/{dug.name}",
    }


def _pictures(dug: Dig, row: Mapping[Hashable, Any]) -> list[dict[str, Any]]:
    there = {path.stem for path in picture_files(dug)}
    units = noted(dug.notes, UNITS)
    shown = []
    for kind, (title, caption) in PICTURES.items():
        images = [
            {
                "moment": moment,
                "step": dug.steps["target"][moment],
                "src": f"../pictures/{row['file']}/{kind}-{moment}.png",
            }
            for moment in MOMENTS
            if f"{kind}-{moment}" in there
        ]
        if images:
            links = _numbers(units) if kind in ("preferred", "top") else []
            shown.append({"title": title, "caption": caption, "images": images, "kind": kind, "units": links})
    return shown


def _numbers(units: str) -> list[int]:
    """The units in a line of the notes."""
    return [int(number) for number in re.findall(r"\d+", units)]


def _dug_charts(dug: Dig, layers: Sequence[str], run: str) -> dict[str, Titled]:
    charts: dict[str, Titled] = {}
    units = dug.get("units")
    statistic = next((c for c in ("selectivity", "d_prime") if c in units and units[c].notna().any()), None)
    if statistic is not None:
        title = said.units(units, statistic, label(statistic)).sentence
        charts["units"] = (title, draw.units(units, statistic, label(statistic), title=""))
    composition, ablation, curves = (_target_rows(dug.get(n)) for n in ("composition", "ablation", "recovery_curves"))
    if len(composition):
        title = said.composition(composition, draw.in_order(composition["moment"])).sentence
        charts["composition"] = (title, draw.dependency(composition, layers, title=""))
    if len(ablation):
        lost = points_lost(ablation)
        charts["ablation"] = (said.ablation(lost).sentence, draw.ablation(lost, layers, title=""))
    if len(curves):
        bands = said.recovery_bands(curves.assign(run=run))
        title = said.recovery(bands, draw.in_order(bands["moment"])).sentence
        charts["recovery"] = (title, draw.recovery(bands, title=""))
    return charts


def points_lost(ablation: pd.DataFrame) -> pd.DataFrame:
    """Percentage points of accuracy lost without each layer: step, layer, kind, lost."""
    lost = ablation.assign(lost=100 * (ablation["baseline_accuracy"] - ablation["accuracy"]))
    return lost[["step", "layer", "kind", "lost"]]


def _target_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["role"] == "target"] if "role" in table else table


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
    """A row per head: what it does before, during and after, of the target only."""
    if heads.empty:
        return None
    rows = []
    for (layer, head), part in _target_rows(heads).groupby(["layer", "head"], sort=False):
        at = part.set_index("moment")
        there = [moment for moment in MOMENTS if moment in at.index]
        scores = {name: " · ".join(f"{at.loc[m, name]:.2f}" for m in there) for name in HEADS if name in at}
        rows.append({"name": f"{layer}, head {head}", "scores": scores, "type": " · ".join(at.loc[there, "type"])})
    return rows


def _row(row: Mapping[Hashable, Any], shown: Sequence[str]) -> dict[str, Any]:
    values = [_number(row[name]) for name in shown]
    return {"what": f"{row['role']}, {row['moment']}", "step": int(row["step"]), "cells": values}
