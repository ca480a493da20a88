"""Three cases, chosen by rule from the digs, told by what their tables and networks hold."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from geophone.dig.heads import LEAST
from geophone.dig.subject import Subject, subject_of
from geophone.errors import InputError
from geophone.paper import drawings, figures, replayed
from geophone.paper.markup import Figure, Prose, code, meant
from geophone.paper.source import Source, listed, where
from geophone.records import MOMENTS, Target
from geophone.store.dig import Dig
from geophone.store.run import Run
from geophone.store.tables import replace_file

DEEP = 4  # layers that make a perceptron deep
_SEED = 0


@dataclass(frozen=True, slots=True)
class Case:
    """One case study: its title, its paragraphs, its figures (none where the study has no such run)."""

    title: Prose
    paragraphs: tuple[Prose, ...]
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Dug:
    """A finished dig and the run that it is of."""

    dig: Dig
    run: Run

    @property
    def name(self) -> str:
        return self.dig.name

    @property
    def target(self) -> Target:
        return self.dig.target

    @property
    def steps(self) -> dict[str, dict[str, int]]:
        return self.dig.steps

    def table(self, name: str) -> pd.DataFrame:
        return self.dig[name]


def cases(source: Source, folder: Path) -> list[Case]:
    """The three cases; one whose run the study does not have says so."""
    dug = [Dug(dig, source.run(dig.target.run)) for dig in source.digs]

    def kind(each: Dug) -> str:
        return str(each.run.manifest.about.get("architecture", "unknown"))

    digits = [d for d in dug if kind(d) == "cnn" and "mnist" in str(d.run.manifest.about.get("task"))]
    heads = [d for d in dug if kind(d) == "transformer" and "heads" in d.dig.tables]
    others = [d for d in dug if kind(d) == "transformer"]
    deep = sorted((d for d in dug if kind(d) == "mlp" and len(d.run.layers) >= DEEP), key=lambda d: -len(d.run.layers))
    asked: list[tuple[str, str, list[Dug], Callable]] = [
        ("A convolutional network on MNIST", "a convolutional network on MNIST", digits, _convolutional),
        ("A transformer", "a transformer", heads or others, _transformer),
        ("A deep perceptron", "a perceptron of enough recorded layers", deep, _perceptron),
    ]
    found = []
    for title, what, fitting, tell in asked:
        if not fitting:
            found.append(Case(Prose(title), (Prose(f"No dug target lies in {what}, so there is nothing to tell."),)))
            continue
        one = fitting[0]
        paragraphs, drawn = tell(source, one, folder)
        found.append(Case(Prose(title), (_place(source, one), *paragraphs), tuple(drawn)))
    return found


def _place(source: Source, dug: Dug) -> Prose:
    """Which target it is, and why it was pointed at."""
    n, t = source.numbers, dug.target
    rank = n.show(f"{dug.name}, rank", t.rank, source="targets.parquet")
    of = n.show("targets found", n.fact("study/targets_found"))
    steps = {
        r: [n.show(f"{dug.name}, {r} {m}", s, source="dig.json") for m, s in at.items()] for r, at in dug.steps.items()
    }
    control = f"; control: {listed(steps['control'])}" if "control" in steps else "; it has no control window"
    return Prose(
        f"{code(dug.run.name)}, layer {code(t['layer'])}, target {rank} of {of}; steps {listed(steps['target'])} "
        "(before, "
        f"during, after){control}. Why it was pointed at: {meant(_traced(source, dug))}"
    )


def _traced(source: Source, dug: Dug) -> str:
    """The target's reason, noted as a text that was used."""
    source.numbers.used[f"{dug.name}, reason"] = {
        "value": dug.target.reason, "shown": [dug.target.reason], "from": "targets.parquet"
    }  # fmt: skip
    return dug.target.reason


def _convolutional(source: Source, dug: Dug, folder: Path) -> tuple[list[Prose], list[Figure]]:
    units, moments = dug.table("units"), dug.table("moments")
    n, parts = source.numbers, []
    for moment in MOMENTS:
        mine = where(units, role="target", moment=moment)
        counts = mine.loc[~mine["type"].isin(["untyped", "dead"]), "type"].value_counts().sort_index()
        total = n.share(f"{dug.name}, typed {moment}", int(counts.sum()), len(mine), source=_of(dug, "units"))
        kinds = listed(
            f"{n.show(f'{dug.name}, {kind} {moment}', c, source=_of(dug, 'units'))} {meant(kind)}"
            for kind, c in counts.items()
        )
        parts.append(f"{total} {moment}" + (f" ({kinds})" if len(counts) else ""))
    first = Prose(f"Units that have a type: {listed(parts)}. {_textures(source, dug, units)}")
    drawn = _sheets(dug, folder)
    return [first, _turnover(source, dug, moments), _classes(source, dug, moments)], drawn


def _textures(source: Source, dug: Dug, units: pd.DataFrame) -> str:
    """Whether edges gave way to textures, by the share of typed units of each kind."""
    texture = units["type"].str.contains("texture")
    edge = units["type"].str.contains("edge|orient|line|grating", regex=True)
    counts = {
        (role, m): (int(edge[rows].sum()), int(texture[rows].sum()))
        for role in dug.steps for m in MOMENTS
        for rows in [(units["role"] == role) & (units["moment"] == m)]
    }  # fmt: skip
    gain = counts["target", "after"][1] - counts["target", "before"][1]
    beside = counts["control", "after"][1] - counts["control", "before"][1] if "control" in dug.steps else 0
    if gain > max(beside, 0) and counts["target", "before"][0] > 0:
        shown = [source.numbers.show(f"{dug.name}, texture units {m}", counts["target", m][1], source=_of(dug, "units"))
                 for m in ("before", "after")]  # fmt: skip
        return (
            f"Edges were there before, and units for textures went from {shown[0]} to {shown[1]}, more than at the "
            "control."
        )
    return "The expected passage from edges to textures was not found."


def _turnover(source: Source, dug: Dug, moments: pd.DataFrame) -> Prose:
    """How many units answer to something else afterwards, target beside control."""
    shares = [
        (role, float(where(moments, role=role, moment="after")["turnover"].iloc[0])) for role in dug.steps
    ]  # fmt: skip
    n, table = source.numbers, _of(dug, "moments")
    shown = [
        f"{n.show(f'{dug.name}, turnover, {role}', 100 * v, '.0f', source=table)} % at the {role}"
        for role, v in shares
        if math.isfinite(v)
    ]
    if not shown:
        return Prose("How many units answer to something else afterwards is not known.")
    return Prose(f"Units that answer to something else after the window than before it: {listed(shown)}.")


def _classes(source: Source, dug: Dug, moments: pd.DataFrame) -> Prose:
    """Silhouette and probe before and after, target beside control; and whether activations cluster more by class."""
    n, said, change = source.numbers, [], {}
    for name, words, form in (("silhouette", "the silhouette by class", "+.2f"),
                              ("probe_accuracy", "the accuracy of a linear probe", ".2f")):  # fmt: skip
        for role in dug.steps:
            ends = [float(where(moments, role=role, moment=m)[name].iloc[0]) for m in ("before", "after")]
            change[name, role] = ends[1] - ends[0]
            if all(map(math.isfinite, ends)):
                shown = [n.show(f"{dug.name}, {name}, {role} {m}", v, form, source=_of(dug, "moments"))
                         for m, v in zip(("before", "after"), ends, strict=True)]  # fmt: skip
                said.append(f"{words} goes from {shown[0]} to {shown[1]} at the {role}")
    if not said:
        return Prose("Whether activations group by class was not measurable.")
    rise = change.get(("silhouette", "target"), math.nan)
    control = change.get(("silhouette", "control"), math.nan)
    verdict = (
        "Activations group more by class over the jump, and more so than over the control window; one target is no "
        "test."
        if rise > 0 and not rise <= control
        else "Activations do not group more by class over the jump than over the control window."
    )
    text = listed(said)
    return Prose(f"{text[0].upper()}{text[1:]}. {verdict}")


def _sheets(dug: Dug, folder: Path) -> list[Figure]:
    """The contact sheets of preferred images, where the dig has them."""
    found = [dug.dig.image(f"preferred-{moment}") for moment in MOMENTS]
    if not all(path.is_file() for path in found):
        return []
    names = tuple(f"case-{path.name}" for path in found)
    for path, name in zip(found, names, strict=True):
        replace_file(folder / name, lambda out, path=path: out.write_bytes(path.read_bytes()))
    steps = dug.steps["target"]
    labels = tuple(f"{moment}, step {steps[moment]:,}" for moment in MOMENTS)
    caption = Prose(f"What excites the units of layer {code(dug.target['layer'])} of {code(dug.run.name)} before, "
                    "during and after the jump: the same units, in the same places, each image optimised and stretched "
                    "to its own range. That an image is sharp does not say that the unit is for anything.")  # fmt: skip
    return [Figure("case-preferred", names, caption, labels=labels)]


def _transformer(source: Source, dug: Dug, folder: Path) -> tuple[list[Prose], list[Figure]]:
    paragraphs = (
        [_heads(source, dug)]
        if "heads" in dug.dig.tables
        else [Prose("Its heads are not those of a network that reads from left to right, so they have no scores.")]
    )
    rng = np.random.default_rng([_SEED, 2])
    subject = _subject(dug, rng)
    found = replayed.attention(subject, dug.steps, rng=rng) if subject else None
    if found is None:
        return [*paragraphs, Prose("Its attention could not be drawn: the network is not known here.")], []
    paragraphs.append(_attended(source, dug, found))
    name = figures.save(drawings.attention_maps(found.maps, dug.steps["target"]), folder, "case-attention")
    head = source.numbers.show(f"{dug.name}, head drawn", found.head, source="replay")
    layer = code(found.layer)
    caption = Prose(f"Attention of head {head} of {layer} of {code(dug.run.name)}, the head that changed most "
                    "between before and after, on one input: a row a query, a column a token read, darker is "
                    "more.")  # fmt: skip
    return paragraphs, [Figure(name, (name,), caption, wide=True)]


def _heads(source: Source, dug: Dug) -> Prose:
    """The greatest score of each kind before and after, target beside control."""
    heads, n, parts, grown = dug.table("heads"), source.numbers, [], []
    for score, words in (("induction", "induction"), ("previous", "attention to the previous token"),
                         ("duplicate", "attention to the same token")):  # fmt: skip
        best = {
            (r, m): float(where(heads, role=r, moment=m)[score].max()) for r in dug.steps for m in ("before", "after")
        }
        shown = {
            k: n.show(f"{dug.name}, {score}, {' '.join(k)}", v, ".2f", source=_of(dug, "heads"))
            for k, v in best.items()
        }
        control = (
            f" (control {shown['control', 'before']} to {shown['control', 'after']})" if "control" in dug.steps else ""
        )
        parts.append(f"{words} {shown['target', 'before']} to {shown['target', 'after']}{control}")
        if best["target", "after"] >= LEAST > best["target", "before"]:
            grown.append(words)
    least = n.show("least score of a typed head", LEAST, ".1f", source="definition of head types")
    verdict = (
        f"Within the window a head passes {least}, the least score that has a name, in {listed(grown)}."
        if grown else f"No head passes {least}, the least score that has a name, within the window: no pattern "
        "crystallises there."
    )  # fmt: skip
    return Prose(
        f"On repeated random tokens the greatest scores of any head go, before to after: {'; '.join(parts)}. {verdict}"
    )


def _attended(source: Source, dug: Dug, found: replayed.Attention) -> Prose:
    n = source.numbers
    moved = [f"{n.show(f'{dug.name}, attention moved, {r}', v, '.2f', source='replay')} at the {r}"
             for r, v in found.moved.items()]  # fmt: skip
    entropy = [
        f"{n.show(f'{dug.name}, entropy, {r} before', found.entropy[r, 'before'], '.2f', source='replay')} to "
        f"{n.show(f'{dug.name}, entropy, {r} after', found.entropy[r, 'after'], '.2f', source='replay')} at the {r}"
        for r in dug.steps
    ]  # fmt: skip
    inputs = n.show("inputs of the attention case", replayed.INPUTS, source="definition of the case")
    falls = {r: found.entropy[r, "before"] - found.entropy[r, "after"] for r in dug.steps}
    sharper = falls["target"] > max(falls.get("control", 0.0), 0.0)
    verdict = (
        "Attention sharpens over the jump, more than over the control window."
        if sharper
        else ("Attention does not sharpen over the jump more than over the control window.")
    )
    return Prose(
        f"On up to {inputs} inputs the attention of all heads moved, as total variation distance from before to "
        "after, by "
        f"{listed(moved)}; its mean entropy went from {listed(entropy)}, in nats. {verdict}"
    )


def _perceptron(source: Source, dug: Dug, folder: Path) -> tuple[list[Prose], list[Figure]]:
    paragraphs = [_classes(source, dug, dug.table("moments"))]
    rng = np.random.default_rng([_SEED, 3])
    subject = _subject(dug, rng)
    found = replayed.planes(subject, dug.steps, rng=rng) if subject else None
    if found is None:
        return [*paragraphs, Prose("Its decisions could not be drawn: no three classes of inputs are known here.")], []
    paragraphs.insert(0, _decided(source, dug, found))
    name = figures.save(drawings.decision_planes(found.cells, dug.steps["target"]), folder, "case-planes")
    labels = [source.numbers.show(f"class of sample {i}", c, source="draw") for i, c in enumerate(found.samples)]
    caption = Prose(f"The class that {code(dug.run.name)} decides on a plane through three samples, of classes "
                    f"{listed(labels)} (dots), before, during and after the jump; regions carry their "
                    "class.")  # fmt: skip
    return paragraphs, [Figure(name, (name,), caption, wide=True)]


def _decided(source: Source, dug: Dug, found: replayed.Planes) -> Prose:
    n = source.numbers
    changed = [f"{n.show(f'{dug.name}, plane changed, {r}', 100 * v, '.0f', source='replay')} % at the {r}"
               for r, v in found.changed.items()]  # fmt: skip
    classes = [
        f"{n.show(f'{dug.name}, classes, {r} before', found.classes[r, 'before'], '.1f', source='replay')} to "
        f"{n.show(f'{dug.name}, classes, {r} after', found.classes[r, 'after'], '.1f', source='replay')} at the {r}"
        for r in dug.steps
    ]  # fmt: skip
    planes = n.show("planes of the decision case", replayed.PLANES, source="definition of the case")
    more = found.changed["target"] > found.changed.get("control", 0.0)
    verdict = (
        "Boundaries move more over the jump than over the control window."
        if more
        else ("Boundaries do not move more over the jump than over the control window.")
    )
    return Prose(
        f"On {planes} planes through three samples of different classes, the decided class differs between before and "
        f"after on {listed(changed)}; the classes decided on a plane go from {listed(classes)}. {verdict}"
    )


def _subject(dug: Dug, rng: np.random.Generator) -> Subject | None:
    try:
        return subject_of(dug.run, rng=rng)
    except InputError:
        return None


def _of(dug: Dug, table: str) -> str:
    return f"digs/{dug.name}/{table}.parquet"
