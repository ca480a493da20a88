"""Training a testbed with the package's own recorder, and writing the truth where no method looks."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from geophone.prove.bed import Setting
from geophone.prove.truth import write_truth
from geophone.record.probe import undisturbed
from geophone.record.recorder import Recorder
from geophone.signals import ADDED
from geophone.store.tables import replace_file
from geophone.training import Training

WEIGHTS = "weights.npz"
ROWS = 256
# Weights are kept of networks with blocks, for the swap test: one of so many measurements.
WEIGHTS_EVERY = 4


Look = Callable[[int], None]
"""What else is looked at of the network at a measurement (step), where it is in eval mode and whatever it draws is put
back; nothing that changes weights for good."""


def record(
    setting: Setting, out: Path, *, name: str, seed: int, look: Look | None = None, concepts: bool = False
) -> None:
    """Train `setting` under a `Recorder` with the probe's answers as labels, in the run folder `out`, and write the
    truth beside it; for networks with blocks also WEIGHTS ("STEP:PARAMETER").

    Scalars at every step: loss and main_loss. What a block adds is a layer of its own. The batch of step t depends on
    (seed, t) alone. With `concepts` those of the setting are recorded too, which tells what the rankers are to find.
    """
    (x, y), model = setting.probe, setting.model
    blocks = [name for name in setting.layers if _is_block(model, name)]
    training = Training(model, setting.optimizer, setting.objective, seed)
    readings: list[dict[str, float]] = []
    weights: dict[str, np.ndarray] = {}
    recorder = Recorder(
        model,
        x,
        out=out,
        every=setting.every,
        layers=[*setting.layers, *(block + ADDED for block in blocks)],
        rows=ROWS,
        labels=y,
        concepts=dict(setting.concepts) if concepts else None,
        alarms=False,
        sync=True,
        name=f"{name}-{seed:04d}",
        about={"testbed": name, "seed": seed},
    )
    with recorder:
        for step in range(1, setting.steps + 1):
            setting.before_step(step)
            due, update = recorder.due, training.step()
            recorder.step(**{"main_loss": update.loss, **update.scalars})
            if due:
                with undisturbed(model), torch.no_grad():
                    readings.append({"step": step, **setting.clock.curves()})
                    if look is not None:
                        look(step)
                if blocks and len(readings) % WEIGHTS_EVERY == 0:
                    weights |= {f"{step}:{key}": t.numpy().copy() for key, t in model.state_dict().items()}
    if weights:
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **weights)
        replace_file(out / WEIGHTS, lambda path: path.write_bytes(packed.getvalue()))
    write_truth(out, setting.clock, readings)


def _is_block(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), nn.ModuleList)
