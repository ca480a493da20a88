"""`run.plot()` and `study.plot()`, and what a notebook shows of both: from what is on disk to a chart."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from geophone.charts.compared import difference_map
from geophone.charts.dig import around
from geophone.charts.maps import Look, map_grid, overlay, training_map
from geophone.charts.pictures import thumbnail
from geophone.charts.theme import FRACTIONS, PAGE, AnyChart, plain
from geophone.errors import InputError
from geophone.store.places import Places
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.store.tables import parts

if TYPE_CHECKING:
    from geophone.point.find import Listing
    from geophone.records import Transition

FIRST = "stable_rank"
FLAGS = 9
SCALARS = ("loss", "accuracy")


def first_dimension(run: Run) -> str:
    """The dimension that is shown unless another is asked for."""
    return FIRST if FIRST in run.dimensions else run.dimensions[0]


def transitions(targets: pd.DataFrame, run: str | None = None, *, top: int | None = None) -> pd.DataFrame:
    """Rows of a table of targets as charts and pages read them, the first `top`, of one run or of all: run, rank, kind,
    dimension, start, peak, end, layers (names in order), named (the one that moved most), controls
    (a list of (start, end)), label, reason."""
    rows = targets[targets["run"] == run] if run is not None and len(targets) else targets
    rows = rows.sort_values("rank").head(top) if len(rows) else rows
    table = [
        {
            "run": row["run"], "rank": int(row["rank"]), "kind": row["kind"], "dimension": row["dimension"],
            "start": int(row["before"]), "peak": int(row["step"]), "end": int(row["after"]),
            "layers": [row["layer"]], "named": row["layer"],
            "controls": [(int(row[f"{side}_before"]), int(row[f"{side}_after"]))
                         for side in ("earlier", "later") if not pd.isna(row[f"{side}_step"])],
            "label": f"{row['layer']} at step {row['step']}", "reason": row["reason"],
        }
        for row in rows.to_dict("records")
    ]  # fmt: skip
    columns = [
        "run", "rank", "kind", "dimension", "start", "peak", "end", "layers", "named", "controls", "label", "reason",
    ]  # fmt: skip
    return pd.DataFrame(table, columns=columns)


def beneath(run: Run) -> dict[str, pd.Series]:
    """What stands beneath the map of a run: the loss, the mean of the recorded behaviour over samples (of a classifier,
    the probability of the right answer), and the loop's accuracy; each by step, those that there are."""
    table = run.scalars()
    scalars = {name: table[name].dropna() for name in SCALARS if name in table and table[name].notna().any()}
    if run.manifest.behaviour and parts(run.folder / "behaviour"):
        scalars = {"behaviour": run.behaviour().mean(axis=1).dropna(), **scalars}
    return {name: scalars[name] for name in ("loss", "behaviour", "accuracy") if name in scalars}


def detailed(run: Run, rows: pd.DataFrame, listing: "Listing | None" = None) -> pd.DataFrame:
    """`rows` of `transitions`, of one run, with what its ranker knows of each besides: all its layers in order, in
    `known` the `records.Transition` (None for a jump), in `yields` how many of its kind the null lists. `listing`,
    where the run has been ranked already."""
    if rows.empty or (rows["kind"] == "jump").all():
        return rows.assign(known=None, yields=math.nan)
    from geophone.point.study import run_listing

    listing = listing or run_listing(run)[1]
    known = [_known(listing.transitions, row) for row in rows.to_dict("records")]
    layers = [
        [layer.layer for layer in there.layers] if there and there.layers else own
        for there, own in zip(known, rows["layers"], strict=True)
    ]
    yields = [listing.yields.get(kind, math.nan) for kind in rows["kind"]]
    return rows.assign(layers=layers, known=pd.Series(known, index=rows.index, dtype=object), yields=yields)


def _known(listed: Sequence["Transition"], row: Mapping[Hashable, Any]) -> "Transition | None":
    """The transition of that kind whose peak is the row's, or lies nearest to it within the row's window."""
    near = [each for each in listed if each.kind == row["kind"] and row["start"] <= each.peak <= row["end"]]
    return min(near, key=lambda each: abs(each.peak - row["peak"]), default=None)


def plot_run(
    run: Run, what: str | None = None, *, colour: str = "layer", share: bool = False, against: Run | None = None
) -> AnyChart:
    """The chart behind `Run.plot`."""
    scalars = run.scalars()
    dimension = what or first_dimension(run)
    if what is not None and what in scalars and what not in run.dimensions:
        both = [run] if against is None else [run, against]
        curves = {
            name: each.scalars().get(what, pd.Series(dtype=float)).dropna() for name, each in _named(both).items()
        }
        return overlay(curves, y=plain(what), title=f"{plain(what)} of {' and '.join(curves)}")
    if dimension not in run.dimensions:
        there = ", ".join([*run.dimensions, *(c for c in scalars if c != "index")])
        raise InputError(f"{run.name} has no {dimension!r} to plot; it has {there}.")
    if colour not in ("layer", "all"):
        raise InputError(f"colour is 'layer' (each layer's own) or 'all' (of all together); got {colour!r}.")
    if against is not None:
        return _against(run, against, dimension)
    series, words = run.series(dimension), f"the {plain(dimension)} of {len(run.layers)} layers"
    if share and dimension not in FRACTIONS:
        series = series / [min(layer.rows - 1, layer.features) for layer in run.layers]
        words += ", as a share of min(n - 1, d)"
    return training_map(
        series,
        dimension=dimension,
        transitions=_ranked(run),
        scalars=beneath(run),
        look=Look(colour=colour),
        title=f"{run.name}: {words}",
    )


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by name; two of one name, in different studies, by their folders."""
    twins = len({run.name for run in runs}) < len(runs)
    return {str(run.folder) if twins else run.name: run for run in runs}


def _against(run: Run, other: Run, dimension: str) -> AnyChart:
    """The difference of two runs' maps. Raises InputError where they have no layer, step or dimension in common."""
    if dimension not in other.dimensions:
        raise InputError(f"{other.name} has no {dimension!r} to compare; it has {', '.join(other.dimensions)}.")
    first, second = run.series(dimension), other.series(dimension)
    for what, a, b in (("layer", first.columns, second.columns), ("step", first.index, second.index)):
        if a.intersection(b).empty:
            raise InputError(f"{run.name} and {other.name} have no {what} in common, so their maps have no difference.")
    names = list(_named([run, other]))
    return difference_map(first, second, dimension=dimension, names=(names[0], names[-1]))


@dataclass(frozen=True)
class OfRun:
    """A transition of a run, and what it says of it: the chart behind `Transition.plot`."""

    run: Run
    number: int | str
    transition: "Transition"

    def plot(self, what: str | None) -> AnyChart:
        from geophone.point.study import transition_table

        # The initial transient, asked for by its name, stands at the end.
        place = -1 if isinstance(self.number, str) else self.number - 1
        there, row = self.transition, transition_table(self.run).iloc[place]
        dimension = what or first_dimension(self.run)
        if dimension not in self.run.dimensions:
            raise InputError(f"{self.run.name} has no {dimension!r} to plot; it has {', '.join(self.run.dimensions)}.")
        layers = [layer.layer for layer in there.layers]
        title = f"{self.run.name}: {there.kind} at step {there.peak}" + (f", in {layers[0]}" if layers else "")
        controls = [span for span in (row["earlier"], row["later"]) if span is not None]
        return around(
            self.run.series(dimension), (there.start, there.peak, there.end), controls, layers,
            measure=plain(dimension), title=title, beneath=self._moved(),
        )  # fmt: skip

    def _moved(self) -> pd.DataFrame | None:
        """Mean behaviour by step, of the samples that moved and of the others; None where there is none."""
        if not self.transition.own:
            return None
        table = self.run.behaviour()
        own = list(self.transition.samples["sample"].head(self.transition.own).astype(int))
        parts = {f"the {len(own)} samples that moved": table[own], "the others": table.drop(columns=own)}
        return pd.DataFrame({name: part.mean(axis=1) for name, part in parts.items() if part.shape[1]})

    def html(self) -> str:
        """What a notebook shows of a transition: when, where, and the samples that moved most."""
        there = self.transition
        where = " → ".join(layer.layer for layer in there.layers)
        words = f"<strong>{escape(there.kind)}</strong> <span>{escape(there.run)}, steps {there.start} to {there.end}"
        words += f", fastest at {there.peak}{escape(f'; {where}' if where else '')}</span>"
        rows = there.samples.head(min(there.own, FLAGS)).to_html(index=False, float_format="%.2f", border=0)
        return f"<div>{words}{rows if there.own else ''}<small><code>.plot()</code> draws it</small></div>"


def drawn(run: Run, number: int | str, transition: "Transition") -> OfRun:
    """What draws the transition of that number (or name) of a run."""
    return OfRun(run, number, transition)


def _ranked(run: Run) -> pd.DataFrame:
    """The run's first transitions: as its study has ranked them, or by the run alone."""
    from geophone.point.reading import has_signals
    from geophone.point.study import ranked, run_listing, run_targets

    places = Places(run.folder.parent.parent)
    if places.targets.is_file() and places.runs.is_dir():
        table = Study(places.folder).targets()
        return detailed(run, transitions(table, run.name, top=FLAGS))
    if not has_signals(run):
        return transitions(pd.DataFrame(), run.name)
    known = run_listing(run)
    rows = transitions(ranked(run_targets(run, known=known)), run.name, top=FLAGS)
    return detailed(run, rows, known[1])


def plot_study(study: Study, what: str | None = None, *, layer: str | None = None) -> AnyChart:
    """The chart behind `Study.plot`."""
    runs = [run for run in study if run.has_series]
    if not runs:
        raise InputError(f"{study.folder} has no run with a measurement, so there is nothing to plot.")
    dimension = what or first_dimension(runs[0])
    measured = [run for run in runs if dimension in run.dimensions]
    if layer is None and measured:
        return map_grid({run.name: run.series(dimension) for run in measured}, dimension, theme=PAGE)
    series: dict[str, pd.Series] = {}
    for run in runs:
        table = run.series(dimension) if run in measured else run.scalars()
        column = _column(run, layer) if run in measured else dimension
        if column in table:
            series[run.name] = table[column].dropna()
    if not series:
        wanted = f"a layer {layer!r} with {dimension!r}" if layer else f"{dimension!r}"
        raise InputError(f"no run of {study.folder} has {wanted}.")
    name = f"{plain(dimension)} of {layer}" if layer else plain(dimension)
    return overlay(series, y=name, title=f"The {name} in {len(series)} run{'s' if len(series) != 1 else ''}")


def _column(run: Run, layer: str | None) -> str | None:
    """The module's own name of `layer` in `run`; None where it has no such layer."""
    try:
        return None if layer is None else run.layer(layer).name
    except InputError:
        return None


def run_html(run: Run) -> str:
    """What a notebook shows of a run: its facts and, where it has measurements, its small map."""
    about = f"{len(run.layers)} layers, {run.manifest.measurements} measurements, {run.status}"
    words = f"<strong>{escape(run.name)}</strong> <span>{escape(about)}</span>"
    if not run.has_series:
        return f"<div>{words}</div>"
    dimension = first_dimension(run)
    height = max(24, min(8 * len(run.layers), 160))
    picture = (
        f'<img src="{thumbnail(run.series(dimension))}" width="320" height="{height}" '
        f'style="image-rendering: pixelated; display: block" alt="{plain(dimension)} by layer and step">'
    )
    return f"<div>{words}{picture}<small>{plain(dimension)}; <code>run.plot()</code> draws it</small></div>"


def study_html(study: Study) -> str:
    """What a notebook shows of a study: its runs with their small maps."""
    rows = "".join(f"<li>{run_html(run)}</li>" for run in study.runs[:24])
    more = f"<p>and {len(study) - 24} more</p>" if len(study) > 24 else ""
    return f"<div><p><strong>{escape(study.folder.name)}</strong>, {len(study)} runs</p><ul>{rows}</ul>{more}</div>"
