"""What is asked for decides what is computed: traces, the largest eigenvalue, or the whole spectrum."""

import numpy as np
import pytest
import torch
from by_definition import expected

from geophone.dimensions import CATALOGUE, NAMES, read
from geophone.dimensions.lanczos import largest_eigenvalue
from geophone.errors import InputError

STABLE = ["stable_rank", "stable_rank_uncentred"]
TRACES = [d.name for d in CATALOGUE if d.tier == "traces"]


def planted(n, d, values, *, mean=0.0, seed=0):
    """n x d with the centred singular values `values`, the last one repeated, and a mean of `mean` in every feature."""
    rng = np.random.default_rng(seed)
    m = min(n - 1, d)
    s = np.concatenate([values, np.full(m - len(values), values[-1])])
    left = rng.normal(size=(n, m))
    left = np.linalg.qr(left - left.mean(0))[0]
    return torch.from_numpy((left * s) @ np.linalg.qr(rng.normal(size=(d, m)))[0].T + mean)


@pytest.mark.parametrize("shape", [(200, 300), (300, 200)])
@pytest.mark.parametrize("values", [(1, 1, 0.5), (1, 1 - 1e-7, 0.5), (1, 1 - 1e-5, 0.9), (1, 1 - 1e-3, 0.0), (1.0,)])
@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_stable_ranks_alone_are_those_of_the_definition(shape, values, mean):
    x = planted(*shape, np.sqrt(values), mean=mean)
    alone, truth = read(x, names=STABLE).values, expected(x)
    for name in STABLE:
        assert alone[name] == pytest.approx(truth[name], rel=1e-6), name


@pytest.mark.parametrize("shape", [(5, 3), (191, 400), (192, 400), (400, 192), (600, 600), (200, 1600), (4000, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_lower_tier_says_what_the_highest_says(shape, dtype):
    x = torch.relu(torch.randn(*shape, generator=torch.Generator().manual_seed(1))).to(dtype)
    every = read(x).values
    for names in (TRACES, STABLE, TRACES + STABLE):
        some = read(x, names=names).values
        assert list(some) == [name for name in NAMES if name in names]
        for name, value in some.items():  # traces are taken in float32
            assert value == pytest.approx(every[name], rel=2e-6 if name in STABLE else 1e-4, abs=1e-6), name


def test_what_no_tier_can_read_has_its_status():
    assert read(torch.ones(300, 300), names=STABLE).status == "dead"
    assert read(torch.full((300, 300), float("nan")), names=STABLE).status == "nonfinite"
    rank_one = torch.outer(torch.arange(300.0) - 149.5, torch.ones(250))
    assert read(rank_one, names=STABLE).values == pytest.approx(dict.fromkeys(STABLE, 1.0))
    tiny = torch.randn(300, 250, generator=torch.Generator().manual_seed(2)).double()
    for scale in (1e-200, 1e200):
        assert read(tiny * scale, names=STABLE).values == pytest.approx(read(tiny, names=STABLE).values, rel=1e-6)


@pytest.mark.parametrize(
    "values", [(3.0,), (3.0, 3.0), (5.0, 1.0, 0.0), (2.0, 0, 0, 0, 0), tuple(np.linspace(0, 1, 60))]
)
def test_lanczos_finds_the_largest_eigenvalue(values):
    q = np.linalg.qr(np.random.default_rng(3).normal(size=(len(values),) * 2))[0]
    a = (q * np.array(values)) @ q.T
    assert largest_eigenvalue(lambda v: a @ v, len(values)) == pytest.approx(max(values), rel=1e-6)


def test_no_matrix_has_no_eigenvalue():
    with pytest.raises(ValueError, match="one row"):
        largest_eigenvalue(lambda v: v, 0)
    with pytest.raises(InputError):
        read(torch.zeros(1, 3), names=STABLE)
