"""Tensors that share memory: a file that holds one of them is whole, and one that lacks any other is not."""

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from geophone.errors import StoreError
from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import checkpoint_files

TOKENS = torch.randint(0, 20, (16, 8), generator=torch.Generator().manual_seed(0))


class Tied(nn.Module):
    """Its head is its embedding, and a part of its mixer is a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.embed, self.mixer, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.first = nn.Parameter(self.mixer.weight.data[2:4])

    def forward(self, ids):
        return self.head(torch.relu(self.mixer(self.embed(ids))))


def made(step):
    torch.manual_seed(step)
    return Tied()


def without(*names):
    return lambda model, path: torch.save({k: v for k, v in model.state_dict().items() if k not in names}, path)


SAVINGS = {
    "safetensors": (lambda model, path: save_model(model, str(path)), "safetensors"),
    "head": (without("head.weight"), "pt"),
    "embedding": (without("embed.weight"), "pt"),
    "view": (without("first"), "pt"),
    "beside others": (
        lambda model, path: torch.save(
            {"weights": {"x": torch.zeros(3)}, "mine": {n: t for n, t in model.state_dict().items() if n != "first"}},
            path,
        ),
        "pt",
    ),
}


@pytest.mark.parametrize("saving", SAVINGS)
def test_a_tied_tensor_need_be_in_the_file_once(tmp_path, saving):
    save, suffix = SAVINGS[saving]
    for step in (0, 10, 20):
        save(made(step), tmp_path / f"step{step}.{suffix}")
    source, network = checkpoint_files([tmp_path], Tied), None
    for step, key in source.keys:
        network = source.load(key, network)
        assert network.head.weight is network.embed.weight
        torch.testing.assert_close(network.state_dict(), made(step).state_dict(), rtol=0, atol=0)
    assert measure(source, TOKENS, out=tmp_path / "run").steps == (0, 10, 20)


@pytest.mark.parametrize("name", ["mixer.bias", "mixer.weight", "head.weight, embed.weight"])
def test_what_no_other_tensor_holds_is_still_missed(tmp_path, name):
    without(*name.split(", "))(made(1), tmp_path / "step1.pt")
    with pytest.raises(StoreError, match=f"does not fit the model: .*Missing.*{name.split(', ')[-1]}"):
        checkpoint_files([tmp_path], Tied).load(str(tmp_path / "step1.pt"))


def test_a_tensor_of_another_shape_does_not_pass_for_its_twin(tmp_path):
    weights = made(1).state_dict() | {"embed.weight": torch.zeros(21, 8)}
    torch.save({name: weights[name] for name in weights if name != "head.weight"}, tmp_path / "step1.pt")
    with pytest.raises(StoreError, match="does not fit the model"):
        checkpoint_files([tmp_path], Tied).load(str(tmp_path / "step1.pt"))


def test_weights_that_the_network_does_not_tie_are_asked_for(tmp_path):
    class Untied(Tied):
        def __init__(self):
            super().__init__()
            self.head.weight = nn.Parameter(self.embed.weight.detach().clone())

    without("head.weight")(made(1), tmp_path / "step1.pt")
    with pytest.raises(StoreError, match=r"Missing.*head\.weight"):
        checkpoint_files([tmp_path], Untied).load(str(tmp_path / "step1.pt"))
