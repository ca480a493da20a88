"""Loggers for experiment trackers, to be given to a recorder as `on_record`.

Each is called with one flat dict per measurement and logs its numbers as "geophone/stable_rank/conv1" at the training
step that they belong to, without moving the step at which the trainer's own curves stand. A value that is not finite
(that of a dead layer) is left out. Nothing is imported but what the caller made: a run, a writer, a client.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["MLflowLogger", "TensorBoardLogger", "TrackioLogger", "WandbLogger"]

_PREFIX = "geophone/"


def _values(record: Mapping[str, float]) -> dict[str, float]:
    return {f"{_PREFIX}{name}": v for name, v in record.items() if name != "step" and math.isfinite(v)}


class WandbLogger:
    """`WandbLogger(wandb.init(...))`: a Weights & Biases run.

    Charts stand over "geophone/step", the training step. W&B counts a step of its own for each row that is committed;
    a measurement is therefore put into the row that the trainer commits next. Where the trainer has committed none
    since the last measurement, that one is committed first, and W&B's own step then moves by one: log with `step=` and
    the training step in a loop that logs less often than it is measured. Not for a loop whose `step=` counts epochs:
    W&B drops what is logged at a step that is behind its own; give it a metric of its own for them.
    """

    def __init__(self, run: Any) -> None:
        self._run, self._waiting = run, -1
        run.define_metric(f"{_PREFIX}step", hidden=True)
        run.define_metric(f"{_PREFIX}*", step_metric=f"{_PREFIX}step")

    def __call__(self, record: Mapping[str, float]) -> None:
        if self._run.step == self._waiting:
            self._run.log({}, commit=True)
        self._waiting = self._run.step
        self._run.log({f"{_PREFIX}step": int(record["step"]), **_values(record)}, commit=False)


class TrackioLogger:
    """`TrackioLogger(trackio.init(...))`: a trackio run.

    A log without `step=` stands one after the greatest step so far, so a measurement at step 100 sends the trainer's
    next one to 101, as it should be where one is logged per update. In a loop that logs less often give trackio its
    `step=`.
    """

    def __init__(self, run: Any) -> None:
        self._run = run

    def __call__(self, record: Mapping[str, float]) -> None:
        self._run.log(_values(record), step=int(record["step"]))


class TensorBoardLogger:
    """`TensorBoardLogger(SummaryWriter(...))`: a writer of torch.utils.tensorboard, or one that has its add_scalar."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def __call__(self, record: Mapping[str, float]) -> None:
        for name, value in _values(record).items():
            self._writer.add_scalar(name, value, int(record["step"]))


class MLflowLogger:
    """`MLflowLogger(mlflow)`: the active run of the module, or of whatever else has its `log_metrics`.

    MLflow's names have no "+" and no "@": the update "blocks.3+" is called "blocks.3 update", the second call
    "cell@2" is called "cell:2", and any other sign becomes "_".
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self, record: Mapping[str, float]) -> None:
        self._client.log_metrics({_plain(k): v for k, v in _values(record).items()}, step=int(record["step"]))


def _plain(name: str) -> str:
    return re.sub(r"[^\w\-./: ]", "_", name.replace("+", " update").replace("@", ":"))
