"""A language model's head at the scored positions alone: logits of every position are the greatest thing in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from geophone.record.capture import first_tensor
from geophone.record.nested import Placed
from geophone.record.probe import Probe
from geophone.record.scoring import Scorer

# Outputs of fewer numbers on the whole probe are read as they come: little is saved, and not a bit of them changes.
_LARGE = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The last linear module of a network, from (N, T, d) to the logits of a vocabulary (N, T, V), and the `scorer` of
    what it puts out at the scored positions alone."""

    module: nn.Linear
    scorer: Scorer
    _placed: Placed = field(default_factory=Placed)

    @contextmanager
    def only(self, part: slice) -> Iterator[None]:
        """Within, a forward pass of the samples in `part` ends in logits (1, m, V): those of the m positions that are
        scored among these samples, in order; of one position where none is."""

        def narrow(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            key = (part.start, part.stop)
            places = self._placed.on(args[0].device, key, lambda: self.scorer.places_in(part))
            return (args[0][places][None], *args[1:])

        hook = self.module.register_forward_pre_hook(narrow)
        try:
            yield
        finally:
            hook.remove()


def head_of(model: nn.Module, probe: Probe, output: Any, scorer: Scorer, *, samples: int) -> Head | None:
    """The head of `model`, where it can be called on the scored positions alone and that saves much; None otherwise.

    `output` is what the model puts out on `probe`, which has the first of all `samples`. The head is the last linear
    module that puts out as many numbers at each position as the model does. Whether the model allows it (and does
    nothing of its own with the place of a logit) is found out by trying: the numbers must be those of `output`.
    """
    logits = first_tensor(output)
    narrow = scorer.narrow
    if narrow is None or scorer.score is None or narrow.score is None or logits is None or logits.ndim != 3:
        return None
    if logits.numel() // probe.samples * samples < _LARGE:
        return None
    module = _last_linear(model, probe.first(2) or probe, logits.shape[-1])
    if module is None:
        return None
    head, part = Head(module, narrow), slice(0, probe.samples)
    expected = scorer.score(output, part)
    try:
        with head.only(part):
            found = narrow.score(probe.forward(model), part)
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None
    off = 1e-3 if logits.dtype == torch.float32 else 5e-2  # products of other shapes are rounded otherwise
    same = found.shape == expected.shape and torch.allclose(found, expected, rtol=off, atol=1e-9)
    return head if same else None


def _last_linear(model: nn.Module, probe: Probe, width: int) -> nn.Linear | None:
    """The last linear module that `model` calls on `probe` to get `width` numbers at each position."""
    called: list[nn.Linear] = []

    def heard(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(module, nn.Linear) and isinstance(output, torch.Tensor) and output.ndim == 3:
            called.extend([module] if output.shape[-1] == width else [])

    hooks = [m.register_forward_hook(heard) for m in model.modules() if isinstance(m, nn.Linear)]
    try:
        probe.forward(model)
    finally:
        for hook in hooks:
            hook.remove()
    return called[-1] if called else None
