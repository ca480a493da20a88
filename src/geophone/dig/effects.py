"""What each late unit feels of each early one: resample-ablation effects, and the same with mixed weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import helmert
from torch import nn

from geophone.dig.ablation import with_tensor
from geophone.dig.scoring import answer_of
from geophone.errors import InputError
from geophone.record.anatomy import Anatomy
from geophone.record.capture import ActivationCapture

NULLS = ("rotated", "permuted")
_ENTRIES = 1 << 19  # how many numbers of a late layer are held at a time: about what a core's cache holds
_ENTRYWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.Sigmoid, nn.Identity)
_WEIGHTED = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class Link:
    """Two layers of a network, and what lies between them.

    `between` are the modules with weights that run after `early` and up to `late`; `direct` whether what `late` reads
    is what `early` puts out; `axes` the unit axes of the two outputs, `units` the early layer's number of units, at so
    many `positions`.
    """

    model: nn.Module
    anatomy: Anatomy
    early: str
    late: str
    between: tuple[nn.Module, ...]
    direct: bool
    axes: tuple[int, int]
    units: int
    positions: int

    def work(self, x: torch.Tensor) -> float:
        """About how many operations it takes to see what the late layer feels of each early unit on `x`."""
        run = self.model.get_submodule(self.late) if self.direct else self.model
        weights = sum(p.numel() for module in run.modules() for name, p in _own(module) if _is_weight(name, p))
        return 2.0 * weights * self.positions * len(x) * self.units


@dataclass(frozen=True)
class Step:
    """A late layer that is one weight module, with what comes before and after it. `residual`: the input is added."""

    flatten: bool
    weight: nn.Linear | nn.Conv2d
    tail: tuple[nn.Module, ...]
    residual: bool


def link(model: nn.Module, anatomy: Anatomy, early: str, late: str, x: torch.Tensor) -> Link:
    """How `early` and `late` of `model` hang together, from one forward pass over `x` (two samples are enough).

    The model must be in eval mode, without gradients. Raises InputError when `early` does not finish before `late`.
    """
    weighted = {n: m for n, m in model.named_modules() if any(_is_weight(*item) for item in _own(m))}
    names = list(dict.fromkeys([*weighted, early, late]))
    inputs: list[torch.Tensor] = []

    def keep(module: nn.Module, args: tuple, kwargs: dict) -> None:
        # A module that reads more than one tensor cannot be run by itself on the early layer's output alone.
        inputs.extend(args if len(args) == 1 and not any(value is not None for value in kwargs.values()) else ())

    hook = model.get_submodule(late).register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with ActivationCapture(model, [model.get_submodule(n) for n in names if n]) as capture:
            model(x)
    finally:
        hook.remove()
    order = capture.names
    missing = [name for name in (early, late) if name not in order]
    if missing or order.index(early) >= order.index(late):
        raise InputError(
            f"{early} does not run before {late}: {', '.join(missing) or 'order'} is amiss; swap or rename."
        )
    between = [n for n in order[order.index(early) + 1 : order.index(late) + 1] if n in weighted]
    first, last = capture[early], capture[late]
    axes = anatomy.unit_axis(model, early, first), anatomy.unit_axis(model, late, last)
    direct = bool(inputs) and isinstance(inputs[0], torch.Tensor) and inputs[0].shape == first.shape
    return Link(
        model, anatomy, early, late, tuple(weighted[n] for n in between),
        direct and bool(torch.equal(inputs[0], first)), axes, first.shape[axes[0]],
        first[0].numel() // first.shape[axes[0]],
    )  # fmt: skip


def early_output(found: Link, x: torch.Tensor) -> torch.Tensor:
    """What the early layer puts out on `x`."""
    with ActivationCapture(found.model, [found.early]) as capture:
        found.model(x)
    return capture[found.early]


def effects(found: Link, x: torch.Tensor, first: torch.Tensor, donors: torch.Tensor) -> np.ndarray:
    """E_ij = E|dh_j| / sd(h_j), (early units, late units): dh_j is what late unit j (mean over positions) changes by
    when early unit i alone is that of another sample.

    `first` is the early layer's output on `x`; `donors` (N,) says which sample each one's unit i is taken from, with
    all of its positions. NaN for a late unit that does not vary, and for an early one that is the same everywhere.
    Between 0 and about 1.1 where early units are independent (2/sqrt(pi) for the sole Gaussian source of h_j). The
    model must be in eval mode, without gradients.
    """
    late = found.model.get_submodule(found.late)
    parts = step_of(late, found.anatomy) if found.direct and first.ndim in (2, 4) else None
    if parts is not None and _fits(parts, first):
        whole, changed = _through_weights(parts, first, donors)
    elif found.direct:
        whole, changed = pooled(answer_of(late(first)), found.axes[1]), _through_module(found, first, donors)
    else:
        with ActivationCapture(found.model, [found.late]) as capture:
            found.model(x)
        whole, changed = pooled(capture[found.late], found.axes[1]), _through_model(found, x, first, donors)
    moved = torch.cat([(part - whole).abs().mean(1) for part in changed])
    spread = whole.std(0, correction=0)
    moved = moved / torch.where(spread > 1e-6 * whole.abs().amax(0), spread, torch.nan)
    moved[_spread_of_units(first, found.axes[0]) <= 0] = torch.nan
    return moved.double().cpu().numpy()


@contextmanager
def mixed(found: Link, *, null: str, rng: np.random.Generator) -> Iterator[None]:
    """While it is open, every weight between the layers reads its inputs through a random change of basis.

    "permuted": W P, P a permutation of the inputs. "rotated": W Q, Q uniform among the orthogonal matrices that leave
    (1, ..., 1) in place, of which permutations are some. Both keep the sum and the sum of squares of each unit's
    incoming weights; but a permutation of sparse weights is as sparse, while after a rotation no input is a unit's
    own.
    """
    if null not in NULLS:
        raise InputError(f"null={null!r}: give one of {', '.join(NULLS)}.")
    held = [(p, p.detach().clone()) for module in found.between for name, p in _own(module) if _is_weight(name, p)]
    try:
        with torch.no_grad():
            for parameter, value in held:
                parameter.copy_(_mixed(value, found.units, null, rng))
        yield
    finally:
        with torch.no_grad():
            for parameter, value in held:
                parameter.copy_(value)


def _mixed(weight: torch.Tensor, units: int, null: str, rng: np.random.Generator) -> torch.Tensor:
    inputs = weight.shape[1]
    # Flattened maps are mixed by channel, all positions alike.
    groups = units if inputs % units == 0 else inputs
    basis = np.eye(groups)[rng.permutation(groups)] if null == "permuted" else rotation(groups, rng)
    change = torch.from_numpy(basis).to(weight)
    return torch.einsum("oir,ij->ojr", weight.reshape(len(weight), groups, -1), change).reshape(weight.shape)


def rotation(count: int, rng: np.random.Generator) -> np.ndarray:
    """A random orthogonal matrix (count, count) that maps (1, ..., 1) to itself; uniform among those."""
    flat = np.full((count, count), 1 / count)
    if count == 1:
        return flat
    q, r = np.linalg.qr(rng.normal(size=(count - 1, count - 1)))
    beside = helmert(count)
    return flat + beside.T @ (q * np.sign(np.diag(r))) @ beside


def step_of(module: nn.Module, anatomy: Anatomy) -> Step | None:
    """`module` as one linear or convolutional step with unweighted parts around it; None when it is anything else."""
    around = anatomy.around(module)
    inner = module if around is None else around
    parts = list(inner) if isinstance(inner, nn.Sequential) else [inner]
    flatten = bool(parts) and isinstance(parts[0], nn.Flatten)
    parts = parts[1:] if flatten else parts
    if not parts or not isinstance(parts[0], _WEIGHTED):
        return None
    if any(_is_weight(*item) for part in parts[1:] for item in part.named_parameters()):
        return None
    return Step(flatten, parts[0], tuple(parts[1:]), around is not None)


def _fits(step: Step, first: torch.Tensor) -> bool:
    weight = step.weight
    if isinstance(weight, nn.Conv2d):
        plain = weight.groups == 1 and weight.padding_mode == "zeros" and not isinstance(weight.padding, str)
        return first.ndim == 4 and not step.flatten and plain
    return first.ndim == 2 or step.flatten


def _through_weights(
    step: Step, first: torch.Tensor, donors: torch.Tensor
) -> tuple[torch.Tensor, Iterator[torch.Tensor]]:
    """The late units (N, late units) as they are; and, by chunks of early units, (chunk, N, late units) when one early
    unit at a time is a donor's. The weights are linear, so that only the difference goes through them."""
    apart = first[donors] - first
    before = step.weight(first.flatten(1) if step.flatten else first)
    if isinstance(step.weight, nn.Conv2d):
        w, c = step.weight.weight.flatten(2), step.weight
        padding = (0, 0) if isinstance(c.padding, str) else c.padding
        patches = nn.functional.unfold(apart, c.kernel_size, c.dilation, padding, c.stride)
        patches = patches.view(len(first), first.shape[1], w.shape[2], -1).permute(1, 2, 0, 3).flatten(2)
    else:
        w = step.weight.weight.view(len(step.weight.weight), first.shape[1], -1)
        patches = apart.flatten(2).permute(1, 2, 0) if apart.ndim > 2 else apart.T[:, None, :]
    every = torch.arange(first.shape[1], device=first.device)
    whole = _finish(step, before, first)

    def chunks() -> Iterator[torch.Tensor]:
        flat = before.transpose(0, 1).flatten(1)
        for units in every.split(_chunk(before)):
            moved = torch.baddbmm(flat.expand(len(units), -1, -1), w[:, units].transpose(0, 1), patches[units])
            moved = moved.view(len(units), len(flat), len(first), *before.shape[2:])
            if step.residual or not all(isinstance(part, _ENTRYWISE) for part in step.tail):
                inputs = _replaced(first, 1, units, donors).flatten(0, 1) if step.residual else first
                yield _finish(step, moved.transpose(1, 2).flatten(0, 1), inputs).view(len(units), len(first), -1)
                continue
            for part in step.tail:
                moved = moved.relu_() if isinstance(part, nn.ReLU) else part(moved)
            yield (moved.flatten(3).mean(3) if moved.ndim > 3 else moved).transpose(1, 2)

    return whole, chunks()


def _finish(step: Step, moved: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The late units (N, units) from what the weights put out."""
    for part in step.tail:
        moved = part(moved)
    return pooled(moved + first if step.residual else moved, 1)


def _through_module(found: Link, first: torch.Tensor, donors: torch.Tensor) -> Iterator[torch.Tensor]:
    module = found.model.get_submodule(found.late)
    for units in torch.arange(found.units, device=first.device).split(_chunk(first)):
        output = answer_of(module(_replaced(first, found.axes[0], units, donors).flatten(0, 1)))
        yield pooled(output, found.axes[1]).view(len(units), len(first), -1)


def _through_model(found: Link, x: torch.Tensor, first: torch.Tensor, donors: torch.Tensor) -> Iterator[torch.Tensor]:
    early = found.model.get_submodule(found.early)
    for units in torch.arange(found.units, device=first.device).split(_chunk(first)):
        put = _replaced(first, found.axes[0], units, donors).flatten(0, 1)
        hook = early.register_forward_hook(
            lambda module, args, output, put=put: with_tensor(output, answer_of(output), put)
        )
        try:
            with ActivationCapture(found.model, [found.late]) as capture:
                found.model(x.repeat(len(units), *[1] * (x.ndim - 1)))
        finally:
            hook.remove()
        yield pooled(capture[found.late], found.axes[1]).view(len(units), len(x), -1)


def _replaced(first: torch.Tensor, axis: int, units: torch.Tensor, donors: torch.Tensor) -> torch.Tensor:
    """`first` (N, ...) once for each of `units`, with that unit alone the donor's: (units, N, ...)."""
    changed = first.unsqueeze(0).repeat(len(units), *[1] * first.ndim)
    theirs = first[donors]
    for place, unit in enumerate(units.tolist()):
        changed[place].select(axis, unit).copy_(theirs.select(axis, unit))
    return changed


def pooled(output: torch.Tensor, axis: int) -> torch.Tensor:
    """Units of an output, (N, units): the mean over all axes but samples and units."""
    rest = [i for i in range(1, output.ndim) if i != axis]
    return output.mean(rest) if rest else output


def _spread_of_units(output: torch.Tensor, axis: int) -> torch.Tensor:
    return (output.movedim(axis, 1).flatten(2) if output.ndim > 2 else output.unsqueeze(2)).std(0, correction=0).amax(1)


def _chunk(one: torch.Tensor) -> int:
    return max(1, _ENTRIES // one.numel())


def _own(module: nn.Module) -> Sequence[tuple[str, nn.Parameter]]:
    return list(module.named_parameters(recurse=False))


def _is_weight(name: str, parameter: nn.Parameter) -> bool:
    return name.endswith("weight") and parameter.ndim >= 2
