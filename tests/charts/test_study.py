"""Charts of many runs say what their tables say."""

import json

import altair as alt
import numpy as np
import pandas as pd

from geophone.charts import study as charts
from geophone.charts.theme import BLANK, specification
from geophone.prove.tables import ALL_GROUPS
from geophone.prove.targeting import CURVE
from geophone.report.prove_page import NAMES, recall_rows

EXAMPLES = pd.DataFrame(
    [
        *(
            {"bed": "parity", "kind": "series", "step": 10.0 * i, "layer": layer, "value": 3.0 + i}
            for layer in ("layer1", "layer2")
            for i in range(20)
        ),
        {"bed": "parity", "kind": "event", "step": 80.0, "start": 60.0, "stop": 110.0, "name": "task0"},
        {"bed": "parity", "kind": "moment", "step": 90.0, "layer": "layer2", "rank": 1},
        {"bed": "parity", "kind": "alarm", "step": 100.0, "layer": "layer1"},
        {"bed": "markov", "kind": "event", "step": 5.0, "start": 1.0, "stop": 9.0, "name": "bigram"},
    ]
)


def methods():
    rows = []
    for bed in ("parity", "markov", *ALL_GROUPS):
        for number, method in enumerate([*NAMES, "rankme"]):
            curve = {f"curve_{i + 1}": 0.05 * number + 0.05 * i for i in range(len(CURVE))}
            rows.append({"bed": bed, "method": method, **curve})
    return pd.DataFrame(rows)


def test_recall_holds_every_named_method_at_every_budget_of_every_testbed():
    rows = recall_rows(methods())
    assert len(rows) == 2 * len(NAMES) * len(CURVE) and set(rows["bed"]) == {"parity", "markov"}
    mine = rows[(rows["bed"] == "markov") & (rows["method"] == NAMES["cka_change_4"])]
    place = list(NAMES).index("cka_change_4")
    assert list(mine["budget"]) == list(CURVE)
    assert np.allclose(mine["recall"], [0.05 * place + 0.05 * i for i in range(len(CURVE))])
    chart = specification(charts.recall_curves(rows, list(NAMES.values()), BLANK))
    assert len(chart["spec"]["data"]["values"] if "data" in chart["spec"] else chart["data"]["values"]) == len(rows)


def test_an_example_shows_its_own_events_and_moments():
    chart = specification(charts.known_events(EXAMPLES, "parity", "participation ratio", BLANK))
    bands, rules, lines, marks, ticks = chart["layer"]
    rows = [layer["data"]["values"] for layer in (bands, rules, lines, marks, ticks)]
    assert rows[0] == [{"start": 60.0, "stop": 110.0, "step": 80.0, "name": "task0"}] == rows[1]
    assert len(rows[2]) == 40 and rows[2][1]["value"] == 4.0
    assert rows[3] == [{"step": 90.0, "layer": "layer2", "rank": 1.0}]
    assert lines["encoding"]["color"]["scale"]["domain"] == ["layer1", "layer2"]


def test_orders_have_a_mark_per_run_that_has_one():
    order = pd.DataFrame(
        {"run": ["a", "b", "a", "b"], "mode": ["naive", "naive", "calibrated", "calibrated"],
         "rho": [0.5, np.nan, -0.2, 0.9], "p": [0.1, np.nan, 0.4, 0.01]}
    )  # fmt: skip
    chart = specification(charts.order_strip(order, {"a": "mlp", "b": "cnn"}))
    rows = chart["layer"][1]["data"]["values"]
    assert sorted((r["run"], r["row"], r["rho"]) for r in rows) == [
        ("a", "mlp, calibrated", -0.2), ("a", "mlp, naive", 0.5), ("b", "cnn, calibrated", 0.9)
    ]  # fmt: skip
    assert [v["rho"] for v in chart["layer"][0]["data"]["values"]] == [-0.6, 0.6]


def test_every_chart_of_the_paper_is_valid():
    rows = pd.DataFrame({"architecture": ["mlp", "cnn"] * 4, "x": np.arange(8.0), "y": np.arange(8.0) ** 2})
    rate = pd.DataFrame({"architecture": ["mlp", "cnn"] * 2, "mode": ["naive", "naive", "calibrated", "calibrated"],
                         "found": [3.0, 4, 1, 0], "null": [3.0, 3, 0.1, 0.2]})  # fmt: skip
    interval = pd.DataFrame({"label": ["a", "b"], "value": [0.1, 0.7], "low": [-0.2, 0.6], "high": [0.3, 0.8],
                             "passes": [False, True]})  # fmt: skip
    lags = pd.DataFrame({"group": ["g"] * 3, "lag": [-1, 0, 1], "average": [0.1, 0.4, 0.1], "expected": [0.1] * 3})
    recall = pd.DataFrame({"bed": ["p", "p"], "method": ["a", "b"], "recall": [0.5, 0.6], "low": [0.4, 0.5],
                           "high": [0.6, 0.7]})  # fmt: skip
    made = (
        charts.scatter(rows, ("x", "X"), ("y", "Y")), charts.rates(rate), charts.forest(interval, "r", bars=(0.6,)),
        charts.coupling(lags, ["g"]), charts.dumbbells(recall),
    )  # fmt: skip
    for chart in made:
        alt.Chart.from_dict(json.loads(json.dumps(specification(chart), allow_nan=False)))
