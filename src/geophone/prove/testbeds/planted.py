"""Events put into a training on purpose, and disturbances that put nothing into it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.prove.bed import Batch, Clock, Curves, Setting, log_uniform
from geophone.prove.events import Event, rises
from geophone.training import supervised
from geophone.zoo.data import Split, digits
from geophone.zoo.mlp import MLP

BATCH = 64
STEPS, EVERY = 1200, 3
LAYERS = ("layer1", "layer2", "layer3")


def new_classes(seed: int) -> Setting:
    """8x8 digits by an MLP of three layers of 48, Adam 1e-3: five classes at first, two more from step 300 ... 500 and
    the last three from step 700 ... 900."""
    rng = np.random.default_rng([8, seed])
    arriving = {"second": (int(rng.integers(300, 501)), (5, 6)), "last": (int(rng.integers(700, 901)), (7, 8, 9))}
    return arrivals(_network(seed), rate=1e-3, first=range(5), arriving=arriving)


def lr3(seed: int) -> Setting:
    """No event: the learning rate is three times as large from step 400 ... 800 on."""
    return _disturbed(seed, "lr3")


def batch4(seed: int) -> Setting:
    """No event: the batch is four times as large from step 400 ... 800 on."""
    return _disturbed(seed, "batch4")


def plain(seed: int) -> Setting:
    """No event and no disturbance: the twin of `lr3` and `batch4`; `planted` is the step of theirs."""
    return _disturbed(seed, "plain")


def _disturbed(seed: int, kind: str) -> Setting:
    at = int(np.random.default_rng([8, seed]).integers(400, 801))
    model, data = _network(seed), digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    everything = np.arange(len(data.train_y))

    def intervene(step: int) -> None:
        if kind == "lr3" and step == at:
            optimizer.param_groups[0]["lr"] *= 3

    def draw(rng: np.random.Generator, step: int) -> Batch:
        return _batch(data, everything, rng, 4 * BATCH if kind == "batch4" and step >= at else BATCH)

    return Setting(
        model=model,
        optimizer=optimizer,
        objective=supervised(model, draw, nn.functional.cross_entropy),
        probe=(data.probe_x, data.probe_y),
        clock=Clock(lambda: _accuracies(model, data, {"all": tuple(range(10))}), planted=(at,)),
        steps=STEPS,
        every=EVERY,
        layers=LAYERS,
        before_step=intervene,
    )


def _network(seed: int) -> MLP:
    torch.manual_seed(seed)
    return MLP(64, [48, 48, 48], 10)


def drawn(seed: int) -> Setting:
    """Two classes at first, the eight others one or two at a time at 5 drawn steps in [60, 1080], at least 60 apart, in
    a drawn order; Adam at a rate log-uniform in [7e-4, 2.8e-3]."""
    rng = np.random.default_rng([105, seed])
    rate = float(log_uniform(rng, 7e-4, 2.8e-3))
    order = rng.permutation(10)
    at = spaced(rng, 5, first=60, last=1080, apart=60)
    groups = np.split(order[2:], np.cumsum(rng.permutation([1, 1, 2, 2, 2]))[:-1])
    arriving = {
        f"group{i}": (int(step), tuple(map(int, group))) for i, (step, group) in enumerate(zip(at, groups, strict=True))
    }
    return arrivals(_network(seed), rate=rate, first=order[:2].tolist(), arriving=arriving)


def spaced(rng: np.random.Generator, count: int, *, first: int, last: int, apart: int) -> np.ndarray:
    """`count` whole numbers in [first, last] in order, `apart` or more from one another, every such set as likely."""
    room = last - first - (count - 1) * (apart - 1)
    return first + np.sort(rng.choice(room + 1, count, replace=False)) + (apart - 1) * np.arange(count)


def arrivals(
    model: MLP, *, rate: float, first: Sequence[int], arriving: dict[str, tuple[int, tuple[int, ...]]]
) -> Setting:
    """Digits of the classes `first`, and from its step on also those of each group of `arriving`: (step, classes).

    The clock of a group is the accuracy on its test samples, as a share of the most it comes to, if that is over half.
    """
    data = digits()
    labels, probed = data.train_y.numpy(), data.probe_y.numpy()
    groups = {name: classes for name, (_, classes) in arriving.items()}
    begins = {int(c): step for step, classes in arriving.values() for c in classes}
    since = np.array([begins.get(label, 0 if label in first else STEPS + 1) for label in range(10)])

    def draw(rng: np.random.Generator, step: int) -> Batch:
        return _batch(data, np.flatnonzero(since[labels] <= step), rng, BATCH)

    def events(table: pd.DataFrame) -> list[Event]:
        there = [name for name in groups if table[name].max() > 0.5]
        return [event for name in there for event in rises(table[[name]] / table[name].max(), start=0.0, end=1.0)]

    return Setting(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=rate),
        objective=supervised(model, draw, nn.functional.cross_entropy),
        probe=(data.probe_x, data.probe_y),
        clock=Clock(
            lambda: _accuracies(model, data, groups),
            events,
            samples={name: np.isin(probed, classes) for name, classes in groups.items()},
            planted=sorted(step for step, _ in arriving.values()),
        ),
        steps=STEPS,
        every=EVERY,
        layers=LAYERS,
    )


def _batch(data: Split, there: np.ndarray, rng: np.random.Generator, size: int) -> Batch:
    index = torch.from_numpy(there[rng.integers(len(there), size=size)])
    return data.train_x[index], data.train_y[index]


def _accuracies(model: MLP, data: Split, groups: dict[str, tuple[int, ...]]) -> Curves:
    right, y = (model(data.test_x).argmax(1) == data.test_y).numpy(), data.test_y.numpy()
    return {name: float(right[np.isin(y, classes)].mean()) for name, classes in groups.items()}
