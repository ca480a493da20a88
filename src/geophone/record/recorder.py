"""The recorder: a live model in, rows on disk out. A thin shell around probe, capture and dimensions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geophone.dimensions import chosen, read
from geophone.errors import InputError
from geophone.record.capture import ActivationCapture
from geophone.record.checkpoints import save_checkpoint
from geophone.record.layers import plan
from geophone.record.probe import Probe, model_device
from geophone.record.schedule import Schedule
from geophone.store.manifest import Manifest, versions_here
from geophone.store.writer import RunWriter


class Recorder:
    """Records the dimensionality of a model's layers while it trains, in any loop.

    with Recorder(model, probe, out="runs/mine", every=5) as recorder:
        for x, y in loader:
            loss = train_step(x, y)
            recorder.step(loss=loss.item())

    `probe` is one held-out batch (tensor, tuple of arguments, or mapping of keywords), read whole, in eval mode;
    a layer with positions (images, sequences) draws rows/len(probe) of them per sample, the same at every step.
    `every` is a number of steps or a `Schedule`. `layers` holds module paths, globs, modules or types (default:
    blocks, and weight layers outside them); `views` one view for all, or a mapping from path or glob to view;
    `dimensions` names from the catalogue (default: all). `name` defaults to the folder's name, `about` is kept in
    the manifest as it is. Hooks exist only while a measurement runs, and train flags, buffers and random state
    are put back: a training with a recorder ends in the same weights, bit for bit, as without.

    Raises InputError for a model or probe that cannot be recorded and for an `out` that is not new or empty,
    before anything is written there.
    """

    def __init__(
        self,
        model: nn.Module,
        probe,
        *,
        out: str | Path,
        every: int | Schedule = 5,
        layers: Iterable[str | type | nn.Module] | None = None,
        views: str | Mapping[str, str] | None = None,
        rows: int = 1024,
        dimensions: Sequence[str] | None = None,
        name: str | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self._model = model
        self._schedule = every if isinstance(every, Schedule) else Schedule(every)
        self._probe = Probe(probe).to(model_device(model))
        self._names = tuple(d.name for d in chosen(dimensions))
        self._plan = plan(model, self._probe, layers=layers, views=views, rows=rows)
        self._steps = self._index = 0
        self._open = True
        self._writer = RunWriter(Path(out))
        self._writer.begin(
            Manifest(
                name=name or Path(out).name,
                about=dict(about or {}),
                schedule={"every": self._schedule.every},
                layers=self._plan.layers,
                rows=rows,
                probe={"samples": self._probe.samples, "digest": self._probe.digest()},
                definitions={d.name: d.version for d in chosen(self._names)},
                versions=versions_here(),
                threads=torch.get_num_threads(),
            )
        )

    @property
    def due(self) -> bool:
        """Whether the step being trained now will be measured when `step` is called."""
        return self._schedule.due(self._steps + 1)

    @property
    def folder(self) -> Path:
        return self._writer.folder

    def step(self, **scalars: float) -> None:
        """Count one update of the model, measure it when it is due, and keep `scalars` by name.

        Raises InputError for a scalar that is not a number, and after `close`.
        """
        if not self._open:
            raise InputError("this recorder is closed; open a new one on a new folder.")
        self._steps += 1
        due = self._schedule.due(self._steps)
        series = self._measure() if due else []
        row = {"index": self._index if due else math.nan, "step": self._steps} | _floats(scalars)
        self._writer.add(series, row if scalars or due else None)
        self._index += due

    def checkpoint(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Keep the weights of this moment, with the optimizer's state and the random state beside them."""
        digest = save_checkpoint(self.folder, self._steps, model=self._model, optimizer=optimizer)
        self._writer.checkpoint(self._steps, digest)

    def close(self, status: str = "finished", *, note: str = "", results: Mapping[str, float] | None = None) -> None:
        """Write what is still in memory and end the run; `results` go into the manifest. Twice does nothing."""
        if self._open:
            self._open = False
            counts = {"steps": self._steps, "measurements": self._index}
            self._writer.finish(status, note=note, results=_floats(results or {}), **counts)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind, error, _) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, KeyboardInterrupt):
            self.close("interrupted", note=f"stopped by hand after step {self._steps}")
        else:
            self.close("failed", note=f"{kind.__name__} after step {self._steps}: {error}"[:500])

    def _measure(self) -> list[dict[str, Any]]:
        with ActivationCapture(self._model, self._plan.select) as capture:
            self._probe.forward(self._model)
        rows = []
        for layer in self._plan.layers:
            reading = read(self._plan.readers[layer.name](capture[layer.name]), names=self._names)
            rows.append(
                {
                    "index": self._index,
                    "step": self._steps,
                    "probe": "main",
                    "layer": layer.name,
                    "depth": layer.depth,
                    "status": reading.status,
                    **reading.values,
                }
            )
        return rows


def _floats(scalars: Mapping[str, float]) -> dict[str, float]:
    reserved = sorted({"index", "step"} & set(scalars))
    if reserved:
        raise InputError(f"scalars cannot be called {', '.join(reserved)}; the recorder counts those itself.")
    try:
        return {name: float(value) for name, value in scalars.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        kinds = {name: type(value).__name__ for name, value in scalars.items()}
        raise InputError(f"every scalar must be one number; got {kinds}.") from error
