"""A small network, a loop that trains it, and a recorder's options with something of every kind."""

import torch
from torch import nn


def network(seed=0, device="cpu"):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3))
    return model.to(device)


def train(model, recorder, steps, *, until=None):
    """The alarms, step by step."""
    device = next(model.parameters()).device
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    alarms = []
    for step in range(1, steps + 1):
        x = torch.randn(32, 6, generator=torch.Generator().manual_seed(step)).to(device)
        loss = nn.functional.cross_entropy(model(x), (x[:, :3]).argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        alarms += recorder.step(loss=loss.detach())
        if until is not None:
            until(step)
    return alarms


def options(folder, *, sync, **more):
    generator = torch.Generator().manual_seed(7)
    probe = torch.randn(40, 6, generator=generator)
    given = {
        "every": 3,
        "labels": probe[:, :3].argmax(1),
        "concepts": {"sign": (probe[:, 0] > 0).long()},
        "noise_probe": torch.randn(40, 6, generator=generator),
        "noise_every": 2,
        "name": "run",
    }
    return {"probe": probe, "out": folder, "sync": sync, **given, **more}


def files(folder):
    """Every file but the manifest, which names times."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*") if p.name != "run.json"}
