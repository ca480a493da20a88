"""Recovery is measured against the run itself, and a word is said only where the tests bear it."""

import numpy as np
import pandas as pd
import pytest
import torch

from geophone._train import train
from geophone.dig.ablation import zero_weights
from geophone.dig.recovery import Plateau, recover
from geophone.errors import InputError, ReplayError
from geophone.record.checkpoints import weights_digest
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


def test_the_plateau_is_the_most_that_any_arm_takes(run):
    flat = Plateau(every=20, evaluations=2, tolerance=0.06, limit=160)
    found = recover(run, layer="layer1", moments=MOMENTS, rng=seeded(), horizons=("plateau",), plateau=flat)
    ends = []
    for _, curve in found.curves[found.curves["arm"] != "sham"].groupby(["moment", "arm"]):
        looks = curve[curve["since"] % 20 == 0].sort_values("since")
        accuracies = list(looks["accuracy"])
        ends.append(next(s for k, s in enumerate(looks["since"], start=1) if flat.reached(accuracies[:k])))
    assert len(ends) == 4 and min(ends) < max(ends) < 160
    assert ((found.table["step"] - found.table["start"]) == max(ends)).all()


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


def test_the_callers_random_state_is_left_alone_and_the_same_seed_gives_the_same(run, found):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    asked = {"layer": "layer1", "moments": MOMENTS, "horizons": (20, 50, "plateau"), "plateau": FLAT}
    again = recover(run, rng=seeded(), **asked)
    assert torch.equal(before, torch.get_rng_state())
    pd.testing.assert_frame_equal(again.table, found.table)
    pd.testing.assert_frame_equal(again.curves, found.curves)


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
