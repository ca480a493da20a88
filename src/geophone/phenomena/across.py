"""What only many runs can say: orders by architecture, where jumps are, the best-defined periods, types of jumps."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from geophone.detect.types import JumpTypes, jump_types, representatives
from geophone.phenomena.runs import Draws, RunSeries, Tables, joined
from geophone.rows import PHENOMENA, frame
from geophone.stats.permutation import contingency, kruskal_wallis, permutation_test

CLEAREST = 5
BEST_DEFINED = 3
VERDICTS = ("bottom-up", "top-down", "simultaneous", "weak", "undefined")
_THIRDS = (1 / 3, 2 / 3)
_MAGNITUDES = (0.05, 0.1, 0.2, 0.5)
_CAPS = (16, 64, 256)


def across_runs(
    runs: Sequence[RunSeries], tables: Mapping[str, pd.DataFrame], *, draws: Draws, headline: Sequence[str]
) -> Tables:
    """The tables that are made of those of many runs; where nothing can be said there is a row with a status."""
    order, jumps = tables["order"], tables["jumps"]
    about = pd.DataFrame(
        {kind: [getattr(run, kind) or "unknown" for run in runs] for kind in ("experiment", "architecture", "task")},
        index=[run.name for run in runs],
    )
    return {
        "order_tests": _order_tests(order, about, draws),
        "bottom_up": _bottom_up(order),
        "distribution": _distribution(jumps, tables["detection"], runs, about),
        "best_periods": _best_periods(tables["critical"], runs),
        **_types(jumps, about, draws, headline),
    }


def _order_tests(order: pd.DataFrame, about: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    """Whether rho differs by architecture, and how many runs have each verdict; with it, how many would be bottom-up
    if the layers of every run that has an order had settled in any."""
    rows = []
    for (dimension, mode), mine in order.groupby(["dimension", "mode"], sort=False):
        rng = draws.stream("order", dimension, mode)
        labels = about.loc[mine["run"], "architecture"].to_numpy()
        rho = mine["rho"].to_numpy(float)
        test = permutation_test(rho, labels, kruskal_wallis, rng=rng, draws=draws.surrogates)
        counts = mine["verdict"].value_counts()
        rows.append(
            {
                "dimension": dimension,
                "mode": mode,
                "test": "rho by architecture, Kruskal-Wallis, labels permuted over runs",
                **_tested(test),
                **{verdict: int(counts.get(verdict, 0)) for verdict in VERDICTS},
                "expected_bottom_up": float(mine["chance"].sum()),
            }
        )
    return frame(rows, PHENOMENA["order_tests"])


def _tested(test) -> dict:
    return {"statistic": test.statistic, "p": test.p, "runs": test.n, "status": test.status}


def _bottom_up(order: pd.DataFrame) -> pd.DataFrame:
    """The clearest bottom-up runs of each dimension and mode: verdict bottom-up, least p first, then greatest rho."""
    clear = order[order["verdict"] == "bottom-up"].sort_values(["p", "rho", "run"], ascending=[True, False, True])
    return clear.groupby(["dimension", "mode"], sort=False).head(CLEAREST).reset_index(drop=True)


def _distribution(
    jumps: pd.DataFrame, detection: pd.DataFrame, runs: Sequence[RunSeries], about: pd.DataFrame
) -> pd.DataFrame:
    """Jumps per series by architecture and phase, depth, magnitude, and by view and rank cap; with them what the null
    yields.

    Architectures differ in what they can show: a layer of few features has a low cap min(rows - 1, features) on its
    rank, and a channel is not a unit. Rows "view and cap" compare architectures only where both are equal.
    """
    caps = [
        (run.name, layer.name, f"{layer.view}, cap {_bin(min(layer.rows - 1, layer.features), _CAPS)}")
        for run in runs
        for layer in run.layers
    ]
    layers = pd.DataFrame(caps, columns=["run", "layer", "view and cap"])
    series = detection[detection["status"] == "ok"].merge(layers, on=["run", "layer"])
    places = jumps.merge(layers, on=["run", "layer"])
    for table in (series, places):
        table["architecture"] = about.loc[table["run"], "architecture"].to_numpy()
    places = places.assign(
        phase=[_bin(v, _THIRDS) for v in places["phase"]],
        depth=[_bin(v, _THIRDS) for v in places["relative_depth"]],
        magnitude=[_bin(abs(v), _MAGNITUDES) for v in places["log_ratio"]],
        all="all",
    )
    by = ("phase", "depth", "magnitude", "view and cap", "all")
    return joined([_counted(places, series, what) for what in by])


def _counted(places: pd.DataFrame, series: pd.DataFrame, by: str) -> pd.DataFrame:
    """Jumps by what `by` says of them; an architecture in which nothing jumped still has its series, and its zero."""
    keys = ["mode", "dimension", "architecture"]
    counts = places.groupby([*keys, by]).size().rename("jumps").reset_index()
    on = [*keys, by] if by == "view and cap" else keys
    total = series.groupby(on).agg(series=("run", "size"), expected_false=("expected_false", "sum")).reset_index()
    table = total.merge(counts, on=on, how="left").rename(columns={by: "bin"})
    table = table.assign(by=by, bin=table["bin"].fillna("none"), jumps=table["jumps"].fillna(0).astype(int))
    return frame(table.assign(rate=table["jumps"] / table["series"]).to_dict("records"), PHENOMENA["distribution"])


def _bin(value: float, edges: Iterable[float]) -> str:
    if not np.isfinite(value):
        return "unknown"
    names = [f"{edge:.2g}" if edge < 1 else f"{edge:g}" for edge in edges]
    at = int(np.searchsorted(list(edges), value, side="right"))
    if at == 0:
        return f"below {names[0]}"
    return f"from {names[-1]}" if at == len(names) else f"{names[at - 1]}-{names[at]}"


def _best_periods(critical: pd.DataFrame, runs: Sequence[RunSeries]) -> pd.DataFrame:
    """The runs with the best-defined critical periods, by dimension: the share of layers that have a calibrated
    period at all, times the share of the run that lies outside of them (a run that is always critical has no
    period)."""
    steps = {run.name: max(run.total_steps, 1) for run in runs}
    count = {run.name: len(run.layers) for run in runs}
    rows = []
    for (dimension, run), mine in critical[critical["mode"] == "calibrated"].groupby(["dimension", "run"], sort=False):
        covered = float((mine["stop"] - mine["start"]).sum()) / (steps[run] * count[run])
        layers = mine["layer"].nunique() / count[run]
        shares = {"score": layers * (1 - min(covered, 1.0)), "layers_share": layers, "covered_share": covered}
        rows.append({"dimension": dimension, "run": run, **shares})
    table = frame(rows, PHENOMENA["best_periods"])
    table = table.sort_values(["dimension", "score", "run"], ascending=[True, False, True])
    return table.groupby("dimension", sort=False).head(BEST_DEFINED).reset_index(drop=True)


def _types(jumps: pd.DataFrame, about: pd.DataFrame, draws: Draws, headline: Sequence[str]) -> Tables:
    types, members, tests = [], [], []
    for key in [{"dimension": d, "mode": mode} for d in headline for mode in ("naive", "calibrated")]:
        mine = jumps[(jumps["dimension"] == key["dimension"]) & (jumps["mode"] == key["mode"])]
        mine = mine[np.isfinite(mine["log_ratio"])].reset_index(drop=True)
        rng = draws.stream("types", *key.values())
        phase, size, depth = (mine[column].to_numpy(float) for column in ("phase", "log_ratio", "relative_depth"))
        sorted_out = jump_types(phase, size, depth, runs=mine["run"].to_numpy(str), rng=rng)
        types += [{**key, **row} for row in _type_rows(sorted_out, len(mine))]
        points = np.stack([phase, np.abs(size), depth], axis=1)
        members.append(_members(sorted_out, points, mine, about).assign(**key))
        tests += [{**key, **row} for row in _type_tests(sorted_out, mine, about, rng, draws.surrogates)]
    return {
        "types": frame(types, PHENOMENA["types"]),
        "type_members": joined(members) if members else frame([], PHENOMENA["type_members"]),
        "type_tests": frame(tests, PHENOMENA["type_tests"]),
    }


def _type_rows(types: JumpTypes, of: int) -> list[dict]:
    state = {"status": types.status, "stability": types.stability, "of": of}
    if not types.names:
        return [{"type": -1, "name": "", **state}]
    return [
        {"type": label, "name": name, "jumps": int((types.labels == label).sum()), **centre, **state}
        for label, name in enumerate(types.names)
        for centre in [dict(zip(("phase", "magnitude", "depth"), types.centroids[label], strict=True))]
    ]


def _members(types: JumpTypes, points: np.ndarray, mine: pd.DataFrame, about: pd.DataFrame) -> pd.DataFrame:
    experiments = list(about.loc[mine["run"], "experiment"])
    chosen = representatives(types, points, experiments) if types.names else []
    labels = types.labels if types.names else -1
    return mine[["run", "layer", "depth", "step"]].assign(type=labels, representative=mine.index.isin(chosen))


def _type_tests(
    types: JumpTypes, mine: pd.DataFrame, about: pd.DataFrame, rng: np.random.Generator, draws: int
) -> list[dict]:
    """Whether the mix of types differs by architecture or by task; runs are permuted, not jumps."""
    rows = []
    for what in ("architecture", "task"):
        name = {"test": f"types by {what}, chi-square, labels permuted over runs"}
        if len(types.names) < 2:
            rows.append({**name, "statistic": np.nan, "p": np.nan, "runs": 0, "status": types.status})
            continue
        counts = pd.crosstab(mine["run"], types.labels)
        labels = about.loc[counts.index, what].to_numpy()
        test = permutation_test(counts.to_numpy(float), labels, contingency, rng=rng, draws=draws)
        rows.append({**name, **_tested(test)})
    return rows
