"""Staircase functions: monomials learned in the order in which each extends the last (Abbe et al. 2021)."""

import numpy as np
import torch
from torch import nn

from geophone.prove.bed import Setting
from geophone.prove.events import rises
from geophone.zoo.mlp import MLP

BITS = 30
WIDTH = 96
BATCH = 128
DEGREE = 4
CHECKS = 1024
PROBE = 256
RATE = 0.02


def setting(seed: int) -> Setting:
    """f(x) = x1 + x1 x2 + ... + x1 x2 x3 x4 on random signs, the bits and the order drawn by seed; an MLP of two
    layers, SGD on the squared error.

    The clock of a monomial is its Fourier coefficient in the network, the mean of network(x) times monomial(x), from
    0 to the coefficient that it has in f.
    """
    rng = np.random.default_rng([3, seed])
    order = rng.choice(BITS, DEGREE, replace=False)
    weights = rng.uniform(0.7, 1.3, DEGREE).astype(np.float32)
    torch.manual_seed(seed)
    model = MLP(BITS, [WIDTH, WIDTH], 1)

    def draw(rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = (2 * rng.integers(2, size=(size, BITS), dtype=np.int8) - 1).astype(np.float32)
        monomials = x[:, order].cumprod(1)
        return torch.from_numpy(x), torch.from_numpy(monomials @ weights)

    checks, _ = draw(rng, CHECKS)
    parts = checks[:, order].cumprod(1)

    def coefficients(net: nn.Module) -> dict[str, float]:
        found = (parts * net(checks)).mean(0) / torch.from_numpy(weights)
        return {f"degree{i + 1}": float(value) for i, value in enumerate(found)}

    return Setting(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=RATE),
        batch=lambda rng: draw(rng, BATCH),
        loss=lambda output, y: 0.5 * (output[:, 0] - y).square().mean(),
        probe=draw(rng, PROBE),
        steps=3000,
        every=8,
        curves=coefficients,
        events=lambda table: rises(table, start=0.0, end=1.0),
        layers=("layer1", "layer2"),
    )
