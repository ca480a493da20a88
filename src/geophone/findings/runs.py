"""What one run says: how its layers changed, in which order they settled, what detectors marked, what is missing."""

import math

import pandas as pd

from geophone.findings.finding import Finding, Phrase, Quantity, agree, counted, finding, joined, listed, phrase
from geophone.findings.phenomena import MODES

ORDERS = {
    "bottom-up": "layers settle bottom-up", "top-down": "layers settle top-down",
    "simultaneous": "layers settle in no order of depth", "weak": "layers settle in weak order of depth",
}  # fmt: skip
# What the page says of two runs side by side; it fills in the fields, since the reader chooses the other run there.
APART = {
    "said": "Of the layers that both have, {layer} is farthest apart{within}: {here} here and {there} in {other}, "
    "at step {step}.",
    "same": "The {dimension} is the same in both runs{within}, wherever both measured it.",
    "nothing": "There is no {dimension} that both runs measured at the same step{within}.",
    "ratio": "{dimension} here as a multiple of that in {other}",
    "share": "{dimension} here less that in {other}",
}
GAPS = {"dead": "no variance over the probe (dead)", "nonfinite": "NaN or infinite activations"}


def change(series: pd.DataFrame, label: str, *, source: str) -> Finding:
    """The layer whose dimension changed most from the first measurement to the last (`series`: step x layer)."""
    ends = {str(name): (values.iloc[0], values.iloc[-1]) for name, column in series.items()
            if len(values := column.dropna()) >= 2 and min(values.iloc[0], values.iloc[-1]) > 0}  # fmt: skip
    if not ends:
        said = Phrase(f"No layer has a positive {label} at both ends of the run.")
        return finding("run/change", said, source=source)
    name, (first, last) = max(ends.items(), key=lambda item: abs(math.log(item[1][1] / item[1][0])))
    ratio = max(last / first, first / last)
    if ratio < 1.1:
        return finding(
            "run/change", Phrase(f"The {label} of every layer ended within 10 % of where it began."), value=ratio,
            n=len(ends), source=source,
        )  # fmt: skip
    said = phrase(
        "Of all layers {name} changed most: its {label} {verb} {ratio}-fold, from {first} to {last}.", name=name,
        label=label,
        verb="rose" if last > first else "fell", ratio=Quantity(ratio, ".1f", source),
        first=Quantity(first, ".3g", source), last=Quantity(last, ".3g", source),
    )  # fmt: skip
    return finding("run/change", said, value=float(last / first), n=len(ends), source=source)


def order(rows: pd.DataFrame, mode: str, *, source: str) -> Finding | None:
    """In which order the layers settled, of the one row of the order table; None where there is none."""
    if rows.empty:
        return None
    row = rows.iloc[0]
    layers = counted(Quantity(int(row["layers"]), "", source), "layer")
    if row["verdict"] == "undefined":
        said = phrase(
            "By the {mode} form the order of settling is undefined: of {layers} that {count}, too few settled "
            "at steps that differ.", mode=mode, layers=layers,
            count=agree(float(row["layers"]), "counts", "count"),
        )  # fmt: skip
        return finding(f"run/order/{mode}", said, source=source)
    often = "which chance alone makes often" if row["p"] > 0.05 else "which chance alone seldom makes"
    said = phrase(
        "By the {mode} form {order}: Spearman ρ = {rho} over {layers}, {often} (exact one-sided p = {p}).", mode=mode,
        order=ORDERS[row["verdict"]], rho=Quantity(row["rho"], "+.2f", source), layers=layers, often=often,
        p=Quantity(row["p"], ".3f", source),
    )  # fmt: skip
    return finding(f"run/order/{mode}", said, value=float(row["rho"]), p=float(row["p"]), source=source)


def jumps(detection: pd.DataFrame, mode: str, label: str, *, source: str) -> Finding:
    """How many jumps one form of the detector marks in the run, beside those that its own null yields: both of the
    table that the detector left (`detected`, `expected_false`)."""
    mine = detection[detection["mode"] == mode] if len(detection) else detection
    rows = mine[mine["status"] == "ok"] if len(mine) else mine
    if rows.empty:
        why = listed(sorted(set(mine["status"]))).text if len(mine) else "it has not looked at the run"
        return finding(f"run/jumps/{mode}", Phrase(f"{MODES[mode]} says nothing of the {label}: {why}."), source=source)
    count, null = float(rows["detected"].sum()), float(rows["expected_false"].sum())
    said = phrase(
        "{name} marks {count} of the {label} where noise alone gives {null}.", name=MODES[mode], label=label,
        count=counted(Quantity(count, "", f"{source}: detected"), "jump"),
        null=Quantity(null, ",.0f" if null >= 100 else ".1f", f"{source}: expected_false"),
    )  # fmt: skip
    return finding(f"run/jumps/{mode}", said, value=count, null=null, n=len(rows), source=source)


def alarms(groups: pd.DataFrame, *, source: str) -> Finding | None:
    """Where alarms sounded while the run went on, grouped (`geophone.point.heard.grouped`: first, last, kinds, layers);
    None where none did."""
    if groups.empty:
        return None
    parts = []
    for row in groups.itertuples():
        layers, ends = list(row.layers), [Quantity(int(step), "", source) for step in (row.first, row.last)]
        where = phrase("in {n} layers", n=Quantity(len(layers), "", source)) if len(layers) > 2 else phrase(
            "in {names}", names=listed(layers)) if layers else Phrase("in no layer of its own")  # fmt: skip
        when = (
            phrase("steps {a} to {b}", a=ends[0], b=ends[1]) if row.first != row.last else phrase("step {a}", a=ends[0])
        )
        parts.append(phrase("{kinds} {where}, {when}", kinds=listed(row.kinds), where=where, when=when))
    said = phrase(
        "So far {alarms} sounded: {parts}. An alarm knows the past alone; no target is ranked yet.",
        alarms=counted(Quantity(len(parts), "", source), "alarm"), parts=joined(parts, "; "),
    )  # fmt: skip
    return finding("run/alarms", said, value=len(parts), n=len(parts), source=source)


def gaps(statuses: pd.DataFrame, *, source: str) -> Finding | None:
    """Which measurements are missing, and why; None where none is."""
    counts = statuses.stack().value_counts()
    parts = [
        phrase("{n} with {why}", n=Quantity(int(counts[key]), "", source), why=why)
        for key, why in GAPS.items() if counts.get(key, 0)
    ]  # fmt: skip
    if not parts:
        return None
    every = Quantity(int(counts.sum()), "", source)
    said = joined([Phrase("Gaps in the charts:"), listed(parts), phrase("of {every} measurements.", every=every)])
    return finding("run/gaps", said, n=int(counts.sum()), source=source)
