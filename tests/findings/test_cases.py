"""A case study says what the dig's tables hold, and holds the target against its control."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pandas as pd
import pytest

from geophone.findings.cases import Dug, cases, chosen
from geophone.records import Target, Window
from geophone.rows import DUG, frame

WINDOW, CONTROL = Window(10, 20, 30), Window(60, 70, 80)


@dataclass
class FakeDig:
    """A dig whose tables are given."""

    name: str = "dig"
    rank: int = 1
    frames: dict = field(default_factory=dict)
    control: bool = True
    dug: dict = field(default_factory=dict)

    @property
    def target(self):
        later = CONTROL if self.control else None
        return Target(self.rank, "run", "conv1", 0, "stable_rank", WINDOW, None, later, "naive", 1.0, "a reason")

    @property
    def steps(self):
        return self.dug or {role: window.steps for role, window in self.target.windows.items()}

    @property
    def tables(self):
        return list(self.frames)

    def __getitem__(self, name):
        return self.frames[name]

    def get(self, name):
        return self.frames.get(name, frame([], DUG[name]))


def dug(kind="cnn", *, layers=3, task="mnist", **about):
    run = SimpleNamespace(
        name=f"{kind}-run", layers=[None] * layers, manifest=SimpleNamespace(about={"architecture": kind, "task": task})
    )
    return Dug(FakeDig(**about), run)


def at(column, values):
    """Rows role x moment of one column; `values`: role -> (before, during, after)."""
    return pd.DataFrame(
        [{"role": role, "moment": m, column: v} for role, each in values.items()
         for m, v in zip(("before", "during", "after"), each, strict=True)]
    )  # fmt: skip


def units(**kinds):
    """Types of four units: role -> their types before and after."""
    return pd.concat(
        [at("type", {role: (b, b, a)}) for role, each in kinds.items() for b, a in each], ignore_index=True
    )


def moments(silhouette, turnover=0.5):
    return at("silhouette", silhouette).assign(probe_accuracy=0.5, turnover=turnover)


FLAT = {"target": (0.1, 0.1, 0.1), "control": (0.1, 0.1, 0.1)}


def said(one, part):
    kind = one.architecture
    return {f.id: f for f in cases({kind: one})}[f"case/{kind}/{part}"].sentence


@pytest.mark.parametrize(
    ("target", "control", "passage"),
    [
        ([("edge", "texture"), ("edge", "edge")], [("untyped", "untyped")], True),
        ([("edge", "texture"), ("edge", "edge")], [("edge", "texture")], False),
        ([("untyped", "texture"), ("untyped", "untyped")], [("untyped", "untyped")], False),
        ([("edge", "edge")], [("edge", "edge")], False),
    ],
)
def test_edges_give_way_to_textures_only_beyond_the_control(target, control, passage):
    one = dug(frames={"units": units(target=target, control=control), "moments": moments(FLAT)})
    sentence = said(one, "features")
    assert ("units for textures go from 0 to 1, more than at the control" in sentence) == passage
    assert ("The expected passage from edges to textures is not there." in sentence) == (not passage)
    typed = sum(before != "untyped" for before, _ in target)
    assert f"Units with a feature type: {typed} of {len(target)} before" in sentence


@pytest.mark.parametrize(
    ("target", "control", "more"),
    [((0.0, 0.1, 0.3), (0.1, 0.1, 0.2), True), ((0.0, 0.1, 0.1), (0.1, 0.1, 0.3), False),
     ((0.3, 0.2, 0.1), (0.3, 0.2, 0.0), False)],
)  # fmt: skip
def test_activations_group_by_class_only_beyond_the_control(target, control, more):
    one = dug("mlp", layers=4, frames={"moments": moments({"target": target, "control": control})})
    sentence = said(one, "classes")
    assert f"from {target[0]:.2f} to {target[2]:.2f} at the target" in sentence
    assert ("Activations group more by class" in sentence) == more
    assert ("do not group more by class" in sentence) == (not more)


@pytest.mark.parametrize(("before", "after", "grows"), [(0.1, 0.4, True), (0.1, 0.25, False), (0.35, 0.4, False)])
def test_a_pattern_of_attention_crystallises_where_a_head_passes_the_least_score(before, after, grows):
    heads = at("induction", {"target": (before, 0.2, after), "control": FLAT["control"]}).assign(
        previous=0.0, duplicate=0.0
    )
    heads = pd.concat([heads, heads.assign(induction=0.05)])  # a weaker head beside it
    one = dug("transformer", frames={"heads": heads, "moments": moments(FLAT)})
    sentence = said(one, "attention")
    assert f"induction {before:.2f} to {after:.2f} at the target and 0.10 to 0.10 at the control" in sentence
    assert ("a head passes 0.3, the least score that has a name, in induction" in sentence) == grows
    assert ("no pattern of attention crystallises here" in sentence) == (not grows)


@pytest.mark.parametrize(
    ("experiment", "says"),
    [("vit_digits", "position, which it is not given."), (None, "position, and attention whose weights can be read"),
     ("mine:build", "position, and attention whose weights can be read")],
)  # fmt: skip
def test_heads_without_scores_are_said_to_lack_no_more_than_is_known(experiment, says):
    one = dug("transformer", frames={"moments": moments(FLAT)})
    one.run.manifest.about |= {} if experiment is None else {"experiment": experiment}
    assert says in said(one, "attention") and "left to right" not in said(one, "attention")


@pytest.mark.parametrize(("own", "other", "first"), [(0.8, 0.1, True), (0.1, 0.8, False)])
def test_the_swap_test_names_the_layer_that_carries_most(own, other, first):
    swap = pd.DataFrame(
        [{"window": w, "part": part, "kind": "layer", "samples": 40, "gain": 0.5, "share": share, "control": 0.05}
         for w in ("before to after", "before to during") for part, share in (("conv1", own), ("conv2", other))]
    )  # fmt: skip
    one = dug(frames={"swap": swap, "units": units(target=[("edge", "edge")]), "moments": moments(FLAT)})
    sentence = said(one, "cause")
    assert (
        f"{own:.0%}".replace("%", " %") in sentence
        and "of the 40 samples" in sentence
        and "5 % at the control" in sentence
    )
    assert ("more than with any other layer" in sentence) == first
    assert ("conv2 carries most (80 %)" in sentence) == (not first)


def test_without_a_control_nothing_is_held_against_it():
    one = dug("mlp", layers=5, frames={"moments": moments({"target": (0.0, 0.1, 0.3)})}, control=False)
    assert "it has no control" in said(one, "place") and "at the control" not in said(one, "classes")
    assert "steps 10, 20 and 30 (before, during, after)" in said(one, "place")
    one.dig.dug = {"target": {"before": 10, "after": 30}}
    assert "steps 10 and 30 (before, after)" in said(one, "place")


def test_the_cases_are_chosen_by_rule():
    first, second = dug(rank=1), dug(rank=2)
    other = dug(task="text", rank=1)
    scored, unscored = dug("transformer", rank=2, frames={"heads": None}), dug("transformer", rank=1)
    shallow, deep, deeper = (dug("mlp", layers=n, rank=1) for n in (3, 4, 6))
    picked = chosen([other, first, second, unscored, scored, shallow, deep, deeper])
    assert picked == {"cnn": first, "transformer": scored, "mlp": deeper}
    assert chosen([shallow]) == {"cnn": None, "transformer": None, "mlp": None}
