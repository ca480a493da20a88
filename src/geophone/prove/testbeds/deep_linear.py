"""Deep linear networks: the one testbed whose events have a theory (Saxe et al. 2014)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.prove.bed import Batch, Clock, Curves, Setting, log_uniform
from geophone.prove.events import rises
from geophone.training import supervised

SIZE = 32
RATE = 0.005
BATCH = 32
NOISE = 0.3
PROBE = 256


class DeepLinear(nn.Module):
    """y = out(hidden(x)): two square weight matrices, no bias, no non-linearity."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size, bias=False)
        self.out = nn.Linear(size, size, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.hidden(x))


def learning_times(strengths: Sequence[float], *, rate: float, start: float) -> np.ndarray:
    """Steps at which each mode is half learned: ln(s / u0 - 1) / (2 rate s), s its strength, u0 = `start` its initial
    strength. For whitened inputs, gradient descent on |y - W2 W1 x|^2 / 2 and balanced weights (Saxe et al. 2014)."""
    s = np.asarray(strengths, dtype=np.float64)
    return np.log(s / start - 1) / (2 * rate * s)


def whitened(samples: int, size: int, rng: np.random.Generator) -> torch.Tensor:
    """(samples, size) inputs of mean 0 whose covariance over these samples is the identity, exactly.

    Raises InputError when there are not more samples than features.
    """
    if samples <= size:
        raise InputError(f"{samples} samples of {size} features cannot be whitened: give more samples.")
    x = rng.normal(size=(samples, size))
    q, _ = np.linalg.qr(x - x.mean(0))
    return torch.from_numpy((q * np.sqrt(samples)).astype(np.float32))


def _loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 0.5 * (output - y).square().sum(1).mean()


def balanced(strengths: Sequence[float], *, start: float, steps: int, seed: int, every: int = 1) -> Setting:
    """The exact case: whitened inputs, the whole data set at every step, and balanced weights in which each mode begins
    at strength `start`. Its events agree with `learning_times`."""
    rng = np.random.default_rng(seed)
    modes = Modes.drawn(np.asarray(strengths), rng)
    model = DeepLinear(SIZE)
    middle = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0][: len(strengths)]
    with torch.no_grad():
        model.hidden.weight.copy_(torch.from_numpy(np.sqrt(start) * middle.T @ modes.right))
        model.out.weight.copy_(torch.from_numpy(np.sqrt(start) * modes.left.T @ middle))
    x = whitened(PROBE, SIZE, rng)
    data = (x, x @ modes.answer)
    return _setting(model, modes, probe=data, draw=lambda rng, step: data, rate=RATE, steps=steps, every=every)


def setting(seed: int) -> Setting:
    """Three to six modes of random strength, small random weights, and minibatches with noise on the answers."""
    rng = np.random.default_rng([1, seed])
    ratios = rng.uniform(0.5, 0.8, rng.integers(2, 6))
    return _noisy(rng.uniform(4, 6) * np.concatenate([[1.0], ratios.cumprod()]), seed, rng, rate=RATE)


def drawn(seed: int) -> Setting:
    """Three to six modes of strengths log-uniform in [.8, 6], each independent, at a rate log-uniform in [.003,
    .012]."""
    rng = np.random.default_rng([101, seed])
    rate = float(log_uniform(rng, 0.003, 0.012))
    return _noisy(np.sort(log_uniform(rng, 0.8, 6.0, int(rng.integers(3, 7))))[::-1], seed, rng, rate=rate)


@dataclass(frozen=True, slots=True, eq=False)
class Modes:
    """A linear map by its singular vectors, `left` and `right` (modes, N), and values `strengths` (modes,)."""

    left: np.ndarray
    right: np.ndarray
    strengths: np.ndarray

    @classmethod
    def drawn(cls, strengths: np.ndarray, rng: np.random.Generator) -> "Modes":
        """Random orthonormal vectors with these strengths."""
        left, right = (np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0][: len(strengths)] for _ in range(2))
        return cls(left, right, strengths)

    @property
    def answer(self) -> torch.Tensor:
        """The map as the matrix that x is multiplied by from the right."""
        return torch.from_numpy(((self.left.T * self.strengths) @ self.right).T.astype(np.float32))

    def learned(self, model: DeepLinear) -> Curves:
        """How much of each mode the network has, 1 for all of it."""
        product = (model.out.weight @ model.hidden.weight).double().numpy()
        return {f"mode{i}": float(self.left[i] @ product @ self.right[i] / s) for i, s in enumerate(self.strengths)}


def _noisy(strengths: np.ndarray, seed: int, rng: np.random.Generator, *, rate: float) -> Setting:
    modes = Modes.drawn(strengths, rng)
    torch.manual_seed(seed)
    model = DeepLinear(SIZE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.01)
    answer = modes.answer
    x = torch.from_numpy(rng.normal(size=(PROBE, SIZE)).astype(np.float32))

    def draw(rng: np.random.Generator, step: int) -> Batch:
        x, noise = torch.from_numpy(rng.standard_normal((2, BATCH, SIZE), dtype=np.float32))
        return x, x @ answer + NOISE * noise

    return _setting(model, modes, probe=(x, x @ answer), draw=draw, rate=rate, steps=1600, every=4)


def _setting(
    model: DeepLinear,
    modes: Modes,
    *,
    probe: Batch,
    draw: Callable[[np.random.Generator, int], Batch],
    rate: float,
    steps: int,
    every: int,
) -> Setting:
    return Setting(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=rate),
        objective=supervised(model, draw, _loss),
        probe=probe,
        clock=Clock(lambda: modes.learned(model), lambda table: rises(table, start=0.0, end=1.0)),
        steps=steps,
        every=every,
        layers=("hidden", "out"),
    )
