"""Modular addition: memorised first, understood much later (Power et al. 2022)."""

import numpy as np
import torch
from torch import nn

from geophone.prove.bed import Batch, Clock, Curves, Setting
from geophone.prove.events import rises
from geophone.training import supervised
from geophone.zoo.mlp import MLP

P = 59
SHARE = 0.6
BATCH = 512
PROBE = 256


def setting(seed: int) -> Setting:
    """Sums mod 59 by an MLP of width 128 on one-hot pairs, of which 60 % train, AdamW 1e-2 with weight decay 1.

    Two clocks: `memorised`, the accuracy on 512 of the training pairs, and `generalised`, the accuracy on all the
    others, from chance to all right. The probe is of the others.
    """
    rng = np.random.default_rng([6, seed])
    pairs = np.indices((P, P)).reshape(2, -1).T[rng.permutation(P * P)]
    x, y = torch.from_numpy(pairs), torch.from_numpy(pairs.sum(1) % P)
    count = int(SHARE * len(x))
    torch.manual_seed(seed)
    model = MLP(2, [128], P, symbols=P)

    def draw(rng: np.random.Generator, step: int) -> Batch:
        index = torch.from_numpy(rng.integers(count, size=BATCH))
        return x[index], y[index]

    def accuracies() -> Curves:
        right = (model(torch.cat([x[:BATCH], x[count:]])).argmax(1) == torch.cat([y[:BATCH], y[count:]])).float()
        return {"memorised": float(right[:BATCH].mean()), "generalised": float(right[BATCH:].mean())}

    return Setting(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1.0),
        objective=supervised(model, draw, nn.functional.cross_entropy),
        probe=(x[count : count + PROBE], y[count : count + PROBE]),
        clock=Clock(accuracies, lambda table: rises(table, start=1 / P, end=1.0)),
        steps=2400,
        every=6,
        layers=("layer1", "layer1.0"),
    )
