"""Which target a number means: a rank in a study, a place among the run's own in a run."""

import pytest
import torch

import geophone as gp
from geophone.dig.run import target_of
from geophone.errors import InputError
from geophone.study.stages import target_stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("study")
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        x = torch.randn(64, 8)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        given = {"labels": (x[:, 0] > 0).long(), "every": 1, "dimensions": ["stable_rank"], "sync": True}
        with gp.Recorder(model, x, out=made / "runs" / name, **given) as recorder:
            for _ in range(40):
                loss = torch.nn.functional.cross_entropy(model(x), given["labels"])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                recorder.step(loss=loss.item())
    return made


def test_a_run_s_number_is_among_its_own_targets_ranked_or_not(folder):
    runs = [gp.open(folder / "runs" / name) for name in ("first", "second")]
    before = [target_of(run, 1) for run in runs]  # nothing is ranked yet
    assert [t.window.step for t in before] == [run.transition(1).peak for run in runs]
    table = target_stage(folder)
    assert len(table) >= 2 and set(table["run"]) == {"first", "second"}
    ranked = [target_of(run, 1) for run in runs]
    assert [t.run for t in ranked] == ["first", "second"] and {t.rank for t in ranked} >= {1}
    assert target_of(gp.open(folder), 1).rank == 1
    with pytest.raises(InputError, match="second has . targets; there is no number 99"):
        target_of(runs[1], 99)
