"""How well a network answers: a number per sample for any kind of answer, and loss and accuracy of a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from geophone.errors import InputError
from geophone.record.capture import first_tensor
from geophone.signals.behaviour import POSITIONS, Positions, class_probability, next_token_probability
from geophone.zoo.generated import UNSCORED

Score = Callable[[Any, Any], torch.Tensor]


class Scoring(Protocol):
    """Loss and accuracy of a network's output beside the right answers y, scalars. The zoo's Task is one."""

    def loss(self, output: Any, y: torch.Tensor) -> torch.Tensor:
        """What is to fall."""
        ...

    def accuracy(self, output: Any, y: torch.Tensor) -> torch.Tensor:
        """The share of right answers; NaN where an answer is not right or wrong."""
        ...


@dataclass(frozen=True, slots=True)
class SampleScoring:
    """The Scoring of a score per sample: its loss is cross-entropy where answers are labels and the score is not the
    user's own, else minus the mean score."""

    score: Score
    own: bool
    labels: bool

    def loss(self, output: Any, y: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy in nats over the answers that count, or minus the mean score."""
        if self.own or not self.labels:
            return -self.score(output, y).mean()
        logits = answer_of(output)
        return torch.nn.functional.cross_entropy(logits.flatten(0, -2), y.flatten(), ignore_index=UNSCORED)

    def accuracy(self, output: Any, y: torch.Tensor) -> torch.Tensor:
        """The share of labels whose output is the greatest; NaN for answers that are no labels."""
        logits = first_tensor(output)
        if not self.labels or logits is None or logits.shape[:-1] != y.shape:
            return torch.tensor(float("nan"))
        return (logits.argmax(-1) == y).sum() / (y != UNSCORED).sum()


def default_score(y: torch.Tensor) -> Score:
    """The score of answers such as `y`: the probability of the right class (N,), of the right token at each scored
    position (N, T; at most 512 of them, evenly spread), or minus the mean squared error of real answers (N, ...)."""
    if y.is_floating_point():
        return _squared
    return _position_probability if y.ndim == 2 else lambda output, labels: class_probability(answer_of(output), labels)


def answer_of(output: Any) -> torch.Tensor:
    """The first tensor of an output: the logits of a classifier, also of Hugging Face's. Raises InputError for none."""
    tensor = output if isinstance(output, torch.Tensor) else first_tensor(output)
    if tensor is None:
        raise InputError(f"the network puts out a {type(output).__name__} without a tensor; pass score= to read it.")
    return tensor


def _squared(output: Any, y: torch.Tensor) -> torch.Tensor:
    answer = answer_of(output)
    if answer.numel() != y.numel():
        raise InputError(
            f"the network puts out {tuple(answer.shape)} for answers {tuple(y.shape)}; pass score= to compare them."
        )
    return -((answer.reshape(len(y), -1) - y.reshape(len(y), -1)) ** 2).mean(1)


def scored_places(y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample and position of every answer of y (N, T) that is scored: at most 512 of those that count, evenly
    spread."""
    sample, place = torch.nonzero(y >= 0, as_tuple=True)
    if len(sample) > POSITIONS:
        chosen = torch.from_numpy(np.unique(np.linspace(0, len(sample) - 1, POSITIONS).astype(int)))
        sample, place = sample[chosen], place[chosen]
    return sample, place


def _position_probability(output: Any, y: torch.Tensor) -> torch.Tensor:
    sample, place = scored_places(y)
    return next_token_probability(answer_of(output), Positions(sample, place, y[sample, place]))
