"""The notes of a dig whose numbers are given, word for word; and what goes into them. Where words are meant to change:

SAID=write python -m pytest tests/dig/test_field_notes.py -q; git diff tests/dig/notes
"""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from golden import WRITE
from torch import nn

from geophone.dig.census import _heads, _pairs, census_steps
from geophone.dig.exhibits import Exhibits, _examples, _moved_images, _snippets
from geophone.dig.features import UNTYPED
from geophone.dig.learned import Learned
from geophone.dig.moment import Moment
from geophone.dig.notes import field_notes, observation
from geophone.dig.prose import turned_units, what_was_learned
from geophone.dig.select import selected
from geophone.dig.subject import _sequences, _texts
from geophone.dig.swap import carried, carrier, set_of_heads, swapped_parts
from geophone.errors import InputError
from geophone.records import MOMENTS, Shared, Target, Window
from geophone.rows import DUG, frame
from geophone.rows.measures import MEASURES

FOLDER = Path(__file__).parent / "notes"
NAN = float("nan")
HEADS = ["layer", "head", "was", "became", "score"]


def units(*kinds, dead=(), classes=(), own=None):
    """Units of the types given; those of `dead` answer to nothing, those of `classes` to one class."""
    count = len(kinds)
    return pd.DataFrame(
        {"unit": range(count), "type": kinds, "angle": [22.5 * i for i in range(count)],
         "dead": [i in dead for i in range(count)], "class_unit": [i in classes for i in range(count)],
         "preferred": [float(i % 3) for i in range(count)],
         "own_correlation": own or [1 - 0.1 * i for i in range(count)]}
    )  # fmt: skip


def moment(step, table, *, heads=None, **numbers):
    row = {measure.name: 0.1 * (i + 1) for i, measure in enumerate(MEASURES)} | {"silhouette_null": 0.0}
    return Moment(step, row | {"turnover": 0.25, "silhouette_p": 0.5} | numbers, table, None, heads)


def attention(*kinds):
    return pd.DataFrame(
        [{"layer": "blocks.1", "head": i, "type": kind, "lag": 3, "offset": 1, "previous": 0.1 * i, "induction": 0.2,
          "position": 0.3, "copying": -0.4} for i, kind in enumerate(kinds)]
    )  # fmt: skip


def at(begin, before, during, after, **numbers):
    tables = zip(MOMENTS, (before, during, after), strict=True)
    return {name: moment(begin + 10 * i, table, **numbers) for i, (name, table) in enumerate(tables)}


def movers(*groups, position=-1, **columns):
    """Samples that moved, so many in each group."""
    rows = [
        {"group": number, "sample": 10 * number + i, "row": 10 * number + i, "position": position, "label": number,
         "before": 0.1 * number, "during": 0.4, "after": 0.9 - 0.1 * i}
        for number, count in enumerate(groups, start=1) for i in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["group", "sample", "row", "position", "label", *MOMENTS]).assign(**columns)


def swap(*rows, window="before to after"):
    columns = ["kind", "part", "share", "control", "spill", "together", "apart"]
    given = [dict(zip(columns, row, strict=True)) | {"window": window, "samples": 3} for row in rows]
    return frame(given, DUG["swap"])


def learned(rows, *, shared=None, groups=None, heads=(), controls=()):
    return Learned(rows, shared, groups or {}, pd.DataFrame(list(heads), columns=HEADS), 512, "blocks.1", controls)


def target(*, earlier=None, later=None, layer="blocks.1"):
    return Target(1, "copy-seed0", layer, 1, "stable_rank", Window(100, 110, 120), earlier, later, "transitions", 1.0,
                  "learned: because of this and that.", kind="learned")  # fmt: skip


def composition(effects):
    rows = [
        {"role": "target", "moment": name, "early": early, "late": early + 1, "naive_edges": 3 + i, "effect_edges":
         i if effects else NAN, "compositional_depth": 1 + i, "pairs": 40}
        for i, name in enumerate(MOMENTS) for early in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame([*rows, {**rows[0], "role": "control", "naive_edges": 99}])


def induction():
    """A language model in which heads formed, with two controls."""
    plain, typed = units(UNTYPED, UNTYPED, "token", dead=(1,)), units("token", "position", "token", UNTYPED)
    heads = attention(UNTYPED, UNTYPED, "previous"), attention("induction", "induction", "position")
    mine = at(100, plain, plain, typed)
    for name, own in (("before", heads[0]), ("during", heads[0]), ("after", heads[1])):
        mine[name] = Moment(mine[name].step, mine[name].row, mine[name].units, None, own, own)
    rows = movers(3, position=7, kl=[0.1, 0.5, 0.3], lens_before=0.2, lens_after=0.75, raised=[1, 1, 4])
    table = swap(
        ("layer", "blocks.1", 0.67, 0.03, 0.01, False, NAN), ("layer", "blocks.0", 0.44, 0.02, 0.0, False, NAN),
        ("layer", "embed", 0.31, 0.0, 0.0, False, NAN), ("inside", "blocks.1.attention", 0.5, NAN, NAN, False, NAN),
        ("head", "blocks.1.attention, head 3", 0.41, NAN, NAN, True, NAN),
        ("head", "blocks.1.attention, head 0", 0.30, NAN, NAN, True, NAN),
        ("head", "blocks.0.attention, head 2", 0.10, NAN, NAN, True, NAN),
        ("pair", "blocks.0 and blocks.1", 0.9, NAN, NAN, False, NAN),
    )  # fmt: skip
    found = learned(
        rows, shared=Shared("second occurrences", 1.0, 0.4), groups={1: None}, controls=(310, 30),
        heads=[
            ("blocks.1.attention", 3, UNTYPED, "induction", 0.412),
            ("blocks.1.attention", 0, UNTYPED, "induction", 0.37),
            ("blocks.0.attention", 2, "previous", UNTYPED, 0.2), ("blocks.0.attention", 1, UNTYPED, "previous", 0.5),
        ],
    )  # fmt: skip
    shown = Exhibits(
        [5, 2], {"what heads attend to": "images/heads.png"}, {5: ["a `b` [c]", "d [e]"]}, {1: ["`x [y]` 0.1 to 0.9"]}
    )
    there = {"target": mine, "control": at(300, plain, plain, plain, turnover=0.0)}
    given = target(earlier=Window(20, 30, 40), later=Window(300, 310, 320))
    return field_notes(given, there, {"swap": table, "composition": composition(True)}, found, shown)


def images():
    """A convolution whose units took types, without a control, in two groups of samples."""
    before = units(UNTYPED, UNTYPED, UNTYPED, UNTYPED, UNTYPED, classes=(1, 4))
    after = units(
        "orientation", "orientation", "curvature", UNTYPED, UNTYPED, classes=(4,), own=[0.9, 0.1, NAN, 0.3, 0.2]
    )
    mine = at(100, before, before, after)
    mine["after"] = moment(120, after, selectivity=0.9, silhouette=0.4, silhouette_p=0.01, turnover=0.6)
    found = learned(movers(2, 1), groups={1: Shared("of label 3 or 5", 0.75, 0.1), 2: Shared("of label 1", 1.0, NAN)})
    found = Learned(found.movers, Shared("of label 3 or 5", 0.75, NAN), found.groups, found.heads, 512, "conv2")
    shown = Exhibits([0, 1], {"top images": "images/top.png", "classes": "images/classes.png"}, {}, {})
    table = swap(("layer", "conv1", 0.6, NAN, NAN, False, NAN), ("layer", "conv2", 0.2, NAN, NAN, False, NAN))
    given = target(layer="conv2")
    return field_notes(given, {"target": mine}, {"swap": table, "composition": composition(False)}, found, shown)


def still():
    """Nothing moved."""
    table = units(UNTYPED, UNTYPED)
    same = {"turnover": NAN, "selectivity": NAN, "silhouette": NAN}
    there = {role: at(begin, table, table, table, **same) for role, begin in (("target", 100), ("control", 200))}
    given = target(later=Window(200, 210, 220))
    return field_notes(given, there, {"swap": swap()}, learned(movers(), controls=(210,)), Exhibits([0], {}, {}, {}))


@pytest.mark.parametrize("case", [induction, images, still])
def test_the_notes_of_a_dig_are_these(case):
    path = FOLDER / f"{case.__name__}.md"
    if WRITE:
        path.write_text(case())
    assert case() == path.read_text()


def answered(kinds, *, others=0.1, heads=()):
    """The first sentence of a dig of second occurrences, by what the heads of after are."""
    found = learned(movers(3, position=7), shared=Shared("second occurrences", 0.9, others), heads=heads)
    plain = moment(100, units(UNTYPED))
    scores = None if kinds is None else attention(*kinds)
    after = Moment(120, plain.row, plain.units, None, scores, scores)
    return what_was_learned(found, {"before": plain, "after": after})


def test_induction_is_said_where_a_head_does_it_and_not_of_what_is_copied_by_position():
    turned = [("blocks.1", 0, UNTYPED, "position", 0.5)]
    assert answered(["induction", UNTYPED]).endswith(": induction, by head 0 of blocks.1 (0.20).")
    assert answered(["induction", "induction"]).endswith(": induction, by head 0 of blocks.1 (0.20) and 1 more.")
    said = answered(["position", UNTYPED], heads=turned)
    assert said.endswith(
        ": no head does induction (its score is 0.20 at most), those that changed became position heads."
    )
    assert answered(["position"]).endswith("does induction (its score is 0.20 at most), none changed its kind.")
    for plain in (answered(["induction"], others=0.9), answered(["induction"], others=NAN), answered(None)):
        assert "induction" not in plain and "% of them second occurrences" in plain


def test_a_layer_that_carries_less_than_another_is_told_after_it():
    table = swap(
        ("layer", "a", 0.2, 0.1, 0.05, False, NAN), ("layer", "b", 0.7, 0.3, 0.02, False, NAN),
        ("layer", "c", 0.3, 0.0, 0.0, False, NAN), ("layer", "d", 0.1, 0.0, 0.0, False, NAN),
    )  # fmt: skip
    assert carrier(table) == "b" and carrier(swap()) is None and carried(swap(), "a") == ""
    assert carried(table, "a") == (
        "With the weights that a had before, 0.20 of that is gone, most goes with b (0.70; c 0.30, d 0.10), at the "
        "control moment 0.30, and other samples lose 0.02."
    )
    assert carried(table, "b@2").startswith(
        "With the weights that b@2 had before, 0.70 of that is gone, more than with"
    )
    assert carried(table, "z") == (
        "Most of that goes with b (0.70; c 0.30, a 0.20, d 0.10), at the control moment 0.30, and other samples lose "
        "0.02."
    )
    later = table.assign(window="during to after")
    assert carrier(later) is None and swapped_parts(later) == []


def test_heads_that_carry_little_and_layers_of_long_ago_are_said():
    none = swap(("head", "a, head 0", 0.1, NAN, NAN, False, NAN))
    assert set_of_heads(none) == "all heads together carry less than half of the gain" and set_of_heads(swap()) == ""
    far = swap(("apart", "b", 0.9, NAN, 0.6, False, 400), ("apart", "b", 0.9, NAN, 0.4, False, 200))
    assert swapped_parts(far) == [
        "b of 200 steps earlier no longer fits its neighbours (other samples lose 0.40): shares from so far apart say "
        "little."
    ]


def test_units_turned_are_live_ones_in_the_order_of_their_turn():
    table = units(*[UNTYPED] * 5, dead=(3,), own=[0.5, NAN, 0.1, 0.0, 0.5])
    assert turned_units(moment(1, table)) == [2, 0, 4]


def test_what_became_of_signed_answers_is_said_by_d_prime():
    table = units(UNTYPED)
    there = {role: at(0, table, table, table, selectivity=NAN, silhouette=NAN) for role in ("target", "control")}
    for moved, word in ((0.05, "did as at the control"), (0.2, "rose"), (-0.2, "fell")):
        row = there["target"]["after"].row
        mine = there["target"] | {"after": moment(20, table, **(row | {"d_prime": row["d_prime"] + moved}))}
        assert f"; d' {word} ({moved:+.3f}, control +0.000)." in observation(there | {"target": mine})
    grouped = {name: moment(0, table, silhouette=0.3, silhouette_p=0.01) for name in MOMENTS}
    assert "answers group by class before and after" in observation({"target": grouped})


def test_moments_of_a_census_are_evenly_spread_in_ln_step_and_no_more_than_there_are():
    measured = list(range(0, 1001, 10))
    for number in (1, 2, 5, 12, 40):
        steps = census_steps(measured, [0, 200, 400, 600, 800, 1000, 5], number)
        assert 1 <= len(steps) <= number and list(steps) == sorted(set(steps)) and set(steps) <= set(measured)
        assert all(step <= 200 or step in (400, 600, 800, 1000) for step in steps)
    assert census_steps(measured, [], 300) == tuple(measured)
    assert census_steps([7], [], 3) == (7,)
    # The steps that are nearest in ln step to a geometric row from the first to the last.
    assert census_steps([1, 10, 100, 1000, 9999, 10000], [], 5) == (1, 10, 100, 1000, 10000)


def test_depth_is_measured_at_pairs_of_neighbouring_moments():
    steps = [1, 2, 4, 8, 16, 32, 64]
    assert _pairs(steps, 0) == set() and _pairs(steps, 2) == {1, 2} and _pairs(steps, 1) == {1, 2}
    assert _pairs(steps, 4) == {1, 2, 32, 64} and _pairs([5], 4) == {5} and _pairs(steps, 99) == {1, 2, 4, 8, 32, 64}
    assert _heads(None) == {}
    scores = pd.DataFrame({name: [0.1, 0.4] for name in ("previous", "duplicate", "induction", "position", "copying")})
    assert set(_heads(scores).values()) == {0.4} and all(name.startswith("head_") for name in _heads(scores))


class Embedding(nn.Module):
    """Each unit answers to one token, the more the later it stands."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        hot = torch.nn.functional.one_hot(x, 5).float()
        return self.layer(hot * (1 + torch.arange(x.shape[1])[None, :, None]))


def sequences(x, y, names=None):
    return SimpleNamespace(kind="sequence", samples=SimpleNamespace(x=x, y=y), names=names)


def test_a_unit_s_snippets_are_the_places_it_answers_to_most():
    x = torch.tensor([[0, 1, 2, 3], [4, 2, 1, 1], [2, 2, 0, 0]])
    named = sequences(x, x, names=["a", "b\n", "`", "d", "e"])
    assert _snippets(named, "layer", Embedding(), [1, 3]) == {
        1: ["e'b⏎[b⏎]", "e'[b⏎]", "a[b⏎]"], 3: ["ab⏎'[d]", "[a]", "a[b⏎]"],
    }  # fmt: skip
    assert _snippets(sequences(x, x), "layer", Embedding(), [1])[1][0] == "4 2 1 [1]"
    assert _snippets(sequences(x, x[:, 0]), "layer", Embedding(), [1]) == {}
    long = torch.arange(20)[None] % 4
    (first, *_) = _snippets(sequences(long, long), "layer", Embedding(), [3])[3]
    assert first == "3 0 1 2 3 0 1 2 3 0 1 2 [3]"  # twelve tokens before it


def test_examples_are_the_places_that_moved_most_with_the_right_token():
    x = torch.tensor([[0, 1, 2, 3]])
    rows = movers(4, position=1).assign(sample=0, label=4)
    found = learned(rows)
    assert _examples(sequences(x, x), found) == {1: ["`0 1 [4]` 0.10 to 0.90", "`0 1 [4]` 0.10 to 0.80",
                                                     "`0 1 [4]` 0.10 to 0.70"]}  # fmt: skip
    assert _examples(sequences(x, x), learned(movers(2))) == {}
    assert _examples(SimpleNamespace(kind="image"), found) == {}


def test_samples_that_moved_are_shown_ten_to_a_row_and_a_row_a_group():
    x = torch.arange(40).float().reshape(40, 1, 1, 1).expand(40, 1, 4, 4) / 40
    sheet = _moved_images(SimpleNamespace(samples=SimpleNamespace(x=x)), learned(movers(2, 12)))
    one = _moved_images(SimpleNamespace(samples=SimpleNamespace(x=x)), learned(movers(3)))
    assert sheet.shape[1] == one.shape[1] and sheet.shape[0] > 1.5 * one.shape[0]


def test_the_probe_s_tokens_are_asked_for_the_next_one_where_both_are_real():
    rows = [
        {"sample": s, "position": p, "token": 10 * s + p, "real": not (s == 1 and p < 2), "text": f"t{10 * s + p}"}
        for s in (0, 1) for p in range(4)
    ]  # fmt: skip
    run = SimpleNamespace(tokens=lambda: pd.DataFrame(rows))
    x, y = _sequences(run)
    assert x.tolist() == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert y.tolist() == [[1, 2, 3, -100], [-100, -100, 13, -100]]
    texts = _texts(run)
    assert len(texts) == 14 and texts[3] == "t3" and texts[13] == "t13" and texts[5] == ""
    assert _texts(SimpleNamespace(tokens=lambda: pd.DataFrame(rows).drop(columns="text"))) is None


def test_what_is_dug_is_the_first_of_each_run_and_what_phenomena_single_out():
    table = pd.DataFrame(
        [{"rank": rank, "run": run, "layer": layer, "step": step, "dimension": "stable_rank"}
         for rank, (run, layer, step) in enumerate(
             [("a", "x", 10), ("b", "x", 20), ("a", "y", 30), ("a", "y", 90), ("b", "y", 40)], start=1)]
    )  # fmt: skip
    of = {"dimension": "stable_rank"}
    phenomena = {
        "bottom_up": pd.DataFrame([{"run": "b", **of}, {"run": "z", **of}, {"run": "a", "dimension": "rankme"}]),
        "best_periods": pd.DataFrame([{"run": "b", **of}, {"run": "b", **of}]),
        "type_members": pd.DataFrame(
            [{"run": "a", "layer": "y", "step": 80, "representative": True, **of},
             {"run": "a", "layer": "y", "step": 31, "representative": False, **of},
             {"run": "q", "layer": "y", "step": 31, "representative": True, **of}]),
    }  # fmt: skip
    study = SimpleNamespace(
        folder="here", targets=lambda: table, phenomena=lambda kind, optional: phenomena[kind]
    )  # fmt: skip
    chosen = selected(study)
    assert chosen[["rank", "why"]].to_numpy().tolist() == [
        [1, "the first of its run"],
        [2, "the first of its run; its run has a clear bottom-up order; its run has well-defined critical periods"],
        [4, "stands for a type of jump"],
    ]
    assert selected(study, every=True)["why"].tolist() == ["every target"] * 5
    assert selected(study, number=3)[["rank", "why"]].to_numpy().tolist() == [[3, "asked for"]]
    with pytest.raises(InputError, match="no target 6; there are 1 to 5"):
        selected(study, number=6)
    study.targets = lambda: table.iloc[:0]
    with pytest.raises(InputError, match="here has no target"):
        selected(study)
