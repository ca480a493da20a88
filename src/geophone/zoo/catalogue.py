"""The experiments that can be trained by name."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from geophone.errors import InputError
from geophone.zoo.cnn import CNN
from geophone.zoo.mlp import MLP
from geophone.zoo.transformer import VisionTransformer


@dataclass(frozen=True)
class Experiment:
    """A network, a task, and how the one is trained on the other.

    `build` initialises from torch's global random state, which the caller seeds. `layers` are the module paths to
    record, in order of execution, each the representation after its non-linearity.
    """

    name: str
    family: str
    task: str
    build: Callable[[], nn.Module]
    layers: tuple[str, ...]
    lr: float
    batch: int = 64
    optimizer: str = "adam"
    weight_decay: float = 0.0
    steps: int = 2000


def _numbered(stem: str, count: int) -> tuple[str, ...]:
    return tuple(f"{stem}{i}" for i in range(1, count + 1))


CATALOGUE: tuple[Experiment, ...] = (
    Experiment(
        name="mlp_4_mnist",
        family="mlp",
        task="mnist",
        build=lambda: MLP(784, (256, 256, 128, 128), 10),
        layers=(*_numbered("layer", 4), "head"),
        lr=1e-3,
    ),
    Experiment(
        name="cnn_4_mnist",
        family="cnn",
        task="mnist",
        build=lambda: CNN(1, (16, 32, 64, 64), 10, size=28, halving=(1, 3)),
        layers=(*_numbered("conv", 4), "head"),
        lr=1e-3,
    ),
    Experiment(
        name="vit_2_mnist",
        family="transformer",
        task="mnist",
        build=lambda: VisionTransformer(1, 10, size=28, patch=7, width=64, heads=4, depth=2),
        layers=("embed", "blocks.0", "blocks.1", "head"),
        lr=1e-3,
    ),
)


def names(pattern: str = "*") -> list[str]:
    """Names of the experiments that match the glob `pattern`, in the catalogue's order."""
    return [e.name for e in CATALOGUE if fnmatchcase(e.name, pattern)]


def experiment(name: str) -> Experiment:
    """The experiment called `name`. Raises InputError with the nearest names when there is none."""
    for found in CATALOGUE:
        if found.name == name:
            return found
    near = get_close_matches(name, names(), n=3) or names()[:3]
    raise InputError(f"unknown experiment {name!r}; did you mean {' or '.join(near)}?")
