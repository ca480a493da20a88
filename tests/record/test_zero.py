"""Trainings whose optimizer, gradients or weights lie in pieces, in the manner of ZeRO."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

import geophone as gp

TRAINING = """
import contextlib, sys, torch
import torch.distributed as dist
from torch import nn
import geophone as gp
rank, world, out, manner, recorded = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))
config = {
    "train_batch_size": 16, "train_micro_batch_size_per_gpu": 16 // world, "zero_allow_untested_optimizer": True,
    "zero_optimization": {"stage": int(manner[-1]), "stage3_param_persistence_threshold": 0},
} if manner.startswith("zero") else None
if config:
    import deepspeed
    deepspeed.init_distributed("gloo")
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    watched, forward, backward, step = engine, engine, engine.backward, engine.step
elif manner == "torch":
    from torch.distributed.optim import ZeroRedundancyOptimizer
    dist.init_process_group("gloo")
    watched = forward = nn.parallel.DistributedDataParallel(model)
    optimizer = ZeroRedundancyOptimizer(forward.parameters(), torch.optim.Adam, lr=0.01)
    backward, step = torch.Tensor.backward, optimizer.step
else:
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    watched, forward, backward, step = model, model, torch.Tensor.backward, optimizer.step
data = torch.Generator().manual_seed(1)
probe = torch.randn(20, 16, generator=data)
recorder = gp.Recorder(watched, probe, out=out, every=2, on_error="raise") if recorded == "recorded" else None
with recorder or contextlib.nullcontext():
    for _ in range(6):
        x = torch.randn(16, 16, generator=data)
        loss = forward(x[rank * 16 // world : (rank + 1) * 16 // world]).square().mean()
        optimizer.zero_grad()
        backward(loss)
        step()
        if recorder is not None:
            recorder.step(loss=loss.item())
apart = manner == "zero3"
with deepspeed.zero.GatheredParameters(list(model.parameters())) if apart else contextlib.nullcontext():
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
if rank == 0:
    torch.save(weights, out + ".pt")
if dist.is_initialized():
    dist.barrier(); dist.destroy_process_group()
"""


def trained(folder, out, manner, *, world, recorded=True):
    """The training on `world` processes, which all end well; its weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world), "LOCAL_SIZE": str(world)}
    processes = []
    for rank in range(world):
        place = folder / (out if rank == 0 else f"{out}-other")
        arguments = [rank, world, place, manner, "recorded" if recorded else "bare"]
        environment = os.environ | found | {"RANK": str(rank), "LOCAL_RANK": str(rank), "DS_ACCELERATOR": "cpu"}
        command = [sys.executable, "-W", "ignore", "-c", TRAINING, *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
    assert [p.wait(timeout=120) for p in processes] == [0] * world
    return torch.load(folder / f"{out}.pt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize(("manner", "world"), [("torch", 2), ("zero1", 2), ("zero2", 2), ("zero3", 2), ("zero3", 1)])
def test_a_training_in_pieces_has_the_values_of_a_plain_one_and_ends_in_the_same_weights(tmp_path, manner, world):
    """Law: recording changes no bit of the weights, and the layers are named and measured as in a plain training. In
    float32, and gradients of halves of a batch are added: 1e-5."""
    if manner != "torch":
        pytest.importorskip("deepspeed")
    bare = trained(tmp_path, "bare", manner, world=world, recorded=False)
    weights = trained(tmp_path, "pieces", manner, world=world)
    assert weights["0.weight"].shape == (32, 16)
    assert all(torch.equal(weights[name], bare[name]) for name in bare)
    trained(tmp_path, "plain", "plain", world=1)
    assert not (tmp_path / "pieces-other").exists()
    plain, pieces = gp.open(tmp_path / "plain"), gp.open(tmp_path / "pieces")
    assert list(pieces.series("rankme").index) == [2, 4, 6]
    assert list(pieces.series("rankme").columns) == ["0", "2"]
    for name in plain.dimensions:
        np.testing.assert_allclose(pieces.series(name), plain.series(name), rtol=1e-5)
