"""What windows say beyond time, held against planted truths and against what it is by definition."""

import numpy as np
import pandas as pd
import pytest

from geophone.evidence.association import association, beyond_time
from geophone.evidence.columns import HEADLINES, OUTCOMES, PREDICTORS, WINDOW_COLUMNS
from geophone.evidence.numbers import Random
from geophone.evidence.synthetic import PlantedAssociation, simulated_windows

NUMBER = "windows/stable_rank/new_types"


def made(truth, seed=0, **shape):
    return simulated_windows(truth, rng=np.random.default_rng(seed), **shape)


def number(found, name=NUMBER):
    return next(n for n in (*found["numbers"], *found["architectures"]["numbers"]) if n.id == name)


def test_over_seeds_the_residual_covariance_is_that_within_runs_less_that_of_swapped_runs():
    windows = made(PlantedAssociation(time=1.0, r=0.5), networks=1, seeds=4, windows=7)
    wide = {
        name: windows.pivot(index=["experiment", "layer", "window"], columns="seed", values=name).to_numpy()
        for name in ("stable_rank_log_ratio", "new_types")
    }
    x, y = (v - v.mean(1, keepdims=True) for v in wide.values())
    x0, y0 = wide.values()
    seeds = x0.shape[1]
    within = (x0 * y0).sum(1) / seeds
    swapped = (x0.sum(1) * y0.sum(1) - (x0 * y0).sum(1)) / (seeds * (seeds - 1))
    np.testing.assert_allclose((x * y).sum(1), (seeds - 1) * (within - swapped))
    left = beyond_time(windows, windows["new_types"].to_numpy())
    by_run = pd.Series(left).groupby([windows["run"], windows["layer"]]).mean()
    assert np.abs(by_run).max() < 1e-12  # nothing of a run's own level is left
    by_layer = pd.Series(left**2).groupby([windows["experiment"], windows["layer"]]).mean()
    np.testing.assert_allclose(by_layer, 1.0)


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_time_alone_does_is_taken_off(seeds):
    windows = made(PlantedAssociation(time=30.0), networks=4, seeds=seeds)
    raw = np.corrcoef(windows["stable_rank_log_ratio"], windows["new_types"])[0, 1]
    x, y = (beyond_time(windows, windows[c].to_numpy()) for c in ("stable_rank_log_ratio", "new_types"))
    assert raw > 0.6
    if seeds > 1:
        assert abs(np.corrcoef(x, y)[0, 1]) < 0.1
    partial = beyond_time(windows, np.log(windows["after"].to_numpy(float)) ** 2, partial=True)
    assert np.nanmax(np.abs(partial)) < 10  # of deviations of what a cubic leaves
    assert np.isnan(beyond_time(windows, np.ones(len(windows)))).all()


def test_a_cubic_in_ln_step_leaves_nothing_of_a_cubic():
    windows = made(PlantedAssociation(), networks=1, seeds=1)
    course = windows["log_step"].to_numpy() ** 3 - 4 * windows["log_step"].to_numpy()
    bump = np.where(windows["window"] == 11, 1.0, 0.0)
    left = beyond_time(windows, course + bump)
    assert (np.abs(left).reshape(3, -1).argmax(1) == 11).all()
    assert np.isnan(beyond_time(windows, course)).all()


def test_too_few_windows_of_networks_with_one_seed_are_told_with_the_number_that_is_wanted():
    windows = made(PlantedAssociation(r=0.5), networks=12, seeds=1, windows=7)
    found = association(windows, Random(0, 99))
    (said,) = {n.status for n in found["numbers"]}
    assert said.startswith("not enough data: a layer has 7 windows, and one of a network with one seed needs 8 ")
    assert said.endswith("([census] moments = 9 or more)")
    enough = association(made(PlantedAssociation(r=0.5), networks=12, seeds=1, windows=8), Random(0, 99))
    assert number(enough).status == "ok"
    assert (
        number(association(made(PlantedAssociation(), networks=12, seeds=2, windows=7), Random(0, 99))).status == "ok"
    )


def test_planted_associations_are_found_where_they_are():
    nothing = association(made(PlantedAssociation(time=2.0), seed=1), Random(0, 99))
    everywhere = association(made(PlantedAssociation(time=2.0, r=0.3), seed=1), Random(0, 99))
    in_cnns = association(made(PlantedAssociation(time=2.0, r=0.6, only="cnn"), seed=2), Random(0, 99))
    assert number(nothing).p > 0.05 and number(nothing).low < 0 < number(nothing).high
    assert number(everywhere).p < 0.05 and number(everywhere).low < 0.3 < number(everywhere).high
    assert [row["finding"] for row in everywhere["architectures"]["holds_in_all"]] == [NUMBER]
    assert (NUMBER, "cnn") in {(row["finding"], row["only"]) for row in in_cnns["architectures"]["specific_to_one"]}
    assert number(in_cnns, f"{NUMBER}/mlp").p > 0.05
    assert everywhere["study"]["networks"] == 24 and "other seeds (24 networks)" in everywhere["study"]["time"]
    assert [row["verdict"] for row in everywhere["criteria"]] == ["not met", "undecided", "undecided"]


def test_every_predictor_and_outcome_is_a_column():
    columns = [c.name for c in WINDOW_COLUMNS]
    assert len(set(columns)) == len(columns)
    assert {p.column for p in PREDICTORS} <= set(columns) and set(OUTCOMES) <= set(columns)
    assert set(HEADLINES) <= {p.name for p in PREDICTORS}
    assert all(c.says and c.unit and c.source for c in WINDOW_COLUMNS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "rejects", "value"),
    [
        (PlantedAssociation(), (0.03, 0.08), 0.0),
        (PlantedAssociation(time=2.0), (0.03, 0.08), 0.0),
        (PlantedAssociation(time=2.0, r=0.3), (0.9, 1.0), 0.3),
        (PlantedAssociation(time=2.0, r=0.3, only="cnn"), (0.9, 1.0), 0.3),
    ],
)  # fmt: skip
def test_200_studies_reject_and_cover_as_they_say(truth, rejects, value):
    place = f"{NUMBER}/cnn" if truth.only else NUMBER
    found = [number(association(made(truth, seed=i, networks=15), Random(i, 199)), place) for i in range(200)]
    assert rejects[0] <= np.mean([n.p < 0.05 for n in found]) <= rejects[1]
    assert 0.92 <= np.mean([n.low <= value <= n.high for n in found]) <= 0.97
