"""Skills: sparse parities are acquired one after another."""

from pathlib import Path

import numpy as np
import torch
from case import Event, crossing, main

import geophone as gp
from geophone.zoo.generated import SparseParities

TASKS = 4


def train(out: Path) -> list[Event]:
    """A perceptron of one hidden layer is asked for one of four parities of three bits, the first most often. The
    clocks: for each parity the step at which its accuracy on test samples passes .75, half of the way from chance."""
    data, rng = SparseParities(tasks=TASKS, exponent=1.0), np.random.default_rng(0)
    model = torch.nn.Sequential(torch.nn.Linear(TASKS + 32, 128), torch.nn.ReLU(), torch.nn.Linear(128, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    (probe, labels), (test, right) = _even(data, rng, 64), _even(data, rng, 256)
    asked = test[:, :TASKS].argmax(1)
    accuracy: list[dict[int, float]] = [{} for _ in range(TASKS)]
    with gp.Recorder(model, probe, out=out, labels=labels, every=10) as recorder:
        for step in range(1, 3001):
            x, y = data(rng, 256)
            loss = torch.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step % 10 == 0:
                with torch.no_grad():
                    hits = (model(test).argmax(-1) == right).float()
                for i in range(TASKS):
                    accuracy[i][step] = float(hits[asked == i].mean())
    skill = probe[:, :TASKS].argmax(1).numpy()
    return [Event(f"parity {i + 1}", crossing(accuracy[i], 0.75), ("learned",), skill == i) for i in range(TASKS)]


def _even(data: SparseParities, rng: np.random.Generator, each: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As many samples of every parity."""
    x, y = data(rng, 40 * TASKS * each)
    asked = x[:, :TASKS].argmax(1)
    chosen = torch.cat([(asked == i).nonzero().flatten()[:each] for i in range(TASKS)])
    return x[chosen], y[chosen]


if __name__ == "__main__":
    main("parity", train)
