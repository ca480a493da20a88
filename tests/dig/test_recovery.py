"""Recovery is measured against the run itself, and a word is said only where the tests bear it."""

import numpy as np
import pandas as pd
import pytest
import torch

from geophone._train import train
from geophone.dig.ablation import zero_weights
from geophone.dig.recovery import Plateau, matched_moments, recover, recovery
from geophone.dig.verdict import compare_moments, recovery_verdict
from geophone.errors import InputError, ReplayError
from geophone.record.checkpoints import weights_digest
from geophone.stats.survival import log_rank
from geophone.store.tables import read_table
from geophone.training import held_out_accuracy, training_of
from geophone.zoo.catalogue import experiment
from geophone.zoo.tasks import task

FLAT = Plateau(every=20, evaluations=2, tolerance=0.01, limit=120)
MOMENTS = {"before": 30, "during": 60}


def seeded(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("mlp_1_digits", out=tmp_path_factory.mktemp("runs") / "mlp", seed=3, steps=200, probe_samples=64)


@pytest.fixture(scope="module")
def found(run):
    return recover(run, layer="layer1", moments=MOMENTS, rng=seeded(), horizons=(20, 50, "plateau"), plateau=FLAT)


def straight(steps, *, ablate_at=None, layer="layer1"):
    training = training_of(experiment("mlp_1_digits"), seed=3)
    while training.done < steps:
        if training.done == ablate_at:
            zero_weights(training.model, layer)
        training.step()
    return training


def rows(found, **values):
    table = found.table
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def test_the_sham_is_the_run_bit_for_bit_to_its_end(run, found):
    assert found.digests[200] == run.manifest.checkpoints[200] == weights_digest(straight(200).model)
    assert set(found.digests) == {100, 200}
    sham = rows(found, arm="sham")
    assert (sham["deficit"] == 0).all() and (sham["total_deficit"] == 0).all()


def test_a_sham_that_differs_is_an_error(tmp_path):
    made = train("mlp_1_digits", out=tmp_path / "run", seed=3, steps=150, probe_samples=64)
    made.manifest.checkpoints[150] = "0" * 16
    with pytest.raises(ReplayError, match="other weights"):
        recover(made, layer="layer1", moments={"during": 120}, rng=seeded(), horizons=(10,), plateau=FLAT)


def test_accuracies_are_those_of_ablating_and_training_on_by_hand(found):
    for moment, start in MOMENTS.items():
        for arm, ablate_at in (("ablated", start), ("sham", None)):
            for horizon in (20, 50):
                row = rows(found, moment=moment, arm=arm, horizon=str(horizon)).iloc[0]
                course = straight(start + horizon, ablate_at=ablate_at)
                assert row["step"] == start + horizon
                assert row["accuracy"] == pytest.approx(held_out_accuracy(course.model, task("digits")))
                assert row["total_step"] == 60 + horizon
                whole = straight(60 + horizon, ablate_at=ablate_at)
                assert row["total_accuracy"] == pytest.approx(held_out_accuracy(whole.model, task("digits")))


def test_all_arms_are_compared_after_as_many_steps(found):
    plateau = rows(found, horizon="plateau")
    assert len(plateau) == 6 and (plateau["step"] - plateau["start"]).nunique() == 1
    assert plateau["total_step"].nunique() == 1
    assert found.table.groupby("moment").size().tolist() == [9, 9]


def test_both_arms_lose_and_come_back(found):
    for arm in ("ablated", "fresh"):
        early = rows(found, arm=arm, horizon="20")["deficit"].mean()
        assert early > 0.05 and early > rows(found, arm=arm, horizon="plateau")["deficit"].mean()
        curve = found.curves[(found.curves["arm"] == arm) & (found.curves["moment"] == "during")]
        assert curve["since"].iloc[0] == 0 and curve["accuracy"].iloc[0] < 0.5 < curve["accuracy"].iloc[-1]


def test_recovery_time_is_the_first_look_at_ninety_percent(found):
    wide = found.curves.pivot_table(index=["moment", "since"], columns="arm", values="accuracy")
    last = int(rows(found, horizon="plateau").eval("step - start").iloc[0])
    for moment in MOMENTS:
        w = wide.loc[moment].dropna()
        back = w.index[(w["ablated"] >= 0.9 * w["sham"]) & (w.index <= last)]
        row = rows(found, moment=moment, arm="ablated").iloc[0]
        assert row["recovered"] == (len(back) > 0)
        assert row["recovery_steps"] == (back[0] if len(back) else last)


def test_the_callers_random_state_is_left_alone_and_the_folder_gets_the_tables(run, found, tmp_path):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    asked = {"layer": "layer1", "moments": MOMENTS, "horizons": (20, 50, "plateau"), "plateau": FLAT}
    table = recovery(run, out=tmp_path / "dig", rng=seeded(), **asked)
    assert torch.equal(before, torch.get_rng_state())
    pd.testing.assert_frame_equal(table, found.table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "dig" / "recovery.parquet"), table)
    assert len(read_table(tmp_path / "dig" / "recovery_curves.parquet")) == len(found.curves)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"moments": {"during": 500}}, "from step 0 to 200"),
        ({"moments": {}}, "from step 0 to 200"),
        ({"horizons": ("later",)}, "horizons"),
        ({"layer": "layer9"}, "no layer"),
    ],
)
def test_what_cannot_be_done_is_said(run, asked, said):
    with pytest.raises(InputError, match=said):
        recover(run, rng=seeded(), plateau=FLAT, **({"layer": "layer1", "moments": MOMENTS} | asked))


def test_plateau_is_a_comparison_of_two_stretches():
    flat = Plateau(every=1, evaluations=3, tolerance=0.01, limit=99)
    assert not flat.reached([0.5] * 5)
    assert flat.reached([0.5] * 6)
    assert not flat.reached([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert flat.reached([0.1, 0.2, 0.3, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])


def test_matched_moments_are_like_the_moment_in_loss_and_not_beside_it():
    steps = np.arange(1, 1001)
    loss = np.where(steps < 500, 2.0, 1.0)
    scalars = pd.DataFrame({"loss": loss, "accuracy": 1 - loss / 3}, index=pd.Index(steps, name="step"))
    chosen = matched_moments(scalars, 450, avoid=[380], count=3, apart=50)
    assert len(chosen) == 3 and max(chosen) < 500
    assert all(abs(a - b) > 50 for a in chosen for b in [450, 380, *chosen] if a != b)
    assert matched_moments(scalars, 600, avoid=[], count=1)[0] >= 500
    with pytest.raises(InputError, match="not among"):
        matched_moments(scalars, 0, avoid=[])


# --- the verdict ---

CALM = {"100": 0.002, "500": 0.002, "plateau": 0.002}


def extra(rng, means, n=20, spread=0.004):
    return {h: mean + spread * rng.normal(size=n) for h, mean in means.items()}


def times(rng, late, n=20):
    here, there = 100 + late + rng.integers(0, 40, n), 100 + rng.integers(0, 40, n)
    return (here, there), (np.ones(n, bool), np.ones(n, bool))


@pytest.mark.parametrize(
    ("means", "late", "said"),
    [
        ({"100": 0.05, "500": 0.03, "plateau": 0.03}, 80, "permanent deficit"),
        ({"100": 0.05, "500": 0.00, "plateau": 0.00}, 80, "slower recovery"),
        ({"100": 0.05, "500": 0.00, "plateau": 0.00}, 0, "slower recovery"),
        ({"100": 0.00, "500": 0.00, "plateau": 0.00}, 80, "slower recovery"),
        ({"100": 0.00, "500": 0.00, "plateau": 0.00}, 0, "no difference"),
        ({"100": 0.00, "500": 0.00, "plateau": -0.03}, 0, "ends higher"),
    ],
)
def test_planted_truths_get_their_word(means, late, said):
    rng = seeded(4)
    assert recovery_verdict(extra(rng, means), times(rng, late), margin=0.01, rng=rng).verdict == said


def test_noise_too_great_for_either_answer_is_undecided():
    rng = seeded()
    wide = extra(rng, {"plateau": 0.0}, spread=0.05)
    assert recovery_verdict(wide, margin=0.01, rng=rng).verdict == "undecided"
    assert recovery_verdict({"plateau": np.array([0.2, 0.3])}, margin=0.01, rng=rng).verdict == "undecided"


def test_a_real_difference_below_the_margin_is_no_deficit():
    rng = seeded(1)
    found = recovery_verdict(extra(rng, {"plateau": 0.004}, spread=0.002), margin=0.01, rng=rng)
    assert found.plateau.p < 0.05 and found.verdict == "no difference"


def test_where_nothing_is_different_words_are_wrong_as_seldom_as_promised():
    rng = seeded(2)
    said = [
        recovery_verdict(extra(rng, dict.fromkeys(CALM, 0.0)), times(rng, 0), margin=0.01, rng=rng).verdict
        for _ in range(120)
    ]
    wrong = sum(word != "no difference" for word in said)
    assert wrong <= 13  # 5 % of 120 and three standard deviations
    assert "permanent deficit" not in said


def recovery_rows(rng, deficits):
    return pd.DataFrame(
        [
            {"run": f"r{i}", "moment": m, "arm": "ablated", "horizon": h, "deficit": d + 0.003 * rng.normal(),
             "recovery_steps": 100, "recovered": True}
            for i in range(12) for m, d in deficits.items() for h in ("100", "plateau")
        ]
    )  # fmt: skip


def test_moments_are_compared_within_runs_with_the_mean_of_their_controls():
    rng = seeded()
    table = recovery_rows(rng, {"during": 0.06, "c1": 0.01, "c2": 0.03})
    table = pd.concat([table, table[table["run"] == "r0"].assign(run="alone").query("moment == 'during'")])
    found = compare_moments(table, "during", ["c1", "c2"], margin=0.01, rng=rng)
    assert found.plateau.n == 12 and found.plateau.statistic == pytest.approx(0.04, abs=0.003)
    assert found.verdict == "permanent deficit"
    with pytest.raises(InputError, match="no run"):
        compare_moments(table, "during", "other", margin=0.01, rng=rng)


def test_log_rank_is_that_of_a_worked_example():
    # Times 1, 3+, 5 against 2, 4: at risk 3|2, 2|2, 1|1, 1|0 at 1, 2, 4, 5.
    found = log_rank((np.array([1, 3, 5]), np.array([2, 4])), (np.array([1, 0, 1]), np.array([1, 1])))
    expected, variance = 3 / 5 + 2 / 4 + 1 / 2 + 1, 6 / 25 + 1 / 4 + 1 / 4
    assert found.statistic == pytest.approx((2 - expected) / variance**0.5)


def test_log_rank_is_that_of_statsmodels():
    survdiff = pytest.importorskip("statsmodels.duration.survfunc").survdiff
    rng = seeded()
    for _ in range(5):
        t, e = rng.integers(1, 15, 40), rng.random(40) < 0.7
        group = rng.random(40) < 0.4
        found = log_rank((t[group], t[~group]), (e[group], e[~group]))
        chi2, p = survdiff(t, e, group)
        assert found.statistic**2 == pytest.approx(chi2) and found.p == pytest.approx(p)


def test_log_rank_knows_which_group_takes_longer_and_when_nothing_can_be_said():
    slow, fast = np.arange(30, 50), np.arange(1, 21)
    all_of = (np.ones(20, bool), np.ones(20, bool))
    assert log_rank((slow, fast), all_of, alternative="longer").p < 1e-4
    assert log_rank((fast, slow), all_of, alternative="longer").p > 0.99
    assert log_rank((slow, fast), (~all_of[0], ~all_of[0])).status == "not enough data"
    assert log_rank((np.array([]), fast), (np.array([], bool), all_of[0])).status == "not enough data"
    with pytest.raises(InputError, match="finite time"):
        log_rank((np.array([np.nan]), fast), (np.array([True]), all_of[0]))
