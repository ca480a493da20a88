"""What a page says in words: sentences that follow from the numbers by fixed rules."""

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from geophone.report.charts import SCALES
from geophone.report.tables import FRACTIONS, SMOOTH, RunTables, cap

ALIKE = 1.1
NOISE_RATE = 2 * 0.02275  # P(|z| > 2) of a Gaussian
GAPS = {
    "dead": "with no variance over the probe (dead)",
    "nonfinite": "with NaN or infinite activations",
    "absent": "not measured",
    "undefined": "where the dimension has no value",
}


@dataclass(frozen=True, slots=True)
class LayerLine:
    """The numbers of one layer, ready to be read: a row of the table under the charts."""

    layer: str
    first: str
    last: str
    settled: tuple[str, ...]
    jumps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of one dimension of one run; `value_titles` by scale and `descriptions` by chart go into charts."""

    dimension: str
    name: str
    finding: str
    orders: tuple[str, ...]
    jumps: str
    critical: str
    loss: str
    gaps: str
    basis: str
    value_titles: dict[str, str]
    descriptions: dict[str, str]
    lines: tuple[LayerLine, ...]


def words(run: RunTables, dimension: str) -> Words:
    """Every sentence about `dimension` of `run`."""
    said = {
        "finding": finding(run, dimension),
        "jumps": jump_line(run, dimension),
        "critical": critical_line(run, dimension),
        "loss": loss_line(run),
    }
    basis, gaps = basis_line(run, dimension), gap_line(run, dimension)
    return Words(
        dimension=dimension,
        name=plain(dimension),
        orders=tuple(order_line(row) for row in _of(run.order, dimension).itertuples()),
        gaps=gaps,
        basis=basis,
        value_titles={scale: value_title(run, dimension, scale) for scale in SCALES},
        descriptions={
            "heatmap": f"Heatmap of {run.name}, layers by training step. {said['finding']} {gaps} {basis}",
            "series": f"Series of {run.name}, a line a layer by training step. {said['jumps']} {gaps} {basis}",
            "loss": f"Line chart of the loss of {run.name} by training step. {said['loss']}",
            "critical": f"Map of {run.name}, bars by layer and training step. {said['critical']} {basis}",
        },
        lines=tuple(_layer_line(run, dimension, layer.name) for layer in run.layers),
        **said,
    )


def plain(dimension: str) -> str:
    """A dimension's name as a reader would say it."""
    return dimension.replace("_", " ").replace("pcs 90", "components for 90 % of the variance")


def unit(dimension: str) -> str:
    return {"mean_fraction": "share of the second moment", "dead_fraction": "share of features"}.get(
        dimension, "directions"
    )


def value_title(run: RunTables, dimension: str, scale: str) -> str:
    """The title of the value's axis: name and unit."""
    name = plain(dimension)
    if scale == "own":
        return f"{name}, each layer from its least (0) to its most (1)"
    if scale == "share" and dimension not in FRACTIONS:
        known = all(cap(layer, dimension) for layer in run.layers)
        return f"{name} (share of min(n − 1, d){'' if known else '; n or d is unknown'})"
    return f"{name} ({unit(dimension)})"


def finding(run: RunTables, dimension: str) -> str:
    """The largest change of `dimension` over the run, as one sentence; says so where there is nothing to say."""
    changes = {}
    for layer in run.layers:
        values = run.series[dimension][layer.name].dropna()
        if len(values) >= 2 and values.iloc[0] > 0 and values.iloc[-1] > 0:
            changes[layer.name] = (values.iloc[0], values.iloc[-1])
    if not changes:
        return f"No layer has a positive {plain(dimension)} both at its first measurement and at its last."
    name, (first, last) = max(changes.items(), key=lambda item: abs(math.log(item[1][1] / item[1][0])))
    ratio = last / first
    if max(ratio, 1 / ratio) < ALIKE:
        which = "every layer" if len(changes) == len(run.layers) else "every layer that has one"
        return f"The {plain(dimension)} of {which} ended within 10 % of where it began."
    verb, size = ("rose", ratio) if ratio > 1 else ("fell", 1 / ratio)
    return (
        f"From first to last measurement {name} changed most: its {plain(dimension)} {verb} {size:.3g}-fold, "
        f"from {first:.3g} to {last:.3g}."
    )


def order_line(row) -> str:
    """The convergence order with its rho, p and verdict, for one row of the order table."""
    if row.verdict == "undefined":
        return (
            f"Order of settling ({row.mode}): undefined. {_count(row.layers)} settled; it takes 3, not all at one step."
        )
    verdict = {
        "bottom-up": "bottom-up: shallow layers settle first",
        "top-down": "top-down: deep layers settle first",
        "simultaneous": "simultaneous: settling follows no order of depth",
        "weak": "weak: settling hardly follows depth",
    }[row.verdict]
    return (
        f"Order of settling ({row.mode}): {verdict}. Spearman ρ = {_signed(row.rho)} over {_count(row.layers)}; chance "
        f"gives one at least as far from 0 on that side with p = {row.p:.3f} (exact)."
    )


def jump_line(run: RunTables, dimension: str) -> str:
    """How many jumps there are in each mode, beside how many its null alone would give."""
    rows = _of(run.jumps, dimension)
    differences = int(run.series[dimension].diff().notna().sum().sum())
    said = []
    for mode in run.modes:
        mine = rows[rows["mode"] == mode]
        if mode == "seed":
            said.append(
                f"{_count(len(mine), 'jump')} by the seed rule |z| > 2 in {differences:,} differences, where Gaussian "
                f"noise alone gives about {NOISE_RATE * differences:.0f}"
            )
        else:
            said.append(f"{_count(len(mine), 'jump')} by the {mode} rule{_expected(mine)}")
    return "; ".join(said) + "."


def _expected(rows: pd.DataFrame) -> str:
    null = rows.drop_duplicates("layer")["expected_false"].sum() if len(rows) else math.nan
    return f", whose null gives about {null:.2g} in the layers that have any" if math.isfinite(null) else ""


def critical_line(run: RunTables, dimension: str) -> str:
    """How many layers change fast at the same step, and when that is first so; by the first mode that was run."""
    rows = _of(run.critical, dimension)
    rows = rows[rows["mode"] == run.modes[0]] if run.modes else rows
    if rows.empty:
        return "No layer has a period of fast change."
    starts = sorted(set(rows["start"]))
    at_once = [int(rows[(rows["start"] <= s) & (rows["stop"] >= s)]["layer"].nunique()) for s in starts]
    most = max(at_once)
    when = int(starts[at_once.index(most)])
    if most == 1:
        return "No two layers have a period of fast change at the same step."
    return f"At most {most} of {len(run.layers)} layers change fast at the same step, first at step {when:,}."


def loss_line(run: RunTables) -> str:
    """The loss at both ends of the run, each the mean of up to 25 reported values."""
    loss = run.loss[np.isfinite(run.loss)]
    if loss.empty:
        return "No loss was reported." if run.loss.empty else "No finite loss was reported."
    count = min(SMOOTH, max(1, len(loss) // 2))
    first, last = loss.iloc[:count].mean(), loss.iloc[-count:].mean()
    verb = "fell" if last < first else "rose" if last > first else "stayed"
    lost = f"; {len(run.loss) - len(loss)} values that are not finite are left out" if len(loss) < len(run.loss) else ""
    return f"Training loss {verb} from {first:.3g} to {last:.3g} (mean of the first and last {count} values{lost})."


def gap_line(run: RunTables, dimension: str) -> str:
    """How many values are missing, and why; empty when none is."""
    missing = run.series[dimension].isna()
    if not missing.to_numpy().any():
        return ""
    why = run.statuses.where(run.statuses.notna(), "absent").replace("ok", "undefined").where(missing).stack()
    parts = [f"{count:,} {GAPS.get(status, status)}" for status, count in why.value_counts().items()]
    return f"Grey, and gaps in the lines: {' and '.join(parts)}, of {missing.size:,} values."


def basis_line(run: RunTables, dimension: str) -> str:
    """What the values are measured on: rows, samples, view and unit."""
    kinds = groupby(run.layers, key=lambda layer: (layer.view, layer.rows))
    spans = [(view, rows, [layer.name for layer in group]) for (view, rows), group in kinds]
    said = [
        f"{'n unknown' if rows == 0 else f'n = {rows:,} rows'}, view {view} ({_span(names)})"
        for view, rows, names in spans
    ]
    probe = f" Probe: {run.samples:,} samples." if run.samples else ""
    thinned = f" Every {_ordinal(run.every_shown)} measurement is drawn." if run.every_shown > 1 else ""
    return f"{'; '.join(said)}. Unit: {unit(dimension)}.{probe}{thinned}"


def _layer_line(run: RunTables, dimension: str, layer: str) -> LayerLine:
    values = run.series[dimension][layer].dropna()
    settled, jumps = (_of(table, dimension) for table in (run.stabilization, run.jumps))
    settled, jumps = settled[settled["layer"] == layer], jumps[jumps["layer"] == layer]
    reached = [settled[settled["mode"] == mode] for mode in run.modes]
    return LayerLine(
        layer=layer,
        first=f"{values.iloc[0]:.4g}" if len(values) else "–",
        last=f"{values.iloc[-1]:.4g}" if len(values) else "–",
        settled=tuple(_settled(rows.iloc[0]) if len(rows) else "–" for rows in reached),
        jumps=tuple(str(int((jumps["mode"] == mode).sum())) for mode in run.modes),
    )


def _settled(row: pd.Series) -> str:
    return f"{int(row['step']):,}" if row["status"] == "stable" else str(row["status"])


def _of(table: pd.DataFrame, dimension: str) -> pd.DataFrame:
    return table[table["dimension"] == dimension]


def _span(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _count(number: float, what: str = "layer") -> str:
    return f"{int(number)} {what}{'s' if number != 1 else ''}"


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
