"""Staircase functions: monomials learned in the order in which each extends the last (Abbe et al. 2021)."""

import numpy as np
import torch

from geophone.prove.bed import Batch, Clock, Curves, Setting, log_uniform
from geophone.prove.events import rises
from geophone.training import supervised
from geophone.zoo.mlp import MLP

BITS = 30
WIDTH = 96
BATCH = 128
DEGREE = 4
CHECKS = 1024
PROBE = 256
RATE = 0.02


def setting(seed: int) -> Setting:
    """f(x) = x1 + x1 x2 + ... + x1 x2 x3 x4 on random signs, each term with a weight in [.7, 1.3], the bits and the
    order drawn by seed; an MLP of two layers, SGD on the squared error.

    The clock of a monomial is its Fourier coefficient in the network, the mean of network(x) times monomial(x), from
    0 to the coefficient that it has in f.
    """
    rng = np.random.default_rng([3, seed])
    order = rng.choice(BITS, DEGREE, replace=False)
    return _setting(order, rng.uniform(0.7, 1.3, DEGREE), seed, rng, rate=RATE)


def drawn(seed: int) -> Setting:
    """The same with weights log-uniform in [.5, 1.6] and a rate log-uniform in [.012, .048]."""
    rng = np.random.default_rng([103, seed])
    rate = float(log_uniform(rng, 0.012, 0.048))
    order = rng.choice(BITS, DEGREE, replace=False)
    return _setting(order, log_uniform(rng, 0.5, 1.6, DEGREE), seed, rng, rate=rate)


def _setting(order: np.ndarray, weights: np.ndarray, seed: int, rng: np.random.Generator, *, rate: float) -> Setting:
    weight = weights.astype(np.float32)
    torch.manual_seed(seed)
    model = MLP(BITS, [WIDTH, WIDTH], 1)

    def draw(rng: np.random.Generator, size: int) -> Batch:
        x = (2 * rng.integers(2, size=(size, BITS), dtype=np.int8) - 1).astype(np.float32)
        return torch.from_numpy(x), torch.from_numpy(x[:, order].cumprod(1) @ weight)[:, None]

    checks, _ = draw(rng, CHECKS)
    parts = checks[:, order].cumprod(1)

    def coefficients() -> Curves:
        share = (parts * model(checks)).mean(0) / torch.from_numpy(weight)
        return {f"degree{i + 1}": float(value) for i, value in enumerate(share)}

    def loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 0.5 * (output - y).square().mean()

    return Setting(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=rate),
        objective=supervised(model, lambda rng, step: draw(rng, BATCH), loss),
        probe=draw(rng, PROBE),
        clock=Clock(coefficients, lambda table: rises(table, start=0.0, end=1.0)),
        steps=3000,
        every=8,
        layers=("layer1", "layer2"),
    )
