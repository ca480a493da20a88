"""Superposition: more features than room, taken up in the order of their importance (Elhage et al. 2022)."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.prove.bed import Batch, Clock, Curves, Setting
from geophone.prove.events import Event, rises
from geophone.training import supervised

FEATURES, ROOM = 20, 5
BATCH = 256
PROBE = 256
LEAST_NORM = 0.5


class Tied(nn.Module):
    """out(W' encode(x) + b), encode(x) = W x: the toy model of superposition, `out` a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(FEATURES, ROOM, bias=False)
        self.bias = nn.Parameter(torch.zeros(FEATURES))
        self.out = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.encode(x) @ self.encode.weight + self.bias)


def setting(seed: int) -> Setting:
    """20 features in 5 dimensions, feature i of importance .7^i and there 1 time in 10, Adam 1e-3.

    The clock of a feature is the squared length of its column of W, as a share of the most it comes to, for features
    that come to 0.5 or more.
    """
    rng = np.random.default_rng([7, seed])
    torch.manual_seed(seed)
    model = Tied()
    with torch.no_grad():
        model.encode.weight.mul_(0.1)
    importance = torch.from_numpy(0.7 ** np.arange(FEATURES, dtype=np.float32))

    def draw(rng: np.random.Generator, size: int) -> Batch:
        there = rng.random((size, FEATURES), dtype=np.float32) < 0.1
        x = torch.from_numpy(there * rng.random((size, FEATURES), dtype=np.float32))
        return x, x

    def loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (importance * (output - y).square()).sum(1).mean()

    return Setting(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
        objective=supervised(model, lambda rng, step: draw(rng, BATCH), loss),
        probe=draw(rng, PROBE),
        clock=Clock(lambda: _norms(model), clocked),
        steps=2400,
        every=6,
        layers=("encode", "out"),
    )


def _norms(model: Tied) -> Curves:
    return {f"feature{i}": float(v) for i, v in enumerate(model.encode.weight.square().sum(0))}


def clocked(table: pd.DataFrame) -> list[Event]:
    """Events of the features whose greatest squared length is 0.5 or more."""
    kept = table[table.columns[table.max() >= LEAST_NORM]]
    return rises(kept / kept.max(), start=0.0, end=1.0)
