"""The protocol: development seeds choose, files freeze the choice, fresh seeds confirm or do not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from geophone.errors import InputError
from geophone.prove.choice import Choice, choose, freeze, frozen
from geophone.prove.evaluate import Method, evaluate, examples, false_alarms, frozen_methods, layers_named
from geophone.prove.ranker import PRINTED, printed, ranked, seeds_seen
from geophone.prove.tables import (
    RANKER,
    comparison_table,
    layer_table,
    method_table,
    trust_table,
    verdict,
    verdict_table,
)  # fmt: skip
from geophone.prove.trials import BEDS, BEHAVIOUR, GROUPS, HIDDEN, NUISANCES, PRIMARY, Crew, TrialRun, train_all, trials
from geophone.store.tables import write_text

DEVELOPMENT = {**dict.fromkeys(BEDS, 16), **dict.fromkeys(HIDDEN, 32)}
CONFIRMATION = dict.fromkeys((*GROUPS["hidden"], *BEHAVIOUR, "grok", *NUISANCES), 20)
QUICK = {**dict.fromkeys(PRIMARY, 4), "lr3": 2, "batch4": 2, "plain": 2}
FIRST_DEVELOPMENT, FIRST_FRESH, FIRST_QUICK = 7000, 8100, 9000
NEEDED = ("methods", "comparisons", "layers", "nuisances", "trust", "verdict")
CHOICE = "rivals.json"
_DIGITS = 4
Tables = Mapping[str, pd.DataFrame]


def develop(out: Path, crew: Crew | None = None) -> Tables:
    """Train the development seeds under `out`, choose the rivals' forms, and write rivals.json beside the tables of
    what was chosen from.

    The tables describe the seeds that the choice was made on, so they flatter it. Finished runs are kept: run again,
    it goes on where it was. Raises GeophoneError when a run failed.
    """
    runs = train_all(trials(DEVELOPMENT, first=FIRST_DEVELOPMENT), out, crew or Crew())
    choice = choose(runs)
    freeze(choice, out / CHOICE)
    return written(runs, choice, out)


def confirm(out: Path, crew: Crew | None = None, *, counts: Mapping[str, int] | None = None) -> Tables:
    """Train fresh seeds of every testbed (20, or `counts` of each) under `out`, and test on them the package's frozen
    ranker and rivals, changing nothing.

    Raises StoreError when a frozen file was changed since, before anything is trained, and InputError when a fresh seed
    is one that a choice was made on.
    """
    choice = frozen()
    fresh = trials(counts or CONFIRMATION, first=FIRST_FRESH)
    if seen := sorted({*choice.seeds, *seeds_seen()} & {trial.seed for trial in fresh}):
        raise InputError(f"seeds {seen} were used in development; a confirmation needs fresh ones.")
    return written(train_all(fresh, out, crew or Crew()), choice, out)


def quick(out: Path, crew: Crew | None = None) -> Tables:
    """A small version, in a few minutes: four seeds of the primary testbeds and two of the nuisances, with what the
    package has frozen. It shows what the whole does; the seeds are too few to say much."""
    return written(train_all(trials(QUICK, first=FIRST_QUICK), out, crew or Crew()), frozen(), out)


def written(runs: Sequence[TrialRun], choice: Choice, out: Path) -> Tables:
    """The tables of the frozen ranker and rivals on `runs`, written into `out` as CSV."""
    rng = np.random.default_rng(0)
    methods: dict[str, Method] = {RANKER: ranked, PRINTED: printed, **frozen_methods(choice)}
    rows = evaluate(runs, methods, rng=rng)
    tables = {"runs": rows, "methods": method_table(rows, rng=rng), "comparisons": comparison_table(rows, rng=rng)}
    tables["layers"] = layer_table(layers_named(runs, ranked, choice), rng=rng)
    tables["nuisances"] = false_alarms(runs, methods)
    tables["trust"] = trust_table(tables["methods"], choice)
    tables["examples"] = examples(runs, ranked)
    tables["verdict"] = verdict_table(verdict(tables["comparisons"]))
    for name, table in tables.items():
        write_text(out / f"{name}.csv", table.to_csv(index=False, float_format=f"%.{_DIGITS}g"))
    return tables


def read_tables(folder: Path) -> Tables:
    """The tables that `develop`, `confirm` or `quick` wrote: `NEEDED` and, where they are there, runs and examples.
    Raises InputError when one of the former is not there."""
    missing = [name for name in NEEDED if not (folder / f"{name}.csv").is_file()]
    if missing:
        raise InputError(f"{folder} has no {', '.join(missing)}: run geophone prove first.")
    there = [name for name in (*NEEDED, "runs", "examples") if (folder / f"{name}.csv").is_file()]
    return {name: pd.read_csv(folder / f"{name}.csv") for name in there}
