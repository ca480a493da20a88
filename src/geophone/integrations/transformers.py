"""A callback for the Trainer of Hugging Face's transformers."""

from pathlib import Path
from types import TracebackType
from typing import Any

from torch import nn

from geophone.errors import InputError
from geophone.integrations.resuming import resumes
from geophone.record.recorder import Recorder

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError as error:
    raise InputError("the Trainer callback needs transformers: pip install 'geophone[hf]'.") from error

# What an evaluation says of its own speed is no scalar of the training.
_CLOCKS = ("_runtime", "_per_second")


class GeophoneCallback(TrainerCallback):
    """Records a model while a `transformers.Trainer` trains it: one `Recorder.step` per optimizer step.

    `probe` is usually a mapping such as {"input_ids": ...}; `out` and `options` are `Recorder`'s. The step is the
    Trainer's own `global_step`, also after `resume_from_checkpoint`; a run that is in `out` already is then continued,
    unless `resume=False` says otherwise. The Trainer tells a callback the loss when it logs, every `logging_steps`: the
    mean since the last time, recorded at the following step (set logging_steps=1 for every step), as are losses and
    metrics of evaluations. The Trainer does not tell callbacks of an exception: use the callback as a context manager
    around `trainer.train()` to close the run then, or the run opens as "interrupted".
    """

    def __init__(self, probe: Any, *, out: str | Path, **options: Any) -> None:
        self._probe, self._out, self._options = probe, out, options
        self._logged: dict[str, float] = {}
        self._seen = 0
        self.recorder: Recorder | None = None

    def __enter__(self) -> "GeophoneCallback":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.recorder is not None:
            self.recorder.__exit__(kind, error, trace)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        if model is None:
            raise InputError("the Trainer gave its callback no model; this release of transformers cannot be recorded.")
        self._seen = state.global_step
        options = {"start": self._seen, "at_start": self._seen == 0, **self._options}
        options["resume"] = resumes(self._out, self._options.get("resume"), start=self._seen)
        self.recorder = Recorder(model, self._probe, out=self._out, **options)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._logged |= {name: float(value) for name, value in (logs or {}).items() if _is_kept(name, value)}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        scalars, self._logged = self._logged, {}
        updates, self._seen = state.global_step - self._seen, state.global_step
        if self.recorder is not None and updates > 0:
            self.recorder.steps(updates, **scalars)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.recorder is not None:
            self.recorder.close()


def _is_kept(name: str, value: Any) -> bool:
    known = name in ("loss", "grad_norm", "learning_rate") or name.startswith("eval_")
    return known and isinstance(value, int | float) and not name.endswith(_CLOCKS)
