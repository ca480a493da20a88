"""A Lightning callback."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from geophone.errors import InputError
from geophone.integrations.resuming import resumes
from geophone.record.recorder import Recorder

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise InputError("the Lightning callback needs lightning: pip install 'geophone[lightning]'.") from error

_COUNTED = ("index", "step")


class GeophoneCallback(Callback):
    """Records a LightningModule while a Trainer fits it: one `Recorder.step` per batch that updated it.

    `probe`, `out` and `options` are `Recorder`'s. The step is the Trainer's own `global_step`, also after a fit was
    resumed with `ckpt_path`; a run that is in `out` already is then continued, unless `resume=False` says otherwise.
    Gradient accumulation counts once per update; with several optimizers each of their steps counts, as in the Trainer.
    `module` is the path of the part that is read ("net"): needed where the LightningModule has no `forward` and more
    than one part with weights. The scalars are the loss of the last batch, what else `training_step` returned by name,
    and what the module logs by `self.log`. Outside rank 0 nothing is recorded. An exception in training closes the run
    as "failed", Ctrl-C as "interrupted".
    """

    def __init__(self, probe: Any, *, out: str | Path, module: str | None = None, **options: Any) -> None:
        self._probe, self._out, self._module, self._options = probe, out, module, options
        self.recorder: Recorder | None = None
        self._seen = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seen = trainer.global_step
        options = {"start": self._seen, "at_start": self._seen == 0, **self._options}
        options["resume"] = resumes(self._out, self._options.get("resume"), start=self._seen)
        self.recorder = Recorder(self._read(pl_module), self._probe, out=self._out, **options)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        updates = trainer.global_step - self._seen
        if self.recorder is None or updates < 1:
            return
        self._seen = trainer.global_step
        logged = {k: float(v) for k, v in trainer.callback_metrics.items() if k not in ("loss", *_COUNTED)}
        self.recorder.steps(updates, **_returned(outputs) | logged)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.recorder is not None:
            self.recorder.close("interrupted" if trainer.interrupted else "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.recorder is not None:
            self.recorder.__exit__(type(exception), exception, None)

    def _read(self, pl_module: LightningModule) -> nn.Module:
        """The part that is read."""
        if self._module is not None:
            parts = dict(pl_module.named_modules())
            if self._module not in parts:
                raise InputError(f"module={self._module!r}: the LightningModule has {', '.join(list(parts)[1:9])}.")
            return parts[self._module]
        if type(pl_module).forward not in (LightningModule.forward, nn.Module.forward):
            return pl_module
        parts = {name: part for name, part in pl_module.named_children() if any(True for _ in part.parameters())}
        if len(parts) != 1:
            names = ", ".join(parts) or "none"
            raise InputError(f"the LightningModule has no forward(); name the part to read with module= ({names}).")
        return next(iter(parts.values()))


def _returned(outputs: Any) -> dict[str, float]:
    """The numbers that a training step returned, by name."""
    named = outputs if isinstance(outputs, dict) else {"loss": outputs}
    return {
        str(name): float(value.detach()) if isinstance(value, torch.Tensor) else float(value)
        for name, value in named.items()
        if name not in _COUNTED and (isinstance(value, int | float) or _is_number(value))
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex()
