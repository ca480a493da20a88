"""Events put into a training on purpose, and disturbances that put nothing into it."""

import numpy as np
import torch
from torch import nn

from geophone.errors import InputError
from geophone.prove.bed import Setting
from geophone.prove.events import Event, rises
from geophone.zoo.data import digits
from geophone.zoo.mlp import MLP

KINDS = ("new_classes", "unfreeze", "lr3", "batch4", "plain")
BATCH = 64
STEPS, EVERY = 1200, 3
FROZEN = "layer2"


def setting(seed: int, *, kind: str) -> Setting:
    """8x8 digits by an MLP of three layers of 48, Adam 1e-3, in which something is done at a random step.

    kind: "new_classes", five classes at first, two more from step 300 ... 500 and the last three from step 700 ... 900,
    clocked by the accuracy on the new ones; "unfreeze", the second layer keeps its initial weights until step 400 ...
    800, clocked by that step; "lr3" and "batch4", the learning rate three times or the batch four times as large from
    step 400 ... 800 on, which is no event; "plain", nothing. Raises InputError for another kind.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind {kind!r}; known are {', '.join(KINDS)}.")
    rng = np.random.default_rng([8, seed])
    torch.manual_seed(seed)
    model = MLP(64, [48, 48, 48], 10)
    plant = Plant(kind, model, rng)
    data = digits()
    return Setting(
        model=model,
        optimizer=plant.optimizer,
        batch=plant.batch,
        loss=nn.functional.cross_entropy,
        probe=(data.probe_x, data.probe_y),
        steps=STEPS,
        every=EVERY,
        curves=plant.accuracies,
        events=plant.events,
        layers=("layer1", "layer2", "layer3"),
        before_step=plant.before_step,
        about={"kind": kind, "planted": plant.at},
    )


class Plant:
    """What is done to the training of `model`, and when (`at`, in steps)."""

    def __init__(self, kind: str, model: nn.Module, rng: np.random.Generator) -> None:
        self._kind, self._data = kind, digits()
        twice = [int(rng.integers(300, 501)), int(rng.integers(700, 901))]
        once = [int(rng.integers(400, 801))]
        self.at = {"new_classes": twice, "plain": []}.get(kind, once)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        self._frozen = list(getattr(model, FROZEN).parameters()) if kind == "unfreeze" else []
        for parameter in self._frozen:
            parameter.requires_grad_(False)
        self._classes, self._size = (5 if kind == "new_classes" else 10), BATCH

    def before_step(self, step: int) -> None:
        """Do what is to be done before update `step`."""
        if step not in self.at:
            return
        if self._kind == "new_classes":
            self._classes = 7 if step == self.at[0] else 10
        elif self._kind == "unfreeze":
            for parameter in self._frozen:
                parameter.requires_grad_(True)
        elif self._kind == "lr3":
            self.optimizer.param_groups[0]["lr"] *= 3
        else:
            self._size = 4 * BATCH

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Training samples of the classes that are there by now."""
        there = torch.nonzero(self._data.train_y < self._classes)[:, 0]
        index = there[torch.from_numpy(rng.integers(len(there), size=self._size))]
        return self._data.train_x[index], self._data.train_y[index]

    def accuracies(self, model: nn.Module) -> dict[str, float]:
        """Accuracy on the test samples of the classes that come first, second and last."""
        right, y = (model(self._data.test_x).argmax(1) == self._data.test_y).float(), self._data.test_y
        parts = {"first": y < 5, "second": (y >= 5) & (y < 7), "last": y >= 7}
        return {name: float(right[part].mean()) for name, part in parts.items()}

    def events(self, table) -> list[Event]:
        """What was planted, by the clock of its kind."""
        if self._kind == "new_classes":
            names = ["second", "last"]
            return [e for n in names for e in rises(table[[n]] / table[n].max(), start=0.0, end=1.0)]
        if self._kind == "unfreeze":
            at = float(self.at[0])
            return [Event("unfrozen", FROZEN, at, at + 5 * EVERY, at + 10 * EVERY)]
        return []
