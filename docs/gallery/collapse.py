"""Collapse: a contrastive encoder loses what kept its embeddings apart."""

from pathlib import Path

import numpy as np
import torch
from case import Event, crossing, main
from sklearn.datasets import load_digits

import geophone as gp

BREAKS = 601


def train(out: Path) -> list[Event]:
    """An encoder of digits (8 x 8) draws two noisy views of an image together and those of others apart. From step 601
    on the second term is gone, as by a mistake in a mask. There are no labels. The clock: the step after that at which
    the mean cosine between embeddings of different test images passes half of the way from what it was to 1."""
    images = torch.tensor(load_digits().images / 16, dtype=torch.float32).flatten(1)
    probe, test, pool = images[:256], images[256:512], images[512:]
    rng = np.random.default_rng(0)
    layers = [torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 32))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    cosine = {}
    with gp.Recorder(model, probe, out=out, every=5) as recorder:
        for step in range(1, 1201):
            x = pool[torch.from_numpy(rng.choice(len(pool), 128, replace=False))]
            one, two = (torch.nn.functional.normalize(model(x + 0.2 * torch.randn_like(x)), dim=1) for _ in range(2))
            likeness = one @ two.T / 0.2
            apart = likeness.logsumexp(1).mean() if step < BREAKS else 0.0
            loss = apart - likeness.diagonal().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss=loss.item())
            if step % 5 == 0:
                with torch.no_grad():
                    z = torch.nn.functional.normalize(model(test), dim=1)
                cosine[step] = float(((z @ z.T).sum() - len(z)) / (len(z) * (len(z) - 1)))
    halfway = (cosine[BREAKS - 1] + 1) / 2
    clock = crossing(cosine, halfway, after=BREAKS)
    return [Event("collapse: mean cosine halfway to 1", clock, ("lost", "hidden", "shock"))]


if __name__ == "__main__":
    main("collapse", train)
