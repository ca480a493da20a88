"""Charts of one target: its series around the moment, its units then, as specifications on their own."""

import altair as alt
import pandas as pd

from geophone.report.charts import PALETTE
from geophone.report.digging import GREY, MOMENTS, finished
from geophone.report.tables import records
from geophone.report.words import plain

ACCENT = PALETTE[1]


def moment_chart(series: pd.DataFrame, target: dict) -> dict:
    """The dimension of every layer around the target's moment: the target's layer in colour, the others in grey; a band
    from before to after, and one in grey over the control's moments, where there is a control.

    `series` (step x layer) is of the target's dimension. Shown is the target's own window and its control's, with half
    of it again on each side.
    """
    low, high = _window(series, target)
    near = series.loc[low:high]
    rows = near.rename_axis("step").reset_index().melt("step", var_name="layer", value_name="value")
    here = alt.datum.layer == target["layer"]
    steps = alt.X("step:Q", title="training step", axis=alt.Axis(grid=False), scale=alt.Scale(nice=False, zero=False))
    value = alt.Y("value:Q", title=f"{plain(target['dimension'])}", scale=alt.Scale(zero=False))
    base = alt.Chart(alt.NamedData("series"))
    others = base.transform_filter(~here).mark_line(strokeWidth=1, color=GREY, opacity=0.4)
    mine = base.transform_filter(here).mark_line(strokeWidth=2.2, color=ACCENT, point=alt.OverlayMarkDef(size=16))
    bands = [_band(target["before"], target["after"], "the target", ACCENT)]
    if not pd.isna(target.get("control_step")):
        bands.append(_band(target["control_before"], target["control_after"], "its control", GREY))
    moment = alt.Chart(alt.Data(values=[{"step": int(target["step"])}])).mark_rule(color=ACCENT, strokeDash=[4, 3])
    tips = ["layer:N", "step:Q", alt.Tooltip("value:Q", format=".4~g")]
    chart = alt.layer(
        *(layer for band in bands for layer in band),
        moment.encode(x=steps),
        others.encode(x=steps, y=value, detail="layer:N", tooltip=tips),
        mine.encode(x=steps, y=value, tooltip=tips),
    ).properties(width=640, height=220)
    described = "Series of every layer around the target's moment."
    return finished(chart, moment_title(series, target), described) | {"datasets": {"series": records(rows)}}


def moment_title(series: pd.DataFrame, target: dict) -> str:
    """What the layer's dimension did from before to after, and the greatest change of any other layer then."""
    ends = [series.index[series.index.get_indexer([target[key]], method="nearest")[0]] for key in ("before", "after")]
    first, last = series.loc[ends[0]], series.loc[ends[1]]
    own = target["layer"]
    verb = "rose" if last[own] > first[own] else "fell"
    said = f"{own} {verb} from {first[own]:.3g} to {last[own]:.3g} between steps {ends[0]} and {ends[1]}"
    others = (last / first).drop(own).dropna()
    others = others[others > 0]
    if others.empty:
        return said
    most = others.loc[others.map(lambda r: max(r, 1 / r)).idxmax()]
    name = others.map(lambda r: max(r, 1 / r)).idxmax()
    return f"{said}; of the others {name} changed most, {max(most, 1 / most):.2f}-fold"


def units_chart(units: pd.DataFrame, column: str) -> dict:
    """A statistic of every unit before, during and after, a tick a unit with the median as a bar; target and control.

    `units` as a dig leaves it, `column` one of its statistics. Units without a value are left out, and counted.
    """
    rows = units[["role", "moment", column]].rename(columns={column: "value"})
    there = rows[rows["value"].notna()]
    moments = [m for m in MOMENTS if m in set(rows["moment"])]
    value = alt.X("value:Q", title=f"{plain(column)} of a unit")
    place = alt.Y("moment:N", sort=moments, title=None)
    base = alt.Chart(alt.NamedData("units"))
    ticks = base.mark_tick(thickness=1, size=14, opacity=0.45, color=PALETTE[0]).encode(x=value, y=place)
    middle = base.mark_tick(thickness=3, size=20, color=ACCENT).encode(x=alt.X("median(value):Q"), y=place)
    chart = alt.layer(ticks, middle).properties(width=290, height=90)
    roles = [role for role in ("target", "control") if role in set(rows["role"])]
    chart = chart.facet(column=alt.Column("role:N", sort=roles, title=None))
    described = f"{plain(column)} of every unit by moment, target and control."
    return finished(chart, units_title(rows, column), described) | {"datasets": {"units": records(there)}}


def units_title(rows: pd.DataFrame, column: str) -> str:
    """The median unit before and after, at the target and at its control, and how many units have a value."""
    medians = rows.groupby(["role", "moment"])["value"].median()
    said = []
    for role in ("target", "control"):
        ends = [medians.get((role, moment), float("nan")) for moment in ("before", "after")]
        if pd.notna(ends).all():
            said.append(f"{ends[0]:.3g} to {ends[1]:.3g} at the {role}")
    mine = rows[(rows["role"] == "target") & (rows["moment"] == "after")]
    count = f"n = {mine['value'].notna().sum()} of {len(mine)} units"
    words = f"median {plain(column)} {', '.join(said)}" if said else f"no unit has a {plain(column)} at both ends"
    return f"{words[0].upper()}{words[1:]} ({count})"


def _window(series: pd.DataFrame, target: dict) -> tuple[float, float]:
    keys = ["before", "after", "control_before", "control_after"]
    ends = [target[key] for key in keys if target.get(key) is not None and not pd.isna(target[key])]
    around = max((max(ends) - min(ends)) / 2, 1)
    return max(min(ends) - around, series.index[0]), min(max(ends) + around, series.index[-1])


def _band(start: float, stop: float, name: str, colour: str) -> list[alt.Chart]:
    data = alt.Data(values=[{"start": float(start), "stop": float(stop), "name": name}])
    base = alt.Chart(data)
    x = alt.X("start:Q", title="training step")
    label = base.mark_text(align="left", baseline="top", dx=3, fontSize=11, color=colour)
    band = base.mark_rect(opacity=0.14, color=colour).encode(x=x, x2="stop:Q")
    return [band, label.encode(x=x, y=alt.value(2), text="name:N")]
