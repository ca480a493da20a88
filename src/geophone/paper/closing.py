"""What the paper concludes: sentences chosen by the verdicts."""

from geophone.paper import front, words
from geophone.paper import ground as proving
from geophone.paper.markup import Prose, meant
from geophone.paper.source import Source, listed

QUESTIONS = {
    "diversity/pearson": "the claim that larger jumps bring more new feature types",
    "selectivity/did": "the claim that selectivity rises over a jump",
    "depth/in-sample": "the claim that dimensionality predicts compositional depth",
}
_SAID = {
    "met": "supports", "not met": "speaks against", "undecided": "leaves undecided",
    "untested": "has too few data to test",
}  # fmt: skip


def reading(source: Source) -> Prose:
    """What the answers mean for someone who wants to know where to dig."""
    n = source.numbers
    groups: dict[str, list[str]] = {}
    for name, claim in QUESTIONS.items():
        groups.setdefault(words.answer(n, name), []).append(claim)
    parts = [f"{verb} {listed(groups[answer])}" for answer, verb in _SAID.items() if answer in groups]
    first = f"By the calibrated forms this study {listed(parts)}."
    beyond = words.side(
        n["jumps/calibrated"], float(n.fact("alpha")),
        "There are more jumps than noise makes, so there is something to point at.",
        "There are fewer jumps than noise makes: the detector is stricter here than its null, and finds little.",
        "The number of jumps could not be told from that of the null: at this resolution representations "
        "drift more than they jump, and a count of jumps is no evidence of reorganisation."
        if n["jumps/calibrated"].ok
        else "Whether there are more jumps than noise makes could not be tested.",
    )  # fmt: skip
    change = front.change_found(source)
    last = (
        "Dimensionality alone should not decide where to look; its targets are candidates, to be read beside their "
        "controls."
        if front.weak(source)
        else "Dimensionality can guide where to look, within the limits named below."
    )
    return Prose(f"{first} {beyond} Of what was measured at the moments themselves: {change}. {last}")


def proving_meaning(source: Source) -> Prose:
    """What the proving ground adds; empty without one."""
    if source.prove is None:
        return Prose("")
    said = {
        "better": "On events of known time the instrument points better than what a researcher already has at hand.",
        "worse": "On events of known time the best combination of what a researcher already has points better than the "
        " instrument; it adds to these signals and does not replace them.",
        "no better": "On events of known time the instrument could not be shown to point better than what a researcher "
        "already has.",
    }  # fmt: skip
    return Prose(f"*The proving ground.* {said[_answer(source)]}")


def proving_short(source: Source) -> Prose:
    """One sentence for the abstract."""
    if source.prove is None:
        return Prose("")
    said = {"better": "more events than", "worse": "fewer events than", "no better": "no more events than"}
    rival = "the best combination of loss, gradient norm and similarity"
    return Prose(f"On testbeds with clocked events the instrument finds {said[_answer(source)]} {rival}.")


def conclusion(source: Source) -> Prose:
    """The last paragraph."""
    n = source.numbers
    met = [claim for name, claim in QUESTIONS.items() if words.answer(n, name) == "met"]
    found = (
        f"In this study it supports {listed(met)}."
        if met
        else "In this study none of the three founding claims passed its calibrated criterion."
        if any(words.answer(n, name) != "untested" for name in QUESTIONS)
        else "In this study there were too few data to test any of the three founding claims in its calibrated form."
    )
    again = Prose(f"study {meant(source.name)}")
    return Prose(
        "A measurement that costs one forward pass every few steps can be recorded for every layer of every run, held "
        "against "
        f"nulls, and checked at the level of features by one command. {found} What it offers is infrastructure: it "
        "makes "
        "claims about when representations change cheap to state and cheap to refute. The instrument, the "
        f"networks and every table behind this paper ({again}) are open, and the paper is built from them."
    )


def _answer(source: Source) -> str:
    return str(proving.tables(source.prove)["verdict"].iloc[0]["answer"]) if source.prove else ""
