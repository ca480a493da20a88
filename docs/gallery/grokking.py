"""Grokking: modular addition is memorised, then understood."""

from pathlib import Path

import numpy as np
import torch
from case import Event, crossing, main

import geophone as gp
from geophone.zoo.catalogue import experiment
from geophone.zoo.tasks import task


def train(out: Path) -> list[Event]:
    """A perceptron of two hidden layers adds modulo 59 with a weight decay of 1; the probe is held out. The clocks: the
    steps at which the accuracy on its batches and on test pairs pass half. The probe's answers cannot show the first:
    only `hidden` could name it."""
    spec = experiment("mlp_2_modular")
    data, rng, model = task(spec.task), np.random.default_rng(0), spec.build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.lr, weight_decay=spec.weight_decay)
    probe, labels = data.probe(512)
    test, right = data.test()
    seen, unseen = {}, {}
    with gp.Recorder(model, probe, out=out, labels=labels, every=20) as recorder:
        for step in range(1, 4001):
            x, y = data.batch(rng, spec.batch)
            output = model(x)
            loss = torch.nn.functional.cross_entropy(output, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step % 20 == 0:
                seen[step] = float((output.argmax(-1) == y).float().mean())
                with torch.no_grad():
                    unseen[step] = float((model(test).argmax(-1) == right).float().mean())
    return [
        Event("memorising: training accuracy passes half", crossing(seen, 0.5), ("hidden",)),
        Event("grokking: test accuracy passes half", crossing(unseen, 0.5), ("learned",)),
    ]


if __name__ == "__main__":
    main("grokking", train)
