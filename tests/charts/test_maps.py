"""The map draws the series: cells are geometric means, colours span what is looked at, flags stand apart."""

import json

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert
from hypothesis import given, settings
from hypothesis import strategies as st

from geophone.charts.maps import Look, cells, flags, log_places, map_grid, members, overlay, scalar, training_map
from geophone.charts.pictures import thumbnail
from geophone.charts.theme import specification

STEPS = np.arange(0, 3000, 5)


def series(rng=None, layers=("a", "b", "c")):
    rng = rng or np.random.default_rng(0)
    walks = np.exp(np.cumsum(0.05 * rng.normal(size=(len(STEPS), len(layers))), axis=0))
    return pd.DataFrame(walks, columns=list(layers), index=pd.Index(STEPS, name="step"))


def transitions(peaks, layers=(("a", "b"),)):
    return pd.DataFrame(
        [
            {"rank": i + 1, "kind": "learned", "start": p - 10, "peak": p, "end": p + 10,
             "layers": list(layers[i % len(layers)]), "label": f"t{i}"} for i, p in enumerate(peaks)
        ]
    )  # fmt: skip


def test_cells_tile_the_axis_and_hold_geometric_means():
    table = series()
    drawn = cells(table, bins=80)
    mine = drawn[drawn["layer"] == "b"].sort_values("start")
    assert np.allclose(mine["start"].iloc[1:], mine["stop"].iloc[:-1])
    assert mine["stop"].iloc[-1] == STEPS[-1]
    places = log_places(STEPS.astype(float))
    for row in mine.itertuples():
        inside = table["b"][(places > row.start * (1 + 1e-9)) & (places <= row.stop * (1 + 1e-9))]
        if row.Index != mine.index[0]:
            assert row.value == pytest.approx(np.exp(np.log(inside).mean()))


def test_few_steps_are_drawn_one_by_one():
    table = series().iloc[:40]
    drawn = cells(table)
    wide = drawn.pivot(index="step", columns="layer", values="value")
    pd.testing.assert_frame_equal(wide, table, check_names=False)


def test_gaps_and_zeros_do_not_break_the_map():
    table = series().iloc[:300]
    table.loc[100:200, "a"] = np.nan
    table["b"] = 0.0
    drawn = cells(table)
    assert drawn.loc[(drawn["layer"] == "a") & drawn["step"].between(105, 195), "value"].isna().all()
    assert (drawn.loc[drawn["layer"] == "b", "value"] == 0).all()
    assert b"PNG" in vl_convert.vegalite_to_png(json.dumps(specification(training_map(table))))


@given(st.lists(st.integers(5, 2990), min_size=1, max_size=14, unique=True))
@settings(max_examples=60, deadline=None)
def test_flags_of_one_lane_do_not_touch(peaks):
    drawn = flags(transitions(peaks), low=2.5, high=2995)
    span = np.log(2995 / 2.5)
    for _, lane in drawn.groupby("lane"):
        gaps = np.diff(np.sort(np.log(lane["peak"].to_numpy(float)))) / span
        assert (gaps >= 1 / 16 - 1e-9).all()
    assert drawn.loc[drawn["rank"] == 1, "lane"].item() == 0


def test_layers_of_a_transition_keep_their_order():
    drawn = members(transitions([400], layers=(("c", "a", "b"),)))
    assert list(zip(drawn["layer"], drawn["place"], strict=True)) == [("c", 1), ("a", 2), ("b", 3)]


def evaluated(chart):
    """The colours of the cells as Vega draws them."""
    svg = vl_convert.vegalite_to_svg(json.dumps(specification(chart)))
    block = svg.split("mark-rect")[1].split("</g>")[0]
    return [part.split('"')[0] for part in block.split('fill="')[1:]]


def test_a_layer_of_small_values_has_all_colours_of_its_own_and_one_colour_among_large_ones():
    table = series(layers=("small",)).assign(large=lambda t: 1e6 * t["small"].to_numpy()[::-1])
    own = evaluated(training_map(table, look=Look(colour="layer")))
    shared = evaluated(training_map(table, look=Look(colour="all")))
    assert {"#440154", "#fde725"} <= {hexed(c) for c in own}
    dark = [hexed(c) for c in shared]
    assert len(set(dark)) < len(set(own))


def hexed(colour: str) -> str:
    if colour.startswith("#"):
        return colour.lower()
    return "#" + "".join(f"{int(float(v)):02x}" for v in colour[4:-1].split(","))


def test_every_chart_of_a_map_is_valid_and_has_its_words():
    table = series()
    loss = pd.Series(2 / (1 + STEPS), index=STEPS)
    chart = training_map(table, dimension="stable_rank", transitions=transitions([100, 110, 900]),
                         scalars={"loss": loss}, title="What happened")  # fmt: skip
    alt.Chart.from_dict(json.loads(json.dumps(chart.to_dict(), allow_nan=False)))
    svg = vl_convert.vegalite_to_svg(json.dumps(specification(chart)))
    for words in ("What happened", ">loss<", ">1<", ">3<", "training step (log)"):
        assert words in svg


def test_a_grid_has_a_panel_per_run_and_an_overlay_a_band_only_for_three():
    runs = {f"r{i}": series(np.random.default_rng(i)) for i in range(4)}
    grid = specification(map_grid(runs, "stable_rank", settled=pd.DataFrame(columns=["run", "layer", "step"])))
    assert sum(len(row["hconcat"]) for row in grid["vconcat"]) == 4
    few = specification(overlay({n: t["a"] for n, t in list(runs.items())[:2]}))
    many = specification(overlay({n: t["a"] for n, t in runs.items()}))
    assert len(few["layer"]) == 1 and len(many["layer"]) == 3
    middle = pd.DataFrame(many["layer"][2]["data"]["values"]).set_index("step")["middle"]
    expected = pd.concat([t["a"] for t in runs.values()], axis=1).median(axis=1)
    assert np.allclose(middle, expected, rtol=1e-4)


def test_a_small_map_is_small_and_its_columns_are_even_in_the_logarithm():
    import base64
    import io

    from PIL import Image

    table = pd.DataFrame({"a": np.where(STEPS < 30, 1.0, 9.0)}, index=STEPS)
    address = thumbnail(table)
    assert len(address) < 1500
    picture = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB")
    row = [picture.getpixel((i, 0)) for i in range(picture.width)]
    share = row.count(row[0]) / len(row)
    low, high = 1.25, 2995  # the first cell ends at step 0, drawn at 2.5
    assert share == pytest.approx(np.log(25 / low) / np.log(high / low), abs=0.03)


def test_what_is_of_a_batch_is_smoothed_and_what_was_measured_is_not():
    rng = np.random.default_rng(0)
    batches = pd.Series(rng.normal(size=400), index=range(400))
    drawn = scalar(batches)
    assert drawn["smooth"].iloc[200] == pytest.approx(batches.iloc[188:213].mean())
    measured = pd.Series(rng.normal(size=400), index=range(0, 2000, 5))
    assert np.allclose(scalar(measured)["smooth"], measured)
    assert len(scalar(pd.Series(1.0, index=range(50_000)))) <= 1001
