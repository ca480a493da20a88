"""Every dimension the instrument knows, each once: name, version, formula, source, and how to compute it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geophone.dimensions.unbiased import unbiased_inner
from geophone.errors import InputError

if TYPE_CHECKING:
    from geophone.dimensions.gram import Gram
    from geophone.dimensions.spectrum import Spectrum

NAN = float("nan")
TIERS = ("traces", "leading", "spectrum")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension: `compute(gram, spectrum)`; `tier` says what it needs beyond the Gram product, in the order of
    `TIERS`: its "traces" alone, the "leading" eigenvalue, or the whole "spectrum". The price is that of the highest
    tier that is asked for.

    `version` counts changes of the definition; stored values of different versions never mix.
    """

    name: str
    version: int
    tier: str
    formula: str
    source: str
    compute: Callable[["Gram", "Spectrum"], float]


def _exp_entropy(weights: np.ndarray) -> float:
    shares = weights[weights > 0] / weights.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _rankme(_: "Gram", s: "Spectrum") -> float:
    values = np.sqrt(s.uncentred)
    shares = values / values.sum() + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unbiased_participation(g: "Gram", _: "Spectrum") -> float:
    h = unbiased_inner(g.n, frobenius=g.frobenius, diagonal=g.row_quartic, traces=g.trace**2)
    share = h / (g.trace / (g.n - 1)) ** 2
    # h estimates tr S^2 and can come out at or below zero when n is far too small to see it; what is left of a
    # difference that cancels is the product's rounding, not a dimension.
    return 1 / share if share > 100 * g.product_eps else NAN


def _pcs_90(_: "Gram", s: "Spectrum") -> float:
    shares = np.cumsum(s.centred) / s.centred.sum()
    return float(np.searchsorted(shares, 0.9 - 1e-12) + 1)


def _numerical_rank(g: "Gram", s: "Spectrum") -> float:
    values = np.sqrt(s.centred)
    return float((values > values[0] * max(g.n, g.d) * g.eps).sum())


CATALOGUE: tuple[Dimension, ...] = (
    Dimension(
        "stable_rank", 1, "leading", "sum(l) / l_1", "Rudelson & Vershynin 2007",
        lambda g, s: float(s.centred.sum() / s.centred[0]),
    ),
    Dimension(
        "stable_rank_uncentred", 1, "leading", "sum(l) / l_1 of X, not centred", "Rudelson & Vershynin 2007",
        lambda g, s: float(s.uncentred.sum() / s.uncentred[0]),
    ),
    Dimension(
        "participation_ratio", 1, "traces", "(sum l)^2 / sum l^2", "Gao et al. 2017; Recanatesi et al. 2019",
        lambda g, s: g.trace**2 / g.frobenius,
    ),
    Dimension(
        "participation_ratio_unbiased", 1, "traces", "(tr S)^2 / unbiased estimate of tr S^2",
        "Song et al. 2012", _unbiased_participation,
    ),
    Dimension(
        "effective_rank", 1, "spectrum", "exp(-sum q ln q), q = s / sum(s)", "Roy & Vetterli 2007",
        lambda g, s: _exp_entropy(np.sqrt(s.centred)),
    ),
    Dimension(
        "spectral_entropy_rank", 1, "spectrum", "exp(-sum p ln p), p = l / sum(l)", "von Neumann entropy of Xc'Xc",
        lambda g, s: _exp_entropy(s.centred),
    ),
    Dimension(
        "rankme", 1, "spectrum", "exp(-sum q ln q), q = s / sum(s) + 1e-7 of X, not centred", "Garrido et al. 2023",
        _rankme,
    ),
    Dimension(
        "nuclear_rank", 1, "spectrum", "sum(s) / s_1", "Candes & Recht 2009",
        lambda g, s: float(np.sqrt(s.centred).sum() / np.sqrt(s.centred[0])),
    ),
    Dimension(
        "pcs_90", 1, "spectrum", "least k whose k largest p sum to 0.9", "principal component analysis", _pcs_90,
    ),
    Dimension(
        "numerical_rank", 1, "spectrum", "#{s > s_1 max(n, d) eps}", "numpy.linalg.matrix_rank", _numerical_rank,
    ),
    Dimension(
        "mean_fraction", 1, "traces", "|mu|^2 / E|x|^2", "share of the second moment that is the mean",
        lambda g, s: g.mean_square / (g.mean_square + g.trace / g.n),
    ),
    Dimension(
        "dead_fraction", 1, "traces", "share of features constant over the samples", "exact equality",
        lambda g, s: g.dead_fraction,
    ),
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(d.name for d in CATALOGUE)
VERSIONS: dict[str, int] = {d.name: d.version for d in CATALOGUE}


def chosen(names: Sequence[str] | None) -> tuple[Dimension, ...]:
    """The catalogue's rows called `names`, in catalogue order; all of them for None.

    Raises InputError for a name that is not in the catalogue, or none at all.
    """
    if names is None:
        return CATALOGUE
    unknown = [n for n in names if n not in VERSIONS]
    if unknown or not names:
        raise InputError(f"unknown dimension(s) {unknown}; known are {', '.join(NAMES)}.")
    return tuple(d for d in CATALOGUE if d.name in names)
