"""No file that is damaged ends in a traceback, a hang or a full memory, whatever reads it."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fuzz import Fuzzed, fuzz
from mutations import mutated

READERS_WITHOUT_GUESTS = 23


def told(found: Fuzzed) -> str:
    return "\n".join(f"mutant {f.number}, {f.reader}, {f.how}: {f.what[-700:]}" for f in found.failures)


def test_three_mutants_for_every_reader_end_in_a_result_or_a_sentence():
    found = fuzz(3 * READERS_WITHOUT_GUESTS, seed=1)
    assert not found.failures, told(found)
    assert sum(found.read.values()) == 3 * READERS_WITHOUT_GUESTS and len(found.read) == READERS_WITHOUT_GUESTS


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_thousand_mutants_end_in_a_result_or_a_sentence():
    pytest.importorskip("transformers")
    found = fuzz(2000, seed=0, what="guests")
    assert not found.failures, told(found)
    assert sum(found.read.values()) == 2000 and len(found.read) == READERS_WITHOUT_GUESTS + 2
    assert found.slowest < 10 and found.largest < 2048


def test_damaged_documents_end_the_verbs_in_a_sentence():
    """Of every document, and by every verb; all twelve pairs are with the slow tests."""
    found = fuzz(4, seed=1, what="verbs", seconds=60.0)
    assert not found.failures, told(found)
    files, verbs = zip(*(reader.split(", ") for reader in found.read), strict=True)
    assert sum(found.read.values()) == len(set(files)) == 4 and len(set(verbs)) == 3


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_mutants_of_each_document_end_every_verb_in_a_sentence():
    found = fuzz(2400, seed=0, what="verbs", seconds=60.0)
    assert not found.failures, told(found)
    assert set(found.read.values()) == {200}


def test_the_same_seed_makes_the_same_damage_and_mostly_there_is_some():
    whole = b'{"format": 1, "name": "a", "steps": [1, 2, 3]}' * 20
    made = [mutated(whole, "json", np.random.default_rng([3, i]))[0] for i in range(50)]
    assert made == [mutated(whole, "json", np.random.default_rng([3, i]))[0] for i in range(50)]
    assert sum(data != whole for data in made) > 45 and len(set(made)) > 45
