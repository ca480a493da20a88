"""What the samples of a transition have in common, from planted facts."""

import numpy as np
import pandas as pd
import pytest

from geophone.point.shared import SECOND, facts, shared
from geophone.records import Shared


def _tokens(rows, texts=None):
    table = pd.DataFrame(
        [{"sample": s, "position": p, "token": t} for s, row in enumerate(rows) for p, t in enumerate(row)]
    )
    return table if texts is None else table.assign(text=[texts[t] for t in table["token"]])


def test_second_occurrences_are_pairs_that_came_before_in_the_same_sequence():
    rows = [[5, 6, 7, 5, 6, 9], [1, 2, 3, 4, 5, 6]]
    about = pd.DataFrame(
        [(s, p, rows[s][p + 1]) for s in (0, 1) for p in range(5)], columns=["sample", "position", "label"]
    )
    known = facts(about, _tokens(rows))
    # In the first sequence 5 6 comes twice; 6 9 does not repeat 6 7; in the second nothing does.
    assert np.flatnonzero(known[SECOND]).tolist() == [3]
    overlapping = facts(pd.DataFrame({"sample": [0], "position": [1], "label": [4]}), _tokens([[4, 4, 4]]))
    assert overlapping[SECOND].all()  # 4 4, then 4 4 again, one place on
    first = facts(pd.DataFrame({"sample": [0], "position": [0], "label": [4]}), _tokens([[4, 4, 4]]))
    assert not first[SECOND].any()


def test_a_class_that_arrived_is_named_with_its_share_among_the_others():
    labels = np.repeat(np.arange(10), 20)
    known = facts(pd.DataFrame({"sample": np.arange(200), "label": labels}))
    own = np.flatnonzero(labels == 3)
    found = shared(known, own)
    assert (found.what, found.own, found.others) == ("of label 3", 1.0, 0.0)
    assert str(found) == "100 % of them of label 3 (0 % of the others)"
    both = shared(known, np.flatnonzero((labels == 3) | (labels == 7)))
    assert both.what in ("of label 3 or 7", "of label 7 or 3") and both.own == 1.0


def test_what_half_of_all_samples_have_is_not_what_those_have_in_common():
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels = rng.integers(0, 3, 300)
        known = facts(pd.DataFrame({"sample": np.arange(300), "label": labels}))
        assert shared(known, rng.choice(300, 60, replace=False)) is None
    assert shared({}, np.arange(3)) is None
    assert shared(known, np.array([], dtype=int)) is None


@pytest.mark.parametrize(("texts", "said"), [(None, "of right token 4"), ([*"abcde"], "of right token 'e'")])
def test_a_right_token_is_told_by_its_text(texts, said):
    rng = np.random.default_rng(1)
    rows = [[0, 1, int(4 if s % 2 else rng.integers(0, 4))] for s in range(120)]
    about = pd.DataFrame({"sample": np.arange(120), "position": 1, "label": [row[2] for row in rows]})
    found = shared(facts(about, _tokens(rows, texts)), np.arange(1, 120, 2))
    assert found.what == said and found.own == 1.0 and found.others == 0.0


def test_answers_that_are_no_labels_are_no_facts():
    values = np.random.default_rng(0).normal(size=50)
    assert facts(pd.DataFrame({"sample": np.arange(50), "label": values})) == {}
    assert facts(pd.DataFrame({"sample": np.arange(50)})) == {}


def test_second_occurrences_are_told_even_where_nothing_else_is_asked_for():
    rows = [[1, 2, 3, 1, 2, 3]] * 20
    about = pd.DataFrame(
        [(s, p, rows[s][p + 1]) for s in range(20) for p in (3, 4)], columns=["sample", "position", "label"]
    )
    known = facts(about, _tokens(rows))
    assert shared(known, np.arange(12)) == Shared(SECOND, 1.0, 1.0)
    whole = shared(known, np.arange(40))
    assert str(whole) == "100 % of them second occurrences"


def test_labels_of_whole_sequences_repeat_nothing():
    tokens = _tokens([[1, 2, 1, 2]] * 8)
    for about in (
        pd.DataFrame({"sample": np.arange(8), "position": np.nan, "label": 2}),
        pd.DataFrame({"sample": np.arange(8), "label": 2}),
    ):
        assert list(facts(about, tokens)) == ["label 2"]


def test_a_concept_that_tells_the_samples_apart_is_named_by_its_label():
    """Also where nothing is known of right answers; a label that tells less gives way to it."""
    question = np.array(["majority", "parity", "a: b"])[np.arange(300) % 3]
    own = np.flatnonzero(question == "parity")
    about = pd.DataFrame({"sample": np.arange(300), "concept question": question})
    assert str(shared(facts(about), own)) == "100 % of them of question parity (0 % of the others)"
    labelled = about.assign(label=(np.arange(300) % 3 == 1).astype(int) + 2 * (np.arange(300) % 11 == 0))
    assert str(shared(facts(labelled), own)) == "100 % of them of question parity (0 % of the others)"
    both = np.flatnonzero(question != "majority")
    assert str(shared(facts(about), both)) == "100 % of them of question a: b or parity (0 % of the others)"
