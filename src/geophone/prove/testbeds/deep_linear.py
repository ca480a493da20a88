"""Deep linear networks: the one testbed whose events have a theory (Saxe et al. 2014)."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.prove.bed import Setting
from geophone.prove.events import rises

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


def teacher(strengths: Sequence[float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left vectors (modes, N), right vectors (modes, N) and the map (N, N) with these singular values."""
    left, right = (np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0][: len(strengths)] for _ in range(2))
    return left, right, (left.T * np.asarray(strengths)) @ right


def _loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return 0.5 * (output - y).square().sum(1).mean()


def _strengths(model: nn.Module, left: torch.Tensor, right: torch.Tensor, strengths: Sequence[float]):
    learned = model.out.weight @ model.hidden.weight
    return {f"mode{i}": float(left[i] @ learned @ right[i]) / s for i, s in enumerate(strengths)}


def balanced(strengths: Sequence[float], *, start: float, steps: int, seed: int, every: int = 1) -> Setting:
    """The exact case: whitened inputs, the whole data set at every step, and balanced weights in which each mode begins
    at strength `start`. Its events agree with `learning_times`."""
    rng = np.random.default_rng(seed)
    left, right, target = teacher(strengths, rng)
    model = DeepLinear(SIZE)
    middle = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0][: len(strengths)]
    with torch.no_grad():
        model.hidden.weight.copy_(torch.from_numpy(np.sqrt(start) * middle.T @ right))
        model.out.weight.copy_(torch.from_numpy(np.sqrt(start) * left.T @ middle))
    x = whitened(PROBE, SIZE, rng)
    data = (x, x @ torch.from_numpy(target.T.astype(np.float32)))
    return _setting(model, left, right, strengths, data=data, batch=lambda rng: data, steps=steps, every=every)


def setting(seed: int) -> Setting:
    """Three to six modes of random strength, small random weights, and minibatches with noise on the answers."""
    rng = np.random.default_rng([1, seed])
    ratios = rng.uniform(0.5, 0.8, rng.integers(2, 6))
    strengths = rng.uniform(4, 6) * np.concatenate([[1.0], ratios.cumprod()])
    left, right, target = teacher(strengths, rng)
    torch.manual_seed(seed)
    model = DeepLinear(SIZE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.01)
    answer = torch.from_numpy(target.T.astype(np.float32))
    x = torch.from_numpy(rng.normal(size=(PROBE, SIZE)).astype(np.float32))
    return _setting(
        model, left, right, strengths, data=(x, x @ answer), batch=partial(_noisy, answer), steps=1600, every=4
    )


def _noisy(answer: torch.Tensor, rng: np.random.Generator):
    x = torch.from_numpy(rng.standard_normal((BATCH, SIZE), dtype=np.float32))
    noise = torch.from_numpy(rng.standard_normal((BATCH, SIZE), dtype=np.float32))
    return x, x @ answer + NOISE * noise


def _setting(model, left, right, strengths, *, data, batch, steps: int, every: int) -> Setting:
    ends = [torch.from_numpy(side.astype(np.float32)) for side in (left, right)]
    return Setting(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
        batch=batch,
        loss=_loss,
        probe=data,
        steps=steps,
        every=every,
        curves=lambda net: _strengths(net, *ends, strengths),
        events=lambda table: rises(table, start=0.0, end=1.0),
        layers=("hidden", "out"),
        about={"strengths": [round(float(s), 4) for s in strengths]},
    )
