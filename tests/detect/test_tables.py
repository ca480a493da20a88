"""The tables of phase 1: every series has a row for every detector, whatever is in it."""

import numpy as np
import pandas as pd

from geophone.detect.critical import change_null
from geophone.detect.jumps import jump_null
from geophone.detect.synthetic import planted_jumps
from geophone.phenomena import RunSeries, run_tables
from geophone.phenomena.nulls import SeriesNulls
from geophone.phenomena.tables import KINDS
from geophone.records import Layer
from geophone.rows import PHENOMENA, columns_of


def nulls(measurements):
    rng = np.random.default_rng(0)
    moving, turning = (change_null(k, measurements, rng=rng, surrogates=199) for k in ("velocity", "acceleration"))
    return SeriesNulls((jump_null(measurements, rng=rng, surrogates=199),), moving, turning, penalty=200.0)


def made(columns):
    layers = [Layer(name, depth, "flat", 8, 64, (8,)) for depth, name in enumerate(columns)]
    table = pd.DataFrame(columns, index=5 * np.arange(1, 201))
    return run_tables(RunSeries("r", tuple(layers), 1000, {"stable_rank": table}), {"stable_rank": nulls(200)})


def test_a_planted_jump_is_in_every_modes_table_with_what_chance_yields():
    truth = planted_jumps(size=12, series=1, measurements=200, rng=np.random.default_rng(1))
    tables = made({"a": truth.values[0], "b": np.full(200, 2.0), "c": np.full(200, np.nan), "d": -np.ones(200)})
    step = 5 * (truth.jumps[0][0] + 1)
    jumps = tables["jumps"]
    for mode in ("naive", "calibrated", "pelt", "online"):
        mine = jumps[(jumps["mode"] == mode) & (jumps["layer"] == "a")]
        assert (mine["step"] - step).abs().min() <= 25, mode
        assert (mine["expected_false"] > 0).all()
    status = tables["detection"].set_index(["layer", "mode"])["status"]
    assert (
        status["a", "calibrated"] == "ok"
        and status["b", "calibrated"] == "constant"
        and status["c", "calibrated"] == "dead"
    )
    assert len(tables["detection"]) == 16
    assert set(tables["stabilization"]["mode"]) == {"naive", "calibrated"} == set(tables["order"]["mode"])
    calibrated = tables["critical"][tables["critical"]["mode"] == "calibrated"]
    assert len(calibrated) and calibrated["expected_false"].between(0, 0.2).all()


def test_a_run_of_one_layer_and_short_series_have_all_tables():
    layers = [Layer("a", 0, "flat", 8, 64, (8,))]
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=[5, 10, 15])
    tables = run_tables(RunSeries("r", tuple(layers), 15, {"pcs_90": table}), {"pcs_90": nulls(40)})
    assert {kind: list(t.columns) for kind, t in tables.items()} == {
        kind: [column.name for column in columns_of(PHENOMENA[kind])] for kind in KINDS
    }
    assert set(tables["order"]["verdict"]) == {"undefined"}
    assert (tables["detection"]["detected"] == 0).all()
