"""Taking a layer, a unit or a head away, and what that costs."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.dig.scoring import Scoring
from geophone.errors import InputError
from geophone.record.anatomy import Anatomy, anatomy_of
from geophone.record.capture import ActivationCapture, first_tensor
from geophone.record.probe import Probe, bare, undisturbed

KINDS = ("zero", "mean", "resample")
_NO_RNG = 'kind="resample" draws other samples: pass rng=, a numpy.random.Generator.'
Change = Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def ablated(
    model: nn.Module,
    layer: str,
    *,
    units: Sequence[int] | None = None,
    kind: str = "zero",
    reference: torch.Tensor | tuple | None = None,
    rng: np.random.Generator | None = None,
    anatomy: Anatomy | None = None,
) -> Iterator[nn.Module]:
    """While it is open, `units` of `layer` (a module path; default: all units) say nothing of the sample.

    kind "zero": their output is 0. "mean": it is its mean over the samples, at each position apart. "resample": it is
    that of another sample, the same one for all units and positions, drawn with `rng` (Chan et al. 2022, causal
    scrubbing). Samples come from `reference`, a batch as the model reads it, or else from the batch that passes through
    (in which case "resample" gives no sample its own output). A unit is what `anatomy`
    says (by default the adapter for the model): a channel, a stream dimension, a feature, or of a layer `heads_out` of
    the zoo a head.

    The output is replaced by a forward hook, so that what runs inside the layer is not undone. The model is in eval
    mode inside; on leaving, weights, gradients, buffers, hooks, train and grad flags and random state are bit for bit
    what they were, whatever happened. Raises InputError for an unknown layer, unit or kind, for "resample" without
    `rng`, for a reference whose samples have another shape, and with a reference when the layer runs several times in
    one pass.
    """
    model = bare(model)
    anatomy = anatomy or anatomy_of(model)
    module = _module(model, layer)
    if kind not in KINDS:
        raise InputError(f"kind={kind!r}: give one of {', '.join(KINDS)}.")
    if kind == "resample" and rng is None:
        raise InputError(_NO_RNG)
    others = None if reference is None or kind == "zero" else _outputs(model, layer, reference)

    def replace(module: nn.Module, args, output):
        tensor = first_tensor(output)
        if tensor is None:
            raise InputError(f"{layer} puts out no tensor that could be ablated; choose another layer.")
        axis = anatomy.unit_axis(model, layer, tensor)
        index = _index(units, tensor.shape[axis], layer)
        changed = tensor.clone()
        put = _substitute(tensor.detach(), others, kind, rng).to(tensor)
        changed.index_copy_(axis, index.to(tensor.device), put.index_select(axis, index.to(tensor.device)))
        return with_tensor(output, tensor, changed)

    with restored(model):
        hook = module.register_forward_hook(replace)
        try:
            yield model
        finally:
            hook.remove()


def zero_weights(model: nn.Module, layer: str, *, bias: bool = False) -> None:
    """Set the weights of `layer` to 0, in place: the founding form of an ablation. Inside `restored(model)` only while
    that is open.

    Weights are the parameters of two or more axes called `weight` (or `..._weight`) in the module and below it; biases
    and norms stay, with `bias` biases are 0 too.
    With `bias` a warning says when training cannot bring the layer back: its pre-activations are exactly 0, where ReLU
    has no gradient, and of two weight layers in a row that are both 0 neither gets any. Raises InputError when the
    layer has no weights.
    """
    module = _module(bare(model), layer)
    named = list(module.named_parameters())
    weights = [p for name, p in named if name.endswith("weight") and p.ndim >= 2]
    if not weights:
        raise InputError(f"{layer} has no weights to set to 0; choose a layer with weights.")
    if bias and (len(weights) > 1 or _meets_relu(bare(model), layer)):
        warnings.warn(
            f"{layer} with weights and biases of 0 has no gradient, so that no training recovers it; keep the biases.",
            stacklevel=2,
        )
    with torch.no_grad():
        for parameter in weights + ([p for name, p in named if name.endswith("bias")] if bias else []):
            parameter.zero_()


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode, and leave weights, gradients, buffers, train and grad flags and random state exactly as
    they were found; hooks that are added inside are the caller's to remove."""
    modes = [(module, module.training) for module in model.modules()]
    held = [
        (p, p.detach().clone(), p.requires_grad, None if p.grad is None else p.grad.detach().clone())
        for p in model.parameters()
    ]
    try:
        with undisturbed(model):
            yield
    finally:
        with torch.no_grad():
            for parameter, value, flag, gradient in held:
                if not torch.equal(parameter, value):
                    parameter.copy_(value)
                parameter.requires_grad_(flag)
                parameter.grad = gradient
        for module, training in modes:
            module.training = training


def ablation_impact(
    model: nn.Module,
    layers: Sequence[str],
    x: torch.Tensor,
    y: torch.Tensor,
    task: Scoring,
    *,
    rng: np.random.Generator,
    kinds: Sequence[str] = KINDS,
    anatomy: Anatomy | None = None,
) -> pd.DataFrame:
    """What the network loses without each of `layers`: one row per layer and kind.

    Columns: layer, kind, accuracy, loss (of the ablated network on x, y, by `task`), baseline_accuracy, baseline_loss
    (of the whole one). The layer's whole output goes, so of a block of a transformer the whole residual stream; its
    attention alone is the layer "blocks.0.attention". In a network without bypasses "mean" and "resample" of any layer
    leave chance, and only differ in how wrong the answers are.
    """
    whole = _scores(model, x, y, task)
    rows = []
    for layer in layers:
        for kind in kinds:
            with ablated(model, layer, kind=kind, rng=rng, anatomy=anatomy):
                accuracy, loss = _scores(model, x, y, task)
            rows.append((layer, kind, accuracy, loss, *whole))
    return pd.DataFrame(rows, columns=["layer", "kind", "accuracy", "loss", "baseline_accuracy", "baseline_loss"])


def _scores(model: nn.Module, x: torch.Tensor, y: torch.Tensor, task: Scoring) -> tuple[float, float]:
    output = Probe(x).forward(model)
    return float(task.accuracy(output, y)), float(task.loss(output, y))


def _module(model: nn.Module, layer: str) -> nn.Module:
    try:
        if layer:
            return model.get_submodule(layer)
    except AttributeError:
        pass
    names = [name for name, _ in model.named_modules() if name]
    raise InputError(f"no layer {layer!r}; the model has {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}.")


def _outputs(model: nn.Module, layer: str, batch) -> torch.Tensor:
    """What `layer` puts out on `batch`, detached."""
    with ActivationCapture(bare(model), [_module(bare(model), layer)]) as capture:
        Probe(batch).forward(model)
    if layer not in capture:
        raise InputError(f"{layer} does not run, or puts out no tensor; choose another layer.")
    if f"{layer}@2" in capture:
        raise InputError(f"{layer} runs several times in one pass; ablate it without a reference.")
    return capture[layer]


def _index(units: Sequence[int] | None, count: int, layer: str) -> torch.Tensor:
    if units is None:
        return torch.arange(count)
    index = torch.as_tensor(list(units), dtype=torch.long)
    if len(index) and not (int(index.min()) >= 0 and int(index.max()) < count):
        raise InputError(f"{layer} has units 0 to {count - 1}; got {sorted(set(index.tolist()))}.")
    return index


def _substitute(
    own: torch.Tensor, others: torch.Tensor | None, kind: str, rng: np.random.Generator | None
) -> torch.Tensor:
    """What stands in for `own` (N, ...): zeros, the mean over samples, or other samples' outputs."""
    if kind == "zero":
        return torch.zeros_like(own)
    source = own if others is None else others
    if source.shape[1:] != own.shape[1:]:
        raise InputError(
            f"the reference's outputs have shape {tuple(source.shape[1:])} for a sample, those of the batch "
            f"{tuple(own.shape[1:])}; give a reference of the same shape."
        )
    if kind == "mean":
        return source.mean(0, keepdim=True).expand_as(own)
    if rng is None:
        raise InputError(_NO_RNG)
    donors = derangement(len(own), rng) if others is None else rng.integers(len(source), size=len(own))
    return source.index_select(0, torch.from_numpy(donors).to(source.device))


def derangement(count: int, rng: np.random.Generator) -> np.ndarray:
    """A random order of `count` samples that leaves none in its place (one cycle through all of them)."""
    order = rng.permutation(count)
    donors = np.empty(count, dtype=np.int64)
    donors[order] = np.roll(order, 1)
    return donors


def with_tensor(output, old: torch.Tensor, new: torch.Tensor):
    """`output` with `new` where `old` was: a tensor, or a tuple or list that holds it."""
    if output is old:
        return new
    if isinstance(output, tuple | list):
        return type(output)(new if part is old else part for part in output)
    raise InputError(f"a layer that puts out a {type(output).__name__} cannot be ablated; choose a module inside it.")


def _meets_relu(model: nn.Module, layer: str) -> bool:
    """Whether a ReLU is in the module, or is the next one beside it."""
    module = model.get_submodule(layer)
    if any(isinstance(part, nn.ReLU) for part in module.modules()):
        return True
    parent, _, name = layer.rpartition(".")
    beside = list(model.get_submodule(parent).named_children())
    place = [child for child, _ in beside].index(name)
    return place + 1 < len(beside) and isinstance(beside[place + 1][1], nn.ReLU)
