"""From the series of many runs to tables of what happened in them: pure functions of frames."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from geophone.phenomena.across import across_runs
from geophone.phenomena.nulls import Nulls
from geophone.phenomena.runs import Draws, RunSeries, Tables, joined
from geophone.phenomena.tables import run_tables
from geophone.phenomena.together import together

__all__ = ["Draws", "Nulls", "RunSeries", "phenomena", "run_tables"]


def phenomena(
    runs: Sequence[RunSeries],
    forks: Sequence[Sequence[Mapping[str, pd.DataFrame]]] = (),
    *,
    draws: Draws,
    headline: Sequence[str],
    on_run: Callable[[str], None] = lambda name: None,
) -> Tables:
    """Every table of `runs` (one or more), by kind (`rows.PHENOMENA`): of each run, and of all of them together.

    `forks` holds groups of the series of replicates that left one run at one step. For the dimensions in `headline`
    types of jumps, coordination, lags and coupling to the loss are worked out besides. `on_run` is told of each run
    that is done.
    """
    nulls = Nulls([run.series for run in runs], forks, draws)
    parts: dict[str, list[pd.DataFrame]] = {}
    for run in runs:
        mine = {dimension: nulls.of(dimension, len(table)) for dimension, table in run.series.items()}
        for kind, table in run_tables(run, mine).items():
            parts.setdefault(kind, []).append(table)
        on_run(run.name)
    tables = {kind: joined(each) for kind, each in parts.items()}
    across = across_runs(runs, tables, draws=draws, headline=headline)
    return tables | across | together(runs, tables["jumps"], draws=draws, headline=headline)
