"""Names fit and stay apart, numbers become JSON, and a theme's words can be read."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geophone.charts.theme import PAGE, PRINT, records, shortened

NAMES = st.lists(st.text("abc.0123456789_", min_size=1, max_size=40), min_size=1, max_size=12, unique=True)


@given(NAMES)
@settings(max_examples=150, deadline=None)
def test_short_names_are_all_different_and_short_names_stay(names):
    short = shortened(names, 20)
    assert len(set(short.values())) == len(names)
    if all(len(name) <= 20 for name in names):
        assert short == {name: name for name in names}


def test_what_all_layers_share_goes_first_and_numbers_stay():
    names = [f"bert.encoder.layer.{i}.attention.self.{part}" for i in range(12) for part in ("query", "key")]
    short = shortened(names, 20)
    assert all(len(value) <= 30 and name.split(".")[3] in value.split(".") for name, value in short.items())
    assert shortened(["transformer.h.0.mlp.c_proj.weight", "transformer.h.1.mlp.c_proj.weight"], 20) == {
        "transformer.h.0.mlp.c_proj.weight": "0.mlp.c_proj.weight",
        "transformer.h.1.mlp.c_proj.weight": "1.mlp.c_proj.weight",
    }


def test_rows_are_json_and_what_is_missing_is_null():
    frame = pd.DataFrame({"a": [1.23456789, np.nan, np.inf], "b": np.array([1, 2, 3], np.int64), "c": ["x", None, "y"]})
    rows = json.loads(json.dumps(records(frame), allow_nan=False))
    assert [row["a"] for row in rows] == [1.2346, None, None]
    assert [row["b"] for row in rows] == [1, 2, 3] and rows[1]["c"] is None


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [PAGE, PRINT])
def test_words_have_the_contrast_that_wcag_asks_for(theme):
    for colour in (theme.ink, theme.soft):
        assert (1 + 0.05) / (luminance(colour) + 0.05) >= 4.5
