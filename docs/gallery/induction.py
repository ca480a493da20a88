"""Induction heads: a transformer learns to copy."""

from pathlib import Path

import numpy as np
import torch
from case import Event, crossing, main

import geophone as gp
from geophone.zoo.generated import UNSCORED, Repeats
from geophone.zoo.transformer import Decoder


def train(out: Path) -> list[Event]:
    """Two layers of attention, 64 wide, read sequences of 48 of 32 symbols that repeat with a random period. The clock:
    the step at which the accuracy on other sequences, from the second repetition on, passes half."""
    task, rng = Repeats(), np.random.default_rng(0)
    model = Decoder(task.symbols, task.symbols, length=task.length, width=64, heads=4, depth=2, mlp=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    (probe, answers), (test, right) = task(rng, 32), task(rng, 64)
    labels = answers.masked_fill(answers == UNSCORED, -100)
    accuracy = {}
    with gp.Recorder(model, probe, out=out, labels=labels, every=5) as recorder:
        for step in range(1, 801):
            x, y = task(rng, 32)
            loss = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=UNSCORED)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step % 5 == 0:
                with torch.no_grad():
                    hits = model(test).argmax(-1) == right
                accuracy[step] = float(hits[right != UNSCORED].float().mean())
    return [Event("copying: accuracy passes half", crossing(accuracy, 0.5), ("learned",))]


if __name__ == "__main__":
    main("induction", train)
