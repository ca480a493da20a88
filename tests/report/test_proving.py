"""The proving ground's charts say what its tables say."""

import pandas as pd

from geophone.prove.targeting import CURVE
from geophone.report.proving import NAMES, example_run, recall_curves

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
    for bed in ("parity", "markov", "main testbeds"):
        for number, method in enumerate([*NAMES, "rankme"]):
            curve = {f"curve_{i + 1}": 0.05 * number + 0.05 * i for i in range(len(CURVE))}
            rows += [{"bed": bed, "method": method, "track": track, **curve} for track in ("offline", "causal")]
    return pd.DataFrame(rows)


def values(specification):
    if "values" in specification.get("data", {}):
        return specification["data"]["values"]
    return None


def test_recall_curves_hold_every_named_method_at_every_budget_of_every_testbed():
    found = recall_curves(methods())
    rows = pd.DataFrame(values(found) or values(found["spec"]))
    assert len(rows) == 2 * len(NAMES) * len(CURVE) and set(rows["bed"]) == {"parity", "markov"}
    mine = rows[(rows["bed"] == "markov") & (rows["method"] == NAMES["turn4"])]
    place = list(NAMES).index("turn4")
    assert list(mine["budget"]) == list(CURVE)
    assert list(mine["recall"]) == [round(0.05 * place + 0.05 * i, 4) for i in range(len(CURVE))]


def test_an_example_shows_its_own_events_and_moments():
    found = example_run(EXAMPLES, "parity")
    bands, rules, lines, marks, ticks = found["layer"]
    assert values(bands) == [{"start": 60.0, "stop": 110.0, "step": 80.0, "name": "task0"}] == values(rules)
    assert len(values(lines)) == 40 and values(lines)[1]["value"] == 4.0
    assert values(marks) == [{"step": 90.0, "layer": "layer2", "rank": 1}]
    assert values(ticks) == [{"step": 100.0, "layer": "layer1"}]
    assert bands["encoding"]["x"]["field"] == "start" and bands["encoding"]["x2"]["field"] == "stop"
    assert lines["encoding"]["color"]["scale"]["domain"] == ["layer1", "layer2"]
