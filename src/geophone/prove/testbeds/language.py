"""Language models of the GPT-NeoX class on text that ships with Python, mixed with sequences that repeat."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.prove.bed import Batch, Clock, Curves, Setting, log_uniform
from geophone.prove.events import Event, rises
from geophone.prove.testbeds.induction import after_last, next_token_loss
from geophone.training import supervised
from geophone.zoo.data import english
from geophone.zoo.generated import UNSCORED, Repeats

LENGTH, REPEATING, WIDTH, HEADS = 48, 32, 64, 4
BATCH, CHECKS, PROBE = 32, 24, 24
STEPS, EVERY = 1280, 5
# Heads that come to less, and answers that gain less in nats, have no event.
LEAST_HEAD, LEAST_GAIN = 0.3, 0.2
_ADDED = 0.05


class CausalModel(nn.Module):
    """A causal language model that gives its logits."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.inner(input_ids=tokens, use_cache=False).logits

    def patterns(self, tokens: torch.Tensor) -> Sequence[torch.Tensor]:
        """Attention (N, heads, T, T) of every layer."""
        return self.inner(input_ids=tokens, use_cache=False, output_attentions=True).attentions


class Text:
    """The text of `zoo.data.english`, letter by letter. `bigrams` (V, V) and `trigrams` (V, V, V) are log probabilities
    of the next letter in its training part, each with a twentieth of a count added."""

    def __init__(self) -> None:
        text = english()
        self.symbols = v = len(text.symbols)
        self._trained, self._held_out = text.train.numpy(), text.test.numpy()
        first, second, third = (self._trained[:, i : self._trained.shape[1] - 2 + i] for i in range(3))
        self.trigrams = _logs(np.bincount(((first * v + second) * v + third).ravel(), minlength=v**3), v)
        self.trigrams = self.trigrams.view(v, v, v)
        self.bigrams = _logs(np.bincount((first * v + second).ravel(), minlength=v**2), v)

    def draw(self, rng: np.random.Generator, size: int, *, held_out: bool = False) -> np.ndarray:
        """Pieces of the text, (size, LENGTH + 1)."""
        blocks = self._held_out if held_out else self._trained
        rows, starts = rng.integers(len(blocks), size=size), rng.integers(blocks.shape[1] - LENGTH, size=size)
        return blocks[rows[:, None], starts[:, None] + np.arange(LENGTH + 1)]


def _logs(counts: np.ndarray, symbols: int) -> torch.Tensor:
    rows = counts.reshape(-1, symbols) + _ADDED
    return torch.from_numpy(np.log(rows / rows.sum(1, keepdims=True))).float()


def drawn(seed: int) -> Setting:
    """A decoder of 2 to 4 layers (64 wide, 4 heads, random start) on batches of 32 x 48 letters. A share of the
    sequences, uniform in [.3, .7], are 32 of the letters at random that repeat with a period of each sequence's own.
    AdamW at a rate log-uniform in [2e-3, 6e-3]. Needs transformers.

    Clocks (see `Readings`), each from its level in the first tenth of the run to its best: attention to the token
    before and to what followed last time, of the head of all layers that comes to most (its layer is the event's);
    what a second occurrence gains on a first (in-context learning); and how near the answers come to the bigrams and to
    the trigrams of the text, which they leave again.
    """
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    rng = np.random.default_rng([108, seed])
    depth, share = int(rng.integers(2, 5)), float(rng.uniform(0.3, 0.7))
    rate = float(log_uniform(rng, 2e-3, 6e-3))
    torch.manual_seed(seed)
    text = Text()
    shape: dict[str, Any] = {
        "vocab_size": text.symbols, "hidden_size": WIDTH, "num_hidden_layers": depth, "num_attention_heads": HEADS,
        "intermediate_size": 4 * WIDTH, "max_position_embeddings": 2 * LENGTH, "bos_token_id": 0, "eos_token_id": 0,
        "rotary_pct": 0.5, "attn_implementation": "eager",
    }  # fmt: skip
    model, repeats = CausalModel(GPTNeoXForCausalLM(GPTNeoXConfig(**shape))), Repeats(LENGTH, REPEATING)

    def batch(rng: np.random.Generator, step: int) -> Batch:
        few = int(rng.binomial(BATCH, share))
        return _mixed(repeats(rng, few), text.draw(rng, BATCH - few))

    layers = tuple(f"inner.gpt_neox.layers.{i}" for i in range(depth))
    half = PROBE // 2
    return Setting(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=rate),
        objective=supervised(model, batch, next_token_loss),
        probe=_mixed(repeats(rng, half), text.draw(rng, PROBE - half, held_out=True)),
        clock=Clock(Readings(model, text, repeats, rng), lambda table: clocked(table, layers)),
        steps=STEPS,
        every=EVERY,
        layers=layers,
    )


def _mixed(repeating: Batch, text: np.ndarray) -> Batch:
    """Sequences that repeat, scored where the context decides the next symbol, and text, scored everywhere."""
    read = torch.from_numpy(text)
    return torch.cat([repeating[0], read[:, :-1]]), torch.cat([repeating[1], read[:, 1:]])


class Readings:
    """The clock's readings of the network as it is: by layer the greatest over heads of the mean attention to the token
    before ("previous@L", on text) and to the token after the last occurrence of the present one ("prefix@L", on random
    symbols that repeat); "in_context", the mean loss at first occurrences less that at second ones, in nats; and
    "bigram" and "trigram", minus the mean divergence KL(table || answers) on held-out text, in nats."""

    def __init__(self, model: CausalModel, text: Text, repeats: Repeats, rng: np.random.Generator) -> None:
        self._model, self._text = model, text
        self._read = torch.from_numpy(text.draw(rng, CHECKS, held_out=True))
        self._symbols, y = repeats(rng, CHECKS)
        self._known = y != UNSCORED
        self._periods = self._known.int().argmax(1)

    def __call__(self) -> Curves:
        said: dict[str, float] = {}
        text = self._read[:, :-1]
        for layer, pattern in enumerate(self._model.patterns(text)):
            said[f"previous@{layer}"] = float(pattern.diagonal(-1, 2, 3).mean((0, 2)).max())
        for layer, pattern in enumerate(self._model.patterns(self._symbols)):
            said[f"prefix@{layer}"] = float(after_last(pattern, self._periods).max())
        logits = self._model(self._symbols)[:, :-1].log_softmax(-1)
        loss = -logits.gather(2, self._symbols[:, 1:, None])[..., 0]
        known = self._known[:, :-1]
        said["in_context"] = float(loss[~known].mean() - loss[known].mean())
        answers = self._model(text).log_softmax(-1)[:, 1:]
        pairs = self._text.bigrams[text[:, 1:]], self._text.trigrams[text[:, :-1], text[:, 1:]]
        for name, table in zip(("bigram", "trigram"), pairs, strict=True):
            said[name] = -float((table.exp() * (table - answers)).sum(-1).mean())
        return said


def clocked(table: pd.DataFrame, layers: Sequence[str]) -> list[Event]:
    """Events of the clock's curves. What comes to its best and is left again, as bigrams are, counts as come."""
    curves, where = {}, {}
    for kind, least in (("previous", LEAST_HEAD), ("prefix", LEAST_HEAD), ("in_context", LEAST_GAIN),
                        ("bigram", LEAST_GAIN), ("trigram", LEAST_GAIN)):  # fmt: skip
        mine = [name for name in table if str(name).partition("@")[0] == kind]
        best = max(mine, key=lambda name: table[name].max())
        start, most = table[best].iloc[: max(len(table) // 10, 1)].min(), table[best].max()
        if most - start >= least:
            curves[kind] = ((table[best] - start) / (most - start)).cummax()
            if "@" in str(best):
                where[kind] = layers[int(str(best).partition("@")[2])]
    return rises(pd.DataFrame(curves), start=0.0, end=1.0, layers=where) if curves else []
