"""The 44 experiments that can be trained by name."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from geophone.errors import InputError
from geophone.zoo.named import imported

if TYPE_CHECKING:
    from torch import nn

    from geophone.zoo.tasks import Task


@dataclass(frozen=True)
class Experiment:
    """A network, a task, and how the one is trained on the other.

    The catalogue's names are kind_variant_depth_task; the plain variant is left out of them. `task` is the name of one
    of the zoo's tasks, or a Task of your own. `architecture` is "mlp", "cnn" or
    "transformer". `build` initialises from torch's global random state, which the caller seeds. `layers` are the
    module paths to record, in order of execution, each the representation after its non-linearity. `depth` counts
    hidden layers or blocks, `width` is the greatest number of units, channels or stream dimensions. With `grokking`
    the network first memorises, and need not be above chance on held-out data when `steps` are over.
    """

    name: str
    architecture: str
    task: "str | Task"
    build: "Callable[[], nn.Module]"
    layers: tuple[str, ...]
    variant: str
    depth: int
    width: int
    lr: float = 1e-3
    batch: int = 64
    optimizer: str = "adam"
    weight_decay: float = 0.0
    steps: int = 2000
    grokking: bool = False


# Images: (channels, side, classes). Vectors and pairs for MLPs: (entries, classes).
_IMAGES = {"mnist": (1, 28, 10), "digits": (1, 8, 10), "shapes": (3, 32, 10)}
_VECTORS = {"parity": (40, 2), "modular": (2, 59)}
# Sequences: (symbols, length, classes).
_SEQUENCES = {"text": (96, 48, 96), "repeats": (32, 48, 32), "markov": (3, 64, 3), "modular": (59, 2, 59)}


def _built(network: str, *sizes, activation: str | None = None, **net) -> "nn.Module":
    """A network of the zoo; `activation` is the name of a class of torch.nn, by default the network's own."""
    # Imported here: a name is looked up without torch, whose import takes seconds.
    from torch import nn

    from geophone.zoo.cnn import CNN
    from geophone.zoo.mlp import MLP
    from geophone.zoo.transformer import Decoder, VisionTransformer

    kinds: dict[str, Callable[..., nn.Module]] = {k.__name__: k for k in (MLP, CNN, VisionTransformer, Decoder)}
    if activation is not None:
        net["activation"] = getattr(nn, activation)
    return kinds[network](*sizes, **net)


def _name(kind: str, variant: str, depth: int, task: str) -> str:
    return "_".join(part for part in (kind, "" if variant == "plain" else variant, str(depth), task) if part)


def _numbered(stem: str, count: int) -> tuple[str, ...]:
    return (*(f"{stem}{i}" for i in range(1, count + 1)), "head")


def _blocks(depth: int) -> tuple[str, ...]:
    return ("embed", *(f"blocks.{i}" for i in range(depth)), "head")


def _mlp(variant: str, task: str, widths: Sequence[int], *, net: dict | None = None, **training) -> Experiment:
    if task in _IMAGES:
        channels, side, outputs = _IMAGES[task]
        inputs = channels * side * side
    else:
        inputs, outputs = _VECTORS[task]
    return Experiment(
        name=_name("mlp", variant, len(widths), task),
        architecture="mlp",
        task=task,
        build=partial(_built, "MLP", inputs, tuple(widths), outputs, **(net or {})),
        layers=_numbered("layer", len(widths)),
        variant=variant,
        depth=len(widths),
        width=max(widths),
        **training,
    )


def _cnn(
    variant: str,
    task: str,
    widths: Sequence[int],
    halving: Sequence[int],
    *,
    net: dict | None = None,
    **training,
) -> Experiment:
    channels, side, outputs = _IMAGES[task]
    net = {"size": side, "halving": tuple(halving)} | (net or {})
    return Experiment(
        name=_name("cnn", variant, len(widths), task),
        architecture="cnn",
        task=task,
        build=partial(_built, "CNN", channels, tuple(widths), outputs, **net),
        layers=_numbered("conv", len(widths)),
        variant=variant,
        depth=len(widths),
        width=max(widths),
        **training,
    )


def _vit(variant: str, task: str, depth: int, *, patch: int, net: dict | None = None, **training) -> Experiment:
    channels, side, outputs = _IMAGES[task]
    shape = {"size": side, "patch": patch, "width": 48, "heads": 4, "depth": depth} | (net or {})
    return Experiment(
        name=_name("vit", variant, depth, task),
        architecture="transformer",
        task=task,
        build=partial(_built, "VisionTransformer", channels, outputs, **shape),
        layers=_blocks(depth),
        variant=variant,
        depth=depth,
        width=shape["width"],
        **training,
    )


def _decoder(kind: str, variant: str, task: str, depth: int, *, net: dict | None = None, **training) -> Experiment:
    symbols, length, outputs = _SEQUENCES[task]
    shape = {"length": length, "width": 48, "heads": 4, "depth": depth} | (net or {})
    return Experiment(
        name=_name(kind, variant, depth, task),
        architecture="transformer",
        task=task,
        build=partial(_built, "Decoder", symbols, outputs, **shape),
        layers=_blocks(depth),
        variant=variant,
        depth=depth,
        width=shape["width"],
        **training,
    )


_MLPS = (
    _mlp("plain", "digits", (64,)),
    _mlp("plain", "mnist", (256, 128)),
    _mlp("plain", "mnist", (256, 256, 128, 128)),
    _mlp("plain", "mnist", (128,) * 6),
    _mlp("deep", "mnist", (128,) * 10),
    _mlp("wide", "mnist", (512, 512)),
    _mlp("narrow", "mnist", (24,) * 4),
    _mlp("bottleneck", "mnist", (256, 128, 8, 128, 256)),
    _mlp("tanh", "mnist", (128,) * 4, net={"activation": "Tanh"}),
    _mlp("gelu", "mnist", (128,) * 3, net={"activation": "GELU"}),
    _mlp("layernorm", "mnist", (128,) * 6, net={"norm": True}),
    _mlp("residual", "mnist", (128,) * 8, net={"residual": True}),
    _mlp("layernorm", "digits", (64,) * 7, net={"norm": True}),
    _mlp("plain", "shapes", (256, 256, 128)),
    _mlp("plain", "parity", (128,), lr=3e-3, batch=512),
    _mlp(
        "plain",
        "modular",
        (256, 128),
        batch=512,
        optimizer="adamw",
        weight_decay=1.0,
        net={"symbols": 59},
        grokking=True,
    ),
)

_CNNS = (
    _cnn("plain", "mnist", (32, 64), (1, 2)),
    _cnn("plain", "mnist", (32, 64, 64, 64), (1, 3)),
    _cnn("plain", "digits", (32, 64, 64), (2,)),
    _cnn("plain", "shapes", (16, 32, 32, 64), (1, 2, 4), lr=2e-3),
    _cnn("plain", "shapes", (16, 32, 32, 32, 64, 64), (1, 2, 5)),
    _cnn("deep", "shapes", (16, 32, 32, 32, 32, 64, 64, 64), (1, 2, 6)),
    _cnn("wide", "shapes", (32, 64, 128), (1, 2, 3), lr=2e-3),
    _cnn("narrow", "mnist", (8, 8, 16, 16), (1, 3)),
    _cnn("kernel5", "mnist", (16, 32, 64), (1, 2), net={"kernel": 5}),
    _cnn("strided", "shapes", (16, 32, 64, 64, 64), (1, 2, 3, 4, 5), lr=2e-3),
    _cnn("batchnorm", "shapes", (16, 32, 32, 64), (1, 2, 4), lr=2e-3, net={"norm": True}),
    _cnn("residual", "shapes", (16, 32, 32, 32, 64, 64, 64), (1, 2, 5), lr=2e-3, net={"residual": True}),
    _cnn("tanh", "mnist", (16, 32, 64, 64), (1, 3), net={"activation": "Tanh"}),
    _cnn("pooled", "mnist", (16, 32, 64), (1, 2, 3), net={"pool": True}),
)

_ATTENTION_ONLY = {"mlp": False, "width": 64}
_TRANSFORMERS = (
    _vit("plain", "mnist", 2, patch=7, net={"width": 64}, lr=2e-3),
    _vit("plain", "mnist", 4, patch=7),
    _vit("postnorm", "mnist", 3, patch=7, net={"norm": "post"}),
    _vit("plain", "shapes", 3, patch=8),
    _vit("plain", "shapes", 6, patch=8),
    _decoder("decoder", "plain", "text", 1, lr=2e-3, batch=16),
    _decoder("decoder", "plain", "text", 2, lr=2e-3, batch=16),
    _decoder("decoder", "plain", "text", 4, lr=2e-3, batch=16),
    _decoder("decoder", "plain", "text", 6, lr=2e-3, batch=16),
    _decoder("decoder", "postnorm", "text", 4, lr=2e-3, batch=16, net={"norm": "post"}),
    _decoder("attention", "plain", "repeats", 2, batch=32, optimizer="adamw", net=_ATTENTION_ONLY),
    _decoder("attention", "plain", "repeats", 3, batch=32, optimizer="adamw", net=_ATTENTION_ONLY),
    _decoder("attention", "plain", "markov", 2, batch=32, optimizer="adamw", net=_ATTENTION_ONLY),
    _decoder(
        "decoder", "plain", "modular", 1, batch=512, optimizer="adamw", weight_decay=1.0,
        net={"last_only": True, "width": 64},
    ),
)  # fmt: skip

CATALOGUE: tuple[Experiment, ...] = (*_MLPS, *_CNNS, *_TRANSFORMERS)


def names(pattern: str = "*") -> list[str]:
    """Names of the experiments that match the glob `pattern`, in the catalogue's order."""
    return [e.name for e in CATALOGUE if fnmatchcase(e.name, pattern)]


def experiment(name: str) -> Experiment:
    """The experiment called `name`, or the one that the user's own `module:function` returns.

    Raises InputError with the nearest names when there is none, or when the function returns something else.
    """
    if ":" in name:
        made = imported(name)()
        if not isinstance(made, Experiment):
            raise InputError(
                f"{name} returned {type(made).__name__}; a study wants a geophone.zoo.catalogue.Experiment."
            )
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", made.name):
            raise InputError(f"{name}: {made.name!r} cannot name a folder; use letters, digits, '_', '.' and '-'.")
        return made
    for found in CATALOGUE:
        if found.name == name:
            return found
    near = get_close_matches(name, names(), n=3) or names()[:3]
    raise InputError(f"unknown experiment {name!r}; did you mean {' or '.join(near)}?")
