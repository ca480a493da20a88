"""The tables and charts of the paper hold what the study's tables hold."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from geophone.charts import specification
from geophone.findings.finding import Quantity
from geophone.findings.tables import tables_of
from geophone.findings.whole import findings_of
from geophone.paper.exhibits import _forest, _maps, representatives, save, written


@pytest.fixture
def tables(study):
    return tables_of(study)


def values(row):
    return [cell.value for cell in row if isinstance(cell, Quantity)]


def test_the_runs_shown_are_the_most_and_the_least_ordered_of_each_architecture(tables):
    rho = {"a": 0.1, "b": 0.9, "c": 0.5, "d": -0.2, "e": np.nan}
    kinds = {"a": "cnn", "b": "cnn", "c": "cnn", "d": "mlp", "e": "mlp"}
    order = pd.DataFrame([{"run": r, "rho": v, "dimension": "stable_rank", "mode": "naive"} for r, v in rho.items()])
    runs = pd.DataFrame({"run": list(kinds), "architecture": list(kinds.values())})
    assert representatives(replace(tables, phenomena={"order": order}, runs=runs)) == ["b", "a", "d"]
    undefined = replace(tables, phenomena={"order": order.assign(rho=np.nan)}, runs=runs)
    assert representatives(undefined) == list(rho)


def test_verdicts_and_jumps_are_counted_by_form_and_architecture(study, tables):
    made = written(tables, findings_of(tables))
    order, detection = study.phenomena("order"), study.phenomena("detection").query("status == 'ok'")
    for row in made["orders"].rows:
        counts = order[(order["mode"] == row[0]) & (order["dimension"] == "stable_rank")]["verdict"].value_counts()
        assert values(row) == [counts.get(v, 0) for v in made["orders"].columns[1:]]
    for row in made["architectures"].rows:
        runs = [run for run, kind in tables.architectures.items() if kind == row[0]]
        mine = detection[detection["run"].isin(runs)].groupby("mode")[["detected", "expected_false"]].sum()
        want = [*mine.loc["naive"], *mine.loc["calibrated"]]
        assert values(row)[0] == len(runs) and values(row)[4:] == pytest.approx(want)


def test_the_roster_has_every_run_once(study, tables):
    roster = written(tables, findings_of(tables))["roster"]
    assert sorted(row[0] for row in roster.rows) == sorted(run.name for run in study)
    order = study.phenomena("order").query("mode == 'calibrated'").set_index("run")["rho"]
    assert {row[0]: row[5].value for row in roster.rows} == pytest.approx(order.to_dict(), nan_ok=True)


def test_what_is_missing_after_an_ablation_is_in_points(tables):
    assert "recovery" not in written(tables, findings_of(tables))
    table = tables.evidence.copy()
    for moment, deficit in (("before", 0.01), ("during", 0.03), ("after", 0.02)):
        table[f"recovery_deficit_{moment}"] = deficit + 0.1 * (table["role"] == "control")
    other = replace(tables, evidence=table)
    rows = {row[0]: values(row) for row in written(other, findings_of(other))["recovery"].rows}
    assert rows["target"] == pytest.approx([1, 3, 2]) and rows["control"] == pytest.approx([11, 13, 12])


def test_the_forest_fills_what_is_shown_and_nothing_else(tables):
    made = findings_of(tables)
    name = next(name for name, each in made.items() if name.startswith("correlation/"))
    made[name] = replace(made[name], verdict="met")
    rows = specification(_forest(made))["layer"][1]["data"]["values"]
    assert [row["passes"] for row in rows].count(True) == 1
    assert [row["value"] for row in rows] == sorted((row["value"] for row in rows), reverse=True)


def test_a_figure_is_the_same_bytes_whatever_was_drawn_before(study, tables, tmp_path):
    chart = _maps(study, tables, representatives(tables)[:2])
    made = []
    for name in ("a", "b"):
        save(chart, tmp_path / name, "map")
        made.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert made[0] == made[1] and set(made[0]) == {"map.svg", "map.pdf"}
