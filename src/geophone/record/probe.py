"""The probe: one held-out batch, and a forward pass over it that leaves no trace in the model."""

import copy
import hashlib
import inspect
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.record.distributed import is_engine
from geophone.record.nested import copied, mapped, tensors_in
from geophone.record.state import refill


class Probe:
    """A batch that the model is read on: a tensor, a tuple of positional arguments, or a mapping of keywords.

    Where that does not say it, `args` and `kwargs` are what the model is called with, tensors anywhere in them:
    `Probe(args=({"ids": ids, "mask": mask},))`. `samples` is the number of samples (default: the length of the first
    tensor's first axis); tensors of another length, such as a causal mask or a time step, are handed on as they are.
    `mask` (samples, positions) is True (or 1) at what is real and not padding; without it, a mask among the arguments
    is known by its name (`mask_for`). One sample is enough where layers have positions to read.

    The tensors are copied: what a forward pass or a caller writes into its own changes no later reading. Raises
    InputError when there is no tensor with samples on its first axis.
    """

    def __init__(
        self,
        batch: Any = None,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        samples: int | None = None,
        mask: torch.Tensor | None = None,
    ) -> None:
        if batch is not None and (args or kwargs):
            raise InputError("a probe is either one batch or args= and kwargs=; give one of the two.")
        if isinstance(batch, Mapping):
            kwargs = dict(batch)
        elif isinstance(batch, tuple | list):
            args = tuple(batch)
        elif isinstance(batch, torch.Tensor):
            args = (batch,)
        elif batch is not None:
            raise InputError(
                f"a probe is a tensor, a tuple of arguments or a mapping of keywords; got {type(batch).__name__}. "
                "What a model takes as one argument goes into geophone.Probe(args=(it,))."
            )
        self.args: tuple[Any, ...] = copied(tuple(args))
        self.kwargs: dict[str, Any] = copied(dict(kwargs or {}))
        lengths = [len(t) for t in self.tensors if t.ndim]
        if not lengths:
            raise InputError("the probe holds no tensor with samples on its first axis.")
        self.samples = lengths[0] if samples is None else samples
        if self.samples not in lengths:
            raise InputError(f"samples={samples}: no tensor of the probe is so long; they have lengths {lengths}.")
        if self.samples < 2 and not any(t.ndim > 1 and t.shape[1] > 1 for t in self.tensors):
            raise InputError("the probe has 1 sample; dimensionality needs 2 or more (64 to 512 are usual).")
        self.mask = None if mask is None else torch.as_tensor(mask).bool()
        self._lent: tuple[tuple[Any, ...], dict[str, Any]] = (self.args, self.kwargs)
        self._versions: list[int] = []

    @property
    def batch(self) -> Any:
        """The batch as it was given: one tensor, a tuple of arguments, or a mapping of keywords."""
        return self.kwargs or (self.args[0] if len(self.args) == 1 else self.args)

    @property
    def tensors(self) -> list[torch.Tensor]:
        return list(tensors_in((self.args, self.kwargs)))

    def part(self, samples: slice) -> "Probe":
        """The probe of some of its samples, which share the memory of its own."""

        def cut(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[samples] if tensor.ndim and len(tensor) == self.samples else tensor

        made = self._changed(cut)
        made.samples = len(range(*samples.indices(self.samples)))
        made.mask = None if self.mask is None else self.mask[samples]
        return made

    def _changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Probe":
        made = copy.copy(self)
        made.args, made.kwargs = mapped(self.args, change), mapped(self.kwargs, change)
        made._lent, made._versions = (made.args, made.kwargs), []
        return made

    def parts(self, size: int | None) -> list[slice]:
        """The samples in stretches of `size`, the last one shorter; all at once with None."""
        size = self.samples if size is None else size
        return [slice(start, min(start + size, self.samples)) for start in range(0, self.samples, size)]

    def first(self, count: int) -> "Probe | None":
        """A probe of the first `count` samples, one less than all at most; None where 2 are not left."""
        count = min(count, self.samples - 1)
        return None if count < 2 else self.part(slice(0, count))

    def mask_for(self, model: nn.Module) -> torch.Tensor | None:
        """Which positions (samples, positions) are real and not padding, on the CPU: as given, or as an argument of the
        model's forward says whose name has "mask" or "pad" in it; None where nothing does.

        Numbers are 1 at what is real, as a tokenizer's attention_mask; truth values are True at padding where the name
        says "pad", as PyTorch's key_padding_mask. What contradicts that by both its first and its last column, which
        padding never fills at once, is read the other way round.
        """
        if self.mask is not None:
            return self.mask.cpu()
        for name, tensor in self._named(model).items():
            if not ("mask" in name or "pad" in name) or tensor.ndim != 2 or len(tensor) != self.samples:
                continue
            if tensor.is_floating_point() or not bool(((tensor == 0) | (tensor == 1)).all()):
                continue
            marked = tensor.bool().cpu()
            real = ~marked if "pad" in name and tensor.dtype == torch.bool else marked
            ends = (real[:, 0], real[:, -1])
            return ~real if not any(bool(end.any()) for end in ends) else real
        return None

    def _named(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """The tensors among the arguments by the name that the model's forward gives them, or that a mapping does."""
        names = list(inspect.signature(model.forward).parameters)
        arguments = {**dict(zip(names, self.args, strict=False)), **self.kwargs}
        for value in [v for v in arguments.values() if isinstance(v, Mapping)]:
            arguments |= value
        return {name: value for name, value in arguments.items() if isinstance(value, torch.Tensor)}

    def to(self, device: torch.device) -> "Probe":
        """The same probe on `device`; itself where it is there already."""
        if all(tensor.device == device for tensor in self.tensors):
            return self
        return self._changed(lambda tensor: tensor.to(device))

    def digest(self) -> str:
        """SHA-256 over shapes, types and bytes of the tensors; the first 16 hexadecimal digits."""
        total = hashlib.sha256()
        for tensor in self.tensors:
            total.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
            total.update(_bytes(tensor))
        return total.hexdigest()[:16]

    def forward(self, model: nn.Module) -> Any:
        """The model's output on the probe, in eval mode without gradients, with nothing of the model changed.

        A compiled or data-parallel model is run eagerly and by itself: hooks do not fire in compiled code, and
        other processes are not waited for. Attention takes its plain path, on which padding keeps its place, and a
        decoder keeps no cache of keys and values.
        """
        inner = bare(model)
        args, kwargs = self._arguments()
        if "use_cache" not in kwargs and _can_cache(inner):
            kwargs = {**kwargs, "use_cache": False}
        with undisturbed(inner), torch.no_grad(), _eager(inner), _fresh_autocast_cache(), _plain_attention():
            return inner(*args, **kwargs)

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A copy to call the model with, made anew where the last pass wrote into it."""
        versions = [_version(t) for t in tensors_in(self._lent)]
        if not self._versions or versions != self._versions or -1 in versions:
            self._lent = copied((self.args, self.kwargs))
            self._versions = [_version(t) for t in tensors_in(self._lent)]
        return self._lent

    def digests(self) -> set[str]:
        """A digest per sample, over all tensors that have the samples on their first axis; equal samples have equal
        digests."""
        of_samples = [t for t in self.tensors if t.ndim and len(t) == self.samples]
        rows = zip(*(t.detach().cpu().contiguous().reshape(self.samples, -1) for t in of_samples), strict=True)
        return {hashlib.sha256(b"".join(map(_bytes, row))).hexdigest() for row in rows}


def as_probe(batch: Any) -> Probe:
    """`batch` as a `Probe`, if it is none yet."""
    return batch if isinstance(batch, Probe) else Probe(batch)


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


def _version(tensor: torch.Tensor) -> int:
    # Inference tensors keep no count of in-place changes; -1 says that nothing is known.
    return -1 if tensor.is_inference() else tensor._version


def _can_cache(model: nn.Module) -> bool:
    """Whether `model` is a decoder that would keep keys and values which nobody reads."""
    return hasattr(model, "config") and "use_cache" in inspect.signature(model.forward).parameters


@contextmanager
def _plain_attention() -> Iterator[None]:
    """torch.nn's fused path would hand nested tensors, without padding, from layer to layer."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def second_probe(batch: Any, probe: Probe) -> Probe:
    """A probe for the measurement noise of `probe`. Raises InputError unless it has as many samples, all of them
    others."""
    noise = as_probe(batch)
    if noise.samples != probe.samples:
        raise InputError(
            f"the noise probe has {noise.samples} samples, the probe {probe.samples}; readings of different sizes "
            "do not compare."
        )
    if shared := len(noise.digests() & probe.digests()):
        raise InputError(f"{shared} sample(s) are in both probes; the noise probe must be disjoint.")
    return noise


def bare(model: nn.Module) -> nn.Module:
    """The network itself, out of the wrappers of `torch.compile`, of data parallelism and of DeepSpeed."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel) or is_engine(model):
            model = model.get_submodule("module")
        elif "_orig_mod" in model._modules:
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
        _set_training(module, False)
    try:
        yield
    finally:
        for module in training:
            _set_training(module, True)
        for place, name, buffer, before in buffers:
            place[name] = buffer
            refill(buffer, before)
        _restore(states)


def _set_training(module: nn.Module, value: bool) -> None:
    """Straight into the instance: a module's own way of setting an attribute looks for parameters first, which takes
    longer than a small layer does. A scripted one keeps its flag elsewhere."""
    if isinstance(module, torch.jit.ScriptModule):
        module.training = value
    else:
        module.__dict__["training"] = value


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
