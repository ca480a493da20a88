"""The lists of the frozen ranker over planted runs of every kind, in all that they say, as they came out when each had
been looked at: what was proved is what ships. Where they are meant to change, write the file anew and read it:

    SAID=write python -m pytest tests/point/test_lists.py -q; git diff tests/point/lists.json
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from golden import kept, near
from planted_runs import STEPS, bump, rise, run

from geophone.point.find import transitions
from geophone.point.signals import Behaviour, RunSignals
from geophone.point.targets import places

FILE = Path(__file__).parent / "lists.json"
A, B, C = range(40), range(40, 80), range(80, 120)


def learned_and_lost():
    facts = {"label 1": np.arange(120) < 44, "label 2": np.arange(120) >= 100}
    made = run(learned=[(300, A), (700, B)], lost=[(1100, C)], shocks=[500])
    return replace(made, behaviour=Behaviour(made.behaviour.values, facts=facts))


def errors():
    made = run(learned=[(400, A), (1000, B)], seed=1)
    return replace(made, behaviour=Behaviour(1 - made.behaviour.values, falling=True))


def inside():
    """Blocks beside what they add; one fades, one forms, while behaviour stands."""
    made = run(hidden=[(500, 1), (1100, 2)], layers=4, seed=2)
    names = ("blocks.0", "blocks.0+", "blocks.1", "blocks.1+")
    change = made.series["readable_change"].copy()
    change[:, 3] += 3 * bump(STEPS, 800, 30)
    return replace(made, layers=names, series=made.series | {"readable_change": change})


def outputs():
    made = run(learned=[(300, A), (900, B)], outputs=True, seed=3)
    alike = np.tile(0.1 + 0.85 * rise(STEPS, 900, 15)[:, None], (1, 4))
    return replace(made, series=made.series | {"mean_fraction": alike})


def checkpoints():
    """Forty log-spaced ones, with gaps."""
    steps = np.unique(np.geomspace(1, 1500, 60).round())[:40]
    made = run(learned=[(60, A), (300, B)], steps=steps, seed=4)
    values = made.behaviour.values.copy()
    values[10] = np.nan
    return replace(made, behaviour=Behaviour(values))


def concepts():
    told = np.column_stack([0.5 + 0.4 * rise(STEPS, at, 20) for at in (400, 600, 800, 1000)])
    noise = np.random.default_rng(5).normal(0, 0.01, told.shape)
    chances = {"colour": np.full(told.shape, 0.5) + noise, "shape": np.full(told.shape, 0.5) + noise}
    found = {"colour": told + noise, "shape": np.full(told.shape, 0.52)}
    return replace(run(learned=[(500, A)], seed=5), concepts=found, chances=chances)


def norms():
    """Nothing but scalars and the sketch of the outputs."""
    made = run(learned=[(600, A)], shocks=[1000], outputs=True, seed=6)
    return RunSignals(made.name, made.steps, scalars={"gradient_norm": made.scalars["loss"]}, outputs=made.outputs)


def plain(value):
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    if hasattr(value, "__slots__"):
        return [plain(getattr(value, name)) for name in value.__slots__]
    if isinstance(value, (float, np.floating)):
        return None if not np.isfinite(value) else float(f"{value:.6g}")
    return value


def listed(signals):
    """Everything that the list of a run holds, as JSON has it, and where it went on."""
    listing = transitions(signals, rng=np.random.default_rng(0))
    rows, rest = [], []
    for place in places(signals, listing):
        there = place.transition
        if not there.listed:
            rest.append([there.kind, there.peak, there.own])
            continue
        fields = [name for name in there.__slots__ if name not in ("samples", "drawn")]
        row = {name: plain(getattr(there, name)) for name in fields}
        row["samples"] = plain(there.samples.head(3).to_numpy(float).tolist())
        rows.append(row | {"window": plain(place.window), "earlier": plain(place.earlier), "later": plain(place.later),
                           "reason": place.reason})  # fmt: skip
    yields = {name: plain(value) for name, value in sorted(listing.yields.items())}
    return {"yields": yields, "transitions": rows, "rest": rest}


@pytest.mark.parametrize("case", [learned_and_lost, errors, inside, outputs, checkpoints, concepts, norms])
def test_a_list_says_what_it_said(case):
    made, wanted = kept(FILE, case.__name__, listed(case()))
    assert near(made["yields"], wanted["yields"]) and made["rest"] == wanted["rest"]
    assert [t["kind"] for t in made["transitions"]] == [t["kind"] for t in wanted["transitions"]]
    for there, then in zip(made["transitions"], wanted["transitions"], strict=True):
        for name, value in then.items():
            assert near(there[name], value), (there["kind"], there["peak"], name, there[name], value)


def test_the_planted_runs_have_every_kind_in_their_lists():
    """So that the file holds more than what noise made."""
    known = json.loads(FILE.read_text())
    kinds = {name: [t["kind"] for t in of["transitions"]] for name, of in known.items()}
    assert kinds["learned_and_lost"][:3] == ["learned", "learned", "lost"] and "shock" in kinds["learned_and_lost"]
    assert kinds["errors"][:2] == ["learned", "learned"] and kinds["outputs"][:2].count("lost") == 1
    assert kinds["inside"].count("hidden") == 3 and "concept" in kinds["concepts"]
    assert "learned" in kinds["checkpoints"] and "shock" in kinds["norms"]
    first = known["learned_and_lost"]["transitions"][0]
    assert abs(first["peak"] - 300) <= 15 and first["shared"][0] == "of label 1"
