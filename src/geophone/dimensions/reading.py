"""From a representation to its dimensions, by the catalogue."""

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch

from geophone.dimensions.catalogue import NAN, TIERS, Dimension, chosen
from geophone.dimensions.gram import Gram, as_matrix, gram, is_small
from geophone.dimensions.spectrum import Spectrum, is_resolved, leading, one_lapack_thread, spectrum

# Below this size, and where the longer side is so many times the shorter, both spectra are there before the product in
# float64 and Lanczos' iteration have brought the largest values.
_LANCZOS, _LONG = 192, 8
_NONE = Spectrum(np.empty(0), np.empty(0))
_EIGENVALUES: Mapping[str, Callable[[Gram], Spectrum]] = {
    "traces": lambda g: _NONE, "leading": leading, "spectrum": spectrum
}  # fmt: skip


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
    with _quiet(matrix, wanted), _exact(matrix.device):
        return _read(matrix, wanted)


def read_each(
    matrices: Mapping[str, torch.Tensor], *, names: Sequence[str] | None = None, single: Container[str] = ()
) -> dict[str, Reading]:
    """`read` of several representations, by name; setting up is done once for all of them. Those in `single` are held
    in float64 but made of values in float32, whose rounding is no direction: `numerical_rank` uses that one's eps."""
    wanted = chosen(names)
    device = next((matrix.device for matrix in matrices.values()), torch.device("cpu"))
    with one_lapack_thread(), _exact(device):
        return {name: _read(as_matrix(x), wanted, single=name in single) for name, x in matrices.items()}


def _quiet(matrix: torch.Tensor, wanted: tuple[Dimension, ...]) -> AbstractContextManager[object]:
    """LAPACK on one thread, where it is asked for anything: setting that takes a sixth of what traces take."""
    idle = _tier(matrix, wanted) == "traces" and not is_small(matrix, spectral=False)
    return nullcontext() if idle else one_lapack_thread()


def _exact(device: torch.device) -> AbstractContextManager[object]:
    """A context in which products are not taken in half precision, whatever autocast the caller is in."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()


def _read(matrix: torch.Tensor, wanted: tuple[Dimension, ...], *, single: bool = False) -> Reading:
    tier = _tier(matrix, wanted)
    g = gram(matrix, dtype=_product_dtype(matrix, tier), spectral=tier != "traces")
    if g.status != "ok":
        values = dict.fromkeys((d.name for d in wanted), NAN)
        if "dead_fraction" in values:
            values["dead_fraction"] = g.dead_fraction
        return Reading(values=values, status=g.status)
    s = _EIGENVALUES[tier](g)
    if tier == "spectrum" and not is_resolved(g, s):
        g = gram(matrix, dtype=torch.float64)
        s = spectrum(g)
    g = replace(g, eps=max(g.eps, torch.finfo(torch.float32).eps)) if single else g
    values = {d.name: d.compute(g, s) for d in wanted}
    if "numerical_rank" in values and g.eps < 1e-12 and s.centred[-1] == 0.0:
        values["numerical_rank"] = _rank_by_svd(matrix)
    return Reading(values=values, status="ok")


def _tier(x: torch.Tensor, wanted: tuple[Dimension, ...]) -> str:
    """What has to be known for `wanted`; the largest eigenvalue with the others, where it takes longer alone."""
    tier = max((d.tier for d in wanted), key=TIERS.index)
    short, long = sorted(x.shape)
    return "spectrum" if tier == "leading" and (short < _LANCZOS or long >= _LONG * short) else tier


def _product_dtype(x: torch.Tensor, tier: str) -> torch.dtype:
    """float64 for eigenvalues, except where the product is most of the work and, the matrix being long, small
    eigenvalues are likely to be resolved in float32."""
    short, long = sorted(x.shape)
    single = tier == "traces" or (tier == "spectrum" and long >= _LONG * short)
    return torch.float32 if single and x.dtype != torch.float64 else torch.float64


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
    eps `numerical_rank` then uses. `names`: only these. The participation ratios, `mean_fraction` and `dead_fraction`
    alone cost little more than the product; with the stable ranks, which need the largest eigenvalue alone, a few dozen
    products with a vector more (to 1e-6 relative); every other one costs the whole spectrum. Returns floats, without
    unit.
    All are NaN where X has no variance or holds a NaN or an infinity; `read` says which. Raises InputError unless
    x is two-dimensional with n >= 2. `participation_ratio_unbiased` needs n >= 4, else it is NaN.

    Not the intrinsic (nearest-neighbour) dimension of a manifold: these count directions of variance.
    """
    return read(x, names=names).values
