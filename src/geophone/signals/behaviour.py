"""Behaviour: one number per scored sample that says how well the network answers it."""

from dataclasses import dataclass

import numpy as np
import torch

from geophone.errors import InputError

IGNORED = -100  # the mark of unscored positions in PyTorch's losses
POSITIONS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """The scored positions of a batch of sequences: `sample` and `place` (both (m,)) index the batch and the sequence,
    `token` (m,) is the right next token there."""

    sample: torch.Tensor
    place: torch.Tensor
    token: torch.Tensor


def class_probability(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The softmax probability of the right class, exp(-cross-entropy), per sample: logits (n, C), labels (n,) -> (n,),
    between 0 and 1, rising is learning. Raises InputError where the shapes do not fit or a label is no class."""
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise InputError(
            f"class labels want outputs (samples, classes) and one label per sample; got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise InputError(
            f"labels go from {int(labels.min())} to {int(labels.max())}; outputs: {logits.shape[1]} classes."
        )
    return right_probability(logits, labels)


def right_probability(logits: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
    """`class_probability` of answers that are known to fit, logits (..., C), answer (...): nothing is asked of the
    device."""
    wide = logits.detach().float()
    right = wide.gather(-1, answer.to(wide.device, torch.int64)[..., None])[..., 0]
    return (right - wide.logsumexp(-1)).exp()


def next_token_positions(
    tokens: torch.Tensor,
    *,
    rng: np.random.Generator,
    targets: torch.Tensor | None = None,
    special: tuple[int, ...] = (),
    limit: int = POSITIONS,
) -> Positions:
    """The positions at which the next token is scored: at most `limit` of them, drawn once with `rng`.

    tokens (N, T); the answer at position t is tokens[:, t+1], or `targets`[:, t] where they are given (N, T), with -100
    for what is not scored. Positions whose answer is in `special` (padding, markers) are left out. Raises InputError
    when nothing is left to score.
    """
    answers = tokens[:, 1:] if targets is None else targets
    scored = answers != IGNORED
    for token in special:
        scored &= answers != token
    sample, place = torch.nonzero(scored, as_tuple=True)
    if not len(sample):
        raise InputError("no position of the probe has a next token to score; padding and special tokens are left out.")
    if len(sample) > limit:
        drawn = torch.from_numpy(np.sort(rng.choice(len(sample), limit, replace=False))).to(sample.device)
        sample, place = sample[drawn], place[drawn]
    return Positions(sample, place, answers[sample, place])


def next_token_probability(logits: torch.Tensor, positions: Positions) -> torch.Tensor:
    """The probability of the right next token at every scored position: logits (N, T, V) -> (m,). Only the scored
    positions are normalised. Raises InputError where outputs are not (sequences, positions, tokens)."""
    if logits.ndim != 3:
        raise InputError(
            f"next-token behaviour wants outputs (sequences, positions, tokens); got {tuple(logits.shape)}."
        )
    rows = logits.detach()[positions.sample.to(logits.device), positions.place.to(logits.device)]
    return right_probability(rows, positions.token)


def regression_error(outputs: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """The Euclidean distance of every sample's output from its answer, (n, ...) -> (n,): falling is learning. Raises
    InputError where the shapes do not fit."""
    if outputs.shape != answers.shape:
        raise InputError(f"outputs {tuple(outputs.shape)} and answers {tuple(answers.shape)} do not have one shape.")
    off = (outputs.detach() - answers.to(outputs.device)).float().flatten(1)
    return torch.linalg.vector_norm(off, dim=1)
