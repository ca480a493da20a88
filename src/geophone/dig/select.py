"""Which targets are dug: those a study's phenomena single out, and the best of every run."""

import numpy as np
import pandas as pd

from geophone.errors import InputError
from geophone.store.study import Study


def selected(study: Study, *, every: bool = False, number: int | None = None) -> pd.DataFrame:
    """The targets to dig, as in targets.parquet, with a column `why`.

    By default: the best target of each run; of the clearest bottom-up runs and of those with the best-defined critical
    periods (by the phenomena of the targets' dimension) no more than that, but said so; and the target nearest to each
    representative of each jump type. `every`: all targets. `number`: the one of that rank. Raises InputError when
    there is no target, or none of that rank.
    """
    targets = study.targets()
    if targets.empty:
        raise InputError(f"{study.folder} has no target: no jump was found in any layer, so there is nothing to dig.")
    if number is not None:
        chosen = targets[targets["rank"] == number]
        if chosen.empty:
            raise InputError(f"there is no target {number}; there are 1 to {len(targets)}.")
        return chosen.assign(why="asked for").reset_index(drop=True)
    if every:
        return targets.assign(why="every target").reset_index(drop=True)
    why = {rank: ["the first of its run"] for rank in targets.groupby("run")["rank"].min()}
    dimension = targets["dimension"].iloc[0]
    for kind, said in (("bottom_up", "a clear bottom-up order"), ("best_periods", "well-defined critical periods")):
        for run in _of(study, kind, dimension)["run"].unique():
            ranks = targets.loc[targets["run"] == run, "rank"]
            if len(ranks):
                why[int(ranks.min())].append(f"its run has {said}")
    members = _of(study, "type_members", dimension)
    if len(members):
        for row in members[members["representative"].astype(bool)].itertuples():
            rank = _nearest(targets, row.run, row.layer, row.step)
            if rank is not None:
                why.setdefault(rank, []).append("stands for a type of jump")
    chosen = targets[targets["rank"].isin(list(why))].copy()
    chosen["why"] = ["; ".join(dict.fromkeys(why[rank])) for rank in chosen["rank"]]
    return chosen.reset_index(drop=True)


def _of(study: Study, kind: str, dimension: str) -> pd.DataFrame:
    """A table of phenomena for one dimension; empty where the study has none of that kind."""
    table = study.phenomena(kind, optional=True)
    return table[table["dimension"] == dimension]


def _nearest(targets: pd.DataFrame, run: str, layer: str, step: int) -> int | None:
    mine = targets[(targets["run"] == run) & (targets["layer"] == layer)]
    if mine.empty:
        return None
    return int(mine["rank"].iloc[int(np.abs(mine["step"].to_numpy() - step).argmin())])
