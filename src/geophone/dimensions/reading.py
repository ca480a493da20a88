"""From a representation to its dimensions, by the catalogue."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from geophone.dimensions.catalogue import NAN, Dimension, chosen
from geophone.dimensions.gram import as_matrix, gram
from geophone.dimensions.spectrum import Spectrum, is_resolved, one_lapack_thread, spectrum


@dataclass(frozen=True, slots=True)
class Reading:
    """Dimensions of one representation: `values` by name, all NaN unless `status` is "ok".

    status: "ok" | "dead" (no variance over the samples) | "nonfinite" (a NaN or an infinity among them). A dead
    representation has dead_fraction 1.
    """

    values: dict[str, float]
    status: str


def read(x, *, names: Sequence[str] | None = None) -> Reading:
    """`dimensions` with its status beside it; what the recorder stores.

    Raises InputError as `dimensions` does. A representation without variance, or with a NaN or an infinity, is
    not an error: its values are NaN and the status says why.
    """
    wanted = chosen(names)
    matrix = as_matrix(x)
    with one_lapack_thread(), _exact(matrix.device):
        return _read(matrix, wanted)


def read_each(matrices: Mapping[str, torch.Tensor], *, names: Sequence[str] | None = None) -> dict[str, Reading]:
    """`read` of several representations, by name; setting up is done once for all of them."""
    wanted = chosen(names)
    device = next((matrix.device for matrix in matrices.values()), torch.device("cpu"))
    with one_lapack_thread(), _exact(device):
        return {name: _read(as_matrix(matrix), wanted) for name, matrix in matrices.items()}


def _exact(device: torch.device) -> AbstractContextManager[object]:
    """A context in which products are not taken in half precision, whatever autocast the caller is in."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()


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
