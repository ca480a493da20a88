"""Which layers a network has, in the order in which they run, and how each is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.capture import ActivationCapture, select_modules, some
from geophone.record.probe import Probe, bare
from geophone.record.views import View, check_view, default_view, view_of
from geophone.record.what import Views, What
from geophone.records import Layer

# Positions are drawn once from this seed and the layer's depth, so that two recordings of a network agree.
_POSITIONS_SEED = 0x6E0F
CHANNELS_FIRST = (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recorder reads: the modules to hook and, layer by layer, how.

    `samples` is the number of samples it was made for; `overwritten` are layers whose output a later module changes
    in place, so that it must be copied when it is caught.
    """

    select: tuple[str, ...]
    layers: tuple[Layer, ...]
    views: dict[str, View]
    samples: int
    overwritten: frozenset[str] = frozenset()

    def keep(self, name: str, output: torch.Tensor) -> torch.Tensor | None:
        """The rows of `output`, as `ActivationCapture` is to keep them; None for what is not in the plan."""
        if name not in self.views or len(output) != self.samples:
            return None
        matrix = self.views[name](output)
        return matrix.clone() if name in self.overwritten else matrix


def plan(model: nn.Module, probe: Probe, what: What) -> Plan:
    """Run the probe through once, and settle what is recorded.

    Layers are ordered by when they first finish. Raises InputError when the model cannot read the probe, when
    nothing it computes is a tensor with the probe's samples on its first axis, or when a view does not fit.
    """
    inner = bare(model)
    modules = chosen_modules(inner, what)
    versions: dict[str, int] = {}

    def keep(name: str, output: torch.Tensor) -> torch.Tensor:
        versions[name] = _version(output)
        return output

    with ActivationCapture(inner, list(modules.values()), keep=keep) as capture:
        _forward(inner, probe)
    outputs = {name: capture[name] for name in capture.names}
    overwritten = {n for n, t in outputs.items() if versions[n] < 0 or _version(t) != versions[n]}
    return plan_outputs(outputs, modules, samples=probe.samples, what=what, overwritten=overwritten)


def plan_outputs(
    outputs: Mapping[str, torch.Tensor],
    modules: Mapping[str, nn.Module],
    *,
    samples: int,
    what: What,
    overwritten: Iterable[str] = (),
) -> Plan:
    """The plan for layers that put out `outputs` (in order of execution) on a batch of `samples`."""
    names = [name for name, output in outputs.items() if len(output) == samples]
    if not names:
        raise InputError(
            f"none of the layers {', '.join(list(modules)[:8])} put out a tensor with the probe's {samples} "
            "samples on its first axis; choose others with layers=."
        )
    _check_patterns(what.views, names)
    layers: list[Layer] = []
    views: dict[str, View] = {}
    for depth, name in enumerate(names):
        output = outputs[name]
        kind = _kind(name, output, modules[name.partition("@")[0]], what.views)
        rng = np.random.default_rng([_POSITIONS_SEED, depth])
        views[name] = view_of(kind, tuple(output.shape), rows=what.rows, rng=rng)
        matrix = views[name](output)
        shape = tuple(output.shape[1:])
        layers.append(Layer(name, depth, kind, matrix.shape[1], matrix.shape[0], shape))
    select = tuple(dict.fromkeys(n.partition("@")[0] for n in names))
    return Plan(select, tuple(layers), views, samples, frozenset(overwritten))


def chosen_modules(model: nn.Module, what: What) -> dict[str, nn.Module]:
    """The modules that `what` selects, or the default ones. Raises InputError when there are none."""
    modules = default_layers(model) if what.selectors is None else select_modules(model, what.selectors)
    if not modules:
        raise InputError("the model has no layer with weights; name the modules to record with layers=.")
    return modules


def _version(tensor: torch.Tensor) -> int:
    # Inference tensors keep no count of in-place changes; -1 says that nothing is known.
    return -1 if tensor.is_inference() else tensor._version


def default_layers(model: nn.Module) -> dict[str, nn.Module]:
    """What is recorded when nobody says: the blocks of the network, and the weight layers outside them.

    A block is a child with weights of an `nn.ModuleList` (its output is, in transformers, the residual stream);
    a weight layer is a module without children that owns a parameter of two or more axes. Norms, activations
    and dropout are neither.
    """
    modules: dict[str, nn.Module] = {}
    blocks: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(block + ".") for block in blocks)
        if isinstance(module, nn.ModuleList) and not inside:
            for child, block in module.named_children():
                if any(True for _ in block.parameters()):
                    blocks.append(f"{name}.{child}")
        elif name and not inside and (name in blocks or _is_weight_layer(module)):
            modules[name] = module
    return modules


def _is_weight_layer(module: nn.Module) -> bool:
    own = [p for p in module.parameters(recurse=False) if nn.parameter.is_lazy(p) or p.ndim >= 2]
    return bool(own) and not any(True for _ in module.children())


def _forward(model: nn.Module, probe: Probe) -> None:
    try:
        probe.forward(model)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = ", ".join(str(tuple(t.shape)) for t in probe.tensors)
        raise InputError(f"the model cannot read a probe of shape {shapes}: {error}") from error


def _check_patterns(views: Views, names: list[str]) -> None:
    for pattern in views if isinstance(views, Mapping) else ():
        if not any(name == pattern or fnmatchcase(name, pattern) for name in names):
            raise InputError(f"views= names {pattern!r}, which no recorded layer matches; recorded are {some(names)}.")


def _kind(name: str, output: torch.Tensor, module: nn.Module, views: Views) -> str:
    shape = tuple(output.shape)
    if isinstance(views, str):
        views = {"*": views} if len(shape) > 2 else None
    for pattern, view in (views or {}).items():
        if name == pattern or fnmatchcase(name, pattern):
            return check_view(view, shape, name)
    return default_view(shape, channels_first=isinstance(module, CHANNELS_FIRST))


def layers(model: nn.Module, probe: Any, **options: Any) -> tuple[Layer, ...]:
    """What a `Recorder` with the same arguments would record: name, depth, view, features, rows, output shape.

    `options` are those of `What`: `layers`, `views` and `rows`. Nothing of the model is changed.
    """
    return plan(model, Probe(probe), What(**options)).layers
