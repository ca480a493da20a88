"""One Gram matrix of a representation, on its smaller side, and what can be read off it without a spectrum."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from geophone.errors import InputError

_HALF = (torch.float16, torch.bfloat16)
# Outside these ranges of the trace, its square would leave the format in which the product is taken.
_SAFE = {torch.float32: (1e-24, 1e24), torch.float64: (1e-120, 1e120)}
# From this many multiply-adds on, a symmetric product is worth cutting into panels.
_PANELS_FROM = 2**24


@dataclass(frozen=True, slots=True)
class Gram:
    """Centred Gram matrix of X (n samples x d features) and the mean that centring took out.

    `matrix` is Xc Xc' (n x n, side "rows") when n <= d, else Xc' Xc (d x d, side "features"), of which only the
    lower triangle is meant; `mean` the feature mean (d,), `cross` Xc mean (n,) on side "rows", both float64.
    `trace` = sum of squares of Xc, `frobenius` = sum of squared entries of the Gram matrix, `row_quartic` =
    sum_i |xc_i|^4, `mean_square` = |mean|^2. They are in units of a power of two (1 unless the data come near the
    ends of the number format), so only ratios are meaningful. `eps` is the machine epsilon of the data's format.
    status: "ok" | "dead" (no variance) | "nonfinite" (a NaN or an infinity); nothing else is filled unless "ok".
    """

    n: int
    d: int
    status: str
    side: str = "rows"
    matrix: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    cross: torch.Tensor | None = None
    trace: float = float("nan")
    frobenius: float = float("nan")
    row_quartic: float = float("nan")
    mean_square: float = float("nan")
    dead_fraction: float = float("nan")
    eps: float = float("nan")


def as_matrix(x) -> torch.Tensor:
    """`x` as a floating (n, d) tensor, half precision upcast to float32.

    Raises InputError when it is not two-dimensional, has fewer than 2 rows or no columns, or is not real numbers.
    """
    tensor = x.detach() if isinstance(x, torch.Tensor) else _from_array(x)
    if tensor.ndim != 2:
        raise InputError(
            f"a representation is read as n samples x d features; got an array of shape {tuple(tensor.shape)}. "
            "Flatten or pool the other axes first."
        )
    if tensor.shape[0] < 2 or tensor.shape[1] < 1:
        raise InputError(
            f"got {tensor.shape[0]} sample(s) x {tensor.shape[1]} feature(s); dimensionality needs at least "
            "2 samples and 1 feature."
        )
    if tensor.is_complex():
        raise InputError("got complex numbers; take the real part or the modulus first.")
    if tensor.dtype in _HALF or not tensor.is_floating_point():
        tensor = tensor.float()
    return tensor if tensor.device.type in ("cpu", "cuda") else tensor.cpu()


def _from_array(x) -> torch.Tensor:
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise InputError(f"got an array of dtype {array.dtype}; dimensions are taken of real numbers.")
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    return torch.tensor(np.ascontiguousarray(array))


def gram(x: torch.Tensor, *, dtype: torch.dtype = torch.float64) -> Gram:
    """Gram matrix of `x` (n, d), as `as_matrix` gives it, with the product taken in `dtype`.

    Centred in two passes: the second takes out what rounding left of the mean, which matters when the mean is
    a thousand deviations. float32 is enough for the traces; the square root of a float32 eigenvalue is only
    good to 3e-4 of the largest.
    """
    n, d = x.shape
    rough = x.mean(0)
    if not bool(torch.isfinite(rough.sum())) and not bool(torch.isfinite(x).all()):
        return Gram(n=n, d=d, status="nonfinite")
    dead = _dead_fraction(x)
    if dead == 1.0:
        return Gram(n=n, d=d, status="dead", dead_fraction=1.0)
    centred, mean, trace = _centre(x, rough, dtype)
    low, high = _SAFE[dtype]
    if not low < trace < high:
        unit = 2.0 ** -int(np.frexp(float(x.abs().max()))[1])
        scaled = x.double() * unit
        dtype = torch.float64
        centred, mean, trace = _centre(scaled, scaled.mean(0), dtype)
    side = "rows" if n <= d else "features"
    matrix = _lower_product(centred if side == "rows" else centred.T)
    diagonal = matrix.diagonal().double()
    squares = diagonal if side == "rows" else centred.square().sum(1, dtype=torch.float64)
    return Gram(
        n=n,
        d=d,
        status="ok",
        side=side,
        matrix=matrix,
        mean=mean,
        cross=(centred @ mean.to(dtype)).double() if side == "rows" else None,
        trace=float(diagonal.sum()),
        frobenius=2.0 * float(matrix.tril(-1).double().square().sum()) + float(diagonal @ diagonal),
        row_quartic=float(squares @ squares),
        mean_square=float(mean @ mean),
        dead_fraction=dead,
        eps=float(torch.finfo(x.dtype).eps),
    )


def _centre(x: torch.Tensor, rough: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, float]:
    centred = x.to(dtype) - rough.to(dtype)
    rest = centred.mean(0)
    centred -= rest
    trace = float(torch.linalg.vector_norm(centred, dtype=torch.float64)) ** 2
    return centred, rough.double() + rest.double(), trace


def _lower_product(a: torch.Tensor) -> torch.Tensor:
    """A A' of `a` (m, k): the lower triangle and little more, which for large products is less work."""
    m, k = a.shape
    if m * m * k < _PANELS_FROM or m < 128:
        return a @ a.T
    product = a.new_zeros(m, m)
    edges = [round(m * i / 4) for i in range(5)]
    for start, stop in itertools.pairwise(edges):
        torch.mm(a[start:stop], a[:stop].T, out=product[start:stop, :stop])
    return product


def _dead_fraction(x: torch.Tensor) -> float:
    """Share of features with one value on every sample; three rows rule out nearly all the living ones."""
    suspects = torch.nonzero((x[0] == x[-1]) & (x[0] == x[len(x) // 2])).squeeze(1)
    if len(suspects) == 0:
        return 0.0
    columns = x if len(suspects) == x.shape[1] else x[:, suspects]
    return float((columns == columns[:1]).all(0).sum()) / x.shape[1]
