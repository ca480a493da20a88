"""What attention heads do: look back one token, find the same token, continue what followed it, copy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from geophone.errors import InputError, first_line
from geophone.record.anatomy import Anatomy, Inputs, anatomy_of
from geophone.record.probe import Probe

OFFSETS = (1, 2, 3, 4)
LEAST = 0.3
# The types of a head and the scores that name them.
SCORES = {
    "induction": "induction",
    "previous token": "previous",
    "duplicate token": "duplicate",
    "position": "position",
}
_SEQUENCES = 64
_LAGS = 32
# Read at every checkpoint: little beside a probe of 64 x 256 tokens.
_FEW, _SHORT = 8, 64
_REPEATS_SEED = 0x4EAD
# What a model may raise that is asked for weights of attention which it does not give.
_REFUSALS = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError)


@dataclass(frozen=True)
class Repeated:
    """`tokens` (N, T) in which s[t] = s[t - period], and the `periods` (N,) of the sequences."""

    tokens: np.ndarray
    periods: np.ndarray


def repeats(
    symbols: int | npt.NDArray[np.int64], length: int, *, rng: np.random.Generator, count: int = _SEQUENCES
) -> Repeated:
    """`count` sequences of random tokens (below `symbols`, or among them) that repeat, each with a period of its own
    from length/4 to length/2. No token comes twice within a period where `symbols` allow."""
    tokens = np.arange(symbols) if isinstance(symbols, int) else symbols
    periods = rng.integers(length // 4, length // 2 + 1, count)
    rows = []
    for period in periods:
        whole = period <= len(tokens)
        first = rng.permutation(tokens)[:period] if whole else tokens[rng.integers(len(tokens), size=period)]
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
            lag = int(lags[head].argmax())
            rows.append(
                {
                    "layer": name, "depth": depth, "head": head, **_content(looped[name][:, head], repeated.periods),
                    "position": float(lags[head, lag]), "lag": lag + 2, "copying": float(copying[head]),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def head_types(scores: pd.DataFrame, untrained: pd.DataFrame) -> list[str]:
    """The type of each head: "induction", "previous token", "duplicate token", "position", or "untyped".

    Of the scores that are at least 0.3 and above the greatest of any head of the `untrained` network, the greatest
    names the head.
    """
    kinds = {score: kind for kind, score in SCORES.items()}
    floors = {score: max(LEAST, float(untrained[score].max())) for score in kinds}
    found = []
    for row in scores.to_dict("records"):
        reached = {score: row[score] for score, floor in floors.items() if row[score] > floor}
        found.append(kinds[max(reached, key=lambda score: reached[score])] if reached else "untyped")
    return found


class HeadReader:
    """What every head of one network does at one checkpoint after another.

    `rows(step, model)` gives a row per head: `previous`, `duplicate`, `induction_1` to `induction_4`, `induction` and
    `offset` as in `head_scores`, on 8 sequences of at most 64 tokens that are drawn once among the probe's own (NaN
    where the probe is not one of tokens, and for an encoder with a decoder); `pattern_change`, how far what the head
    attends to moved since the checkpoint before: total variation, half the sum over keys of |now - before|, mean over
    the real queries of at most 8 sequences of the probe, of tokens the first 64 (NaN at the first checkpoint). None
    for a network without attention that is known, or that does not give its weights, of which `why` says what it said.
    """

    def __init__(self, model: nn.Module, probe: Probe) -> None:
        self.why = ""
        self._anatomy = anatomy_of(model)
        self._heads = self._anatomy.heads(model)
        self._before: dict[str, np.ndarray] = {}
        self._inputs, self._real = _beginning(probe, probe.mask_for(model))
        self._repeated = None if _is_seq2seq(model) else _own_repeats(self._inputs, self._real)
        if self._inputs is None and self._heads:
            self.why, self._heads = "the probe is neither one tensor nor named ones", {}

    def rows(self, step: int, model: nn.Module) -> list[dict[str, Any]]:
        """The rows at `step`; the step before is that of the last call."""
        try:
            now = self._patterns(model, self._inputs)
            looped = {} if self._repeated is None else self._patterns(model, torch.from_numpy(self._repeated.tokens))
        except _REFUSALS as error:
            self.why, self._heads = f"its attention gives no weights: {first_line(error)}", {}
            return []
        if self._heads and not now:
            self.why, self._heads = "its attention gives no weights", {}
        rows = []
        for depth, (name, heads) in enumerate(self._heads.items()):
            if name not in now:
                continue
            change = _variation(now[name], self._before.get(name), self._real)
            for head in range(heads):
                found = dict.fromkeys(_CONTENT, float("nan"))
                if name in looped and self._repeated is not None:
                    found = _content(looped[name][:, head].astype(np.float32), self._repeated.periods)
                place = {"step": step, "layer": name, "depth": depth, "head": head}
                rows.append({**place, **found, "pattern_change": float(change[head])})
        self._before = now
        return rows

    def _patterns(self, model: nn.Module, inputs: Inputs | None) -> dict[str, np.ndarray]:
        # Half precision: two checkpoints' patterns are in memory at a time.
        if inputs is None or not self._heads:
            return {}
        return {name: p.astype(np.float16) for name, p in self._anatomy.patterns(model, inputs).items()}


_CONTENT = ("previous", "duplicate", *(f"induction_{offset}" for offset in OFFSETS), "induction", "offset")


def _is_seq2seq(model: nn.Module) -> bool:
    return any(getattr(getattr(m, "config", None), "is_encoder_decoder", False) for m in model.modules())


def _beginning(probe: Probe, mask: torch.Tensor | None) -> tuple[Inputs | None, torch.Tensor | None]:
    """The first samples of a probe and their first tokens, and which of these are real."""

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.ndim or len(tensor) != probe.samples:
            return tensor
        return tensor[:_FEW, :_SHORT] if tensor.ndim == 2 and not tensor.is_floating_point() else tensor[:_FEW]

    real = None if mask is None else mask[:_FEW, :_SHORT]
    named = {name: cut(value) for name, value in probe.kwargs.items() if isinstance(value, torch.Tensor)}
    if named and not probe.args and len(named) == len(probe.kwargs):
        return named, real
    alone = len(probe.args) == 1 and not probe.kwargs and isinstance(probe.args[0], torch.Tensor)
    return (cut(probe.args[0]), real) if alone else (None, None)


def _own_repeats(inputs: Inputs | None, real: torch.Tensor | None) -> Repeated | None:
    """Sequences that repeat, of the tokens of `inputs`; None where it has none."""
    tokens = inputs.get("input_ids") if isinstance(inputs, Mapping) else inputs
    if tokens is None or tokens.ndim != 2 or tokens.is_floating_point() or tokens.shape[1] < 4 * len(OFFSETS):
        return None
    fits = real is not None and real.shape == tokens.shape and bool(real.any())
    symbols = np.unique((tokens[real] if fits else tokens).cpu().numpy())
    return repeats(symbols, tokens.shape[1], rng=np.random.default_rng(_REPEATS_SEED), count=_FEW)


def _variation(now: np.ndarray, before: np.ndarray | None, real: torch.Tensor | None) -> np.ndarray:
    """Total variation between two patterns (N, heads, queries, keys), mean over the real queries: (heads,)."""
    if before is None or before.shape != now.shape:
        return np.full(now.shape[1], np.nan)
    apart = np.stack([
        0.5 * np.abs(a.astype(np.float32) - b.astype(np.float32)).sum(-1) for a, b in zip(now, before, strict=True)
    ])  # fmt: skip
    kept = np.ones(apart.shape[::2], dtype=bool) if real is None else real.cpu().numpy()
    kept = kept if kept.shape == apart.shape[::2] and kept.any() else np.ones(apart.shape[::2], dtype=bool)
    mean: np.ndarray = apart.transpose(0, 2, 1)[kept].mean(0)
    return mean


def _content(pattern: np.ndarray, periods: np.ndarray) -> dict[str, float]:
    """Mean attention of one head, `pattern` (N, T, T), by what is attended to."""
    found = {"previous": float(np.mean([np.diagonal(p, -1).mean() for p in pattern]))}
    found["duplicate"] = _after(pattern, periods, 0)
    after = [_after(pattern, periods, offset) for offset in OFFSETS]
    best = int(np.argmax(np.nan_to_num(after, nan=-1.0)))
    found |= {f"induction_{offset}": value for offset, value in zip(OFFSETS, after, strict=True)}
    return found | {"induction": after[best], "offset": OFFSETS[best]}


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
