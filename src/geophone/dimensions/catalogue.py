"""Every dimension the instrument knows, each once: name, version, formula, source, and how to compute it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from geophone.dimensions.gram import Gram, as_matrix, gram
from geophone.dimensions.spectrum import Spectrum, is_resolved, one_lapack_thread, spectrum
from geophone.dimensions.unbiased import unbiased_inner
from geophone.errors import InputError

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension: `compute(gram, spectrum)`; `spectral` says whether it needs the spectrum at all.

    `version` counts changes of the definition; stored values of different versions never mix.
    """

    name: str
    version: int
    spectral: bool
    formula: str
    source: str
    compute: Callable[[Gram, Spectrum], float]


@dataclass(frozen=True, slots=True)
class Reading:
    """Dimensions of one representation: `values` by name, all NaN unless `status` is "ok".

    status: "ok" | "dead" (no variance over the samples) | "nonfinite" (a NaN or an infinity among them). A dead
    representation has dead_fraction 1.
    """

    values: dict[str, float]
    status: str


def _exp_entropy(weights: np.ndarray) -> float:
    shares = weights[weights > 0] / weights.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _rankme(_: Gram, s: Spectrum) -> float:
    values = np.sqrt(s.uncentred)
    shares = values / values.sum() + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unbiased_participation(g: Gram, _: Spectrum) -> float:
    h = unbiased_inner(g.n, frobenius=g.frobenius, diagonal=g.row_quartic, traces=g.trace**2)
    share = h / (g.trace / (g.n - 1)) ** 2
    # h estimates tr S^2 and can come out at or below zero when n is far too small to see it; what is left of a
    # difference that cancels is the product's rounding, not a dimension.
    return 1 / share if share > 100 * torch.finfo(g.matrix.dtype).eps else NAN


def _pcs_90(_: Gram, s: Spectrum) -> float:
    shares = np.cumsum(s.centred) / s.centred.sum()
    return float(np.searchsorted(shares, 0.9 - 1e-12) + 1)


def _numerical_rank(g: Gram, s: Spectrum) -> float:
    values = np.sqrt(s.centred)
    return float((values > values[0] * max(g.n, g.d) * g.eps).sum())


CATALOGUE: tuple[Dimension, ...] = (
    Dimension(
        "stable_rank", 1, True, "sum(l) / l_1", "Rudelson & Vershynin 2007",
        lambda g, s: float(s.centred.sum() / s.centred[0]),
    ),
    Dimension(
        "stable_rank_uncentred", 1, True, "sum(l) / l_1 of X, not centred", "Rudelson & Vershynin 2007",
        lambda g, s: float(s.uncentred.sum() / s.uncentred[0]),
    ),
    Dimension(
        "participation_ratio", 1, False, "(sum l)^2 / sum l^2", "Gao et al. 2017; Recanatesi et al. 2019",
        lambda g, s: g.trace**2 / g.frobenius,
    ),
    Dimension(
        "participation_ratio_unbiased", 1, False, "(tr S)^2 / unbiased estimate of tr S^2",
        "Song et al. 2012", _unbiased_participation,
    ),
    Dimension(
        "effective_rank", 1, True, "exp(-sum q ln q), q = s / sum(s)", "Roy & Vetterli 2007",
        lambda g, s: _exp_entropy(np.sqrt(s.centred)),
    ),
    Dimension(
        "spectral_entropy_rank", 1, True, "exp(-sum p ln p), p = l / sum(l)", "von Neumann entropy of Xc'Xc",
        lambda g, s: _exp_entropy(s.centred),
    ),
    Dimension(
        "rankme", 1, True, "exp(-sum q ln q), q = s / sum(s) + 1e-7 of X, not centred", "Garrido et al. 2023",
        _rankme,
    ),
    Dimension(
        "nuclear_rank", 1, True, "sum(s) / s_1", "Candes & Recht 2009",
        lambda g, s: float(np.sqrt(s.centred).sum() / np.sqrt(s.centred[0])),
    ),
    Dimension(
        "pcs_90", 1, True, "least k whose k largest p sum to 0.9", "principal component analysis", _pcs_90,
    ),
    Dimension(
        "numerical_rank", 1, True, "#{s > s_1 max(n, d) eps}", "numpy.linalg.matrix_rank", _numerical_rank,
    ),
    Dimension(
        "mean_fraction", 1, False, "|mu|^2 / E|x|^2", "share of the second moment that is the mean",
        lambda g, s: g.mean_square / (g.mean_square + g.trace / g.n),
    ),
    Dimension(
        "dead_fraction", 1, False, "share of features constant over the samples", "exact equality",
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


def read(x, *, names: Sequence[str] | None = None) -> Reading:
    """`dimensions` with its status beside it; what the recorder stores.

    Raises InputError as `dimensions` does. A representation without variance, or with a NaN or an infinity, is
    not an error: its values are NaN and the status says why.
    """
    wanted = chosen(names)
    matrix = as_matrix(x)
    with one_lapack_thread():
        return _read(matrix, wanted)


def read_each(matrices: Mapping[str, torch.Tensor], *, names: Sequence[str] | None = None) -> dict[str, Reading]:
    """`read` of several representations, by name; setting up is done once for all of them."""
    wanted = chosen(names)
    with one_lapack_thread():
        return {name: _read(as_matrix(matrix), wanted) for name, matrix in matrices.items()}


def _read(matrix: torch.Tensor, wanted: tuple[Dimension, ...]) -> Reading:
    spectral = any(d.spectral for d in wanted)
    g = gram(matrix, dtype=_product_dtype(matrix, spectral), spectral=spectral)
    if g.status != "ok":
        values = dict.fromkeys((d.name for d in wanted), NAN)
        if "dead_fraction" in values:
            values["dead_fraction"] = g.dead_fraction
        return Reading(values=values, status=g.status)
    s = spectrum(g) if spectral else Spectrum(np.empty(0), np.empty(0))
    if spectral and not is_resolved(g, s):
        g = gram(matrix, dtype=torch.float64)
        s = spectrum(g)
    values = {d.name: d.compute(g, s) for d in wanted}
    if "numerical_rank" in values and g.eps < 1e-12 and s.centred[-1] == 0.0:
        values["numerical_rank"] = _rank_by_svd(matrix)
    return Reading(values=values, status="ok")


def _product_dtype(x: torch.Tensor, spectral: bool) -> torch.dtype:
    """float64 for a spectrum, except where the product is most of the work and, the matrix being long, small
    eigenvalues are likely to be resolved in float32."""
    short, long = sorted(x.shape)
    return torch.float64 if x.dtype == torch.float64 or (spectral and long < 8 * short) else torch.float32


def _rank_by_svd(x: torch.Tensor) -> float:
    """Numerical rank of float64 data: its threshold lies below what any Gram matrix resolves."""
    x = x / x.abs().max()
    x = x - x.mean(0)
    # In one pass, the rounding of a large mean would be counted as a direction.
    s = torch.linalg.svdvals(x - x.mean(0))
    count = int((s > s[0] * max(x.shape) * torch.finfo(x.dtype).eps).sum())
    # Centring takes one direction out of the samples; what is left of it is rounding.
    return float(min(count, len(x) - 1))


def dimensions(x, *, names: Sequence[str] | None = None) -> dict[str, float]:
    """Dimensionality of a representation X, n samples x d features, by every definition in the catalogue.

    With Xc = X - mean, singular values s, l = s^2, p = l/sum(l), q = s/sum(s): `stable_rank` sum(l)/l_1,
    `participation_ratio` (sum l)^2/sum(l^2), `effective_rank` exp(-sum q ln q), and the others in `CATALOGUE`
    (each with formula and source). All come from one min(n, d)-square Gram matrix.

    `x`: (n, d) array or tensor of real numbers on any device; float16 and bfloat16 are upcast to float32, whose
    eps `numerical_rank` then uses. `names`: only these (the participation ratios, `mean_fraction` and
    `dead_fraction` alone need no spectrum and cost little more than the product). Returns floats, without unit.
    All are NaN where X has no variance or holds a NaN or an infinity; `read` says which. Raises InputError unless
    x is two-dimensional with n >= 2. `participation_ratio_unbiased` needs n >= 4, else it is NaN.

    Not the intrinsic (nearest-neighbour) dimension of a manifold: these count directions of variance.
    """
    return read(x, names=names).values
