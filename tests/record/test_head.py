"""A language model's head is called on the scored positions alone, where that changes no number."""

import numpy as np
import pytest
import torch
from torch import nn

from geophone.record.readers import ProbeReader
from geophone.record.what import What

TOKENS = 50
IDS = torch.randint(0, TOKENS, (11, 70), generator=torch.Generator().manual_seed(1))
POSITIONS = 512


class Own(nn.Module):
    """A decoder of a user's own; `after` is what it does with the logits, `before` with what the head is given."""

    def __init__(self, after=lambda logits: logits, before=lambda hidden: hidden):
        super().__init__()
        self.embed, self.block, self.head = nn.Embedding(TOKENS, 16), nn.Linear(16, 16), nn.Linear(16, TOKENS)
        self.after, self.before = after, before

    def forward(self, ids):
        hidden = self.embed(ids)
        hidden = hidden + self.block(hidden).tanh().cumsum(1) / 9
        return self.after(self.head(self.before(hidden)))


def from_transformers(kind):
    import transformers as hf

    sizes = {"vocab_size": TOKENS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    if kind == "gpt2":
        made = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=TOKENS, n_embd=16, n_layer=2, n_head=2))
    elif kind == "neox":
        made = hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**sizes, intermediate_size=32))
    elif kind == "gemma2":  # squashes its logits
        config = hf.Gemma2Config(**sizes, intermediate_size=32, num_key_value_heads=2, head_dim=8)
        made = hf.Gemma2ForCausalLM(config)
    else:
        made = hf.LlamaForCausalLM(hf.LlamaConfig(**sizes, intermediate_size=32))
    return made.eval()


ALONE = {
    "own": Own,
    "scaled": lambda: Own(lambda logits: 3 * logits.tanh()),
    **{kind: lambda kind=kind: from_transformers(kind) for kind in ("gpt2", "neox", "gemma2", "llama")},
}
WHOLE = {
    "a bias of each place": lambda: Own(lambda logits: logits + torch.linspace(0, 9, 70 * TOKENS).view(70, TOKENS)),
    "a softmax over places": lambda: Own(lambda logits: logits * logits.softmax(1)),
    "a sum over places": lambda: Own(lambda logits: logits.cumsum(1)),
    "cut and joined": lambda: Own(lambda logits: torch.cat([logits[:, :35], logits[:, 35:] * 2], 1)),
    "flat": lambda: Own(lambda logits: logits.view(-1, 70, TOKENS), before=lambda hidden: hidden.flatten(0, 1)),
    "times the embedding": lambda: Tied(),
}


class Tied(Own):
    def forward(self, ids):
        return torch.nn.functional.linear(self.block(self.embed(ids)), self.embed.weight)


def recorded(model, batch=None, **what):
    """What one measurement catches, and how many rows of logits the head made for it at a time."""
    reader = ProbeReader(model, {"input_ids": IDS} if hasattr(model, "config") else IDS, What(batch=batch, **what))
    plan = reader.plan()
    rows = []
    head = getattr(model, "lm_head", getattr(model, "embed_out", getattr(model, "head", None)))
    hook = head.register_forward_hook(lambda module, args, output: rows.append(output.numel() // TOKENS))
    caught = reader.reading(plan)(0)
    hook.remove()
    return caught, rows, plan


def oracle(model, plan):
    """The probability of the right next token at the scored positions, from all logits."""
    with torch.no_grad():
        output = model(IDS)
    p = getattr(output, "logits", output).double().softmax(-1)
    sample, place = plan.scorer.samples["sample"], plan.scorer.samples["position"]
    return p[sample, place, IDS[sample, place + 1]].numpy()


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("kind", ALONE)
def test_scored_positions_alone_have_the_numbers_of_all(kind, batch, monkeypatch):
    torch.manual_seed(0)
    model = ALONE[kind]()
    plain, every, _ = recorded(model, batch, labels="next-token")
    monkeypatch.setattr("geophone.record.head._LARGE", 0)
    caught, rows, plan = recorded(model, batch, labels="next-token")
    assert sum(every) == IDS.numel() and sum(rows) == POSITIONS
    np.testing.assert_allclose(caught.scored.behaviour, oracle(model, plan), rtol=2e-3, atol=1e-7)
    np.testing.assert_allclose(caught.scored.behaviour, plain.scored.behaviour, rtol=2e-3, atol=1e-7)
    torch.testing.assert_close(caught.scored.outputs, plain.scored.outputs)
    assert caught.rows.keys() == plain.rows.keys()
    for name in caught.rows:
        torch.testing.assert_close(caught.rows[name], plain.rows[name], rtol=0, atol=0)
    assert not [m for m in model.modules() if m._forward_pre_hooks]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_model_that_looks_at_the_place_of_a_logit_is_read_whole(kind, monkeypatch):
    torch.manual_seed(0)
    model = WHOLE[kind]()
    monkeypatch.setattr("geophone.record.head._LARGE", 0)
    caught, rows, plan = recorded(model, 4, labels="next-token")
    assert sum(rows) in (0, IDS.numel())
    np.testing.assert_allclose(caught.scored.behaviour, oracle(model, plan), rtol=2e-3, atol=1e-7)
    assert not [m for m in model.modules() if m._forward_pre_hooks]


def test_a_head_that_is_recorded_itself_is_read_whole(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr("geophone.record.head._LARGE", 0)
    caught, rows, _ = recorded(Own(), labels="next-token", layers=["head", "block"])
    assert sum(rows) == IDS.numel() and set(caught.rows) >= {"head", "block"}


def test_samples_without_a_scored_position_are_no_trouble(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr("geophone.record.head._LARGE", 0)
    model = Own()
    labels = torch.full(IDS.shape, -100)
    labels[3, 7], labels[9, 2:5] = 11, 12
    caught, rows, _ = recorded(model, 2, labels=labels)
    assert len(caught.scored.behaviour) == 4 and sum(rows) == 4 + 4  # four parts have none
    with torch.no_grad():
        p = model(IDS).softmax(-1)
    right = [p[3, 7, 11], *p[9, 2:5, 12]]
    np.testing.assert_allclose(caught.scored.behaviour, right, rtol=2e-3)


def test_small_outputs_are_read_as_they_come():
    torch.manual_seed(0)
    assert sum(recorded(Own(), labels="next-token")[1]) == IDS.numel()
