"""The protocol: development seeds choose, a file freezes the choice, fresh seeds confirm or do not."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from geophone.errors import InputError
from geophone.prove.choice import Choice, choose, freeze
from geophone.prove.choice import frozen as read_frozen
from geophone.prove.evaluate import OFFLINE, evaluate, examples, false_alarms
from geophone.prove.runs import BEDS, MAIN, NUISANCES, OTHERS, Crew, Trial, train_all
from geophone.prove.signals import Signals, read_signals
from geophone.prove.tables import Verdict, comparison_table, method_table, verdict
from geophone.store.tables import write_text
from geophone.workers import Progress

DEVELOPMENT = {**dict.fromkeys(MAIN, 10), **dict.fromkeys((*OTHERS, *NUISANCES), 4)}
CONFIRMATION = dict.fromkeys(BEDS, 20)
FIRST_FRESH = 1000
QUICK_BEDS = {**dict.fromkeys(MAIN, 3), **dict.fromkeys(("superposition", "new_classes", "lr3", "plain"), 2)}
FIRST_QUICK = 500
FROZEN = "frozen.json"
NEEDED = ("methods", "comparisons", "nuisances", "verdict")
_DIGITS = 4
Tables = Mapping[str, pd.DataFrame]


def trials(counts: Mapping[str, int], *, first: int) -> list[Trial]:
    """So many seeds of each testbed, counted from `first`."""
    return [Trial(bed, seed) for bed, count in counts.items() for seed in range(first, first + count)]


def develop(out: Path, *, workers: int = 2, ray: str | None = None, on_progress: Progress | None = None) -> Tables:
    """Train the development seeds under `out`, choose, and write frozen.json beside the tables of what was chosen from.

    The tables describe the seeds that the choice was made on, so they flatter it. Finished runs are kept: run again,
    it goes on where it was. `workers` processes train, or the Ray cluster at the address `ray`. Raises GeophoneError
    when a run failed.
    """
    runs = _trained(trials(DEVELOPMENT, first=0), out, Crew(workers, ray, on_progress))
    choice = choose(runs)
    freeze(choice, out / FROZEN)
    return _written(runs, choice, out)


def confirm(
    out: Path, *, frozen: Path, workers: int = 2, ray: str | None = None, on_progress: Progress | None = None
) -> Tables:
    """Train 20 fresh seeds of every testbed under `out`, and test on them what `frozen` holds, changing nothing.

    Raises StoreError when the file was changed since it was frozen, before anything is trained, and InputError when a
    fresh seed is one that the choice was made on.
    """
    choice = read_frozen(frozen)
    fresh = trials(CONFIRMATION, first=FIRST_FRESH)
    if seen := sorted(set(choice.seeds) & {trial.seed for trial in fresh}):
        raise InputError(f"seeds {seen} were used in development; a confirmation needs fresh ones.")
    return _written(_trained(fresh, out, Crew(workers, ray, on_progress)), choice, out)


def quick(out: Path, *, frozen: Path | None = None, workers: int = 2, on_progress: Progress | None = None) -> Tables:
    """A small version, in a few minutes: three seeds of the main testbeds, two of two others and of a nuisance, with
    the methods of `frozen`, or those chosen on these very seeds when there is no such file.

    It shows what the whole does; the seeds are too few to say anything.
    """
    runs = _trained(trials(QUICK_BEDS, first=FIRST_QUICK), out, Crew(workers, on_progress=on_progress))
    return _written(runs, choose(runs) if frozen is None else read_frozen(frozen), out)


def _trained(wanted: Sequence[Trial], out: Path, crew: Crew) -> list[Signals]:
    return [read_signals(folder) for folder in train_all(wanted, out, crew)]


def _written(runs: Sequence[Signals], choice: Choice, out: Path) -> Tables:
    rng = np.random.default_rng(0)
    rows = evaluate(runs, choice, rng=rng)
    tables = {"runs": rows, "methods": method_table(rows, rng=rng), "comparisons": comparison_table(rows, rng=rng)}
    wide = rows[rows["track"] == OFFLINE].pivot(index=["bed", "seed"], columns="method", values="recall")
    tables["recall"] = wide.reset_index()
    tables["nuisances"] = false_alarms(runs, choice)
    tables["examples"] = examples(runs, choice)
    tables["verdict"] = _verdict_table(verdict(tables["methods"], tables["comparisons"], choice))
    for name, table in tables.items():
        write_text(out / f"{name}.csv", table.to_csv(index=False, float_format=f"%.{_DIGITS}g"))
    return tables


def read_tables(folder: Path) -> Tables:
    """The tables that `develop`, `confirm` or `quick` wrote: methods, comparisons, nuisances and verdict, and, where
    they are there, recall, runs and examples. Raises InputError when one of the first four is not there."""
    missing = [name for name in NEEDED if not (folder / f"{name}.csv").is_file()]
    if missing:
        raise InputError(f"{folder} has no {', '.join(missing)}: run geophone prove first.")
    there = [name for name in (*NEEDED, "recall", "runs", "examples") if (folder / f"{name}.csv").is_file()]
    return {name: pd.read_csv(folder / f"{name}.csv") for name in there}


def _verdict_table(found: Verdict) -> pd.DataFrame:
    row = asdict(found)
    row |= {f"difference_{key}": value for key, value in row.pop("difference").items()}
    return pd.DataFrame([row | {name: " ".join(row[name]) for name in ("reached", "gained")}])
