"""Opening what is on disk, without loading torch before a network is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

from geophone.errors import InputError
from geophone.store.drawing import Drawing, Ranking
from geophone.store.run import Run
from geophone.store.study import Study, open_folder

if TYPE_CHECKING:
    from torch.nn import Module


def open(folder: Path | str) -> Run | Study:
    """The run or the study in `folder`; a Study is iterable over its runs. Raises StoreError when it holds neither."""
    return open_folder(folder, replay=_replay, drawer=_charts, ranker=_ranking)


def open_run(folder: Path | str) -> Run:
    """The run in `folder`. Raises StoreError when it holds none, InputError when it holds a study."""
    opened = open(folder)
    if isinstance(opened, Study):
        raise InputError(f"{folder} is a study; give one of its runs, such as {opened.runs[0].folder}.")
    return opened


def _replay(run: Run, step: int, model: "Module | None" = None) -> "Module":
    from geophone._train import replay

    return replay(run, step, model)


def _charts() -> Drawing:
    from geophone import plots

    return plots


def _ranking() -> Ranking:
    from geophone.point import study

    return study
