"""What goes with what over all windows of all runs, beyond what time alone explains."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from geophone.evidence.architectures import Estimand, across
from geophone.evidence.columns import HEADLINES, OUTCOMES, PREDICTORS, Predictor
from geophone.evidence.numbers import (
    ALPHA,
    TOO_FEW,
    Named,
    Random,
    Statistic,
    adjusted,
    correlation_number,
    r2_number,
)
from geophone.evidence.questions import R2, WALD, R, verdict_of
from geophone.stats.heterogeneity import correlations_differ
from geophone.stats.mixed import mixed_model
from geophone.stats.verdict import above, beyond

Series = npt.NDArray[np.float64]
FAMILY = "windows: every predictor with every outcome"
PARTIAL = "windows: partial on ln step"
BY_ARCHITECTURE = "windows: predictors of the headline"
SEEDS, LOG_STEP = "the same windows of the network's other seeds", "a cubic in ln step within the run's layer"
SIZE = "|stable_rank|"
_POWERS = 3
_PLACE = ("experiment", "layer", "window")
_DRAWS = 499  # of each interval in the table of all pairs


def beyond_time(windows: pd.DataFrame, values: Series, *, partial: bool = False) -> Series:
    """`values` (n,), one for each row of `windows`, without what time explains, in deviations of its network's layer.

    Where a network has two seeds or more: minus the mean over its seeds of the same layer and window, then minus the
    mean of the run's layer. Over S seeds the sum of products of two such residuals is (S - 1) times the mean product
    within a run less the mean product of one seed's x with another seed's y: what is left is what run-swap does not
    have. Of a network with one seed, and with `partial` of all: the residuals of a cubic in ln step, fitted to each
    layer. Both are divided by their root mean square over the network's layer, so that every layer counts alike. NaN
    where nothing is left: a layer that never changes, a window that one seed alone has, or rows too few for the fit.
    """
    found = np.full(len(windows), np.nan)
    there = np.isfinite(values)
    rows = windows.loc[there, ["run", *_PLACE, "log_step"]].assign(value=values[there])
    layer, own = [rows["experiment"], rows["layer"]], [rows["run"], rows["layer"]]
    same = rows.groupby(list(_PLACE))["value"]
    left = (rows["value"] - same.transform("mean")).where(same.transform("size") > 1)
    left = left - left.groupby(own).transform("mean")
    alone = (rows.groupby("experiment")["run"].transform("nunique") < 2) | partial
    for at in rows[alone].groupby(["run", "layer"]).indices.values():
        mine = rows[alone].iloc[at]
        left[mine.index] = _without_course(mine["log_step"].to_numpy(float), mine["value"].to_numpy(float))
    size = np.sqrt((left**2).groupby(layer).transform("mean"))
    most = rows["value"].abs().groupby(layer).transform("max")
    found[there] = (left / size).where(size > 1e-9 * most)
    return found


def _without_course(log_step: Series, values: Series) -> Series:
    """The residuals of a cubic in ln step."""
    if len(values) < 2 * (_POWERS + 1):
        return np.full(len(values), np.nan)
    centred = (log_step - log_step.mean()) / max(float(log_step.std()), 1e-12)
    design = np.vander(centred, _POWERS + 1)
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def association(windows: pd.DataFrame, random: Random) -> dict:
    """What the windows of a study say: a section of statistics.json.

    `windows` as `evidence.windows.window_table` gives it. Keys: "study" (rows, runs, networks, and how time was taken
    off), "numbers" (the correlation of every predictor with every outcome beyond time, and the mixed models of the
    headline), "criteria" (the founding document's, for all windows), "architectures" (the headline by architecture),
    "best" (for every outcome the predictor with the greatest |r|). The network is the unit.
    """
    left = _residuals(windows)
    table = Random(random.seed, min(random.draws, _DRAWS))
    numbers = [
        _number(left, predictor, outcome, table)
        for predictor in PREDICTORS
        for outcome in OUTCOMES
        if predictor.name in left and outcome in left
    ]
    asked = _asked(left, random)
    partial = _residuals(windows, partial=True)
    for outcome in OUTCOMES if SIZE in left else ():
        if outcome in left:
            says = f"{SIZE} with {outcome}, all windows, partial on ln step"
            named = Named(f"windows/partial/{outcome}", says, PARTIAL)
            numbers.append(_of_networks(correlation_number(named, partial, (SIZE, outcome), table)))
            numbers.append(_mixed(left, windows["run"], outcome))
    wanting = _wanting(windows)
    asked, numbers = ([_told(number, wanting) for number in some] for some in (asked, [*numbers, *asked]))
    numbers = adjusted(numbers)
    return {
        "study": _about(windows, left),
        "numbers": numbers,
        "criteria": _criteria(asked),
        "architectures": across([_estimand(left, name, outcome, table) for name, outcome in _headline(left)], table),
        "best": _best(numbers),
    }


def _wanting(windows: pd.DataFrame) -> str:
    """What is missing where no layer has windows enough to take time off it; empty where one has."""
    alone = windows.groupby("experiment")["run"].transform("nunique") < 2
    most = int(windows.groupby(["run", "layer"]).size().max()) if len(windows) else 0
    if not alone.all() or most >= 2 * (_POWERS + 1):
        return ""
    return (
        f"not enough data: a layer has {most} windows, and one of a network with one seed needs {2 * (_POWERS + 1)} "
        f"([census] moments = {2 * (_POWERS + 1) + 1} or more)"
    )


def _told(number: Statistic, wanting: str) -> Statistic:
    return replace(number, status=wanting) if wanting and number.status == TOO_FEW else number


def _residuals(windows: pd.DataFrame, *, partial: bool = False) -> pd.DataFrame:
    """Place and architecture of each window, and every predictor and outcome that was measured, beyond time. The
    column `run` holds the network: it is what is drawn and flipped. With `partial`, of predictors the headline's."""

    def rest(values: Series) -> Series:
        return beyond_time(windows, values, partial=partial)

    left = {"run": windows["experiment"], "architecture": windows["architecture"]}
    for predictor in PREDICTORS:
        if partial and predictor.name != SIZE:
            continue
        if predictor.column in windows and windows[predictor.column].notna().any():
            values = windows[predictor.column].to_numpy(float)
            left[predictor.name] = rest(np.abs(values) if predictor.absolute else values)
    for outcome in OUTCOMES:
        if outcome in windows and windows[outcome].notna().any():
            left[outcome] = rest(windows[outcome].to_numpy(float))
    return pd.DataFrame(left)


def _says(predictor: str, outcome: str) -> str:
    return f"{predictor} with {outcome}, all windows, beyond time"


def _number(left: pd.DataFrame, predictor: Predictor, outcome: str, random: Random) -> Statistic:
    named = Named(f"windows/{predictor.name}/{outcome}", _says(predictor.name, outcome), FAMILY)
    return _of_networks(correlation_number(named, left, (predictor.name, outcome), random))


def _of_networks(number: Statistic) -> Statistic:
    """The same, saying that networks are the unit."""
    said = {field: getattr(number, field).replace("over runs", "over networks") for field in ("interval", "test")}
    return replace(number, **said)


def _headline(left: pd.DataFrame) -> list[tuple[str, str]]:
    pairs = [(name, outcome) for name in HEADLINES for outcome in OUTCOMES]
    return [(name, outcome) for name, outcome in pairs if {name, outcome} <= set(left.columns)]


def _estimand(left: pd.DataFrame, predictor: str, outcome: str, random: Random) -> Estimand:
    columns = (predictor, outcome)

    def make(named: Named, part: pd.DataFrame) -> Statistic:
        return _of_networks(correlation_number(named, part, columns, random))

    def differ(part: pd.DataFrame, rng: np.random.Generator):
        x, y = (part[c].to_numpy(float) for c in columns)
        networks, kinds = part["run"].to_numpy(str), part["architecture"].to_numpy(str)
        return correlations_differ(x, y, clusters=networks, labels=kinds, rng=rng, draws=random.draws)

    named = Named(f"windows/{predictor}/{outcome}", _says(predictor, outcome), BY_ARCHITECTURE)
    return Estimand(named, left, columns, make, differ)


def _asked(left: pd.DataFrame, random: Random) -> list[Statistic]:
    """The founding document's three questions, of all windows."""
    blank = {c: np.nan for c in (SIZE, "new_types", "selectivity", "compositional_depth") if c not in left}
    rows, family = left.assign(**blank), "windows: the three questions"

    def named(question: str, says: str) -> Named:
        return Named(f"windows/{question}", says, family)

    depth = named("depth", f"R^2: {_says(SIZE, 'compositional_depth')}")
    made = [
        correlation_number(named("diversity", _says(SIZE, "new_types")), rows, (SIZE, "new_types"), random),
        correlation_number(named("selectivity", _says(SIZE, "selectivity")), rows, (SIZE, "selectivity"), random),
        r2_number(depth, rows, (SIZE, "compositional_depth"), random),
    ]
    return [_of_networks(number) for number in made]


def _criteria(asked: Sequence[Statistic]) -> list[dict]:
    """|r| > 0.6 and R^2 > 0.4 by the interval; a rise of selectivity with the change: an interval above 0 and
    p < .05."""
    diversity, selectivity, depth = asked
    rise = above(selectivity.low, selectivity.high, 0.0)
    sure = selectivity.p < ALPHA
    return [
        verdict_of("diversity", "|r| > 0.6", diversity, beyond(diversity.low, diversity.high, R)),
        verdict_of("selectivity", "it rises with the change, p < 0.05", selectivity, rise if sure else "undecided"),
        verdict_of("depth", "R^2 > 0.4", depth, above(depth.low, depth.high, R2)),
    ]


def _mixed(left: pd.DataFrame, run: pd.Series, outcome: str) -> Statistic:
    """The slope of an outcome on |ln stable rank ratio| within runs: each run's own, with an intercept of its network
    as random and architecture fixed. Runs in networks: wants two seeds of some."""
    x, y = left[SIZE].to_numpy(float), left[outcome].to_numpy(float)
    parts = pd.DataFrame({"run": run, "network": left["run"], "kind": left["architecture"], "xy": x * y, "xx": x * x})
    parts = parts[np.isfinite(parts["xy"])]
    sums = parts.groupby(["network", "run", "kind"], as_index=False)[["xy", "xx"]].sum()
    slopes = sums["xy"] / sums["xx"].where(sums["xx"] > 0)
    found = mixed_model(slopes.to_numpy(float), clusters=sums["network"].to_numpy(str), kinds=sums["kind"])
    ok = found.status.startswith("fitted")
    return Statistic(
        f"windows/mixed/{outcome}", f"{SIZE} with {outcome}: slope within runs, mixed model, run in network",
        "calibrated", found.slope, found.low, found.high, WALD if ok else "", p=found.p, test="Wald" if ok else "",
        n=found.n, runs=found.clusters, status="ok" if ok else TOO_FEW,
    )  # fmt: skip


def _best(numbers: Sequence[Statistic]) -> list[dict]:
    """For every outcome the predictor with the greatest |r| of all tested."""
    found: dict[str, Statistic] = {}
    for number in numbers:
        if number.family_of_tests == FAMILY:
            outcome = number.id.rpartition("/")[2]
            if outcome not in found or abs(number.value) > abs(found[outcome].value):
                found[outcome] = number
    return [{"outcome": outcome, "number": number.id} for outcome, number in found.items()]


def _about(windows: pd.DataFrame, left: pd.DataFrame) -> dict:
    seeds = windows.groupby("experiment")["run"].nunique()
    many, one = int((seeds > 1).sum()), int((seeds == 1).sum())
    ways = [f"{SEEDS} ({many} networks)"] * bool(many) + [f"{LOG_STEP} ({one} networks with one seed)"] * bool(one)
    return {
        "windows": len(windows), "runs": int(windows["run"].nunique()), "networks": int(left["run"].nunique()),
        "time": "; ".join(ways),
    }  # fmt: skip
