"""Folders of torch.distributed.checkpoint: the weights are those that were saved, and nothing in them is run."""

import os
import pickle

import pytest
import torch
from torch import nn
from torch.distributed import checkpoint

from geophone.errors import StoreError
from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import checkpoint_files


def build():
    return nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))


def saved(folder, step, wrap=lambda state: {"model": state}):
    """The network of `step`, saved with what a trainer keeps beside it."""
    torch.manual_seed(step)
    network = build()
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(8, 6)).sum().backward()
    optimizer.step()
    beside = {"optim": optimizer.state_dict(), "epoch": 3}
    checkpoint.save(wrap(network.state_dict()) | beside, checkpoint_id=folder, no_dist=True)
    return network.state_dict()


# As torchtitan, Lightning and Transformers lay them out, and a loop of one's own without a key.
LAYOUTS = {
    "step-{}": lambda state: {"model": state},
    "epoch=1-step={}.ckpt": lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}},
    "checkpoint-{}/pytorch_model_fsdp_0": lambda state: {
        "model": {f"_fsdp_wrapped_module.{k}": v for k, v in state.items()}
    },
    "global_step{}": lambda state: state,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_weights_are_those_that_were_saved(tmp_path, layout):
    states = {step: saved(tmp_path / layout.format(step), step, LAYOUTS[layout]) for step in (3, 200)}
    source = checkpoint_files([tmp_path], build)
    assert [step for step, _ in source.keys] == [3, 200]
    for step, key in source.keys:
        torch.testing.assert_close(source.load(key).state_dict(), states[step], rtol=0, atol=0)


def test_what_is_torn_or_would_run_is_named_and_the_rest_is_measured(tmp_path):
    for step in range(1, 6):
        saved(tmp_path / f"step-{step}", step)

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "step-1" / ".metadata").write_bytes(pickle.dumps(Trap()))
    data = next((tmp_path / "step-2").glob("*.distcp"))
    data.write_bytes(data.read_bytes()[:1000])
    data = next((tmp_path / "step-3").glob("*.distcp"))
    data.rename(tmp_path / "elsewhere")
    about = tmp_path / "step-4" / ".metadata"
    whole = pickle.loads(about.read_bytes())
    for info in whole.storage_data.values():
        info.relative_path = f"../step-5/{info.relative_path}"
    about.write_bytes(pickle.dumps(whole))
    done = measure(checkpoint_files([tmp_path], build), torch.randn(20, 6), out=tmp_path / "out" / "run")
    assert done.steps == (5,) and not (tmp_path / "sprung").exists()
    says = ["mkdir", "damaged", "No such file", "outside"]
    for (key, why), word in zip(done.failures, says, strict=True):
        assert key in why and word in why, why


def test_tensors_larger_than_their_files_are_not_made(tmp_path):
    saved(tmp_path / "step-1", 1)
    about = tmp_path / "step-1" / ".metadata"
    whole = pickle.loads(about.read_bytes())
    whole.state_dict_metadata["model.0.weight"].size = torch.Size([2**40])
    about.write_bytes(pickle.dumps(whole))
    with pytest.raises(StoreError, match="larger than its files"):
        checkpoint_files([tmp_path], build).load(str(tmp_path / "step-1"))
