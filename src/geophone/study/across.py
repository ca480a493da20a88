"""What only many runs can say: orders by architecture, distributions, types, coordination and coupling to the loss."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from geophone.detect.coordination import coordination, lags, loss_coupling
from geophone.detect.types import JumpTypes, jump_types, representatives
from geophone.stats.permutation import contingency, kruskal_wallis, permutation_test
from geophone.store.run import Run
from geophone.study.file import DetectOptions
from geophone.study.phase1 import Series, stream

Tables = dict[str, pd.DataFrame]
CLEAREST = 5
BEST_DEFINED = 3
_THIRDS = (1 / 3, 2 / 3)
_MAGNITUDES = (0.05, 0.1, 0.2, 0.5)
_CAPS = (16, 64, 256)


def across_runs(runs: list[Run], series: Series, tables: Mapping[str, pd.DataFrame], options: DetectOptions) -> Tables:
    """The tables of phase 1 that are made of many runs; where nothing can be said there is a row with a status."""
    about = pd.DataFrame([_about(run) for run in runs]).set_index("run")
    together = _together(runs, series, tables, options)
    return {
        "order_tests": _order_tests(tables["order"], about, options),
        "bottom_up": _bottom_up(tables["order"]),
        "distribution": _distribution(tables["jumps"], tables["detection"], runs, about),
        "best_periods": _best_periods(tables["critical"], runs),
        **_types(tables["jumps"], about, options),
        **together,
    }


def _about(run: Run) -> dict:
    known = run.manifest.about
    return {"run": run.name, **{key: str(known.get(key, "unknown")) for key in ("experiment", "architecture", "task")}}


def _order_tests(order: pd.DataFrame, about: pd.DataFrame, options: DetectOptions) -> pd.DataFrame:
    """Whether rho differs by architecture, and how many runs have each verdict; beside them, how many would be
    bottom-up if the layers of every run that has an order had settled in any."""
    rows = []
    for (dimension, mode), mine in order.groupby(["dimension", "mode"], sort=False):
        rng = stream(options.seed, "order", dimension, mode)
        labels = about.loc[mine["run"], "architecture"].to_numpy()
        test = permutation_test(mine["rho"].to_numpy(float), labels, kruskal_wallis, rng=rng, draws=options.surrogates)
        counts = mine["verdict"].value_counts()
        rows.append(
            {
                "dimension": dimension, "mode": mode,
                "test": "rho by architecture, Kruskal-Wallis, labels permuted over runs",
                "statistic": test.statistic, "p": test.p, "runs": test.n, "status": test.status,
                **{v: int(counts.get(v, 0)) for v in ("bottom-up", "top-down", "simultaneous", "weak", "undefined")},
                "expected_bottom_up": float(mine["chance"].sum()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _bottom_up(order: pd.DataFrame) -> pd.DataFrame:
    """The clearest bottom-up runs of each dimension and mode: verdict bottom-up, least p first, then greatest rho."""
    found = order[order["verdict"] == "bottom-up"].sort_values(["p", "rho", "run"], ascending=[True, False, True])
    return found.groupby(["dimension", "mode"], sort=False).head(CLEAREST).reset_index(drop=True)


def _distribution(jumps: pd.DataFrame, detection: pd.DataFrame, runs: list[Run], about: pd.DataFrame) -> pd.DataFrame:
    """Jumps per series by architecture and phase, depth, magnitude, and by view and rank cap; beside what the null
    yields.

    Architectures differ in what they can show: a layer of few features has a low cap min(rows - 1, features) on its
    rank, and a channel is not a unit. Rows "view and cap" compare architectures only where both are equal.
    """
    layers = pd.DataFrame(
        [
            {
                "run": run.name, "layer": layer.name,
                "view and cap": f"{layer.view}, cap {_bin(min(layer.rows - 1, layer.features), _CAPS)}",
            }
            for run in runs
            for layer in run.layers
        ]
    )  # fmt: skip
    keys = ["mode", "dimension", "architecture"]
    where = detection[detection["status"] == "ok"].merge(layers, on=["run", "layer"])
    where["architecture"] = about.loc[where["run"], "architecture"].to_numpy()
    found = jumps.merge(layers, on=["run", "layer"])
    found["architecture"] = about.loc[found["run"], "architecture"].to_numpy()
    found["phase_bin"] = [_bin(v, _THIRDS) for v in found["phase"]]
    found["depth_bin"] = [_bin(v, _THIRDS) for v in found["relative_depth"]]
    found["magnitude_bin"] = [_bin(abs(v), _MAGNITUDES) for v in found["log_ratio"]]
    total = where.groupby(keys).agg(series=("run", "size"), expected=("expected_false", "sum"))
    parts = [_counted(found, [*keys, f"{by}_bin"], total, by=by) for by in ("phase", "depth", "magnitude")]
    capped = where.groupby([*keys, "view and cap"]).agg(series=("run", "size"), expected=("expected_false", "sum"))
    parts.append(_counted(found, [*keys, "view and cap"], capped, by="view and cap"))
    parts.append(_counted(found.assign(all="all"), [*keys, "all"], total, by="all"))
    return pd.concat(parts, ignore_index=True)


def _counted(found: pd.DataFrame, keys: list[str], total: pd.DataFrame, *, by: str) -> pd.DataFrame:
    counts = found.groupby(keys).size().rename("jumps").reset_index()
    # A architecture in which nothing jumped still has its series, and its zero.
    how = [k for k in keys if k in total.index.names]
    table = total.reset_index().merge(counts, on=how, how="left").rename(columns={keys[-1]: "bin"})
    table["bin"] = table["bin"].fillna("none").astype(str)
    table = table.assign(by=by, jumps=table["jumps"].fillna(0).astype(int))
    table["rate"] = table["jumps"] / table["series"]
    columns = ["mode", "dimension", "architecture", "by", "bin", "jumps", "series", "rate", "expected"]
    return table[columns].rename(columns={"expected": "expected_false"})


def _bin(value: float, edges: Iterable[float]) -> str:
    edges = list(edges)
    if not np.isfinite(value):
        return "unknown"
    at = int(np.searchsorted(edges, value, side="right"))
    names = [f"{edge:.2g}" for edge in edges]
    return (
        f"below {names[0]}" if at == 0 else f"from {names[-1]}" if at == len(edges) else f"{names[at - 1]}-{names[at]}"
    )


def _best_periods(critical: pd.DataFrame, runs: list[Run]) -> pd.DataFrame:
    """The runs with the best-defined critical periods, by dimension: the share of layers that have a calibrated
    period at all, times the share of the run that lies outside of them (a run that is always critical has no
    period)."""
    steps = {run.name: max(run.total_steps, 1) for run in runs}
    count = {run.name: len(run.layers) for run in runs}
    rows = []
    for (dimension, run), mine in critical[critical["mode"] == "calibrated"].groupby(["dimension", "run"], sort=False):
        covered = float((mine["stop"] - mine["start"]).sum()) / (steps[run] * count[run])
        layers = mine["layer"].nunique() / count[run]
        rows.append(
            {"dimension": dimension, "run": run, "score": layers * (1 - min(covered, 1.0)), "layers_share": layers,
             "covered_share": covered}
        )  # fmt: skip
    columns = ["dimension", "run", "score", "layers_share", "covered_share"]
    table = pd.DataFrame(rows, columns=columns).sort_values(
        ["dimension", "score", "run"], ascending=[True, False, True]
    )
    return table.groupby("dimension", sort=False).head(BEST_DEFINED).reset_index(drop=True)


def _types(jumps: pd.DataFrame, about: pd.DataFrame, options: DetectOptions) -> Tables:
    types, members, tests = [], [], []
    for dimension in options.headline:
        for mode in ("naive", "calibrated"):
            mine = jumps[(jumps["dimension"] == dimension) & (jumps["mode"] == mode)]
            mine = mine[np.isfinite(mine["log_ratio"])].reset_index(drop=True)
            rng = stream(options.seed, "types", dimension, mode)
            found = jump_types(
                mine["phase"].to_numpy(float), mine["log_ratio"].to_numpy(float),
                mine["relative_depth"].to_numpy(float), runs=mine["run"].to_numpy(str), rng=rng,
            )  # fmt: skip
            key = {"dimension": dimension, "mode": mode}
            types += _type_rows(found, mine, key)
            members.append(_members(found, mine, about, key))
            tests += _type_tests(found, mine, about, key, rng, options.surrogates)
    return {
        "types": pd.DataFrame(types),
        "type_members": pd.concat(members, ignore_index=True) if members else pd.DataFrame(),
        "type_tests": pd.DataFrame(tests),
    }


def _type_rows(found: JumpTypes, mine: pd.DataFrame, key: dict) -> list[dict]:
    state = {"status": found.status, "stability": found.stability, "of": len(mine)}
    if not found.names:
        return [
            {**key, "type": -1, "name": "", "jumps": 0, "phase": np.nan, "magnitude": np.nan, "depth": np.nan, **state}
        ]
    return [
        {
            **key, "type": label, "name": name, "jumps": int((found.labels == label).sum()),
            "phase": centroid[0], "magnitude": centroid[1], "depth": centroid[2], **state,
        }
        for label, (name, centroid) in enumerate(zip(found.names, found.centroids, strict=True))
    ]  # fmt: skip


def _members(found: JumpTypes, mine: pd.DataFrame, about: pd.DataFrame, key: dict) -> pd.DataFrame:
    table = mine[["run", "layer", "depth", "step"]].copy()
    table["type"] = found.labels if found.names else -1
    points = np.stack([mine["phase"], mine["log_ratio"].abs(), mine["relative_depth"]], axis=1).astype(float)
    experiments = list(about.loc[mine["run"], "experiment"]) if len(mine) else []
    chosen = set(representatives(found, points, experiments)) if found.names else set()
    table["representative"] = [i in chosen for i in range(len(table))]
    return table.assign(**key)


def _type_tests(
    found: JumpTypes, mine: pd.DataFrame, about: pd.DataFrame, key: dict, rng: np.random.Generator, draws: int
) -> list[dict]:
    """Whether the mix of types differs by architecture or by task; runs are permuted, not jumps."""
    rows = []
    for what in ("architecture", "task"):
        row = {**key, "test": f"types by {what}, chi-square, labels permuted over runs"}
        if len(found.names) < 2:
            rows.append({**row, "statistic": np.nan, "p": np.nan, "runs": 0, "status": found.status})
            continue
        names = sorted(set(mine["run"]))
        counts = np.zeros((len(names), len(found.names)))
        np.add.at(counts, ([names.index(r) for r in mine["run"]], found.labels), 1)
        test = permutation_test(counts, about.loc[names, what].to_numpy(), contingency, rng=rng, draws=draws)
        rows.append({**row, "statistic": test.statistic, "p": test.p, "runs": test.n, "status": test.status})
    return rows


def _together(runs: list[Run], series: Series, tables: Mapping[str, pd.DataFrame], options: DetectOptions) -> Tables:
    """Coordination, lags and loss coupling, group by group of runs of one configuration."""
    coordinated, lagged, coupled, curves = [], [], [], []
    losses = {run.name: _loss(run) for run in runs}
    for dimension in options.headline:
        able = [run for run in runs if dimension in series[run.name]]
        for name, group in _groups(able, lambda run: run.manifest.about.get("experiment", run.name)):
            key = {"dimension": dimension, "group": name}
            velocity = _velocities([series[run.name][dimension] for run in group])
            rng = stream(options.seed, "together", dimension, name)
            found = coordination(velocity, rng=rng, draws=options.surrogates)
            coordinated.append({**key, **{f: getattr(found, f) for f in found.__slots__}})
            lagged += [{**key, **{f: getattr(lag, f) for f in lag.__slots__}} for lag in lags(velocity, rng=rng)]
        for mode in ("naive", "calibrated"):
            for kind, name, group in _loss_groups(able):
                key = {"dimension": dimension, "mode": mode, "group": name, "grouped_by": kind}
                row, curve = _coupling(group, tables["jumps"], losses, key, options)
                coupled.append(row)
                curves += curve
    return {
        "coordination": pd.DataFrame(coordinated),
        "lags": pd.DataFrame(lagged, columns=["dimension", "group", "first", "second", "lag", "correlation", "p"]),
        "coupling": pd.DataFrame(coupled),
        "coupling_curves": pd.DataFrame(
            curves, columns=["dimension", "mode", "group", "grouped_by", "lag", "average", "expected"]
        ),
    }


def _groups(runs: list[Run], key: Callable[[Run], str]) -> list[tuple[str, list[Run]]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(str(key(run)), []).append(run)
    return list(found.items())


def _loss_groups(runs: list[Run]) -> list[tuple[str, str, list[Run]]]:
    """Runs of one configuration where there are 3; otherwise runs of one architecture and task, which is a weaker
    null."""
    same = _groups(runs, lambda run: run.manifest.about.get("experiment", run.name))
    found = [("configuration", name, group) for name, group in same if len(group) >= 3]
    rest = [run for name, group in same if len(group) < 3 for run in group]
    about = lambda run: f"{run.manifest.about.get('architecture', '?')} on {run.manifest.about.get('task', '?')}"  # noqa: E731
    return found + [("architecture and task", name, group) for name, group in _groups(rest, about)]


def _velocities(tables: list[pd.DataFrame]) -> np.ndarray:
    """|ln x| differences (runs, layers, measurements) over the measurements that all runs have."""
    length = min(len(table) for table in tables)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.stack([np.log(table.to_numpy(float)[:length].T) for table in tables])
    return np.diff(np.where(np.isfinite(logs), logs, np.nan), axis=2)


def _loss(run: Run) -> pd.Series | None:
    """The mean loss since the measurement before, at each measured step; None where the loop gave no loss."""
    scalars = run.scalars()
    if "loss" not in scalars or scalars["loss"].notna().sum() == 0:
        return None
    measured = scalars["index"].notna()
    number = measured[::-1].cumsum()[::-1]
    mean = scalars["loss"].groupby(number).transform("mean")
    return mean[measured]


def _coupling(
    group: list[Run], jumps: pd.DataFrame, losses: dict, key: dict, options: DetectOptions
) -> tuple[dict, list[dict]]:
    group = [run for run in group if losses[run.name] is not None]
    length = min((len(losses[run.name]) for run in group), default=0)
    mine = jumps[(jumps["dimension"] == key["dimension"]) & (jumps["mode"] == key["mode"])]
    events = [mine.loc[mine["run"] == run.name, "index"].to_numpy(int) for run in group]
    events = [np.unique(e[e < length]) for e in events]
    loss = np.stack([losses[run.name].to_numpy(float)[:length] for run in group]) if length else np.empty((0, 0))
    rng = stream(options.seed, "coupling", *key.values())
    found = loss_coupling(events, loss, rng=rng, draws=options.surrogates)
    row = {**key, "p": found.p, "runs": found.runs, "events": found.events, "status": found.status}
    if found.status != "tested":
        return row, []
    points = zip(found.lags, found.average, found.expected, strict=True)
    return row, [{**key, "lag": int(a), "average": float(b), "expected": float(c)} for a, b, c in points]
