"""What version 0.1 called otherwise works for one release, gives the same, and says today's word."""

import numpy as np
import pytest

import geophone as gp
from geophone.study import parse_study

OLD = 'name = "old"\nnetworks = ["mlp_1_parity"]\n\n[target]\ndimension = "nuclear_rank"\nmode = "seed"\n'


@pytest.mark.parametrize("former, now", [("seed", "naive"), ("robust", "calibrated")])
def test_the_forms_of_a_detector(former, now):
    series = np.random.default_rng(0).normal(10, 1, 60).cumsum()
    with pytest.warns(FutureWarning, match=f"mode='{now}'"):
        old = gp.stabilization(series, mode=former)
    assert old == gp.stabilization(series, mode=now)


def test_a_form_that_never_was_is_refused():
    with pytest.raises(gp.InputError, match="known are naive, calibrated"):
        gp.stabilization(np.arange(60.0), mode="strict")


def test_a_study_file_that_0_1_read():
    with pytest.warns(FutureWarning, match="method = 'naive'"):
        read = parse_study(OLD, where="old.toml")
    assert (read.target.method, read.target.dimension) == ("naive", "nuclear_rank")


def test_a_wrong_mode_in_an_old_file_is_still_wrong():
    with pytest.warns(FutureWarning), pytest.raises(gp.InputError, match="old.toml, line"):
        parse_study(OLD.replace('"seed"', '"sead"'), where="old.toml")


def test_targets_by_the_word_of_0_1(tmp_path):
    (tmp_path / "runs").mkdir()
    study = gp.Study(tmp_path)
    with pytest.warns(FutureWarning, match="method='nothing'"), pytest.raises(gp.InputError, match="unknown method"):
        gp.targets(study, mode="nothing")
