"""Induction heads: attention that finds what followed last time (Olsson et al. 2022)."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.prove.bed import Clock, Curves, Setting, log_uniform
from geophone.prove.events import Event, rises
from geophone.record.capture import ActivationCapture
from geophone.training import supervised
from geophone.zoo.generated import UNSCORED, Repeats
from geophone.zoo.transformer import Decoder

BATCH = 16
CHECKS = 32
PROBE = 32
PATTERNS = ("blocks.0.attention.pattern", "blocks.1.attention.pattern")


def setting(seed: int, *, rate: float = 1e-3) -> Setting:
    """A decoder of two attention layers (64 wide, 4 heads, no perceptron) on sequences of 48 of 32 symbols that repeat
    with a random period, AdamW.

    Three clocks, each as a share of the most it comes to: `previous`, the greatest mean attention of a head of layer 0
    to the token before; `induction`, the greatest mean attention of a head of layer 1 to the token after the last
    occurrence of the present one, one period back; `copying`, the accuracy where the context decides the answer.
    """
    task = Repeats()
    rng = np.random.default_rng([4, seed])
    torch.manual_seed(seed)
    model = Decoder(task.symbols, task.symbols, length=task.length, width=64, heads=4, depth=2, mlp=False)
    checks, periods = _checks(task, rng)

    def curves() -> Curves:
        with ActivationCapture(model, PATTERNS) as capture:
            output = model(checks[0])
            first, second = (capture[name] for name in PATTERNS)
        scored = checks[1] != UNSCORED
        right = (output.argmax(-1) == checks[1])[scored].float().mean()
        return {
            "previous": float(first.diagonal(-1, 2, 3).mean((0, 2)).max()),
            "induction": float(after_last(second, periods).max()),
            "copying": float(right),
        }

    return Setting(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=rate),
        objective=supervised(model, lambda rng, step: task(rng, BATCH), next_token_loss),
        probe=task(rng, PROBE),
        clock=Clock(curves, clocked),
        steps=780,
        every=3,
        layers=("blocks.0", "blocks.1"),
    )


def drawn(seed: int) -> Setting:
    """The same at a rate log-uniform in [8e-4, 3.2e-3]."""
    rng = np.random.default_rng([107, seed])
    return setting(seed + 70000, rate=float(log_uniform(rng, 8e-4, 3.2e-3)))


def clocked(table: pd.DataFrame) -> list[Event]:
    """Events of the clock's curves, each from its level in the first tenth of the run to its greatest."""
    layers = {"previous": "blocks.0", "induction": "blocks.1"}
    start = table.iloc[: max(len(table) // 10, 1)].min()
    return rises((table - start) / (table.max() - start), start=0.0, end=1.0, layers=layers)


def next_token_loss(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the positions that are scored."""
    return nn.functional.cross_entropy(output.flatten(0, 1), y.flatten(), ignore_index=UNSCORED)


def _checks(task: Repeats, rng: np.random.Generator) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Held-out sequences with answers, and the period of each."""
    x, y = task(rng, CHECKS)
    periods = (y != UNSCORED).int().argmax(1)
    return (x, y), periods


def after_last(pattern: torch.Tensor, periods: torch.Tensor) -> torch.Tensor:
    """By head, the mean attention from t to t - period + 1, over sequences and t >= period; `pattern` (N, heads, T, T),
    `periods` (N,)."""
    t = torch.arange(pattern.shape[-1])
    back = t[None] - periods[:, None] + 1
    inside = t[None] >= periods[:, None]
    there = pattern.gather(3, back.clamp(min=0)[:, None, :, None].expand(-1, pattern.shape[1], -1, 1))[..., 0]
    weights = inside[:, None].float()
    return (there * weights).sum((0, 2)) / weights.sum((0, 2))
