"""Units of sequence models are of the token, the position or the answer that they follow."""

import numpy as np
import pytest

from geophone.dig.factors import factors_of, tuned_to
from geophone.dig.features import UNTYPED, thresholds, types


def sequences(rng, count=120, length=16, symbols=6):
    tokens = rng.integers(symbols, size=(count, length))
    answers = np.where(rng.random(tokens.shape) < 0.2, -100, rng.integers(symbols, size=tokens.shape))
    return factors_of(tokens, answers)


def test_units_that_follow_a_factor_are_of_it_and_others_of_none():
    rng = np.random.default_rng(0)
    factors = sequences(rng)
    rows = len(factors["token"])
    planted = np.stack([rng.standard_normal(int(v.max()) + 1)[v] for v in factors.values()], axis=1)
    a = np.column_stack([planted + 0.2 * rng.standard_normal(planted.shape), rng.standard_normal(rows), np.ones(rows)])
    untrained = tuned_to(rng.standard_normal((rows, 200)), factors, rng=rng)
    found = tuned_to(a, factors, rng=rng)
    names = tuple(factors)
    assert types(found, thresholds([untrained]), names).tolist() == ["token", "position", "answer", UNTYPED, UNTYPED]
    assert np.diag(found.indices)[:2] == pytest.approx(1 - 0.2**2 / a.var(0)[:2], abs=0.02)
    assert np.abs(found.indices[3]).max() < 0.05 and np.isnan(found.indices[4]).all()


def test_the_share_explained_is_that_of_the_analysis_of_variance():
    rng = np.random.default_rng(1)
    levels = rng.integers(4, size=40_000)
    a = np.array([0.0, 1.0, 2.0, 3.0])[levels] + rng.standard_normal(40_000)
    found = tuned_to(a[:, None], {"answer": levels}, rng=rng).indices[0, 0]
    assert found == pytest.approx(1.25 / 2.25, abs=0.01)


def test_factors_of_sequences_are_three_and_of_other_inputs_one():
    factors = factors_of(np.array([[5, 6, 7]]), np.array([[-100, 1, 2]]))
    assert {k: v.tolist() for k, v in factors.items()} == {
        "token": [5, 6, 7], "position": [0, 1, 2], "answer": [-1, 1, 2]
    }  # fmt: skip
    assert list(factors_of(np.zeros((3, 2)), np.array([0, 1, 0]))) == ["answer"]
