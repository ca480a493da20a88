"""What all windows say follows the planted truth, and every number of a sentence can be traced."""

import math

import numpy as np
import pandas as pd
import pytest

from geophone.evidence.association import association
from geophone.evidence.numbers import Random, plain
from geophone.evidence.synthetic import PlantedAssociation, simulated_windows
from geophone.findings.tables import Tables
from geophone.findings.windows import windows


def said(r):
    made = simulated_windows(PlantedAssociation(time=1.0, r=r), rng=np.random.default_rng(0), networks=4)
    statistics = {"alpha": 0.05, "windows": plain(association(made, Random(0, 99)))}
    return {each.id: each for each in windows(Tables("x", pd.DataFrame(), statistics=statistics))}


@pytest.mark.parametrize(("r", "verdict"), [(0.5, "met"), (0.0, "undecided")])
def test_an_association_is_claimed_where_one_was_planted_and_nowhere_else(r, verdict):
    found = said(r)
    together = found["windows/associations"]
    assert together.verdict == verdict
    assert ("change of the stable rank with" in together.sentence) == (r > 0)
    three = [found[f"windows/{name}"] for name in ("diversity", "selectivity", "depth")]
    assert [each.verdict for each in three][1:] == ["untested", "untested"]
    assert all(math.isnan(e.low) or -1 <= e.low <= e.high <= 1 for e in found.values())
    assert all(q.source for e in found.values() for q in e.quantities)


def test_a_study_without_a_census_says_nothing_of_windows():
    assert windows(Tables("x", pd.DataFrame(), statistics={"numbers": []})) == []
