"""What one transition says, and what was dug up at it: a sentence per finding, which is the title of its chart."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from geophone.findings.finding import Finding, Phrase, Quantity, finding, joined, listed, phrase

SOURCE = "runs/*/series"


def moved(series: pd.DataFrame, own: str, window: tuple[int, int], label: str) -> Finding:
    """What the dimension of the layer `own`, which moved most at a transition, did from its start to its end, and of
    which other layer it changed most. `series`: step x layer."""
    first, last = (_nearest(series, step) for step in window)
    a, b = float(series.at[first, own]), float(series.at[last, own])
    verb = "rose" if b > a else "fell" if b < a else "stayed"
    said = phrase(
        "Between steps {first} and {last} the {label} of {own} {verb} from {a} to {b}", own=own, label=label, verb=verb,
        first=_step(first), last=_step(last), a=Quantity(a, ".3g", SOURCE), b=Quantity(b, ".3g", SOURCE),
    )  # fmt: skip
    ratio = (series.loc[last] / series.loc[first]).drop(own).replace([np.inf, -np.inf], np.nan).dropna()
    fold = ratio[ratio > 0].map(lambda r: max(r, 1 / r))
    rest = Phrase(".")
    if len(fold):
        rest = phrase("; of the others {name} changed most, {fold}-fold.", name=str(fold.idxmax()),
                      fold=Quantity(float(fold.max()), ".2f", SOURCE))  # fmt: skip
    return finding("transition/moved", joined([said, rest], ""), value=b / a if a else math.nan, source=SOURCE)


def meanwhile(
    scalars: Mapping[str, pd.Series], window: tuple[int, int], measured: Sequence[int]
) -> Finding | None:  # fmt: skip
    """What each scalar of the loop (loss, accuracy ...) did over a window: at each of its ends the mean over the steps
    since the measurement before, which is what the ranker says of the loss. `measured`: the steps of the measurements.
    """
    parts = []
    for name, values in scalars.items():
        ends = [_lately(values.dropna(), step, measured, reach=window[1] - window[0]) for step in window]
        if np.isfinite(ends).all():
            a, b = (Quantity(end, ".3g", f"runs/*/scalars: {name}") for end in ends)
            parts.append(phrase("{name} went from {a} to {b}", name=name, a=a, b=b))
    if not parts:
        return None
    return finding("transition/meanwhile", joined([listed(parts), Phrase(".")], ""), source="runs/*/scalars")


def _lately(values: pd.Series, step: int, measured: Sequence[int], *, reach: int) -> float:
    """The mean of `values`, none of which is NaN, since the measurement before `step`. Of one that the loop tells less
    often than it measures, its last within `reach` steps. NaN where there is none: what was before a stretch of NaN is
    not what is now."""
    before = max((other for other in measured if other < step), default=-math.inf)
    now = values[(values.index > before) & (values.index <= step)]
    if now.empty and len(values) < len(measured):
        now = values[(values.index > step - reach) & (values.index <= step)].tail(1)
    return float(now.mean())


def beside(
    series: pd.DataFrame, layer: str, window: tuple[int, int], controls: Sequence[tuple[int, int]]
) -> Finding:  # fmt: skip
    """How much the layer changed at the transition beside its controls, the nearest stretches without one. The verdict
    is "met" where it changed more than at every control."""
    claim = "the layer changes more than at its controls"
    own = _fold(series[layer], window)
    if not controls:
        said = Phrase("There is no stretch of the same length without a transition to compare it with.")
        return finding("transition/control", said, value=own, source=SOURCE, claim=claim, verdict="untested")
    folds = [_fold(series[layer], control) for control in controls]
    places = [
        phrase("{fold}-fold at steps {a} to {b}", fold=Quantity(fold, ".2f", SOURCE), a=_step(start), b=_step(end))
        for fold, (start, end) in zip(folds, controls, strict=True)
    ]
    more = own > max(folds)
    warning = Phrase(".") if more else Phrase(": as much as here, so nothing sets this moment apart.")
    said = phrase("Here {layer} moved {own}-fold, and {places}", layer=layer, own=Quantity(own, ".2f", SOURCE),
                  places=listed(places))  # fmt: skip
    verdict = "met" if more else "not met"
    return finding(
        "transition/control", joined([said, warning], ""), value=own, null=max(folds), n=len(folds), source=SOURCE,
        claim=claim, verdict=verdict,
    )  # fmt: skip


def _fold(values: pd.Series, window: tuple[int, int]) -> float:
    a, b = (float(values[_nearest(values, step)]) for step in window)
    return max(a / b, b / a) if a > 0 and b > 0 else math.nan


def _nearest(table: pd.DataFrame | pd.Series, step: int) -> int:
    return int(table.index[table.index.get_indexer([step], method="nearest")[0]])


def _step(step: int) -> Quantity:
    return Quantity(step, "", "targets.parquet")


def units(rows: pd.DataFrame, column: str, label: str) -> Finding:
    """The median unit before and after, at the target and at its control, and how many units have a value. `rows`:
    role, moment, and the statistic."""
    source = f"units.parquet: {column}"
    medians = rows.groupby(["role", "moment"])[column].median()
    parts = []
    for role in ("target", "control"):
        ends = [medians.get((role, moment), math.nan) for moment in ("before", "after")]
        if np.isfinite(ends).all():
            a, b = (Quantity(float(each), ".3g", source) for each in ends)
            parts.append(phrase("{a} to {b} at the {role}", a=a, b=b, role=role))
    mine = rows[(rows["role"] == "target") & (rows["moment"] == "after")]
    count, total = (Quantity(int(n), "", source) for n in (mine[column].notna().sum(), len(mine)))
    head = phrase("median {label} {parts}", label=label, parts=listed(parts, last=", ")) if parts else Phrase(
        f"no unit has a {label} at both ends")  # fmt: skip
    said = joined([head, phrase("(n = {count} of {total} units)", count=count, total=total)])
    return finding("dig/units", said, n=int(count.value), source=source)


def composition(rows: pd.DataFrame, seen: Sequence[str]) -> Finding:
    """How many pairs of units are correlated and how many causally linked, and the depth, at the first and the last of
    the moments `seen`."""
    source = "composition.parquet"
    ends = [rows[rows["moment"] == moment] for moment in (seen[0], seen[-1])]
    parts = []
    for column, word in (("naive_edges", "correlated"), ("effect_edges", "causally linked")):
        shares = [Quantity(100 * _share(part, column), ".1f", f"{source}: {column} / pairs") for part in ends]
        known = [q if math.isfinite(q.value) else None for q in shares]
        parts.append(phrase("{share} {word}", share=_change(known, " %"), word=word))
    depths: list[Quantity | None] = [
        Quantity(float(part["compositional_depth"].max()), ".0f", f"{source}: compositional_depth") for part in ends
    ]
    said = phrase("Of the pairs of units {parts}; compositional depth {depths}.", parts=listed(parts),
                  depths=_change(depths, ""))  # fmt: skip
    return finding("dig/composition", said, source=source)


def _change(values: Sequence[Quantity | None], unit: str) -> Phrase:
    first, last = (Phrase("unknown") if q is None else phrase("{q}{unit}", q=q, unit=unit) for q in values)
    return first if first.text == last.text else phrase("{first} (later {last})", first=first, last=last)


def _share(rows: pd.DataFrame, column: str) -> float:
    measured = rows[rows[column].notna()]
    return float(measured[column].sum() / measured["pairs"].sum()) if len(measured) else math.nan


def ablation(lost: pd.DataFrame) -> Finding:
    """The layer without which the network loses most at the last step, by the kind of ablation that is preferred among
    those there. `lost`: step, layer, kind, lost (percentage points)."""
    source = "ablation.parquet"
    kind = next(k for k in ("resample", "mean", "zero") if k in set(lost["kind"]))
    last = lost[(lost["kind"] == kind) & (lost["step"] == lost["step"].max())]
    if not np.isfinite(last["lost"]).any():
        return finding("dig/ablation", Phrase("Without any layer the loss of accuracy is unknown."), source=source)
    worst = last.loc[last["lost"].idxmax()]
    said = phrase(
        "At step {step} the network loses most without {layer}: {points} points ({kind}).", layer=str(worst["layer"]),
        step=Quantity(int(worst["step"]), "", source), points=Quantity(worst["lost"], ".1f", source), kind=kind,
    )  # fmt: skip
    return finding("dig/ablation", said, value=float(worst["lost"]), null=0.0, source=source)


def recovery_bands(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy over runs with its 95 % t interval: moment, arm, since, accuracy, low, high (NaN for fewer than 3
    runs), runs. Only steps that every run of the moment has."""
    runs = curves if "run" in curves else curves.assign(run="one")
    grouped = runs.groupby(["moment", "arm", "since"])["accuracy"].agg(["mean", "std", "count"]).reset_index()
    full = grouped[grouped["count"] == grouped.groupby("moment")["count"].transform("max")].copy()
    enough = full["count"].where(full["count"] >= 3)
    half = stats.t.ppf(0.975, enough - 1) * full["std"] / np.sqrt(enough)
    full = full.assign(low=full["mean"] - half, high=full["mean"] + half)
    return full.rename(columns={"mean": "accuracy", "count": "runs"}).drop(columns="std").reset_index(drop=True)


def recovery(bands: pd.DataFrame, seen: Sequence[str]) -> Finding:
    """What is missing beside the sham at the last common step of each of the moments `seen`; `bands` as
    `recovery_bands` has them."""
    source = "recovery_curves.parquet"
    parts = []
    for moment in seen:
        wide = bands[bands["moment"] == moment].pivot(index="since", columns="arm", values="accuracy")
        both = wide.dropna(subset=["ablated", "sham"]) if {"ablated", "sham"} <= set(wide) else wide.iloc[:0]
        if len(both):
            gap = 100 * float((both["sham"] - both["ablated"]).iloc[-1])
            ends = {"gap": Quantity(gap, "+.1f", source), "steps": Quantity(int(both.index[-1]), "", source)}
            parts.append(phrase("{moment} {gap} points after {steps} steps", moment=moment, **ends))
    said = phrase("Accuracy missing after an ablation: {parts}.", parts=listed(parts, last=", ")) if parts else Phrase(
        "No ablation was trained on.")  # fmt: skip
    return finding("dig/recovery", said, source=source)
