"""The census of a study of two short runs: every layer, its moments, and the windows between them."""

import numpy as np
import pandas as pd
import pytest
from in_turn import InTurn

from geophone.dig.census import census, census_steps
from geophone.evidence.columns import WINDOW_COLUMNS
from geophone.evidence.windows import window_table
from geophone.rows.windows import CENSUS_COLUMNS, CensusRow
from geophone.store.run import Run
from geophone.store.tables import read_rows
from geophone.study import parse_study, run_study

TEXT = """
name = "two"
networks = ["mlp_1_digits"]
seeds = 2
steps = 60
probe_samples = 48
threads = 1
[schedule]
every = 5
[census]
moments = 6
deep = 2
per_class = 8
"""


def test_moments_are_spread_over_ln_step_and_cost_no_more_than_one_stretch():
    measured = list(range(5, 2001, 5))
    steps = census_steps(measured, range(0, 2001, 100), 24)
    assert len(steps) == 24 and steps[0] == 5 and steps[-1] == 2000 and sorted(set(steps)) == list(steps)
    assert all(step < 100 or step % 100 == 0 for step in steps)
    gaps = np.diff(np.log(steps))
    assert gaps.max() < 4 * np.log(2000 / 5) / 23
    assert census_steps([5, 10], [], 24) == (5, 10)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    settings = parse_study(TEXT, where="two.toml")
    assert settings.seeds == (0, 1)
    return run_study(settings, TEXT, folder / "two", until="train", workers=InTurn()), settings


def test_a_census_has_every_layer_at_every_moment_and_is_the_same_again(study):
    run = next(iter(study[0]))
    steps = census_steps(sorted(set(run.table()["step"])), run.manifest.checkpoints, 6)
    again = [census(run, steps, deep=2, per_class=8, seed=3) for _ in range(2)]
    pd.testing.assert_frame_equal(*again)
    table = again[0]
    assert list(table.columns) == [c.name for c in CENSUS_COLUMNS]
    assert set(zip(table["step"], table["layer"], strict=True)) == {(s, la.name) for s in steps for la in run.layers}
    assert table.groupby("step")["compositional_depth"].first().notna().sum() == 2
    assert table.groupby("step")["turnover"].count().iloc[0] == 0  # nothing was before the first moment
    assert table["accuracy"].iloc[-1] > table["accuracy"].iloc[0]
    assert table["factors"].iloc[-1] == 1  # the answer can be read from the head


def test_a_moment_has_the_same_numbers_whatever_was_measured_before_it(study):
    run = next(iter(study[0]))
    steps = census_steps(sorted(set(run.table()["step"])), run.manifest.checkpoints, 6)
    both, alone = (census(run, asked, deep=0, per_class=8, seed=3) for asked in (steps, steps[-1:]))
    last = both[both["step"] == steps[-1]].reset_index(drop=True)
    since = ["turnover", "new_units", "new_types"]
    pd.testing.assert_frame_equal(last.drop(columns=since), alone.drop(columns=since))


def test_a_stage_leaves_it_goes_on_and_takes_away_what_is_not_asked_for(study):
    made, settings = study
    run_study(settings, TEXT, made.folder, only="census", workers=InTurn())
    places = made.places
    path = places.censuses / "mlp_1_digits-seed1" / "census.parquet"
    first = path.read_bytes()
    windows = window_table(made)
    assert list(windows.columns) == [c.name for c in WINDOW_COLUMNS]
    run = Run(places.runs / "mlp_1_digits-seed1")
    assert len(windows) == 2 * 5 * len(run.layers)
    row = windows[windows["run"] == run.name].iloc[-1]
    table = read_rows(path, CensusRow)
    ends = [
        table[(table["step"] == s) & (table["layer"] == row["layer"])].iloc[0] for s in (row["before"], row["after"])
    ]
    assert row["probe_accuracy"] == ends[1]["probe_accuracy"] - ends[0]["probe_accuracy"]
    assert row["turnover"] == ends[1]["turnover"] or np.isnan(row["turnover"])
    series = run.series("stable_rank")[row["layer"]]
    assert row["stable_rank_log_ratio"] == pytest.approx(np.log(series[row["after"]] / series[row["before"]]))
    signals = run.signals()["readable_gain"][row["layer"]]
    assert row["readable_gain"] == pytest.approx(signals.loc[row["before"] + 1 : row["after"]].mean())
    path.unlink()
    run_study(settings, TEXT, made.folder, until="census", workers=InTurn())
    assert path.read_bytes() == first
    without = TEXT.replace("moments = 6", "moments = 0")
    run_study(parse_study(without, where="two.toml"), without, made.folder, until="census", workers=InTurn())
    assert not path.exists() and window_table(made).empty
