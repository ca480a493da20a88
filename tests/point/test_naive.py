"""Targets on series with one planted jump: where they point, in which order, and what they are compared with."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd

from geophone.phenomena import RunSeries, run_tables
from geophone.point.naive import Evidence, run_targets
from geophone.point.study import ranked
from geophone.records import Layer

LAYERS = [Layer("a", 0, "flat", 9, 20, (9,)), Layer("b", 1, "flat", 9, 20, (9,))]
STEPS = 5 * np.arange(1, 201)


def evidence(heights=(2.0, 6.0), at=(60, 150), *, noise=0.02, run="r"):
    rng = np.random.default_rng(0)
    series = pd.DataFrame(4 + noise * rng.normal(size=(200, 2)), index=STEPS, columns=["a", "b"])
    for layer, height, index in zip("ab", heights, at, strict=True):
        series.loc[series.index[index] :, layer] += height
    tables = run_tables(RunSeries(run, tuple(LAYERS), 1000, {"d": series}))
    loss = pd.Series(np.linspace(2, 1, 1000), index=np.arange(1, 1001))
    return Evidence(run=run, series=series, loss=loss, jumps=tables["jumps"], critical=tables["critical"])


def span(window):
    return window.step - window.before, window.after - window.step


def test_planted_jumps_come_first_in_order_of_size_with_their_windows():
    table = ranked(run_targets(evidence(), dimension="d", mode="naive"))
    top = table.head(2)
    assert top["layer"].tolist() == ["b", "a"]
    assert top["step"].tolist() == [755, 305]
    assert (top["after"] - top["before"]).tolist() == [50, 50]
    assert top["rank"].tolist() == [1, 2]


def test_the_reason_says_what_the_numbers_say():
    reason = ranked(run_targets(evidence(), dimension="d", mode="naive"))["reason"].iloc[0]
    assert "d of b rose 2.5" in reason and "between steps 730 and 780" in reason
    assert "inside a period of fast change" in reason
    assert "loss went from 1.27 to 1.22" in reason


def test_a_control_window_holds_no_jump_and_is_the_nearest_in_log_step():
    given = evidence()
    for target in run_targets(given, dimension="d", mode="naive"):
        mine = given.jumps[given.jumps["layer"] == target.layer]["step"].to_numpy()
        control, own = target.control, target.window
        inside = (mine >= control.before) & (mine <= control.after)
        assert not inside.any()
        assert control.after < own.before or control.before > own.after
        for step in STEPS[5:-5]:
            window = (mine >= step - 25) & (mine <= step + 25)
            if not window.any() and abs(step - own.step) > 50:
                nearest = abs(np.log(step / own.step))
                assert abs(np.log(control.step / own.step)) <= nearest + 1e-12


def test_a_control_is_as_wide_as_its_target_and_cut_alike_at_the_ends_of_a_run():
    found = run_targets(evidence(at=(2, 198)), dimension="d", mode="naive")
    spans = {target.window.step: span(target.window) for target in found}
    assert spans[15] == (10, 25) and spans[995] == (25, 5)
    for target in found:
        assert span(target.control) == spans[target.window.step]


def test_no_quiet_window_means_no_control():
    given = evidence()
    everywhere = given.jumps.iloc[[0]].loc[np.repeat(given.jumps.index[0], 20)].reset_index(drop=True)
    everywhere["index"] = np.arange(0, 200, 10)
    everywhere["step"] = STEPS[::10]
    busy = Evidence(run="r", series=given.series, loss=given.loss, jumps=everywhere, critical=given.critical)
    assert all(target.control is None for target in run_targets(busy, dimension="d", mode="naive"))
    assert (
        ranked(run_targets(busy, dimension="d", mode="naive"))[["earlier_step", "later_step"]].isna().to_numpy().all()
    )


def test_neighbouring_jumps_become_one_target():
    given = evidence()
    steps = sorted(t.window.step for t in run_targets(given, dimension="d", mode="naive") if t.layer == "a")
    assert all(later - earlier > 25 for earlier, later in itertools.pairwise(steps))


def test_nothing_found_is_an_empty_table_with_its_columns():
    table = ranked([])
    assert len(table) == 0
    assert "later_step" in table.columns


def test_a_target_must_be_both_large_and_unlike_its_surroundings():
    """The score is |log ratio| x |detector score|: either alone would put another of these first."""
    given = evidence()
    rows = given.jumps.iloc[[0] * 3].reset_index(drop=True)
    rows["index"], rows["step"] = [40, 100, 160], [205, 505, 805]
    rows["log_ratio"], rows["score"] = [0.1, -2.0, 1.0], [9.0, 2.0, -5.0]
    table = ranked(run_targets(replace(given, jumps=rows), dimension="d", mode="naive"))
    assert table["step"].tolist() == [805, 505, 205]
    assert table["score"].tolist() == [5.0, 4.0, 0.9]
    assert set(table["method"]) == {"naive"}


def test_of_neighbours_the_one_with_the_greater_product_stays():
    given = evidence()
    rows = given.jumps.iloc[[0] * 2].reset_index(drop=True)
    rows["index"], rows["step"], rows["log_ratio"], rows["score"] = [40, 43], [205, 220], [0.1, 0.5], [9.0, 2.0]
    (target,) = run_targets(replace(given, jumps=rows), dimension="d", mode="naive")
    assert target.window.step == 220


def test_no_control_shares_a_measurement_with_its_target():
    """Also where the only quiet stretch lies next to it."""
    given = evidence()
    for at in range(20, 180, 7):
        rows = given.jumps.iloc[[0] * 12].reset_index(drop=True)
        busy = [i for i in range(0, 200, 11) if abs(i - at) > 16][:11]
        rows = rows.iloc[: len(busy) + 1].assign(index=[at, *busy], step=STEPS[[at, *busy]], log_ratio=0.5, score=3.0)
        for target in run_targets(replace(given, jumps=rows), dimension="d", mode="naive"):
            if (control := target.control) is not None:
                assert control.after < target.window.before or control.before > target.window.after
                assert (control is target.earlier) == (control.after < target.window.before)
