"""From the runs of a study on disk to the tables of its phenomena."""

import pandas as pd

from geophone.errors import InputError
from geophone.phenomena import Draws, RunSeries, phenomena
from geophone.store.run import Run
from geophone.store.study import Study
from geophone.study.options import DetectOptions
from geophone.workers import Progress


def write_phenomena(
    study: Study, options: DetectOptions, *, on_progress: Progress = lambda *news: None
) -> dict[str, pd.DataFrame]:
    """The phenomena of every run and dimension, and of all runs together; writes `phenomena/*.parquet` and returns the
    tables by kind. Raises InputError when no run has a measurement."""
    runs = [run for run in study if run.has_series]
    if not runs:
        raise InputError(f"{study.folder} holds no run with a measurement.")
    series = [run_series(run) for run in runs]
    done = iter(range(1, len(runs) + 1))
    tables = phenomena(
        series,
        [[fork.all_series() for fork in group] for group in fork_groups(study)],
        draws=Draws(options.surrogates, options.seed),
        headline=options.headline,
        on_run=lambda name: on_progress("detect", next(done), len(runs)),
    )
    for kind, table in tables.items():
        study.write(f"phenomena/{kind}", table)
    return tables


def run_series(run: Run) -> RunSeries:
    """What the detectors need of a run."""
    about = {key: value for key, value in run.manifest.about.items() if key in ("experiment", "architecture", "task")}
    series = {name: run.placed(table) for name, table in run.all_series().items()}
    return RunSeries(run.name, run.layers, run.total_steps, series, _loss(run), **{k: str(v) for k, v in about.items()})


def _loss(run: Run) -> pd.Series | None:
    """The mean loss since the measurement before, at each measured step; None where the loop gave no loss."""
    scalars = run.scalars()
    if "loss" not in scalars or scalars["loss"].notna().sum() == 0:
        return None
    measured = scalars["index"].notna()
    number = measured[::-1].cumsum()[::-1]
    mean = scalars["loss"].groupby(number).transform("mean")
    return run.placed(mean[measured])


def fork_groups(study: Study) -> list[list[Run]]:
    """The fork replicates of a study: runs that left one run at one step, group by group."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in study.forks:
        made = run.manifest.about.get("fork", {})
        if run.has_series and made:
            groups.setdefault((made["of"], made["at"]), []).append(run)
    return [group for group in groups.values() if len(group) > 1]
