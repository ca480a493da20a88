"""The three case studies: which dug target each is, and what its own tables say, the control beside the target."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from geophone.findings.finding import Finding, Phrase, Quantity, finding, fragment, joined, listed, phrase
from geophone.rows.measures import label
from geophone.store.dig import Dig
from geophone.store.run import Run
from geophone.store.study import Study

DEEP = 4  # layers that make a perceptron deep
_UNTYPED = ("untyped", "dead")
_EDGE, _TEXTURE = "edge|orient|line|grating", "texture"
_HEADS = {"induction": "induction", "previous": "attention to the previous token",
          "duplicate": "attention to the same token"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dug:
    """A finished dig and the run that it is of."""

    dig: Dig
    run: Run

    @property
    def architecture(self) -> str:
        return str(self.run.manifest.about.get("architecture", "unknown"))

    @property
    def steps(self) -> dict[str, dict[str, int]]:
        """By role, "target" and "control" where there is one, and moment."""
        return self.dig.steps

    def quantity(self, value: float, table: str, what: str, form: str = "") -> Quantity:
        return Quantity(float(value), form, f"digs/{self.dig.name}/{table}: {what}")


def dug_targets(study: Study) -> list[Dug]:
    """The finished digs, best rank first. Raises StoreError when one is damaged."""
    return [Dug(dig, study.run(dig.target.run)) for dig in study.digs()]


def chosen(digs: list[Dug]) -> dict[str, Dug | None]:
    """The dig of each case: of those whose run fits the one that ranks first, of deep perceptrons the one with the most
    layers, of transformers one with scored heads before others; None where there is none."""
    by = {kind: [d for d in digs if d.architecture == kind] for kind in ("cnn", "transformer", "mlp")}
    digits = [d for d in by["cnn"] if "mnist" in str(d.run.manifest.about.get("task"))]
    heads = sorted(by["transformer"], key=lambda d: "heads" not in d.dig.tables)
    deep = sorted((d for d in by["mlp"] if len(d.run.layers) >= DEEP), key=lambda d: -len(d.run.layers))
    first = {"cnn": digits, "transformer": heads, "mlp": deep}
    return {kind: next(iter(fitting), None) for kind, fitting in first.items()}


def cases(digs: Mapping[str, Dug | None]) -> list[Finding]:
    """Of each case: the place and why it was pointed at, and what its tables say; or that there is no such dig."""
    deep = phrase("a perceptron of {n} or more layers", n=Quantity(DEEP, "", "rule: a deep perceptron"))
    names = {"cnn": Phrase("a convolutional network on MNIST"), "transformer": Phrase("a transformer"), "mlp": deep}
    told: dict[str, Callable[[Dug], list[tuple[str, Phrase]]]] = {
        "cnn": lambda dug: [("features", _features(dug)), ("turnover", _turnover(dug)), ("classes", _classes(dug))],
        "transformer": lambda dug: [("attention", _attention(dug)), ("turnover", _turnover(dug))],
        "mlp": lambda dug: [("classes", _classes(dug)), ("turnover", _turnover(dug))],
    }
    made = []
    for kind, dug in digs.items():
        if dug is None:
            said = phrase("No dug target lies in {what}, so there is nothing to tell.", what=names[kind])
            made.append(finding(f"case/{kind}/none", said, source="digs/*/dig.json"))
            continue
        source = f"digs/{dug.dig.name}"
        parts = [("place", _place(dug)), ("cause", _cause(dug)), *told[kind](dug)]
        made += [finding(f"case/{kind}/{name}", said, source=source) for name, said in parts if said.text]
    return [fragment("summary/cases", _told(digs), "digs/*/dig.json"), *made]


def _told(digs: Mapping[str, Dug | None]) -> Phrase:
    """Which case studies there are, for the abstract; or that there is none."""
    names = {"cnn": "a convolutional network", "transformer": "a transformer", "mlp": "a deep perceptron"}
    there = [names[kind] for kind, dug in digs.items() if dug is not None]
    if not there:
        return Phrase("No dug target fits a case study.")
    studies, show = ("Case studies", "show") if len(there) > 1 else ("A case study", "shows")
    return phrase("{studies} of {there}, chosen by rule, {show} what lies at such moments.", studies=studies,
                  there=listed(there), show=show)  # fmt: skip


def _place(dug: Dug) -> Phrase:
    each = {
        role: listed(
            phrase("{s}", s=dug.quantity(step, "dig.json", f"{role}, {moment}")) for moment, step in at.items()
        )
        for role, at in dug.steps.items()
    }
    control = phrase("its control is at {at}", at=each["control"]) if "control" in each else Phrase("it has no control")
    return phrase(
        "The target is layer {layer} of {run}, rank {rank}, at steps {at} ({moments}); {control}.",
        run=dug.run.name, layer=dug.dig.target.layer, at=each["target"], control=control,
        moments=", ".join(dug.steps["target"]),
        rank=dug.quantity(dug.dig.target.rank, "dig.json", "rank"),
    )  # fmt: skip


def _cause(dug: Dug) -> Phrase:
    """What the swap test says: how much of what the samples gained the layer's weights carry, beside the other layers
    and the control."""
    rows = dug.dig.get("swap")
    rows = rows[(rows["window"] == "before to after") & (rows["kind"] == "layer")]
    mine = rows[rows["part"] == dug.dig.target.layer]
    if mine.empty:
        return Phrase("")
    own, best = mine.iloc[0], rows.loc[rows["share"].idxmax()]
    of = lambda row, key: dug.quantity(100 * row[key], "swap.parquet", f"{row['part']}, {key}", ".0f")  # noqa: E731
    rest = phrase("; of all layers {best} carries most ({share} %)", best=str(best["part"]), share=of(best, "share"))
    control = (
        phrase(", and {c} % at the control", c=of(own, "control")) if math.isfinite(own["control"]) else Phrase("")
    )
    return phrase(
        "With the weights that this layer had before put back into the network of after, {share} % of the movement "
        "of the {n} samples that moved is undone{control}{rest}.", share=of(own, "share"), control=control,
        n=dug.quantity(own["samples"], "swap.parquet", "samples"),
        rest=Phrase(", more than with any other layer") if best["part"] == own["part"] else rest,
    )  # fmt: skip


def _features(dug: Dug) -> Phrase:
    """Types of units at each moment, and whether edges gave way to textures more than at the control."""
    units, parts = dug.dig["units"], []
    for moment in dug.steps["target"]:
        mine = units[(units["role"] == "target") & (units["moment"] == moment)]
        counts = mine.loc[~mine["type"].isin(_UNTYPED), "type"].value_counts().sort_index()
        quantity = lambda value, what, at=moment: dug.quantity(value, "units.parquet", f"{at}, {what}")  # noqa: E731
        kinds = listed(phrase("{n} {kind}", n=quantity(n, kind), kind=str(kind)) for kind, n in counts.items())
        parts.append(phrase("{typed} of {all} {moment}{kinds}", typed=quantity(counts.sum(), "typed"), moment=moment,
                            all=quantity(len(mine), "units"),
                            kinds=phrase(" ({k})", k=kinds) if len(counts) else Phrase("")))  # fmt: skip
    return joined([phrase("Units with a feature type: {parts}.", parts=listed(parts)), _textures(dug, units)])


def _textures(dug: Dug, units: pd.DataFrame) -> Phrase:
    def count(pattern: str, role: str, moment: str) -> int:
        mine = units[(units["role"] == role) & (units["moment"] == moment)]
        return int(mine["type"].str.contains(pattern, regex=True).sum())

    gain = {role: count(_TEXTURE, role, "after") - count(_TEXTURE, role, "before") for role in dug.steps}
    if count(_EDGE, "target", "before") == 0 or gain["target"] <= max(gain.get("control", 0), 0):
        return Phrase("The expected passage from edges to textures is not there.")
    ends = {
        m: dug.quantity(count(_TEXTURE, "target", m), "units.parquet", f"{m}, texture") for m in ("before", "after")
    }
    return phrase("Edges are there before, and units for textures go from {before} to {after}, more than at the "
                  "control.", **ends)  # fmt: skip


def _ends(dug: Dug, table: str, column: str, form: str) -> tuple[Phrase, dict[str, float]]:
    """ "0.10 to 0.20 at the target and 0.10 to 0.11 at the control", and the change of each role; the greatest value
    where a moment has several rows."""
    rows, parts, change = dug.dig[table], [], {}
    for role in dug.steps:
        ends = [float(rows[(rows["role"] == role) & (rows["moment"] == m)][column].max()) for m in ("before", "after")]
        if all(map(math.isfinite, ends)):
            change[role] = ends[1] - ends[0]
            a, b = (dug.quantity(v, f"{table}.parquet", f"{role}, {column}", form) for v in ends)
            parts.append(phrase("{a} to {b} at the {role}", a=a, b=b, role=role))
    return listed(parts) if parts else Phrase(""), change


def _turnover(dug: Dug) -> Phrase:
    rows = dug.dig["moments"]
    shares = {role: rows[(rows["role"] == role) & (rows["moment"] == "after")]["turnover"].max() for role in dug.steps}
    parts = [
        phrase("{share} % at the {role}", role=role,
               share=dug.quantity(100 * v, "moments.parquet", f"{role}, turnover", ".0f"))
        for role, v in shares.items() if math.isfinite(v)
    ]  # fmt: skip
    return phrase("{what}: {parts}.", what=label("turnover").capitalize(), parts=listed(parts)) if parts else Phrase("")


def _classes(dug: Dug) -> Phrase:
    """Whether activations group more by class over the jump than over the control window."""
    found = {name: _ends(dug, "moments", name, ".2f") for name in ("silhouette", "probe_accuracy")}
    parts = [
        phrase("the {what} goes from {ends}", what=label(n), ends=ends) for n, (ends, _) in found.items() if ends.text
    ]
    if not parts:
        return Phrase("Whether activations group by class could not be measured.")
    rise = found["silhouette"][1]
    more = rise.get("target", 0.0) > max(rise.get("control", 0.0), 0.0)
    head = "Activations group more by class over the jump than over the control window"
    last = f"{head}; one target is no test." if more else head.replace("group more", "do not group more") + "."
    said = joined([phrase("{parts}.", parts=listed(parts)), Phrase(last)])
    return Phrase(said.text[0].upper() + said.text[1:], said.quantities)


def _attention(dug: Dug) -> Phrase:
    """The greatest score of each kind of head before and after, and whether one passes the score that has a name."""
    # Here, since the verbs that print findings need nothing of what digs.
    from geophone.record.heads import LEAST

    if "heads" not in dug.dig.tables:
        return _unscored(dug)
    heads, grown, parts = dug.dig["heads"], [], []
    for column, words in _HEADS.items():
        ends, _ = _ends(dug, "heads", column, ".2f")
        parts += [phrase("{words} {ends}", words=words, ends=ends)] if ends.text else []
        best = {
            m: heads[(heads["role"] == "target") & (heads["moment"] == m)][column].max() for m in ("before", "after")
        }
        grown += [words] if best["after"] >= LEAST > best["before"] else []
    least = Quantity(LEAST, ".1f", "least score of a head that has a type")
    last = phrase("Within the window a head passes {least}, the least score that has a name, in {grown}.", least=least,
                  grown=listed(grown))  # fmt: skip
    if not grown:
        last = phrase("No head passes {least}, the least score that has a name: no pattern of attention crystallises "
                      "here.", least=least)  # fmt: skip
    head = phrase("On repeated random tokens the greatest score of any head goes, before to after: {parts}.",
                  parts=listed(parts, last="; "))  # fmt: skip
    return joined([head, last])


def _unscored(dug: Dug) -> Phrase:
    """Why heads have no scores. A dig does not keep the reason; of the zoo's own networks, whose attention is known, it
    can be but one."""
    experiment = dug.run.manifest.about.get("experiment")
    wanted = "Its heads have no scores: those want tokens with an answer at every position"
    if experiment is not None and ":" not in str(experiment):
        return Phrase(f"{wanted}, which it is not given.")
    return Phrase(f"{wanted}, and attention whose weights can be read here; of these something lacks.")
