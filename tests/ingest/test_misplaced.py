"""Checkpoints with weights of another step: what was planted is named, what was not is left alone."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import geophone as gp
from geophone.ingest.checkpoints import measure
from geophone.ingest.misplaced import misplaced, weight_rows
from geophone.ingest.sources import checkpoint_files
from geophone.point.reading import run_signals
from geophone.signals import CHANGES

STEPS = sorted({int(1.12**i) for i in range(80)})[:40]
READ = gp.What(layers="blocks.1", dimensions=["stable_rank", "participation_ratio"])
PROBE = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two blocks with a norm, an embedding that is tied to the head, and a layer that is never trained."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(16, 16))
        self.frozen = nn.Linear(16, 16)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU()) for _ in range(2))
        self.head = nn.Linear(16, 16, bias=False)
        self.head.weight = self.table

    def forward(self, x):
        x = self.frozen(x @ self.table)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def build():
    torch.manual_seed(0)
    return Net()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """40 checkpoints, log-spaced, of a training whose first block is frozen towards the end."""
    folder, network = tmp_path_factory.mktemp("trained"), build()
    draw = torch.Generator().manual_seed(1)
    target = torch.randn(16, 16, generator=draw)
    optimizer = torch.optim.SGD([p for n, p in network.named_parameters() if "frozen" not in n], 0.01, momentum=0.9)
    for step in range(1, STEPS[-1] + 1):
        x = torch.randn(32, 16, generator=draw)
        optimizer.zero_grad()
        (network(x) - (x @ target).tanh()).square().mean().backward()
        if step > STEPS[-6]:
            network.blocks[0].requires_grad_(False)
        optimizer.step()
        if step in STEPS:
            save_file({k: v.clone() for k, v in network.state_dict().items()}, folder / f"step-{step}.safetensors")
    return folder


def files(folder):
    return {int(p.stem.removeprefix("step-")): p for p in sorted(folder.iterdir())}


def planted(trained, tmp_path, *, copies=(), shards=()):
    """The checkpoints with some replaced: whole, (step, of), or in one block, (step, of)."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(trained, folder)
    there = files(folder)
    originals = {step: load_file(path) for step, path in there.items()}
    for step, of in copies:
        save_file(originals[of], there[step])
    for step, of in shards:
        other = {name: tensor for name, tensor in originals[of].items() if name.startswith("blocks.1")}
        save_file(originals[step] | other, there[step])
    return folder


def found(folder):
    network = build()
    rows = []
    for step, path in files(folder).items():
        network.load_state_dict(load_file(path))
        rows += weight_rows(step, network)
    return misplaced(pd.DataFrame(rows))


def test_nothing_is_found_where_nothing_was_planted(trained):
    assert len(files(trained)) == 40
    assert found(trained) == {}


def files_in_order(folder):
    return sorted(files(folder))


@pytest.mark.parametrize("copy", [(20, 12), (20, -1), (3, 30), (-1, 20), (0, -1), (1, 0), (21, 20)])
def test_a_duplicate_is_named_with_the_step_whose_weights_it_has(trained, tmp_path, copy):
    steps = files_in_order(trained)
    step, of = (steps[i] for i in copy)
    assert found(planted(trained, tmp_path, copies=[(step, of)])) == {step: f"all its weights are those of step {of}"}


@pytest.mark.parametrize("shard", [(20, 8), (20, -1), (5, -1), (30, -1), (0, -1), (0, 20), (35, 2), (-2, 3)])
def test_a_shard_of_another_step_is_named(trained, tmp_path, shard):
    steps = files_in_order(trained)
    step, of = (steps[i] for i in shard)
    there = found(planted(trained, tmp_path, shards=[(step, of)]))
    assert list(there) == [step] and f"are those of step {of}" in there[step] and "blocks.1" in there[step]


def test_a_shard_of_a_step_that_is_not_there(trained, tmp_path):
    steps = files_in_order(trained)
    folder = planted(trained, tmp_path, shards=[(steps[20], steps[-1])])
    (folder / f"step-{steps[-1]}.safetensors").unlink()
    there = found(folder)
    assert list(there) == [steps[20]] and "far from those of the steps before and after" in there[steps[20]]


def test_final_weights_in_many_places(trained, tmp_path):
    steps = files_in_order(trained)
    wrong = [steps[i] for i in (4, 5, 9, 10, 11, 20, 30, -3, -2)]
    there = found(planted(trained, tmp_path, copies=[(step, steps[-1]) for step in wrong]))
    assert list(there) == wrong and set(there.values()) == {f"all its weights are those of step {steps[-1]}"}


@pytest.mark.parametrize("seed", range(5))
def test_noise_around_one_place_is_not_misplaced(seed):
    """Weights in 16 bits that wander around where they ended, some of them all in one direction."""
    rng, rows = np.random.default_rng(seed), []
    network = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 16))
    places = {name: torch.tensor(rng.normal(size=tuple(p.shape))) for name, p in network.named_parameters()}
    for step in range(60):
        for name, parameter in network.named_parameters():
            noise = rng.normal() if name.endswith("bias") else rng.normal(size=tuple(parameter.shape))
            parameter.data = (places[name] + 0.02 * torch.tensor(noise)).bfloat16()
        rows += weight_rows(step, network)
    assert misplaced(pd.DataFrame(rows)) == {}


def test_a_run_marks_them_and_detection_does_not_look_at_them(trained, tmp_path):
    every = files_in_order(trained)
    copy, shard = (every[22], every[8]), (every[26], every[-1])
    folder, steps = planted(trained, tmp_path, copies=[copy], shards=[shard]), [*every[:18:4], *every[18:34], every[-1]]
    paths = [files(folder)[step] for step in steps]
    done = measure(checkpoint_files(paths, build), PROBE, out=tmp_path / "run", what=READ)
    assert [step for step, _ in done.misplaced] == [copy[0], shard[0]] and done.steps == tuple(steps)
    run = gp.open(tmp_path / "run")
    assert set(run.manifest.misplaced) == {copy[0], shard[0]}
    assert list(run.series("stable_rank").index) == steps
    signals = run_signals(run)
    assert list(signals.steps) == [step for step in steps if step not in run.manifest.misplaced]
    # Nothing that is seen depends on what the two look like: another network in their place shows the same.
    (tmp_path / "other").mkdir()
    for step, path in zip(steps, paths, strict=True):
        state = load_file(path)
        wrong = step in run.manifest.misplaced
        save_file({k: 3 * v if wrong and v.is_floating_point() else v for k, v in state.items()},
                  tmp_path / "other" / path.name)  # fmt: skip
    measure(checkpoint_files([tmp_path / "other"], build), PROBE, out=tmp_path / "run-2", what=READ)
    other = gp.open(tmp_path / "run-2")
    marked = other.manifest.model_copy(update={"misplaced": run.manifest.misplaced})
    marked.write(other.folder)
    theirs = run_signals(gp.open(other.folder))
    for name in CHANGES:
        np.testing.assert_array_equal(signals.series[name], theirs.series[name], err_msg=name)
    assert not any(row["peak"] in run.manifest.misplaced for _, row in run.transitions().iterrows())


def test_what_was_measured_again_is_judged_as_in_one_go(trained, tmp_path):
    steps = files_in_order(trained)
    folder = planted(trained, tmp_path, copies=[(steps[20], steps[8])])
    paths = [files(folder)[step] for step in steps[:24]]
    measure(checkpoint_files(paths[:15], build), PROBE, out=tmp_path / "run", what=READ)
    assert not gp.open(tmp_path / "run").manifest.misplaced
    measure(checkpoint_files(paths, build), PROBE, out=tmp_path / "run", what=READ)
    again = measure(checkpoint_files(paths, build), PROBE, out=tmp_path / "run", what=READ)
    assert again.steps == () and dict(again.misplaced) == {steps[20]: f"all its weights are those of step {steps[8]}"}
