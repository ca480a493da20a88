"""Opening what is on disk, without loading torch before a network is asked for."""

from pathlib import Path

from geophone.store.drawing import Drawing
from geophone.store.run import Run
from geophone.store.study import Study, open_folder


def open(folder: Path | str) -> Run | Study:
    """The run or the study in `folder`; a Study is iterable over its runs. Raises StoreError when it holds neither."""
    return open_folder(folder, replay=_replay, drawer=_charts)


def _replay(run: Run, step: int, model=None):
    from geophone._train import replay

    return replay(run, step, model)


def _charts() -> Drawing:
    from geophone import plots

    return plots
