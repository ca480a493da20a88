"""Inputs that are made rather than stored: repeated sequences, Markov chains, windows of text, sparse parities."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from geophone.errors import InputError

UNSCORED = -100


@dataclass(frozen=True, slots=True)
class Repeats:
    """Random sequences that repeat: s[j] = s[j - period], the next token to be predicted.

    The first `period` tokens are independent and uniform over `symbols`. The period is drawn for each sequence,
    uniformly from length/4 to length/2, both ends included; `period` fixes it for all, which makes a task that
    is solved by position alone. A target counts only where the context decides it, from the second token of the
    first repetition on; the others are UNSCORED. What it asks for is an induction head (Olsson et al. 2022).
    """

    length: int = 48
    symbols: int = 32
    period: int | None = None

    def __post_init__(self) -> None:
        if self.length < 4:
            raise InputError(f"length={self.length} leaves no room for a repetition: give 4 or more.")
        if self.period is not None and not 1 <= self.period < self.length:
            raise InputError(f"period={self.period} in sequences of {self.length}: give 1 to {self.length - 1}.")

    def __call__(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x, y: (size, length) int64; y[t] is the token after x[t]."""
        least, most = (self.length // 4, self.length // 2) if self.period is None else (self.period,) * 2
        period = rng.integers(least, most + 1, (size, 1))
        places = np.arange(self.length + 1) % period
        tokens = np.take_along_axis(rng.integers(self.symbols, size=(size, most)), places, axis=1)
        decided = np.arange(self.length) >= period
        return torch.from_numpy(tokens[:, :-1].copy()), torch.from_numpy(np.where(decided, tokens[:, 1:], UNSCORED))


@dataclass(frozen=True, slots=True)
class MarkovChains:
    """Each sequence is a walk on a Markov chain of its own, to be learned in context (Edelman et al. 2024).

    Each row of a chain's transition matrix is Dirichlet(1, ..., 1), the first state is uniform. Guessing the
    likeliest next state with the matrix known is right E[max of a Dirichlet row] of the time: 11/18 = 0.611 for
    3 symbols.
    """

    length: int = 64
    symbols: int = 3

    def __call__(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x, y: (size, length) int64; y[t] is the state after x[t]."""
        matrices = rng.dirichlet(np.ones(self.symbols), (size, self.symbols))
        states = self.walk(matrices, rng)
        return torch.from_numpy(states[:, :-1].copy()), torch.from_numpy(states[:, 1:].copy())

    def walk(self, matrices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One walk of length + 1 states on each of `matrices` (N, k, k): (N, length + 1) int64."""
        bounds = matrices.cumsum(2)[:, :, :-1]
        draws = rng.random((self.length, len(matrices), 1))
        states = np.empty((len(matrices), self.length + 1), np.int64)
        states[:, 0] = rng.integers(self.symbols, size=len(matrices))
        every = np.arange(len(matrices))
        for t, draw in enumerate(draws):
            states[:, t + 1] = (draw > bounds[every, states[:, t]]).sum(1)
        return states


@dataclass(frozen=True, slots=True)
class Windows:
    """Stretches of `length` characters from random places in the rows of `blocks` (n, m), and the ones after each."""

    blocks: torch.Tensor
    length: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.length < self.blocks.shape[1]:
            raise InputError(f"windows of {self.length} from rows of {self.blocks.shape[1]}: give 1 to one less.")

    def __call__(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x, y: (size, length) int64; y[t] is the character after x[t]."""
        rows = torch.from_numpy(rng.integers(len(self.blocks), size=(size, 1)))
        starts = rng.integers(self.blocks.shape[1] - self.length, size=(size, 1))
        stretch = self.blocks[rows, torch.from_numpy(starts + np.arange(self.length + 1))]
        return stretch[:, :-1].contiguous(), stretch[:, 1:].contiguous()

    def all(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Every window that does not overlap another, shuffled by `rng`."""
        step = self.length + 1
        stretches = self.blocks[:, : self.blocks.shape[1] // step * step].reshape(-1, step)
        stretches = stretches[torch.from_numpy(rng.permutation(len(stretches)))]
        return stretches[:, :-1].contiguous(), stretches[:, 1:].contiguous()


@dataclass(frozen=True, slots=True)
class SparseParities:
    """Several parities at once: which one is asked for is written in the first `tasks` entries (Michaud et al. 2023).

    x = (one-hot of the task, `bits` random bits), y = the parity of the bits in subsets[task]. Task i is asked
    for with probability proportional to (i + 1)^-(1 + exponent), so that tasks are acquired one after another.
    """

    tasks: int = 8
    bits: int = 32
    parity: int = 3
    exponent: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if not (1 <= self.parity <= self.bits and 1 <= self.tasks <= math.comb(self.bits, self.parity)):
            raise InputError(
                f"{self.tasks} different subsets of {self.parity} of {self.bits} bits cannot be had; give fewer tasks, "
                "a smaller parity or more bits."
            )

    @property
    def subsets(self) -> np.ndarray:
        """(tasks, parity): the bits that count, different from task to task."""
        rng = np.random.default_rng(self.seed)
        chosen: dict[tuple[int, ...], None] = {}
        while len(chosen) < self.tasks:
            chosen[tuple(sorted(rng.choice(self.bits, self.parity, replace=False).tolist()))] = None
        return np.array(list(chosen))

    def __call__(self, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x (size, tasks + bits) float32 of 0 and 1, y (size,) int64 of 0 and 1."""
        weight = np.arange(1, self.tasks + 1) ** -(1 + self.exponent)
        asked = rng.choice(self.tasks, size, p=weight / weight.sum())
        bits = rng.integers(2, size=(size, self.bits))
        y = np.take_along_axis(bits, self.subsets[asked], axis=1).sum(1) % 2
        x = np.concatenate([np.eye(self.tasks)[asked], bits], axis=1)
        return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)
