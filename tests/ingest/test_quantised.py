"""Weights that are stored in fewer bits than they stand for are refused, each in a sentence."""

import json
import re

import pytest
import torch
from torch import nn

from geophone.ingest.checkpoints import measure
from geophone.ingest.sources import checkpoint_files, revisions

PROBE = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))


def network():
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4))


def saved(tmp_path, change):
    """Two checkpoints, the second as `change` leaves its weights."""
    torch.manual_seed(0)
    for step in (1, 2):
        weights = network().state_dict()
        torch.save(change(weights) if step == 2 else weights, tmp_path / f"step-{step}.pt")
    return measure(checkpoint_files([tmp_path], network), PROBE, out=tmp_path / "run")


def eight_bits(weights):
    """As bitsandbytes stores them: whole numbers, and the scale of each row beside them."""
    scale = weights["0.weight"].abs().amax(1)
    return weights | {"0.weight": (weights["0.weight"] / scale[:, None] * 127).to(torch.int8), "0.SCB": scale}


def floats_of_eight_bits(weights):
    return weights | {"2.weight": weights["2.weight"].to(torch.float8_e4m3fn)}


def packed(weights):
    """As GPTQ stores them: eight numbers of four bits in each whole number, with zeros and scales."""
    rest = {name: tensor for name, tensor in weights.items() if name != "0.weight"}
    return rest | {"0.qweight": torch.ones(1, 6, dtype=torch.int32), "0.qzeros": torch.ones(1, 1, dtype=torch.int32)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (eight_bits, "weights are quantised, .*0.weight is int8"),
        (floats_of_eight_bits, "weights are quantised, .*2.weight is float8_e4m3fn"),
        (packed, "does not fit the model|quantised"),
    ],
)
def test_files_of_rounded_weights_are_named_and_left_out(tmp_path, change, why):
    made = saved(tmp_path, change)
    assert made.steps == (1,)
    ((place, said),) = made.failures
    assert place.endswith("step-2.pt")
    assert re.search(why, said) and "\n" not in said


def test_whole_numbers_that_are_meant_so_are_read(tmp_path):
    """Counters of batch norm are no rounded weights."""
    build = lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 4))  # noqa: E731
    for step in (1, 2):
        torch.save({n: t.half() if t.is_floating_point() else t for n, t in build().state_dict().items()},
                   tmp_path / f"step-{step}.pt")  # fmt: skip
    assert measure(checkpoint_files([tmp_path], build), PROBE, out=tmp_path / "run").steps == (1, 2)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "fp8"])
def test_revisions_that_say_so_are_refused(tmp_path, method):
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    for step in (1, 2):
        config = transformers.GPTNeoXConfig(**sizes, intermediate_size=16, max_position_embeddings=16)
        transformers.GPTNeoXModel(config).save_pretrained(tmp_path / "hub" / f"step{step}")
    config = tmp_path / "hub" / "step2" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": method}}))
    ids = torch.arange(40).reshape(8, 5) % 20
    made = measure(revisions(str(tmp_path / "hub"), "all"), ids, out=tmp_path / "run")
    assert made.steps == (1,) and "its weights are quantised" in dict(made.failures)["step2"]
