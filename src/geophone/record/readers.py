"""Where a measurement's activations come from: a probe's forward pass, or the training's own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.axes import FIRST
from geophone.record.capture import ActivationCapture
from geophone.record.experts import thinned
from geophone.record.layers import Plan, plan, settled
from geophone.record.probe import Probe, as_probe, bare, is_compiled, is_lazy, model_device, second_probe
from geophone.record.same import asked
from geophone.record.scoring import Scored
from geophone.record.selection import selection
from geophone.record.state import restored
from geophone.record.what import What

Rows = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Caught:
    """What was read at one measurement: rows by layer, those of the noise batch where it was read too, and what the
    model's output said. `routed` is the number of rows before they were thinned, of layers that get what is routed to
    them."""

    rows: Rows
    noise: Rows | None = None
    scored: Scored | None = None
    routed: Mapping[str, int] = field(default_factory=dict)


# From the number of a measurement to what it caught.
Reading = Callable[[int], Caught]


class Reader(Protocol):
    """What a recorder asks of a source of activations. `steady` says that every measurement is of the same samples, so
    that they can be compared one by one."""

    steady: bool

    def prepare(self, *, measured: bool = True) -> None:
        """The step that comes next will be measured; or not, but what is read is still to be known."""

    def plan(self) -> Plan | None:
        """What is read, layer by layer; None while that cannot be known."""

    def reading(self, plan: Plan) -> Reading:
        """What reads one measurement by `plan`, after `prepare` and the step."""

    def describe(self) -> dict[str, Any]:
        """What a manifest says of the samples."""

    def close(self) -> None:
        """Leave nothing in the model."""


class ProbeReader:
    """Reads a held-out batch in a forward pass of its own, in eval mode, and the noise batch at its own cadence.

    A lazily built model is first read after the training's first step: see `is_lazy`. Raises InputError for a batch
    that is no probe, and for a noise batch that does not go with it.
    """

    steady = True

    def __init__(self, model: nn.Module, batch: Any, what: What) -> None:
        self._model, self._what = model, what
        self._probe = as_probe(batch).to(model_device(model))
        self._noise = None if what.noise is None else second_probe(what.noise, self._probe)

    def prepare(self, *, measured: bool = True) -> None:
        """Nothing: the forward pass is made when it is asked for."""

    def plan(self) -> Plan | None:
        return None if is_lazy(self._model) else plan(self._model, self._probe, self._what)

    def reading(self, plan: Plan) -> Reading:
        parts = self._probe.parts(self._what.batch)
        captures = [(part, plan.part(part).capture(self._model)) for part in parts]
        scorer, routed = plan.scorer, {v.name: v.rows for v in plan.layers if v.view == "routed"}

        def passes(probe: Probe, rows: dict[str, list[torch.Tensor]]) -> Iterator[tuple[slice, Any]]:
            """Forward, part by part: every output, while the rows of the layers gather in `rows`."""
            for part, capture in captures:
                piece, output = probe if len(parts) == 1 else probe.part(part), None
                with capture, restored(plan.protected), plan.alone(part):
                    output = piece.to(model_device(self._model)).forward(self._model)
                for name in capture.names:
                    rows.setdefault(name, []).append(capture[name])
                capture.clear()
                yield part, output

        def rows_of(probe: Probe, score: Callable[[Iterator[tuple[slice, Any]]], Scored]) -> Caught:
            caught: dict[str, list[torch.Tensor]] = {}
            scored = score(passes(probe, caught))
            rows = _joined(caught, len(parts), routed)
            counts = {name: len(rows[name]) for name in routed if name in rows}
            return Caught(rows | {name: thinned(rows[name], routed[name]) for name in counts}, None, scored, counts)

        def read(measurement: int) -> Caught:
            caught = rows_of(self._probe, _unscored if scorer is None else scorer)
            if self._noise is None or measurement % self._what.noise_every:
                return caught
            return replace(caught, noise=rows_of(self._noise, _unscored).rows)

        return read

    def describe(self) -> dict[str, Any]:
        return held_out(self._probe, self._noise, self._what)

    def close(self) -> None:
        """Nothing: hooks are gone after each pass."""


def _joined(caught: dict[str, list[torch.Tensor]], parts: int, routed: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """The rows of every layer that ran in all parts, or in some of them where rows are `routed`; `caught` is empty
    then."""
    rows: dict[str, torch.Tensor] = {}
    for name in list(caught):
        pieces = caught.pop(name)
        if len(pieces) == parts or name in routed:
            rows[name] = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    return rows


def _unscored(outputs: Iterator[tuple[slice, Any]]) -> Scored:
    """Have all passes done; nothing is made of the outputs."""
    for _ in outputs:
        pass
    return Scored(None, None)


class BatchReader:
    """Listens to the forward pass of a training step.

    Of several forward passes in train mode with gradients the last one counts; passes in eval mode or without
    gradients (a validation loop) do not. The plan is made of the first batch that is heard. Activations are as in
    training, with dropout and the batch's own normalisation. Raises InputError for compiled models, whose hooks do not
    fire, and for what speaks of a probe's samples (a noise batch, labels, concepts), which in-band recording has none
    of.
    """

    steady = False

    def __init__(self, model: nn.Module, what: What) -> None:
        if what.of_probe:
            raise InputError(f"{', '.join(what.of_probe)}: goes with a probe batch; in-band recording has none.")
        if is_compiled(model):
            raise InputError("probe='batch' needs hooks, which compiled code does not run; give a probe batch instead.")
        self._model, self._what = bare(model), what
        self._chosen = selection(self._model, what)
        modules = list(self._chosen.modules)
        self._capture = ActivationCapture(self._model, modules, keep=self._keep, added=self._chosen.updates)
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self._listening = self._whole = self._measured = False
        self._plan: Plan | None = None

    def prepare(self, *, measured: bool = True) -> None:
        """Put the hooks in place for the coming step. Where it is not `measured`, shapes are all that is kept of it."""
        self._measured = measured
        if not self._hooks:
            self._capture.__enter__()
            self._hooks.append(self._model.register_forward_pre_hook(self._begin))

    def plan(self) -> Plan | None:
        outputs = {name: self._capture[name] for name in self._capture.names}
        if self._plan is None and outputs:
            # The batch is what most layers agree on: a first axis that is not the batch is rarely that common.
            sizes = [len(t) for t in outputs.values()]
            samples = max(set(sizes), key=sizes.count)
            shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
            axes = {name: FIRST if shape[0] == samples else None for name, shape in shapes.items()}
            self._plan = replace(settled(shapes, axes, self._chosen, self._what), samples=samples)
        return self._plan

    def reading(self, plan: Plan) -> Reading:
        def read(measurement: int) -> Caught:
            caught = {name: self._capture[name] for name in self._capture.names}
            kept = {name: plan.keep(name, tensor) for name, tensor in caught.items()} if self._whole else caught
            self.close()
            return Caught({name: rows for name, rows in kept.items() if rows is not None})

        return read

    def describe(self) -> dict[str, Any]:
        return {"kind": "batch", **asked(self._what)}

    def close(self) -> None:
        """Take the hooks away."""
        while self._hooks:
            self._hooks.pop().remove()
            self._capture.__exit__()
            self._capture.clear()
        self._listening = False

    def _begin(self, module: nn.Module, args: Any) -> None:
        self._listening = module.training and torch.is_grad_enabled()
        if self._listening:
            self._capture.clear()
            self._whole = self._plan is None

    def _keep(self, name: str, output: torch.Tensor) -> torch.Tensor | None:
        if not self._listening:
            return None
        if not self._measured:
            return torch.empty_like(output, device="meta")
        return output.clone() if self._whole or self._plan is None else self._plan.keep(name, output)


def held_out(probe: Probe, noise: Probe | None, what: What) -> dict[str, Any]:
    """What a manifest says of a probe, of the noise probe beside it, and of what is asked of their samples."""
    second = {"noise_digest": noise.digest(), "noise_every": what.noise_every} if noise else {}
    return {"kind": "held out", "digest": probe.digest(), **second, **asked(what)}


def samples_of(reader: Reader, plan: Plan) -> dict[str, Any]:
    """What the manifest of a run that is read by `plan` says of its samples."""
    put_back = {"put_back": [str(attribute) for attribute in plan.protected]} if plan.protected else {}
    return reader.describe() | {"samples": plan.samples, **put_back}
