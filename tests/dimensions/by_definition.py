"""What every dimension is, written from the definitions on an SVD in float64; and data of every kind to try it on."""

import math

import numpy as np
import pytest
import torch

import geophone as gp
from geophone.dimensions import NAMES

FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
SPECTRA = ("power", "step", "rank one", "ties", "exponential", "one dead", "noise")
COUNTS = ("pcs_90", "numerical_rank")
TRACES = ("participation_ratio", "mean_fraction", "dead_fraction", "participation_ratio_unbiased")
CANCELS = 1e5  # from here on the unbiased estimate of tr S^2 is a difference that cancels to rounding
# A Gram matrix in float64 holds singular values to 1e-8 of the largest; a float32 product, where one is taken, to 3e-4
# of it, but only where none of them is that small.
FINE, COARSE = 1e-6, 2e-4


def singular_values(x: np.ndarray) -> np.ndarray:
    return np.linalg.svd(x, compute_uv=False)


def renyi_one(weights: np.ndarray) -> float:
    shares = weights / weights.sum()
    return math.exp(-sum(math.log(share) * share for share in shares if share > 0))


def unbiased(centred: np.ndarray) -> float:
    """(tr S)^2 / h with the three sums of the definition, on an n x n kernel without its diagonal."""
    n = len(centred)
    if n < 4:
        return math.nan
    kernel = centred @ centred.T
    kernel -= np.diag(np.diag(kernel))
    rows = kernel.sum(1)
    h = ((kernel**2).sum() + rows.sum() ** 2 / (n - 1) / (n - 2) - 2 * (rows @ rows) / (n - 2)) / (n * (n - 3))
    return ((centred**2).sum() / (n - 1)) ** 2 / h if h > 0 else math.nan


def expected(x: torch.Tensor) -> dict[str, float | tuple[float, float]]:
    """Every dimension of `x` by its definition; a pair where rounding may fall on either side of a threshold."""
    fine = x.dtype == torch.float64
    eps = torch.finfo(x.dtype if fine else torch.float32).eps
    data = x.double().numpy()
    data = data / np.abs(data).max()  # the definitions know no units
    n, d = data.shape
    centred = data - data.mean(0)
    centred -= centred.mean(0)
    s, raw = singular_values(centred), singular_values(data)
    lam, rho = s**2, raw**2
    share = np.cumsum(lam) / lam.sum()
    edge = s[0] * max(n, d) * eps
    return {
        "stable_rank": lam.sum() / lam[0],
        "stable_rank_uncentred": rho.sum() / rho[0],
        "participation_ratio": lam.sum() ** 2 / (lam**2).sum(),
        "participation_ratio_unbiased": unbiased(centred),
        "effective_rank": renyi_one(s),
        "spectral_entropy_rank": renyi_one(lam),
        "rankme": math.exp(-sum((q + 1e-7) * math.log(q + 1e-7) for q in raw / raw.sum())),
        "nuclear_rank": s.sum() / s[0],
        "pcs_90": tuple(1 + int((share < 0.9 + side).sum()) for side in (-1e-6, 1e-6)),
        # Centred samples span at most n - 1 directions; what an SVD leaves of the other one is rounding.
        "numerical_rank": tuple(min(n - 1, int((s > edge * side).sum())) for side in (1.5, 0.67)),
        "mean_fraction": (data.mean(0) ** 2).sum() / (data**2).sum() * n,
        "dead_fraction": sum(len(np.unique(column)) == 1 for column in data.T) / d,
    }


def assert_by_definition(x: torch.Tensor, *, rtol: float = FINE) -> None:
    by_definition, found = expected(x), gp.dimensions(x)
    assert set(found) == set(by_definition) == set(NAMES)
    for name, value in by_definition.items():
        if name in COUNTS:
            assert value[0] <= found[name] <= value[1], (name, value, found[name])
        elif name == "participation_ratio_unbiased" and not value < CANCELS:
            assert math.isnan(found[name]) or found[name] > CANCELS / 10
        else:
            assert found[name] == pytest.approx(value, rel=rtol, abs=1e-9, nan_ok=True), (name, tuple(x.shape))
    alone = gp.dimensions(x, names=TRACES)
    assert set(alone) == set(TRACES)
    for name in TRACES[: 4 if by_definition[TRACES[3]] < CANCELS / 100 else 3]:
        assert alone[name] == pytest.approx(by_definition[name], rel=3e-4, abs=1e-7), (name, tuple(x.shape))


def weights(kind: str, d: int, strength: float) -> np.ndarray:
    ranks = np.arange(1, d + 1)
    return {
        "power": ranks**-strength,
        "step": np.where(ranks <= max(1, d // 3), 1.0, 10**-strength),
        "rank one": (ranks == 1).astype(float),
        "ties": np.ones(d),
        "exponential": np.exp(-strength * ranks / d),
        "one dead": np.where(ranks == d, 0.0, 1.0) if d > 1 else np.ones(1),
        "noise": np.ones(d),
    }[kind]


def made(n: int, d: int, *, kind: str, strength: float, mean: float, seed: int) -> np.ndarray:
    """n x d numbers whose columns have a spectrum of the named kind; turned, unless a feature is to be dead."""
    rng = np.random.default_rng(seed)
    m = min(n, d)
    basis = np.linalg.qr(rng.normal(size=(n, m)))[0] if kind == "ties" else rng.normal(size=(n, m)) / n**0.5
    if kind == "one dead":
        x = np.zeros((n, d))
        x[:, :m] = basis * weights(kind, m, strength)
    else:
        x = basis * weights(kind, m, strength) @ np.linalg.qr(rng.normal(size=(d, m)))[0].T
    return x * (n**0.5) + mean


def cast(x: np.ndarray, name: str, scale: float = 1.0) -> torch.Tensor | None:
    """`x` in a format, or None where it has no variance left or left the format's range."""
    tensor = torch.from_numpy(x * scale).to(FORMATS[name])
    alive = bool(torch.isfinite(tensor).all()) and not bool((tensor == tensor[0]).all())
    return tensor if alive else None
