"""A testbed: a network in training whose events are clocked as it goes, and the run that it leaves on disk."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.dimensions.unbiased import unbiased_inner
from geophone.prove.events import Event, event_table
from geophone.record.capture import ActivationCapture
from geophone.record.layers import plan
from geophone.record.probe import Probe, undisturbed
from geophone.record.recorder import Recorder
from geophone.record.what import What
from geophone.store.tables import write_table
from geophone.training import Objective, Training, supervised
from geophone.zoo.tasks import Batch

CURVE = "curve:"
TURN = "turn{lag}:"
LAGS = (1, 4)
ROWS = 256


def _nothing(step: int) -> None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """One training of a testbed, ready for step 1, and the clock that says when its events happen.

    `batch(rng)` gives x and y, `loss(output, y)` a scalar, `probe` is a held-out batch with answers. `curves(model)`
    are the clock's readings by name (never a dimension of a representation); `events(table)` turns their table (index
    step) into events. `before_step(step)` is where a testbed intervenes; `optimizer` may be changed there.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batch: Callable[[np.random.Generator], Batch]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    probe: Batch
    steps: int
    every: int
    curves: Callable[[nn.Module], Mapping[str, float]]
    events: Callable[[pd.DataFrame], Sequence[Event]]
    layers: Sequence[str] | None = None
    views: str | Mapping[str, str] | None = None
    before_step: Callable[[int], None] = _nothing
    about: Mapping[str, object] = field(default_factory=dict)


def record(setting: Setting, *, out: Path, name: str, seed: int, tell: Callable[[int, int], None]) -> None:
    """Train `setting`, record it as a run in `out`, and write events.parquet beside the series.

    Scalars at every step: loss. At measured steps also probe_loss, gradient_norm, weight_norm, update_norm (Euclidean,
    over all parameters), the clock's curves ("curve:NAME"), and for every layer 1 - CKA with itself 1 and 4
    measurements before ("turn1:LAYER", "turn4:LAYER"). The batch of step t depends on (seed, t) alone.
    """
    about = {"testbed": name, "seed": seed, "total_steps": setting.steps, **setting.about}
    training = Training(setting.model, setting.optimizer, _objective(setting), seed)
    turns = Turns(setting)
    readings: list[dict[str, float]] = []
    recorder = Recorder(
        setting.model,
        setting.probe[0],
        out=out,
        every=setting.every,
        layers=setting.layers,
        views=setting.views,
        rows=ROWS,
        alarms=None,
        name=f"{name}-{seed}",
        about=about,
    )
    with recorder:
        for step in range(1, setting.steps + 1):
            setting.before_step(step)
            due = recorder.due
            scalars = dict(training.step(norms=due).scalars)
            if due:
                seen = _read(setting)
                readings.append({"step": step, **seen})
                scalars |= turns.read() | {CURVE + key: value for key, value in seen.items() if key != "probe_loss"}
                scalars["probe_loss"] = seen["probe_loss"]
            recorder.step(**scalars)
            tell(step, setting.steps)
    curves = pd.DataFrame(readings).set_index("step").drop(columns="probe_loss")
    write_table(out / "events.parquet", event_table(setting.events(curves)))


def _objective(setting: Setting) -> Objective:
    return supervised(setting.model, lambda rng, step: setting.batch(rng), setting.loss)


def _read(setting: Setting) -> dict[str, float]:
    with undisturbed(setting.model), torch.no_grad():
        x, y = setting.probe
        loss = float(setting.loss(setting.model(x), y))
        return {**setting.curves(setting.model), "probe_loss": loss}


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A representation X (n, d), centred, with the squared lengths of its rows and its HSIC with itself."""

    x: torch.Tensor
    lengths: torch.Tensor
    own: float


class Turns:
    """How far every layer's representation of the probe has turned: 1 - debiased CKA (`dimensions.similarity`) with
    itself some measurements ago. What was computed of a measurement is kept for the later ones."""

    def __init__(self, setting: Setting) -> None:
        self._model, self._probe = setting.model, Probe(setting.probe[0])
        self._plan = plan(self._model, self._probe, What(layers=setting.layers, views=setting.views, rows=ROWS))
        self._capture = ActivationCapture(self._model, self._plan.select, keep=self._plan.keep)
        self._past: deque[dict[str, _Seen]] = deque(maxlen=max(LAGS))

    def read(self) -> dict[str, float]:
        """The turns of this measurement, by scalar name; those that reach back before the first are left out."""
        with self._capture as capture:
            self._probe.forward(self._model)
            now = {name: _seen(capture[name]) for name in capture.names}
            capture.clear()
        lags = [lag for lag in LAGS if lag <= len(self._past)]
        found = {TURN.format(lag=lag) + name: _turn(now[name], self._past[-lag][name]) for lag in lags for name in now}
        self._past.append(now)
        return found


def _seen(output: torch.Tensor) -> _Seen:
    x = output.double()
    x = x - x.mean(0)
    lengths = x.square().sum(1)
    return _Seen(x, lengths, _hsic(x, x, lengths, lengths))


def _turn(now: _Seen, then: _Seen) -> float:
    both = now.own * then.own
    return 1 - _hsic(now.x, then.x, now.lengths, then.lengths) / both**0.5 if both > 0 else float("nan")


def _hsic(a: torch.Tensor, b: torch.Tensor, lengths_a: torch.Tensor, lengths_b: torch.Tensor) -> float:
    return unbiased_inner(
        len(a),
        frobenius=float((a.T @ b).square().sum()),
        diagonal=float(lengths_a @ lengths_b),
        traces=float(lengths_a.sum() * lengths_b.sum()),
    )
