"""A callback for the Trainer of Hugging Face's transformers."""

from pathlib import Path
from typing import Any

from geophone.errors import InputError
from geophone.record.recorder import Recorder

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise InputError("the Trainer callback needs transformers: pip install 'geophone[hf]'.") from error


class GeophoneCallback(TrainerCallback):
    """Records a model while a `transformers.Trainer` trains it: one `Recorder.step` an optimizer step.

    `probe` is usually a mapping such as {"input_ids": ...}; `out` and `options` are `Recorder`'s. The Trainer tells a
    callback the loss when it logs, every `logging_steps`: the mean since the last time, recorded at the following
    step (set logging_steps=1 for every step). The Trainer does not tell callbacks of an exception: use the callback as
    a context manager around `trainer.train()` to close the run then, or the run opens as "interrupted".
    """

    def __init__(self, probe: Any, *, out: str | Path, **options: Any) -> None:
        self._probe, self._out, self._options = probe, out, options
        self._logged: dict[str, float] = {}
        self.recorder: Recorder | None = None

    def __enter__(self) -> "GeophoneCallback":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if self.recorder is not None:
            self.recorder.__exit__(kind, error, trace)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model=None, **kwargs: Any
    ) -> None:
        self.recorder = Recorder(model, self._probe, out=self._out, **self._options)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **kwargs: Any
    ) -> None:
        known = ("loss", "grad_norm", "learning_rate")
        self._logged |= {name: float(value) for name, value in (logs or {}).items() if name in known}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        scalars, self._logged = self._logged, {}
        if self.recorder is not None:
            self.recorder.step(**scalars)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.recorder is not None:
            self.recorder.close()
