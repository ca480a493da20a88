"""What attention heads do: look back one token, find the same token, continue what followed it, copy."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from geophone.dig.anatomy import Anatomy, anatomy_of
from geophone.errors import InputError

OFFSETS = (1, 2, 3, 4)
LEAST = 0.3
_SEQUENCES = 64
_LAGS = 32


@dataclass(frozen=True)
class Repeated:
    """`tokens` (N, T) in which s[t] = s[t - period], and the `periods` (N,) of the sequences."""

    tokens: np.ndarray
    periods: np.ndarray


def repeats(symbols: int, length: int, *, rng: np.random.Generator, count: int = _SEQUENCES) -> Repeated:
    """`count` sequences of random tokens that repeat, each with a period of its own from length/4 to length/2. No token
    comes twice within a period where `symbols` allow."""
    periods = rng.integers(length // 4, length // 2 + 1, count)
    rows = []
    for period in periods:
        first = rng.permutation(symbols)[:period] if period <= symbols else rng.integers(symbols, size=period)
        rows.append(np.resize(first, length))
    return Repeated(np.array(rows), periods)


def head_scores(
    model: nn.Module, *, symbols: int, length: int, rng: np.random.Generator, anatomy: Anatomy | None = None
) -> pd.DataFrame:
    """One row per head of every attention layer of a causal `model` on tokens below `symbols`.

    All are mean attention weights on random tokens that repeat with random periods, over the positions at which the
    thing attended to exists. previous: to the token before. duplicate: to the earlier same token. induction_1 to
    induction_4: to the token 1 to 4 places after the earlier same token (1 is prefix matching, Olsson et al. 2022),
    of which `induction` is the greatest and `offset` its place. position: the greatest mean attention to any one
    fixed lag of 2 or more on random tokens that do not repeat, `lag` that lag: copying by position, not by content.
    copying: how the head's own path raises the logit of the token it reads: the mean over tokens of the share of
    other tokens that it raises less, minus 0.5 (0 by chance, 0.5 at most). Chance for an attention weight is about 1
    / t at position t.
    """
    anatomy = anatomy or anatomy_of(model)
    layers = anatomy.heads(model)
    if not layers:
        raise InputError("the model has no attention layer that is known; heads cannot be scored.")
    repeated = repeats(symbols, length, rng=rng)
    plain = rng.integers(symbols, size=repeated.tokens.shape)
    looped, straight = (anatomy.patterns(model, torch.from_numpy(t)) for t in (repeated.tokens, plain))
    rows = []
    for depth, (name, heads) in enumerate(layers.items()):
        if name not in looped:
            continue
        copying = _copying(anatomy.copying(model, name, symbols), heads)
        lags = _lags(straight[name])
        for head in range(heads):
            found = _content(looped[name][:, head], repeated.periods)
            best = int(np.argmax([found[f"induction_{k}"] for k in OFFSETS]))
            lag = int(lags[head].argmax())
            rows.append(
                {
                    "layer": name, "depth": depth, "head": head, **found,
                    "induction": found[f"induction_{OFFSETS[best]}"], "offset": OFFSETS[best],
                    "position": float(lags[head, lag]), "lag": lag + 2, "copying": float(copying[head]),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def head_types(scores: pd.DataFrame, untrained: pd.DataFrame) -> list[str]:
    """The type of each head: "induction", "previous token", "duplicate token", "position", or "untyped".

    Of the scores that are at least 0.3 and above the greatest of any head of the `untrained` network, the greatest
    names the head.
    """
    kinds = {
        "induction": "induction",
        "previous": "previous token",
        "duplicate": "duplicate token",
        "position": "position",
    }
    floors = {score: max(LEAST, float(untrained[score].max())) for score in kinds}
    found = []
    for row in scores.to_dict("records"):
        reached = {score: row[score] for score, floor in floors.items() if row[score] > floor}
        found.append(kinds[max(reached, key=lambda score: reached[score])] if reached else "untyped")
    return found


def _content(pattern: np.ndarray, periods: np.ndarray) -> dict[str, float]:
    """Mean attention of one head, `pattern` (N, T, T), by what is attended to."""
    found = {"previous": float(np.mean([np.diagonal(p, -1).mean() for p in pattern]))}
    found["duplicate"] = _after(pattern, periods, 0)
    return found | {f"induction_{offset}": _after(pattern, periods, offset) for offset in OFFSETS}


def _after(pattern: np.ndarray, periods: np.ndarray, offset: int) -> float:
    """Attention from t to t - period + offset, over the t of the repetition."""
    found = [
        p[np.arange(period, len(p)), np.arange(len(p) - period) + offset].mean()
        for p, period in zip(pattern, periods, strict=True)
        if period > offset
    ]
    return float(np.mean(found)) if found else float("nan")


def _lags(pattern: np.ndarray) -> np.ndarray:
    """Mean attention to each lag from 2 up: (heads, lags)."""
    longest = min(_LAGS, pattern.shape[2] - 2)
    return np.stack(
        [np.diagonal(pattern, -lag, axis1=2, axis2=3).mean((0, 2)) for lag in range(2, longest + 2)], axis=1
    )


def _copying(effect: torch.Tensor, heads: int) -> np.ndarray:
    """The share of other tokens whose logit each token read raises less than its own, minus 0.5, mean over tokens;
    `effect` as `Anatomy.copying` gives it."""
    if not len(effect):
        return np.full(heads, np.nan)
    own = effect.diagonal(dim1=1, dim2=2)[:, :, None]
    return ((effect < own).float().sum(2) / (effect.shape[1] - 1)).mean(1).numpy() - 0.5
