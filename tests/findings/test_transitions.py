"""What a transition says follows from its values."""

import math

import pandas as pd

from geophone.findings.transitions import beyond, happened, on_what
from geophone.records import KINDS, LayerShare, Shared, Transition


def transition(kind="learned", **about):
    samples = pd.DataFrame({"sample": [4, 2, 7], "before": [0.1, 0.3, 0.5], "after": [0.9, 0.7, 0.5],
                            "change": [0.8, 0.4, 0.0]})  # fmt: skip
    known = {
        "run": "r", "start": 100, "peak": 150, "end": 1200, "index": 30, "score": 1.0, "size": 7.5, "strength": 3.0,
        "share": 0.4, "listed": True, "own": 2, "samples": samples,
        "layers": (LayerShare("a", 140, 0.2), LayerShare("b", 150, 0.5)),
    }  # fmt: skip
    return Transition(kind=kind, **{**known, **about})


def test_what_was_learned_names_its_samples_and_its_layers():
    said = happened(transition())
    assert said.sentence == (
        "Between steps 100 and 1,200 the network learned 2 of 3 samples (0.20 to 0.80 on average), most of all in b; "
        "a moved first."
    )
    assert (said.n, said.value) == (2, 7.5)
    first = happened(transition(layers=(LayerShare("b", 140, 0.5), LayerShare("a", 150, 0.2))))
    assert first.sentence.endswith("first and most of all in b.")


def test_what_the_samples_share_is_said_with_the_share_of_the_others():
    alike = transition(shared=Shared("of label 3", 1.0, 0.25))
    assert "(0.20 to 0.80 on average), 100 % of them of label 3 (25 % of the others), most of all in b" in (
        happened(alike).sentence
    )
    what = on_what(alike)
    assert what.sentence == "2 of 3 samples (0.20 to 0.80 on average), 100 % of them of label 3 (25 % of the others)."
    assert what.value == 2 and 25.0 in [q.value for q in what.quantities]
    alone = on_what(transition(shared=Shared("second occurrences", 1.0, math.nan)))
    assert alone.sentence.endswith("100 % of them second occurrences.")
    assert on_what(transition("hidden")) is None and on_what(transition(own=0)) is None


def test_every_kind_has_a_sentence():
    for kind in KINDS:
        said = happened(transition(kind, concept="is_even")).sentence
        assert said.startswith("Between steps 100 and 1,200 ") and said.endswith(".")
    assert "is_even became readable" in happened(transition("concept", concept="is_even")).sentence
    assert "outputs moved" in happened(transition(own=0)).sentence
    assert happened(transition(layers=())).sentence.endswith("on average).")


def test_how_sure_is_the_strength_beside_the_null():
    said = beyond(transition(), 0.05)
    assert said.sentence == (
        "3.0 times what noise alone reaches in one run of twenty, 7.5 times the run's own noise; noise alone would "
        "list 0.05 of this kind in such a run."
    )
    assert (said.value, said.null, said.verdict) == (3.0, 0.05, "met")
    assert beyond(transition(strength=0.9), 0.05).verdict == "not met"
    unknown = beyond(transition(strength=math.nan, size=math.nan), math.nan)
    assert unknown.verdict == "untested" and "Nothing is known" in unknown.sentence
