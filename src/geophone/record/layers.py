"""Which layers a network has, in the order in which they run, and how each is read."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.axes import CHANNELS_FIRST, FIRST, ROUTED, Samples, Shape, is_routed, samples_axis
from geophone.record.capture import ActivationCapture
from geophone.record.distributed import is_sharded
from geophone.record.experts import Expert, unheard
from geophone.record.head import Head, head_of
from geophone.record.naming import canonical
from geophone.record.probe import Probe, as_probe, bare
from geophone.record.scoring import Scorer, concepts_of, scorer
from geophone.record.selection import Selection, selection, some
from geophone.record.state import Attribute, Snapshot, changed_by, snapshot
from geophone.record.stream import Chain
from geophone.record.views import MEANS, View, is_meant, kind_of, size_of, view_of
from geophone.record.what import Views, What
from geophone.records import Layer
from geophone.signals import ADDED, Concept

__all__ = ["CHANNELS_FIRST", "LayerList", "Plan", "layers", "plan", "settled"]

# Positions are drawn once from this seed and the layer's depth, so that two recordings of a network agree.
_POSITIONS_SEED = 0x6E0F
# More layers than this are not recorded unless they are named.
MOST_BY_DEFAULT = 40
# What there is to read is seen on so many samples, at least and at most, where few of all go forward at a time later.
_PLANNED = (4, 8)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recorder reads: the modules to hook and, layer by layer, how.

    `samples` is the number of samples it was made for, `added` the modules whose updates are read, `scorer` what is
    made of the model's output (None in band), `concepts` what is looked for in every layer, `left_out` what would have
    been read too, each with the reason, `protected` what a forward pass changes of the model's Python state. One that
    `ends_early` ends at the last layer; one with a `head` has that called on the scored positions alone. Rows of
    `single` layers are means in float64 of values in float32 or less.
    """

    select: tuple[str, ...]
    layers: tuple[Layer, ...]
    views: dict[str, View]
    samples: int
    added: frozenset[str] = frozenset()
    scorer: Scorer | None = None
    concepts: dict[str, Concept] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    protected: tuple[Attribute, ...] = ()
    ends_early: bool = False
    head: Head | None = None
    single: frozenset[str] = frozenset()

    def keep(self, name: str, output: torch.Tensor) -> torch.Tensor | None:
        """The rows of `output`, as `ActivationCapture` is to keep them; None for what is not in the plan.

        They are a copy: a later module may change its input in place, and the rest of the output need not be held.
        """
        view = self.views.get(name)
        if view is None or not view.fits(output, self.samples):
            return None
        rows = view(output)
        shared = rows.untyped_storage().data_ptr() == output.untyped_storage().data_ptr()
        return rows.clone(memory_format=torch.contiguous_format) if shared else rows.contiguous()

    def capture(self, model: nn.Module) -> ActivationCapture:
        """What catches the rows of one forward pass of `model`; where nothing is made of the output, the pass ends at
        the last layer."""
        enough = self.views if self.ends_early else ()
        return ActivationCapture(bare(model), self.select, keep=self.keep, added=self.added, enough=enough)

    def alone(self, samples: slice) -> AbstractContextManager[None]:
        """Within, a forward pass of some of the samples puts out what is scored of them."""
        return nullcontext() if self.head is None else self.head.only(samples)

    def part(self, samples: slice) -> "Plan":
        """The plan for a forward pass of some of the samples."""
        views = {name: view.part(samples) for name, view in self.views.items()}
        return replace(self, views=views, samples=samples.stop - samples.start)


class LayerList(tuple[Layer, ...]):
    """Layers in the order in which they run. `updates` are those that hold what a block adds to its input, such as
    "blocks.3+", and are recorded besides; `left_out` names what is not recorded, each with the reason."""

    updates: tuple[Layer, ...]
    left_out: dict[str, str]

    def __new__(cls, layers: Iterable[Layer], left_out: Mapping[str, str]) -> "LayerList":
        every = tuple(layers)
        made = super().__new__(cls, (layer for layer in every if not layer.name.endswith(ADDED)))
        made.updates = tuple(layer for layer in every if layer.name.endswith(ADDED))
        made.left_out = dict(left_out)
        return made

    def __repr__(self) -> str:
        lines = [f"{v.said}: {v.rows} x {v.features}, {v.view}" for v in (*self, *self.updates)]
        return "\n".join([*lines, *(f"left out: {name}, which {why}" for name, why in self.left_out.items())])


@dataclass(slots=True)
class _Calls:
    """What one forward pass showed: the shape of what each module put out, by layer name in order of execution;
    embeddings that said the same of every sample; modules that put out no tensor; and blocks whose output was the
    very input of the next one, so that it is the stream."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    same: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    streams: set[str] = field(default_factory=set)


def plan(model: nn.Module, probe: Probe, what: What) -> Plan:
    """Run the probe through once (with `what.batch`, its first samples), and a few of its samples a second time, and
    settle what is recorded.

    Layers are ordered by when they first finish. Raises InputError when the model cannot read the probe, when nothing
    it computes has an axis that follows the number of samples, or when a view does not fit.
    """
    inner = bare(model)
    sharded = is_sharded(inner)
    before: Snapshot = {} if sharded else snapshot(inner)
    protected: tuple[Attribute, ...] = ()
    try:
        made = _planned(inner, probe, what)
        if made.scorer is not None and made.scorer.idle and not sharded:
            made = replace(made, ends_early=True)
            # Once as it will be done: what a pass that ends early leaves behind is to be known.
            with made.capture(inner):
                (probe.first(3) or probe).forward(inner)
    finally:
        # What shards a model keeps its own accounts in attributes, and puts them right itself.
        protected = () if sharded else changed_by(inner, before)
    return replace(made, protected=protected)


def _planned(model: nn.Module, probe: Probe, what: What) -> Plan:
    chosen = selection(model, what)
    size = None if what.batch is None else min(max(what.batch, _PLANNED[0]), _PLANNED[1])
    head = probe.part(probe.parts(size)[0])
    calls, output = _called(model, head, chosen)
    few = head.first(3)
    fewer = {} if few is None else _called_again(model, few, chosen)
    axes = {
        name: samples_axis(shape, head.samples, fewer.get(name), few.samples if few else 0)
        for name, shape in calls.shapes.items()
    }
    for name, shape in calls.shapes.items():
        there = fewer and axes[name] is None and not chosen.default and is_routed(shape, fewer.get(name))
        axes[name] = ROUTED if there or isinstance(chosen.modules[_module(name)], Expert) else axes[name]
    for name, shape in unheard(chosen.modules, [n for n in axes if axes[n] == ROUTED], calls.shapes).items():
        calls.shapes[name], axes[name] = shape, ROUTED
    for name, place in axes.items():
        calls.shapes[name] = calls.shapes[name] if place is None else place.of(probe.samples, calls.shapes[name])
    mask = probe.mask_for(model)
    made = settled(calls.shapes, axes, chosen, what, mask=mask, calls=calls)
    concepts = concepts_of(what, probe.samples)
    scored = scorer(output, probe, mask, what, among=head.samples)
    made = replace(made, samples=probe.samples, scorer=scored, concepts=concepts)
    alone = None if is_sharded(model) else head_of(model, head, output, scored, samples=probe.samples)
    if alone is None or alone.module in chosen.modules.values():
        return made
    return replace(made, scorer=alone.scorer, head=alone)


def _called(model: nn.Module, probe: Probe, chosen: Selection) -> tuple[_Calls, Any]:
    calls, before = _Calls(), Chain()

    def keep(name: str, output: torch.Tensor) -> None:
        calls.shapes[name] = tuple(output.shape)
        if isinstance(chosen.modules.get(name), nn.Embedding):
            first = output[:1] if len(output) > 1 else output[:, :1]
            calls.same |= {name} if bool((output == first).all()) else set()

    wanted = chosen.updates | chosen.blocks
    capture = ActivationCapture(model, list(chosen.modules), keep=keep, added=wanted)
    hooks = [chosen.modules[name].register_forward_hook(before.hook(name), with_kwargs=True) for name in chosen.blocks]
    try:
        with capture:
            output = _forward(model, probe)
    finally:
        for hook in hooks:
            hook.remove()
    calls.silent, calls.streams = set(capture.silent), before.streams()
    return calls, output


def _called_again(model: nn.Module, few: Probe, chosen: Selection) -> dict[str, Shape]:
    """The shapes on a few samples; empty where the model wants as many samples as it was given."""
    shapes: dict[str, Shape] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        shapes[name] = tuple(output.shape)

    capture = ActivationCapture(model, list(chosen.modules), keep=keep, added=chosen.updates | chosen.blocks)
    try:
        with capture:
            few.forward(model)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return {}
    return shapes


def settled(
    shapes: Mapping[str, Shape],
    axes: Mapping[str, Samples | None],
    chosen: Selection,
    what: What,
    *,
    mask: torch.Tensor | None = None,
    calls: _Calls | None = None,
) -> Plan:
    """The plan for modules that put out `shapes` (in order of execution), with the samples where `axes` say.

    Raises InputError where nothing is left to record.
    """
    calls = calls or _Calls()
    left_out = _left_out(shapes, axes, chosen, calls)
    names = [name for name in shapes if _is_wanted(name, chosen, calls) and _module(name) not in left_out]
    if not names:
        raise InputError(_nothing(left_out, "Choose others with layers=."))
    if chosen.default:
        names, more = _evenly(names)
        left_out |= more
    named = {name: (name, canonical(name, chosen.canonical)) for name in names}
    _check_patterns(what.views, named)
    layers: list[Layer] = []
    views: dict[str, View] = {}
    depths = {name: depth for depth, name in enumerate(dict.fromkeys(name.removesuffix(ADDED) for name in names))}
    for name in names:
        depth, place = depths[name.removesuffix(ADDED)], axes[name] or FIRST
        shape = tuple(View("flat", place).arranged(torch.empty(shapes[name], device="meta")).shape)
        kind = kind_of(named[name], chosen.modules[_module(name)], shape, what.views)
        kind = "routed" if place == ROUTED else kind
        if " " in kind:
            shape, place = shapes[name], FIRST
        rng = np.random.default_rng([_POSITIONS_SEED, depth])
        view = view_of(kind, shapes[name], rows=what.rows, rng=rng, samples=place, mask=mask)
        rows, features = size_of(view, shapes[name])
        rows = what.rows if place == ROUTED else rows
        if rows < 2:
            left_out[name] = "has a single row on a probe of one sample"
            continue
        views[name] = view
        layers.append(Layer(name, depth, kind, features, rows, shape[1:], named[name][1]))
    if not layers:
        raise InputError(_nothing(left_out, "Give a probe of two samples or more."))
    added = frozenset(_module(name) for name in views if name.endswith(ADDED))
    select = tuple(dict.fromkeys(map(_module, views)))
    means = frozenset(name for name, view in views.items() if view.kind in MEANS)
    single = means if means and not _is_double(chosen.modules) else frozenset()
    return Plan(select, tuple(layers), views, 0, added, left_out=left_out, single=single)


def _nothing(left_out: Mapping[str, str], advice: str) -> str:
    reasons = "; ".join(f"{name} {why}" for name, why in list(left_out.items())[:6])
    return f"no layer can be recorded: {reasons}. {advice}"


def _is_double(modules: Mapping[str, nn.Module]) -> bool:
    return any(weight.dtype == torch.float64 for module in modules.values() for weight in module.parameters())


def _module(name: str) -> str:
    """The module of a layer: "blocks.3" of "blocks.3@2+"."""
    return name.removesuffix(ADDED).partition("@")[0]


def _is_wanted(name: str, chosen: Selection, calls: _Calls) -> bool:
    module = _module(name)
    if name.endswith(ADDED):
        return module in chosen.updates or module in calls.streams
    return module in chosen.outputs


def _left_out(
    shapes: Mapping[str, Shape], axes: Mapping[str, Samples | None], chosen: Selection, calls: _Calls
) -> dict[str, str]:
    reasons = dict(chosen.left_out)
    for name in chosen.modules:
        if name in calls.silent:
            reasons[name] = "put out no real tensor of two or more axes"
        elif name not in shapes:
            reasons[name] = "was not called in this pass, or only by its forward()"
        elif axes[name] is None:
            reasons[name] = f"put out {shapes[name]}, of which no axis follows the number of samples"
        elif name in calls.same and chosen.default:
            reasons[name] = "says the same of every sample"
    return reasons


def _evenly(names: list[str]) -> tuple[list[str], dict[str, str]]:
    """At most `MOST_BY_DEFAULT` of `names`, evenly over depth, an update with its block; and the others."""
    if len(names) <= MOST_BY_DEFAULT:
        return names, {}
    streams = list(dict.fromkeys(name.removesuffix(ADDED) for name in names))
    each = MOST_BY_DEFAULT * len(streams) // len(names)
    kept = {streams[i] for i in np.linspace(0, len(streams) - 1, each).round().astype(int)}
    why = f"is one of {len(streams)} layers, of which {len(kept)} are recorded by default; layers='**' names all"
    chosen = [name for name in names if name.removesuffix(ADDED) in kept]
    return chosen, {name: why for name in streams if name not in kept}


def _forward(model: nn.Module, probe: Probe) -> Any:
    try:
        return probe.forward(model)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = ", ".join(str(tuple(t.shape)) for t in probe.tensors)
        raise InputError(f"the model cannot read a probe of shape {shapes}: {error}") from error


def _check_patterns(views: Views, named: Mapping[str, tuple[str, str]]) -> None:
    for pattern in views if isinstance(views, Mapping) else ():
        if not any(is_meant(pattern, names) for names in named.values()):
            there = some(list(named))
            raise InputError(f"views= names {pattern!r}, which no recorded layer matches; recorded are {there}.")


def layers(model: nn.Module, probe: Any, **options: Any) -> LayerList:
    """What a `Recorder` with the same arguments would record: name, depth, view, features, rows, output shape.

    `options` are the fields of `What`. Layers that would be recorded but cannot be stand in `left_out`, each with the
    reason. Nothing of the model is changed.
    """
    made = plan(model, as_probe(probe), What(**options))
    return LayerList(made.layers, made.left_out)
