"""Recordings of made networks in all that they leave, as they came out when each had been looked at: nothing is
trained, the weights of a step are drawn and mixed, so that they are the same on every machine.

    SAID=write python -m pytest tests/record/test_whole_recordings.py -q; git diff tests/record/recordings.json
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from golden import columns, drawn, hold
from torch import nn

import geophone as gp
from geophone.zoo.transformer import Decoder

FILE = Path(__file__).parent / "recordings.json"
STEPS = 8


def put(model, step):
    """The weights after `step`: drawn ones that go over into others by step 8."""
    share = step / STEPS
    with torch.no_grad():
        for i, tensor in enumerate(model.state_dict().values()):
            if tensor.is_floating_point():
                tensor.copy_((1 - share) * drawn(tensor.shape, i, 0) + share * drawn(tensor.shape, i, 1))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(6, 9), nn.Linear(9, 6)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


def convolutions():
    x = drawn((24, 2, 8, 8), 21)
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(45, 4))
    y = torch.arange(24) % 4
    concepts = {"odd": y % 2, "mean": x.mean((1, 2, 3))}
    return model, x, {"labels": y, "concepts": concepts, "noise_probe": drawn((24, 2, 8, 8), 22), "noise_every": 2}


def language():
    tokens = torch.from_numpy(np.random.default_rng(23).integers(12, size=(10, 8)))
    model = Decoder(12, 12, length=8, width=16, heads=2, depth=2).eval()
    return model, tokens, {"labels": "next-token", "rows": 48}


def numbers():
    x = drawn((30, 6), 24, scale=1.0)
    model = nn.Sequential(Block(), Block(), nn.Linear(6, 2))
    return model, x, {"labels": x[:, :2] * 2, "dimensions": ("stable_rank", "rankme", "mean_fraction"), "rows": 20}


def scored():
    x = drawn((16, 5, 4), 25, scale=1.0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    return model, x, {"behaviour": lambda output, batch: output.mean((1, 2)), "batch": 5}


def wide():
    """Outputs of more numbers than a sketch has, and classes on the second axis of maps."""
    x = drawn((12, 1, 6, 6), 26, scale=1.0)
    model = nn.Sequential(nn.Conv2d(1, 7, 3, padding=1), nn.ReLU(), nn.Conv2d(7, 3, 1))
    return model, x, {"labels": (torch.arange(12 * 36) % 3).reshape(12, 6, 6), "layers": ["0", "2"]}


def left(run):
    """Every table of a run in short, and what its manifest says that depends on no machine."""
    wide = {f"signal {name}": table for name, table in run.signals().items()}
    long = {"series": run.table(), "scalars": run.scalars(), "samples": run.samples()}
    manifest = run.manifest
    if manifest.behaviour:
        wide["behaviour"] = run.behaviour()
    if (run.folder / "outputs").exists():
        wide["outputs"] = run.outputs()
    if (run.folder / "concepts").exists():
        long["concepts"] = run.concepts()
    if run.has_tokens:
        long["tokens"] = run.tokens()
    tables = {name: columns(table) for name, table in long.items()}
    for name, table in wide.items():
        flat = pd.Series(table.to_numpy(float).ravel())
        tables[name] = {"shape": list(table.shape), **columns(pd.DataFrame({"values": flat}))}
    said = {key: value for key, value in manifest.probe.items() if "digest" not in key}
    layers = [[layer.name, layer.depth, layer.view, layer.features, layer.rows, *layer.shape] for layer in run.layers]
    tables["manifest"] = {
        "probe": said, "behaviour": manifest.behaviour, "layers": layers, "signals": list(manifest.signals),
        "rows": manifest.rows, "definitions": sorted(manifest.definitions), "schedule": manifest.schedule,
    }  # fmt: skip
    return tables


@pytest.mark.parametrize("case", [convolutions, language, numbers, scored, wide])
def test_a_recording_leaves_what_it_left(case, tmp_path):
    model, probe, given = case()
    put(model, 0)
    with gp.Recorder(model, probe, out=tmp_path / "run", every=1, sync=True, alarms=False, **given) as recorder:
        for step in range(1, STEPS + 1):
            put(model, step)
            recorder.step(loss=2.0 / step)
    hold(FILE, case.__name__, left(gp.open(tmp_path / "run")), rel=2e-3)
