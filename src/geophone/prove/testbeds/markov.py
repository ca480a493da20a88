"""In-context Markov chains: first the symbols are counted, then the pairs (Edelman et al. 2024)."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.prove.bed import Clock, Curves, Setting
from geophone.prove.events import Event, rises
from geophone.prove.testbeds.induction import next_token_loss
from geophone.training import supervised
from geophone.zoo.generated import MarkovChains
from geophone.zoo.transformer import Decoder

BATCH = 16
CHECKS = 32
PROBE = 32
WIDTH = 32
LATER = 16


def setting(seed: int) -> Setting:
    """A decoder of two attention layers on walks of 64 steps on Markov chains of 3 states, each sequence with a chain
    of its own, AdamW 1e-3.

    The clock is the Kullback-Leibler divergence of the network's prediction from two rules that read the context
    alone, counts of symbols and counts of pairs (each plus one): `unigram` and `bigram` are the shares of the way from
    no knowledge to the rule.
    """
    task = MarkovChains()
    rng = np.random.default_rng([5, seed])
    torch.manual_seed(seed)
    model = Decoder(task.symbols, task.symbols, length=task.length, width=WIDTH, heads=2, depth=2, mlp=False)
    checks, _ = task(rng, CHECKS)
    rules = {name: rule[:, LATER:] for name, rule in context_rules(checks, task.symbols).items()}

    def distances() -> Curves:
        predicted = model(checks)[:, LATER:].log_softmax(-1)
        return {
            name: float(nn.functional.kl_div(predicted, rule, reduction="none").sum(-1).mean())
            for name, rule in rules.items()
        }

    return Setting(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3),
        objective=supervised(model, lambda rng, step: task(rng, BATCH), next_token_loss),
        probe=task(rng, PROBE),
        clock=Clock(distances, clocked),
        steps=1400,
        every=4,
        layers=("blocks.0", "blocks.1"),
    )


def clocked(table: pd.DataFrame) -> list[Event]:
    """`unigram`: the divergence from the counts of symbols falls from its first value to its least. `bigram`: from then
    on, the divergence from the counts of pairs falls from its level to its least."""
    least = int(table["unigram"].to_numpy().argmin())
    first = table.iloc[: least + 1]["unigram"]
    events = rises(first.to_frame(), start=float(first.iloc[:3].mean()), end=float(first.min())) if least >= 5 else []
    rest = table.iloc[least:]["bigram"]
    if len(rest) >= 10:
        events += rises(rest.to_frame(), start=float(rest.iloc[:5].mean()), end=float(rest.min()))
    return events


def context_rules(tokens: torch.Tensor, symbols: int) -> dict[str, torch.Tensor]:
    """Next-symbol probabilities (N, T, symbols) from the tokens up to each position: `unigram` from how often each
    symbol came, `bigram` from what came after the present symbol, both with one added to every count."""
    hot = nn.functional.one_hot(tokens, symbols).float()
    singles = hot.cumsum(1) + 1
    pairs = (hot[:, :-1, :, None] * hot[:, 1:, None, :]).cumsum(1)
    pairs = torch.cat([torch.zeros_like(pairs[:, :1]), pairs], dim=1) + 1
    following = (pairs * hot[..., None]).sum(2)
    return {"unigram": singles / singles.sum(-1, keepdim=True), "bigram": following / following.sum(-1, keepdim=True)}
