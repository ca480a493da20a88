"""What a page says in words: sentences that follow from the numbers by fixed rules."""

import math

import numpy as np
import pandas as pd

from geophone.report.charts import FRACTIONS
from geophone.report.tables import RunTables


def plain(dimension: str) -> str:
    """A dimension's name as a reader would say it."""
    return dimension.replace("_", " ").replace("pcs 90", "components for 90 % of the variance")


def finding(run: RunTables, dimension: str) -> str:
    """The largest change of `dimension` over the run, as one sentence; says so where there is nothing to say."""
    changes = {}
    for layer in run.layers:
        values = run.series[dimension][layer.name].dropna()
        if len(values) >= 2 and values.iloc[0] > 0 and values.iloc[-1] > 0:
            changes[layer.name] = (values.iloc[0], values.iloc[-1])
    if not changes:
        return f"No layer has a positive {plain(dimension)} from the first measurement to the last."
    name, (first, last) = max(changes.items(), key=lambda item: abs(math.log(item[1][1] / item[1][0])))
    ratio = last / first
    if max(ratio, 1 / ratio) < 1.1:
        return f"The {plain(dimension)} of every layer ended within 10 % of where it began."
    verb, size = ("rose", ratio) if ratio > 1 else ("fell", 1 / ratio)
    return f"{name} changed most: its {plain(dimension)} {verb} {size:.1f}-fold, from {first:.3g} to {last:.3g}."


def order_line(row) -> str:
    """The convergence order with its rho and p, for one row of the order table."""
    if row.verdict == "undefined":
        return f"Order of settling: undefined ({_count(row.layers)} settled; 3 that differ are needed)."
    verdict = {
        "bottom-up": "layers settle bottom-up",
        "top-down": "layers settle top-down",
        "simultaneous": "layers settle in no order of depth",
        "weak": "layers settle in weak order of depth",
    }[row.verdict]
    surprise = "which chance alone makes often" if row.p > 0.05 else "which chance alone seldom makes"
    return (
        f"By the naive rule {verdict}: Spearman ρ = {_signed(row.rho)} over {_count(row.layers)}, "
        f"{surprise} (exact one-sided p = {row.p:.3f})."
    )


def order_count(order: pd.DataFrame, dimension: str) -> str:
    """How many runs settle bottom-up by each form, of the rows of one dimension in the order table."""
    counts = {
        mode: ((rows["verdict"] == "bottom-up").sum(), (rows["verdict"] == "undefined").sum(), len(rows))
        for mode, rows in order.groupby("mode", sort=False)
    }
    said = [f"{up} of {n} runs by the {mode} rule ({not_} undefined)" for mode, (up, not_, n) in counts.items()]
    return f"Layers settle bottom-up in the {plain(dimension)} of {', '.join(said)}"


def jump_line(run: RunTables, dimension: str) -> str:
    """How many jumps there are by the naive rule, beside how many noise alone would give, and by the calibrated one."""
    rows = run.jumps[(run.jumps["dimension"] == dimension) & (run.jumps["mode"] == "naive")]
    differences = sum(int(run.series[dimension][layer.name].diff().notna().sum()) for layer in run.layers)
    expected = 0.0455 * differences
    calibrated = int(((run.jumps["dimension"] == dimension) & (run.jumps["mode"] == "calibrated")).sum())
    return (
        f"{len(rows)} jumps by the naive rule |z| > 2 in {differences} differences; Gaussian noise alone gives "
        f"about {expected:.0f}. By the calibrated rule {calibrated}."
    )


def gap_line(statuses: pd.DataFrame) -> str:
    """Which measurements are gaps, and why; empty when none is."""
    counts = statuses.stack().value_counts()
    said = {
        "dead": "no variance over the probe (dead)",
        "nonfinite": "NaN or infinite activations",
    }
    parts = [f"{counts[key]} with {text}" for key, text in said.items() if counts.get(key, 0)]
    return f"Gaps in the charts: {' and '.join(parts)} of {int(counts.sum())} measurements." if parts else ""


def unit(dimension: str) -> str:
    return "share, 0 to 1" if dimension in FRACTIONS else "directions"


def _count(layers: float) -> str:
    return f"{int(layers)} layer{'s' if layers != 1 else ''}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if np.isfinite(value) else "undefined"
