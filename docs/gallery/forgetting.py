"""Forgetting: new classes arrive, old ones go."""

from pathlib import Path

import numpy as np
import torch
from case import Event, crossing, main
from sklearn.datasets import load_digits

import geophone as gp

ARRIVE = 401


def train(out: Path) -> list[Event]:
    """A perceptron learns the digits 0 to 4 (8 x 8 pixels); from step 401 on it sees 5 to 9 only. The clocks: the steps
    at which the accuracy on test images of the new classes passes half, and of the old ones falls below half."""
    images, digits = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(digits)
    rng = np.random.default_rng(0)
    probe, labels, test, right, pool, answers = x[:256], y[:256], x[256:512], y[256:512], x[512:], y[512:]
    layers = [torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    accuracy: dict[str, dict[int, float]] = {"old": {}, "new": {}}
    parts = [(answers < 5).nonzero().flatten(), (answers >= 5).nonzero().flatten()]
    with gp.Recorder(model, probe, out=out, labels=labels, every=4) as recorder:
        for step in range(1, 801):
            part = parts[step >= ARRIVE]
            chosen = part[torch.from_numpy(rng.integers(len(part), size=64))]
            loss = torch.nn.functional.cross_entropy(model(pool[chosen]), answers[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step % 2 == 0:
                with torch.no_grad():
                    hits = (model(test).argmax(-1) == right).float()
                for name, there in (("old", right < 5), ("new", right >= 5)):
                    accuracy[name][step] = float(hits[there].mean())
    old = (labels < 5).numpy()
    return [
        Event("0 to 4 are learned", crossing(accuracy["old"], 0.5), ("learned", "transient"), old),
        Event("5 to 9 are learned", crossing(accuracy["new"], 0.5), ("learned",), ~old),
        Event("0 to 4 are forgotten", crossing(accuracy["old"], 0.5, falling=True, after=ARRIVE), ("lost",), old),
    ]


if __name__ == "__main__":
    main("forgetting", train)
