"""The probe: one held-out batch, and a forward pass over it that leaves no trace in the model."""

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError


class Probe:
    """A batch that the model is read on: a tensor, a tuple of positional arguments, or a mapping of keywords.

    Every tensor in it has the samples on its first axis. Raises InputError when there is no tensor, when the
    tensors disagree on the number of samples, or when there are fewer than 2 samples.
    """

    def __init__(self, batch: Any) -> None:
        if isinstance(batch, torch.Tensor):
            batch = (batch,)
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        if isinstance(batch, Mapping):
            self.kwargs = dict(batch)
        elif isinstance(batch, tuple | list):
            self.args = tuple(batch)
        else:
            raise InputError(
                f"a probe is a tensor, a tuple of arguments or a mapping of keywords; got {type(batch).__name__}."
            )
        tensors = self.tensors
        if not tensors or any(t.ndim == 0 for t in tensors):
            raise InputError("the probe holds no tensor with samples on its first axis.")
        sizes = sorted({len(t) for t in tensors})
        if len(sizes) > 1:
            raise InputError(f"the probe's tensors disagree on the number of samples: {sizes}.")
        if sizes[0] < 2:
            raise InputError(f"the probe has {sizes[0]} sample; dimensionality needs 2 or more (64 to 512 are usual).")
        self.samples = sizes[0]

    @property
    def tensors(self) -> list[torch.Tensor]:
        return [v for v in (*self.args, *self.kwargs.values()) if isinstance(v, torch.Tensor)]

    def to(self, device: torch.device) -> "Probe":
        def move(value: Any) -> Any:
            return value.to(device) if isinstance(value, torch.Tensor) else value

        if all(tensor.device == device for tensor in self.tensors):
            return self
        if self.kwargs:
            return Probe({key: move(value) for key, value in self.kwargs.items()})
        return Probe(tuple(move(value) for value in self.args))

    def digest(self) -> str:
        """SHA-256 over shapes, types and bytes of the tensors; the first 16 hexadecimal digits."""
        total = hashlib.sha256()
        for tensor in self.tensors:
            total.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
            total.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return total.hexdigest()[:16]

    def forward(self, model: nn.Module):
        """The model's output on the probe, in eval mode without gradients, with nothing of the model changed.

        A compiled or data-parallel model is run eagerly and by itself: hooks do not fire in compiled code, and
        other processes are not waited for.
        """
        inner = bare(model)
        with undisturbed(inner), torch.no_grad(), _eager(inner), _fresh_autocast_cache():
            return inner(*self.args, **self.kwargs)

    def digests(self) -> set[str]:
        """A digest a sample, over all tensors; equal samples have equal digests."""
        rows = zip(*(t.detach().cpu().contiguous().reshape(self.samples, -1) for t in self.tensors), strict=True)
        return {
            hashlib.sha256(b"".join(r.view(torch.uint8).numpy().tobytes() for r in row)).hexdigest() for row in rows
        }


def second_probe(batch: Any, probe: Probe) -> Probe:
    """A probe for the measurement noise of `probe`. Raises InputError unless it has as many samples, all of them
    others."""
    noise = Probe(batch)
    if noise.samples != probe.samples:
        raise InputError(
            f"the noise probe has {noise.samples} samples, the probe {probe.samples}; readings of different sizes "
            "do not compare."
        )
    if shared := len(noise.digests() & probe.digests()):
        raise InputError(f"{shared} sample(s) are in both probes; the noise probe must be disjoint.")
    return noise


def bare(model: nn.Module) -> nn.Module:
    """The network itself, out of the wrappers of `torch.compile` and of data parallelism."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = model.module
        elif isinstance(model._modules.get("_orig_mod"), nn.Module):
            model = model.get_submodule("_orig_mod")
        else:
            return model


def is_compiled(model: nn.Module) -> bool:
    """Whether `model` or a part of it went through `torch.compile`."""
    return any("_orig_mod" in m._modules or m._compiled_call_impl is not None for m in model.modules())


def is_lazy(model: nn.Module) -> bool:
    """Whether parts of `model` take shape in its first forward pass. That must be the training's own: in a pass of
    ours their initial weights would be drawn at another place in the random stream."""
    return any(nn.parameter.is_lazy(p) for p in model.parameters())


def _eager(model: nn.Module):
    return torch.compiler.set_stance("force_eager") if is_compiled(model) else nullcontext()


@contextmanager
def _fresh_autocast_cache() -> Iterator[None]:
    """Inside a caller's autocast, weights cast here without gradients must not be reused by the training step."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode, and leave train flags, buffers and random state exactly as they were found."""
    modules = list(model.modules())
    training = [module for module in modules if module.training]
    # Each with its place: a forward pass may put another tensor there, and not only write into this one.
    buffers = [
        (module._buffers, name, buffer, buffer.detach().clone())
        for module in modules
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    states = _random_states(model)
    # Setting the flags one by one: a model may override train() to do more than set them.
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for place, name, buffer, before in buffers:
            place[name] = buffer
            if not torch.equal(buffer, before):
                buffer.detach().copy_(before)
        _restore(states)


def _random_states(model: nn.Module) -> dict:
    device = model_device(model)
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {
        "torch": torch.get_rng_state(),
        "cuda": (device, cuda),
        "python": random.getstate(),
        "numpy": np.random.get_state(),
    }


def _restore(states: dict) -> None:
    torch.set_rng_state(states["torch"])
    device, cuda = states["cuda"]
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, device)
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])


def model_device(model: nn.Module) -> torch.device:
    """The device of the model's first parameter or buffer; the CPU when it has none."""
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device
