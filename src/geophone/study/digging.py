"""The digs of a study: which there are to be, and the task that makes one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from geophone.dig.run import DigOptions, dig, is_dug, target_of
from geophone.dig.select import selected
from geophone.engine import Ended, Outcome, Progress, Task, run_local, run_ray
from geophone.errors import StoreError
from geophone.opening import open as open_folder
from geophone.records import Target, target_name
from geophone.store.study import Study
from geophone.study.file import DigSettings


def options_of(settings: DigSettings) -> DigOptions:
    return DigOptions(**settings.model_dump(exclude={"every"}))


def dig_stage(
    study: Study,
    options: DigOptions,
    chosen: pd.DataFrame,
    *,
    workers: int = 1,
    ray: str | None = None,
    on_progress: Progress = lambda name, done, of: None,
    on_end: Ended = lambda outcome: None,
) -> list[Path]:
    """Dig at the targets in `chosen` (rows of `selected`) that are not there yet, `workers` at a time or on the Ray
    cluster at `ray`; writes digs/chosen.parquet and returns the digs' folders. Raises StoreError when some failed; the
    others are complete."""
    targets = [target_of(row) for row in chosen.to_dict("records")]
    study.write("digs/chosen", chosen)
    tasks = dig_tasks(study, targets, options)
    told = {"on_progress": on_progress, "on_end": on_end}
    if ray is not None and tasks:
        outcomes = run_ray(tasks, address=ray, **told)
    else:
        outcomes = run_local(tasks, workers=workers, **told) if tasks else []
    _check(outcomes, len(targets))
    return [study.folder / "digs" / target_name(t.run, t.layer, t.step) for t in targets]


def dig_tasks(study: Study, targets: Sequence[Target], options: DigOptions) -> list[Task]:
    """A task for each of `targets` that is not dug yet."""
    return [
        Task(
            target_name(t.run, t.layer, t.step),
            ensure_dug,
            {"folder": study.folder.resolve(), "target": asdict(t), "options": asdict(options)},
        )
        for t in targets
        if not is_dug(study, t, options)
    ]


def ensure_dug(folder: Path, target: dict, options: dict, *, tell: Callable[[int, int], None]) -> None:
    """Leave the dig of `target` finished; nothing if it is there."""
    dig(open_folder(folder), Target(**target), options=DigOptions(**options), on_moment=tell)


def chosen_targets(study: Study, settings: DigSettings) -> pd.DataFrame:
    """What a study's settings select; empty when no jump was found anywhere."""
    table = study.targets()
    return table if table.empty else selected(study, every=settings.every)


def _check(outcomes: list[Outcome], of: int) -> None:
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        raise StoreError(
            f"{len(failed)} of {of} digs failed; the others are complete, and running again goes on. "
            f"{failed[0].name}: {failed[0].error}"
        )
