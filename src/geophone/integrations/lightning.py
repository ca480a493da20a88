"""A Lightning callback."""

from pathlib import Path
from typing import Any

from geophone.errors import InputError
from geophone.record.recorder import Recorder

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise InputError("the Lightning callback needs lightning: pip install 'geophone[lightning]'.") from error


class GeophoneCallback(Callback):
    """Records a LightningModule while a Trainer fits it: one `Recorder.step` an optimizer step.

    `probe`, `out` and `options` are `Recorder`'s. Gradient accumulation counts once an update. The scalars are the
    loss of the last batch and what the module logs by `self.log`. Outside rank 0 nothing is recorded. An exception in
    training closes the run as "failed", Ctrl-C as "interrupted".
    """

    def __init__(self, probe: Any, *, out: str | Path, **options: Any) -> None:
        self._probe, self._out, self._options = probe, out, options
        self.recorder: Recorder | None = None
        self._seen = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.recorder = Recorder(pl_module, self._probe, out=self._out, **self._options)
        self._seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.recorder is None or trainer.global_step == self._seen:
            return
        self._seen = trainer.global_step
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        logged = {k: float(v) for k, v in trainer.callback_metrics.items() if k not in ("loss", "index", "step")}
        self.recorder.step(**({} if loss is None else {"loss": float(loss)}), **logged)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.recorder is not None:
            self.recorder.close("interrupted" if trainer.interrupted else "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.recorder is not None:
            self.recorder.__exit__(type(exception), exception, None)
