"""One Gram matrix of a representation, on its smaller side, and what can be read off it without a spectrum."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from geophone.errors import InputError

_HALF = (torch.float16, torch.bfloat16)
_EMPTY = torch.empty(0)
# Outside these ranges of the trace, its square would leave the format in which the product is taken.
_SAFE = {torch.float32: (1e-15, 1e15), torch.float64: (1e-120, 1e120)}
# From this many multiply-adds on, a symmetric product is worth cutting into panels of its upper triangle: on one
# thread, and on several, which have to find together for every panel.
_PANELS_ALONE, _PANELS_TOGETHER = 2**24, 2**27
# Up to this many entries on a CPU, NumPy in float64 on one thread is quicker than waking torch's: the second number
# where only traces are wanted, for which torch may use float32.
_SMALL, _SMALL_TRACES = 2**17, 2**15


@dataclass(frozen=True, slots=True)
class Gram:
    """Centred Gram matrix of X (n samples x d features) and the mean that centring took out.

    `matrix` is Xc Xc' (n x n, side "rows") when n <= d, else Xc' Xc (d x d, side "features"), of which only the
    upper triangle is meant; `mean` the feature mean (d,), `cross` Xc mean (n,) on side "rows", both float64.
    `trace` = sum of squares of Xc, `frobenius` = sum of squared entries of the Gram matrix, `row_quartic` =
    sum_i |xc_i|^4, `mean_square` = |mean|^2. They are in units of a power of two (1 unless the data come near the
    ends of the number format), so only ratios are meaningful. `eps` is the machine epsilon of the data's format.
    status: "ok" | "dead" (no variance) | "nonfinite" (a NaN or an infinity); the tensors are empty unless "ok".
    """

    n: int
    d: int
    status: str
    side: str = "rows"
    matrix: torch.Tensor = _EMPTY
    mean: torch.Tensor = _EMPTY
    cross: torch.Tensor = _EMPTY
    trace: float = float("nan")
    frobenius: float = float("nan")
    row_quartic: float = float("nan")
    mean_square: float = float("nan")
    dead_fraction: float = float("nan")
    eps: float = float("nan")

    @property
    def product_eps(self) -> float:
        """The machine epsilon of the format in which the product was taken."""
        return float(torch.finfo(self.matrix.dtype).eps)


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


def gram(x: torch.Tensor, *, dtype: torch.dtype = torch.float64, spectral: bool = True) -> Gram:
    """Gram matrix of `x` (n, d), as `as_matrix` gives it, with the product taken in `dtype`.

    Centred in two passes. float32 is enough for the traces; the square root of a float32 eigenvalue is only good to
    3e-4 of the largest. Without `spectral`, `cross`, which only spectra need, is left out.
    """
    n, d = x.shape
    if is_small(x, spectral=spectral):
        return _small_gram(x.numpy(), spectral=spectral)
    rows = x.numpy() if x.device.type == "cpu" else x
    dead = _dead_fraction(rows)
    centred, mean, trace = _centre(x, x.mean(0), dtype)
    low, high = _SAFE[dtype]
    if dead == 1.0 or not low < trace < high:
        if not bool(torch.isfinite(x).all()):
            return Gram(n=n, d=d, status="nonfinite")
        if dead == 1.0:
            return Gram(n=n, d=d, status="dead", dead_fraction=1.0)
        scaled = x.double() * _unit(float(x.abs().max()))
        dtype = torch.float64
        centred, mean, trace = _centre(scaled, scaled.mean(0), dtype)
    side = "rows" if n <= d else "features"
    matrix, frobenius = _upper_product(centred if side == "rows" else centred.T)
    # Sums over a vector are read in NumPy: waking torch's threads takes longer.
    diagonal = matrix.diagonal().double().cpu().numpy()
    squares = diagonal if side == "rows" else torch.linalg.vector_norm(centred, dim=1).double().cpu().numpy() ** 2
    length = mean.cpu().numpy()
    return Gram(
        n=n,
        d=d,
        status="ok",
        side=side,
        matrix=matrix,
        mean=mean,
        cross=(centred @ mean.to(dtype)).double() if spectral and side == "rows" else _EMPTY,
        trace=float(diagonal.sum()),
        frobenius=frobenius,
        row_quartic=float(squares @ squares),
        mean_square=float(length @ length),
        dead_fraction=dead,
        eps=float(torch.finfo(x.dtype).eps),
    )


def is_small(x: torch.Tensor, *, spectral: bool) -> bool:
    """Whether NumPy takes the product."""
    return x.numel() <= (_SMALL if spectral else _SMALL_TRACES) and x.device.type == "cpu"


def _small_gram(x: np.ndarray, *, spectral: bool) -> Gram:
    """`gram` in float64 on one thread, for matrices so small that starting an operation costs more than doing it."""
    n, d = x.shape
    wide = x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.ones(n) @ wide / n
    if not np.isfinite(mean.sum()) and not np.isfinite(x).all():
        return Gram(n=n, d=d, status="nonfinite")
    dead = _dead_fraction(x)
    if dead == 1.0:
        return Gram(n=n, d=d, status="dead", dead_fraction=1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        wide -= mean
        trace = float(np.vdot(wide, wide))
    low, high = _SAFE[torch.float64]
    if not low < trace < high:
        wide = x.astype(np.float64) * _unit(float(np.abs(x).max()))
        mean = wide.mean(0)
        wide -= mean
    side = "rows" if n <= d else "features"
    matrix = wide @ wide.T if side == "rows" else wide.T @ wide
    diagonal = matrix.diagonal()
    squares = diagonal if side == "rows" else np.einsum("ij,ij->i", wide, wide)
    return Gram(
        n=n,
        d=d,
        status="ok",
        side=side,
        matrix=torch.from_numpy(matrix),
        mean=torch.from_numpy(mean),
        cross=torch.from_numpy(wide @ mean) if spectral and side == "rows" else _EMPTY,
        trace=float(diagonal.sum()),
        frobenius=float(np.vdot(matrix, matrix)),
        row_quartic=float(squares @ squares),
        mean_square=float(mean @ mean),
        dead_fraction=dead,
        eps=float(np.finfo(x.dtype).eps),
    )


def _unit(largest: float) -> float:
    """The power of two that brings `largest` near 1, or as near as one factor can where it is subnormal."""
    return 2.0 ** min(-int(np.frexp(largest)[1]), 1000)


def _centre(x: torch.Tensor, rough: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, float]:
    """`x` without its mean, the mean in float64, and the sum of squares of what is left."""
    centred = x.to(dtype) - rough.to(dtype)
    mean = rough.double()
    trace = float(torch.linalg.vector_norm(centred)) ** 2
    # The second pass takes out the rounding that the mean left behind. In float32, where only traces are read or the
    # spectrum is checked afterwards, a mean of less than a hundred deviations leaves nothing that would show.
    if dtype == torch.float64 or not len(x) * float(mean @ mean) < 1e4 * trace:
        rest = centred.mean(0)
        centred -= rest
        mean += rest
        trace = float(torch.linalg.vector_norm(centred)) ** 2
    return centred, mean, trace


def _upper_product(a: torch.Tensor) -> tuple[torch.Tensor, float]:
    """A A' of `a` (m, k), and its squared Frobenius norm. The upper triangle of the matrix is filled, and
    little more where that is less work."""
    m, k = a.shape
    if m * m * k < (_PANELS_ALONE if torch.get_num_threads() == 1 else _PANELS_TOGETHER) or m < 128:
        product = a @ a.T
        return product, _squared(product)
    product = a.new_zeros(m, m)
    edges = [round(m * i / 4) for i in range(5)]
    square = 0.0
    for start, stop in itertools.pairwise(edges):
        panel = product[start:stop, start:]
        torch.mm(a[start:stop], a[start:].T, out=panel)
        square += 2 * _squared(panel)
        square -= _squared(panel[:, : stop - start])
    return product, square


def _squared(x: torch.Tensor) -> float:
    """Squared Frobenius norm, row by row: a million squares added up in float32 are off by a thousandth."""
    rows = torch.linalg.vector_norm(x, dim=1).double()
    return float(rows @ rows)


def _dead_fraction(x: "torch.Tensor | np.ndarray") -> float:
    """Share of features with one value on every sample; a few rows rule out nearly all the living ones."""
    suspects = (x[:: max(1, len(x) // 8)] == x[0]).all(0)
    if not bool(suspects.any()):
        return 0.0
    columns = torch.as_tensor(x if bool(suspects.all()) else x[:, suspects])
    return float((columns == columns[:1]).all(0).sum()) / x.shape[1]
