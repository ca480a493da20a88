"""Decodability against ridges that scikit-learn fits fold by fold, and against what is known to be there."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from geophone.errors import InputError
from geophone.signals import FINE_RIDGE, concept, decodability


def held_out(x, answers, folds):
    n, d = x.shape
    s = np.square(x - x.mean(0)).sum() / n / d
    out = np.empty_like(answers)
    for fold in range(folds.max() + 1):
        inside, outside = folds != fold, folds == fold
        # The fit without a fold keeps the mean of its own rows, so centre on them as scikit-learn does.
        ridge = Ridge(alpha=FINE_RIDGE * s * n, fit_intercept=True, tol=1e-10).fit(x[inside], answers[inside])
        out[outside] = ridge.predict(x[outside]).reshape(answers[outside].shape)
    return out


@pytest.mark.parametrize("shape", [(80, 12), (80, 300)])
def test_accuracy_is_that_of_fitting_without_each_fold(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape) + 2
    labels = (x[:, 0] + 0.5 * x[:, 1] + 0.4 * rng.normal(size=80) > 3).astype(int) + (x[:, 2] > 2.5)
    what = concept(labels, rng=np.random.default_rng(1))
    predicted = held_out(x, what.answers, what.folds)
    assert decodability(x, what).value == pytest.approx((predicted.argmax(1) == labels).mean(), abs=1e-9)


def test_r2_is_that_of_fitting_without_each_fold():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 12))
    y = x[:, 0] + 0.3 * rng.normal(size=80)
    what = concept(y, rng=np.random.default_rng(1))
    predicted = held_out(x, what.answers, what.folds)[:, 0]
    expected = 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert decodability(x, what).value == pytest.approx(expected, abs=1e-4)


def test_what_is_there_is_read_and_what_is_not_is_at_chance():
    rng = np.random.default_rng(3)
    labels = np.array(["yes", "no"])[rng.integers(2, size=400)]
    x = rng.normal(size=(400, 20))
    what = concept(labels, rng=rng)
    blind = decodability(x, what)
    assert abs(blind.value - 0.5) < 0.1 and blind.chance == pytest.approx(0.5, abs=0.06)
    x[:, 4] += 4 * (labels == "yes")
    seeing = decodability(x, what)
    assert seeing.value > 0.93 and abs(seeing.shuffled - 0.5) < 0.1


def test_a_dead_layer_reads_nothing_and_bad_labels_are_refused():
    labels = np.arange(40) % 2
    assert np.isnan(decodability(np.ones((40, 3)), concept(labels, rng=np.random.default_rng(0))).value)
    with pytest.raises(InputError, match="two different"):
        concept(np.ones(40, int), rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="labels 40 samples"):
        decodability(np.random.default_rng(0).normal(size=(30, 3)), concept(labels, rng=np.random.default_rng(0)))
