"""A shock: the learning rate is 30 times too high for ten steps."""

from pathlib import Path

import numpy as np
import torch
from case import Event, main
from sklearn.datasets import load_digits

import geophone as gp

SHOCK = 501


def train(out: Path) -> list[Event]:
    """A perceptron of three layers on digits (8 x 8 pixels), Adam at 1e-3; at steps 501 to 510 the rate is 3e-2. The
    clock: step 501."""
    images, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(digits)
    rng = np.random.default_rng(0)
    probe, labels, pool, answers = x[:256], y[:256], x[256:], y[256:]
    layers = [torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with gp.Recorder(model, probe, out=out, labels=labels, every=4) as recorder:
        for step in range(1, 1001):
            optimizer.param_groups[0]["lr"] = 3e-2 if SHOCK <= step < SHOCK + 10 else 1e-3
            chosen = torch.from_numpy(rng.integers(len(pool), size=64))
            loss = torch.nn.functional.cross_entropy(model(pool[chosen]), answers[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
    return [Event("the rate rises", SHOCK, ("shock",))]


if __name__ == "__main__":
    main("shock", train)
