"""Sums mod 59 at drawn rates: frequencies become readable one after another (Nanda et al. 2023)."""

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import median_filter
from torch import nn

from geophone.prove.bed import Batch, Clock, Curves, Setting, log_uniform
from geophone.prove.events import Event, rises
from geophone.prove.testbeds.stream import ridge
from geophone.training import supervised
from geophone.zoo.mlp import MLP

P = 59
FITTED, READ = 1400, 1000
FREQUENCIES = range(1, P // 2 + 1)


def setting(seed: int) -> Setting:
    """An MLP of 128 on one-hot pairs, of which a share uniform in [.5, .7] trains; AdamW at a rate log-uniform in
    [6e-3, 1.4e-2] with weight decay log-uniform in [.7, 1.5].

    The clock of frequency k: R2 of a ridge for cos and sin of 2 pi k (a + b) / 59 from the hidden layer, fitted on 1400
    pairs and read on 1000 others, from 0 to the most it comes to if that is .5 or more.
    """
    rng = np.random.default_rng([204, seed])
    pairs = np.indices((P, P)).reshape(2, -1).T[rng.permutation(P * P)]
    x, sums = torch.from_numpy(pairs), pairs.sum(1)
    y = torch.from_numpy(sums % P)
    count = int(rng.uniform(0.5, 0.7) * len(x))
    rate, decay = float(log_uniform(rng, 6e-3, 1.4e-2)), float(log_uniform(rng, 0.7, 1.5))
    torch.manual_seed(seed)
    model = MLP(2, [128], P, symbols=P)
    angle = 2 * np.pi * np.array(FREQUENCIES) * sums[:, None] / P
    waves = torch.from_numpy(np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32))
    chosen = torch.from_numpy(rng.permutation(len(x))[: FITTED + READ])
    hot = nn.functional.one_hot(x[chosen], P).float().flatten(1)

    def draw(rng: np.random.Generator, step: int) -> Batch:
        index = torch.from_numpy(rng.integers(count, size=512))
        return x[index], y[index]

    def explained() -> Curves:
        hidden, known = model.get_submodule("layer1")(hot), waves[chosen]
        error = (ridge(hidden[:FITTED], known[:FITTED], hidden[FITTED:]) - known[FITTED:]).square().mean(0) / 0.5
        share = (1 - error.view(2, -1).mean(0)).clamp_min(0).detach()
        return {f"frequency{k}": float(value) for k, value in zip(FREQUENCIES, share, strict=True)}

    def events(table: pd.DataFrame) -> list[Event]:
        smooth = table.apply(lambda curve: median_filter(curve.to_numpy(), 5, mode="nearest").max())
        learned = smooth[smooth >= 0.5]
        return rises(table[learned.index] / learned, start=0.0, end=1.0)

    return Setting(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay),
        objective=supervised(model, draw, nn.functional.cross_entropy),
        probe=(x[count : count + 256], y[count : count + 256]),
        clock=Clock(explained, events),
        steps=1600,
        every=8,
        layers=("layer1", "layer1.0"),
    )
