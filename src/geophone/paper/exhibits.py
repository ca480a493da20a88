"""The figures and tables of the paper, from the study's tables: charts in print, and rows whose numbers keep their
source."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert

from geophone.charts import specification
from geophone.charts import study as charts
from geophone.charts.maps import map_grid
from geophone.charts.theme import AnyChart
from geophone.evidence.statistics import paired
from geophone.findings.finding import Finding, Quantity, plain
from geophone.findings.phenomena import FORMS, VERDICTS
from geophone.findings.proving import recall_rows
from geophone.findings.questions import subject
from geophone.findings.recovery import recovery_rows
from geophone.findings.tables import RUNS, Tables
from geophone.records import MOMENTS
from geophone.store.study import Study
from geophone.store.tables import replace_file

PANELS, SHEET = 6, 18  # small maps in the results, and on a sheet of the appendix
Cell = str | Quantity


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the paper: column heads, and rows of text and numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def document(self) -> dict[str, Any]:
        """As findings.json holds it: a number is an object with what is shown, its value and its source."""
        return {"columns": list(self.columns), "rows": [[_cell(cell) for cell in row] for row in self.rows]}


def _cell(cell: Cell) -> str | dict[str, Any]:
    return cell if isinstance(cell, str) else {"shown": str(cell), "value": plain(cell.value), "source": cell.source}


def drawn(
    study: Study,
    tables: Tables,
    findings: Mapping[str, Finding],
    benchmark: Mapping[str, pd.DataFrame] | None,
    out: Path,
) -> list[str]:
    """Draw every figure that the study has the tables for into `out`, as PDF and SVG; returns their names."""
    makers: dict[str, Callable[[], AnyChart | None]] = {
        "heatmaps": lambda: _maps(study, tables, representatives(tables)),
        "order": lambda: _order(tables), "jumps": lambda: _jumps(tables),
        "diversity": lambda: _diversity(tables), "forest": lambda: _forest(findings),
        "coupling": lambda: _coupling(study, tables),
        "proving": lambda: None if benchmark is None else charts.dumbbells(recall_rows(benchmark)),
    }  # fmt: skip
    runs = list(tables.runs.sort_values(["architecture", "run"])["run"]) if len(tables.runs) > PANELS else []
    for at in range(0, len(runs), SHEET):
        makers[f"maps-{at // SHEET + 1}"] = partial(_maps, study, tables, runs[at : at + SHEET])
    names = []
    for name, make in makers.items():
        chart = make()
        if chart is not None:
            save(chart, out, name)
            names.append(name)
    return names


def save(chart: AnyChart, folder: Path, name: str) -> None:
    """Write `name`.svg and `name`.pdf into `folder`: of one chart the same bytes, whatever was drawn before."""
    spec = specification(chart)
    svg, pdf = _renumbered(vl_convert.vegalite_to_svg(spec)), _sorted(vl_convert.vegalite_to_pdf(spec))
    replace_file(folder / f"{name}.svg", lambda path: path.write_text(svg, "utf-8"))
    replace_file(folder / f"{name}.pdf", lambda path: path.write_bytes(pdf))


def _renumbered(svg: str) -> str:
    """Clip paths and gradients are numbered through the life of a process; here in the order in which they stand."""
    numbers: dict[str, str] = {}
    return re.sub(r"\b(clip|gradient_)\d+\b", lambda it: numbers.setdefault(it[0], f"{it[1]}{len(numbers)}"), svg)


def _sorted(pdf: bytes) -> bytes:
    """The entries of a dictionary of parts come in any order; sorted, they take as many bytes, and every offset
    holds."""
    return re.sub(
        rb"(?:\n +/\w+ \d+ 0 R(?=\n))+", lambda found: b"\n" + b"\n".join(sorted(found[0][1:].split(b"\n"))), pdf
    )


def representatives(tables: Tables) -> list[str]:
    """The runs that are shown: in each architecture the run with the greatest and the one with the least naive rho of
    those defined (ties by name), at most six; where no order is defined, the first runs by name."""
    order = tables.of("order", mode="naive").frame.dropna(subset="rho")
    order = order.assign(architecture=order["run"].map(tables.architectures)).sort_values(["rho", "run"])
    shown: list[str] = []
    for _, rows in order.groupby("architecture", sort=True):
        shown += [str(rows["run"].iloc[-1])] + ([str(rows["run"].iloc[0])] if len(rows) > 1 else [])
    return (shown or list(tables.runs["run"]))[:PANELS]


def _maps(study: Study, tables: Tables, runs: Sequence[str]) -> AnyChart:
    series = {name: study.run(name).series(tables.dimension) for name in runs}
    settled = tables.of("stabilization", mode="calibrated", status="stable").frame
    return map_grid(series, tables.dimension, settled=settled)


def _order(tables: Tables) -> AnyChart:
    order = tables.of("order").frame
    return charts.order_strip(order[order["mode"].isin(FORMS)], tables.architectures)


def _jumps(tables: Tables) -> AnyChart | None:
    rows = tables.of("detection", status="ok").frame
    rows = rows[rows["mode"].isin(FORMS)].assign(architecture=rows["run"].map(tables.architectures))
    if rows.empty:
        return None
    means = rows.groupby(["architecture", "mode"]).agg(found=("detected", "mean"), null=("expected_false", "mean"))
    return charts.rates(means.reset_index())


def _diversity(tables: Tables) -> AnyChart | None:
    pairs = paired(tables.evidence)
    x = ("log_magnitude", "log ratio of the jump, ln(after / before)")
    y = ("new_types_excess", "new feature types, target − control")
    return charts.scatter(pairs, x, y) if len(pairs[[x[0], y[0]]].dropna()) > 1 else None


def _forest(findings: Mapping[str, Finding]) -> AnyChart | None:
    made = [f for name, f in findings.items() if name.startswith("correlation/") and math.isfinite(f.low)]
    rows = [
        {"label": subject(f.id), "value": f.value, "low": f.low, "high": f.high, "passes": f.verdict == "met"}
        for f in sorted(made, key=lambda f: -f.value)
    ]  # fmt: skip
    return charts.forest(pd.DataFrame(rows), "Pearson r over runs", bars=(-0.6, 0.6)) if rows else None


def _coupling(study: Study, tables: Tables) -> AnyChart | None:
    tested = tables.of("coupling", mode="naive", status="tested").frame
    if tested.empty:
        return None
    curves = study.phenomena("coupling_curves")
    mine = curves[(curves["mode"] == "naive") & (curves["dimension"] == tables.dimension)]
    return charts.coupling(mine, list(tested.sort_values(["p", "group"])["group"])[:3])


def written(tables: Tables, findings: Mapping[str, Finding]) -> dict[str, Table]:
    """The tables of the paper by name."""
    made = {"orders": _orders(tables), "changes": _changes(findings), "recovery": _recovery(tables)}
    made |= {"architectures": _architectures(tables), "roster": _roster(tables)}
    return {name: table for name, table in made.items() if table is not None}


def _orders(tables: Tables) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for mode in FORMS:
        order = tables.of("order", mode=mode)
        counts = [
            order.quantity((order.frame["verdict"] == v).sum(), f"verdict is {v}") for v in (*VERDICTS, "undefined")
        ]
        rows.append((mode, *counts))
    return Table(("form", "bottom-up", "top-down", "simultaneous", "weak", "undefined"), tuple(rows))


def _changes(findings: Mapping[str, Finding]) -> Table | None:
    made = [f for name, f in findings.items() if name.startswith("change/") and f.verdict != "untested"]
    rows: list[tuple[Cell, ...]] = [
        (subject(f.id), *(Quantity(v, "+.2f", f.source) for v in (f.value, f.low, f.high)),
         Quantity(f.p, ".3f", f.source), Quantity(f.n, "", f.source))
        for f in made
    ]  # fmt: skip
    return Table(("change, target − control", "mean", "low", "high", "p", "runs"), tuple(rows)) if rows else None


def _recovery(tables: Tables) -> Table | None:
    rows = recovery_rows(tables.evidence)
    if rows.empty:
        return None
    means = 100 * rows.groupby(["role", "moment"])["deficit"].mean()
    source = "evidence.parquet, recovery_deficit: mean, in points"
    cell = lambda role, moment: Quantity(float(means.get((role, moment), math.nan)), ".1f", source)  # noqa: E731
    return Table(
        ("layer ablated", *MOMENTS), tuple((role, *(cell(role, m) for m in MOMENTS)) for role in ("target", "control"))
    )


def _architectures(tables: Tables) -> Table:
    targets = tables.evidence[tables.evidence["role"] == "target"]
    rows: list[tuple[Cell, ...]] = []
    for kind in sorted(set(tables.architectures.values())):
        mine = {run for run, architecture in tables.architectures.items() if architecture == kind}
        cells: list[Cell] = [Quantity(len(mine), "", RUNS)]
        cells.append(Quantity(int(targets["run"].isin(mine).sum()), "", "evidence.parquet, role=target"))
        for mode in FORMS:
            order = tables.of("order", mode=mode)
            up = order.frame["run"].isin(mine) & (order.frame["verdict"] == "bottom-up")
            cells.append(order.quantity(up.sum(), f"architecture is {kind}, verdict is bottom-up"))
        for mode in FORMS:
            rows_ = tables.of("detection", mode=mode, status="ok")
            part = rows_.frame[rows_.frame["run"].isin(mine)]
            cells += [rows_.quantity(part["detected"].sum(), f"architecture is {kind}: sum of detected")]
            cells += [
                rows_.quantity(part["expected_false"].sum(), f"architecture is {kind}: sum of expected_false", ",.1f")
            ]
        rows.append((kind, *cells))
    heads = ("runs", "dug", "bottom-up, naive", "calibrated", "jumps, naive", "(null)", "calibrated", "(null)")
    return Table(("architecture", *heads), tuple(rows))


def _roster(tables: Tables) -> Table:
    orders = {mode: tables.of("order", mode=mode) for mode in FORMS}
    jumps = {mode: tables.of("detection", mode=mode, status="ok") for mode in FORMS}
    rho = {mode: rows.frame.set_index("run")["rho"].astype(float) for mode, rows in orders.items()}
    counts = {mode: rows.frame.groupby("run")["detected"].sum() for mode, rows in jumps.items()}
    rows: list[tuple[Cell, ...]] = []
    for run in tables.runs.sort_values(["architecture", "run"]).itertuples():
        cells: list[Cell] = [str(run.architecture), str(run.task), Quantity(float(str(run.layers)), "", RUNS)]
        cells += [orders[m].quantity(rho[m].get(run.run, math.nan), f"run={run.run}: rho", "+.2f") for m in FORMS]
        cells += [jumps[m].quantity(counts[m].get(run.run, 0), f"run={run.run}: sum of detected") for m in FORMS]
        rows.append((str(run.run), *cells))
    heads = ("run", "architecture", "task", "layers", "ρ, naive", "ρ, calibrated", "jumps, naive", "jumps, calibrated")
    return Table(heads, tuple(rows))
