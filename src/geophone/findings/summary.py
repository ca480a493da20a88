"""What the findings come to: the abstract's three, one sentence each, and what they mean, chosen by their verdicts."""

from collections.abc import Mapping

from geophone.findings.finding import Finding, Phrase, Quantity, counted, finding, fragment, joined, listed, phrase
from geophone.findings.number import STATISTICS, Number
from geophone.findings.questions import CHANGES, passing, subject
from geophone.findings.setting import early
from geophone.findings.tables import Tables

CLAIMS = {
    "diversity/pearson": "that larger jumps bring more new feature types",
    "selectivity/did": "that selectivity rises over a jump",
    "depth/in-sample": "that dimensionality predicts compositional depth",
}
_ANSWERS = {
    "met": "supports", "not met": "speaks against", "undecided": "leaves undecided",
    "untested": "has too few data to test",
}  # fmt: skip


def summary(tables: Tables, made: Mapping[str, Finding]) -> list[Finding]:
    """The abstract's three findings and the sentences of discussion and conclusion; `made` are the findings by id. None
    where what they sum up is not there."""
    if not {*CLAIMS, "order/calibrated", "recovery", "jumps/calibrated", "jumps/naive"} <= set(made):
        return []
    return [
        finding("summary/abstract", _abstract(made, tables), source=f"{STATISTICS}, criteria"),
        fragment("summary/order", _order(made), "order/calibrated"),
        fragment("summary/features", _features(made, tables), "diversity/pearson"),
        fragment("summary/periods", _periods(made), "recovery"),
        fragment("summary/change", _change(tables), f"{STATISTICS}, {CHANGES}"),
        finding(
            "summary/moments",
            phrase("At the moments pointed at, {change}.", change=_change(tables)),
            source=f"{STATISTICS}, {CHANGES}",
        ),
        finding("summary/answers", _answers(made), source=f"{STATISTICS}, criteria"),
        finding("summary/jumps", _jumps(made), source="jumps/calibrated"),
        *_clocks(made),
        finding("summary/claims", _claims(made), source=f"{STATISTICS}, criteria"),
    ]


def _abstract(made: Mapping[str, Finding], tables: Tables) -> Phrase:
    """The three findings in one sentence, whatever they are."""
    networks, measurements = (
        Phrase(made[name].sentence, made[name].quantities) for name in ("study/networks", "study/measurements")
    )
    return phrase(
        "Across {networks} and {measurements} measurements, we find: (i) {order}; (ii) {features}; (iii) {periods}.",
        networks=networks, measurements=measurements, order=_order(made), features=_features(made, tables),
        periods=_periods(made),
    )  # fmt: skip


def _order(made: Mapping[str, Finding]) -> Phrase:
    one = made["order/calibrated"]
    if one.verdict == "untested":
        return Phrase("in no run do enough layers settle before training ends to have an order")
    up, total, *_ = one.quantities
    verdict = {
        "met": "the expectation that most runs do so is borne out",
        "not met": "the expectation that most runs do so is not borne out",
        "undecided": "whether most runs do so is undecided",
    }[one.verdict]  # fmt: skip
    chance = Quantity(one.null * one.n, ".1f", "phenomena/order_tests.parquet, mode=calibrated: expected_bottom_up")
    return phrase(
        "layers converge bottom-up in {up} of {total}, where chance alone gives {chance}; {verdict}", up=up,
        total=counted(total, "run with an order", "runs with an order"), chance=chance, verdict=verdict,
    )  # fmt: skip


def _features(made: Mapping[str, Finding], tables: Tables) -> Phrase:
    one, number = made["diversity/pearson"], tables.number("diversity/pearson")
    what = "the emergence of new feature types"
    head = {
        "met": f"dimensionality jumps correlate strongly with {what}",
        "not met": f"dimensionality jumps do not correlate strongly with {what}",
        "undecided": f"whether dimensionality jumps correlate strongly with {what} is undecided",
        "untested": f"whether dimensionality jumps correlate with {what} could not be tested",
    }[one.verdict]  # fmt: skip
    figures = phrase(" (r = {r})", r=number.interval()) if number.ok else Phrase("")
    return phrase("{head}{figures}", head=head, figures=figures)


def _periods(made: Mapping[str, Finding]) -> Phrase:
    one = made["recovery"]
    head = {
        "met": "periods of rapid change are vulnerable to disruption",
        "not met": "disruption does less lasting harm during a jump than at its control",
        "undecided": "disruption during a jump could not be shown to do more lasting harm than at its control",
        "untested": "whether periods of rapid change are vulnerable to disruption was not tested",
    }[one.verdict]  # fmt: skip
    if one.verdict == "untested":
        return Phrase(head)
    ends = [Quantity(v, "+.1f", one.source) for v in (one.value, one.low, one.high)]
    figures = phrase("{v} [{low}, {high}] points of accuracy", v=ends[0], low=ends[1], high=ends[2])
    return phrase("{head} ({figures})", head=head, figures=figures)


def _change(tables: Tables) -> Phrase:
    """The strongest change of the units themselves beyond the controls, or that there is none. What a layer's ablation
    costs is left out: of a network that is still at chance it costs nothing."""
    shown, tested = passing(tables, CHANGES)
    shown = [number for number in shown if number.id != "change/ablation_impact"]
    if not tested:
        return Phrase("what changes in a layer’s units beyond the controls could not be tested")
    if not shown:
        return Phrase("no measured change of a layer’s units goes beyond that of its control")
    best: Number = shown[0]
    caveat, verb = early(tables), "rises" if best.value > 0 else "falls"
    more = phrase("; but {caveat}, their controls later", caveat=caveat) if caveat.text else Phrase("")
    return phrase("the {what} {verb} beyond the controls (by {by}){more}", verb=verb,
                  what=subject(best.id), by=best.interval("+.2f"), more=more)  # fmt: skip


def _answers(made: Mapping[str, Finding]) -> Phrase:
    groups: dict[str, list[str]] = {}
    for name, claim in CLAIMS.items():
        groups.setdefault(made[name].verdict, []).append(claim)
    parts = [
        f"{_ANSWERS[verdict]} the claim{'s' * (len(groups[verdict]) > 1)} {listed(groups[verdict])}"
        for verdict in _ANSWERS
        if verdict in groups
    ]
    return Phrase(f"In the calibrated forms the study {listed(parts)}.")


def _jumps(made: Mapping[str, Finding]) -> Phrase:
    said = {
        "met": "There are more jumps than noise makes, so there is something to point at.",
        "not met": "There are fewer jumps than noise makes: the detector is stricter here than its null and finds "
        "little.",
        "undecided": "The number of jumps could not be told from that of the null: at this resolution representations "
        "drift more than they jump, and a count of jumps is no evidence of reorganisation.",
        "untested": "Whether there are more jumps than noise makes could not be tested.",
        "": "Whether there are more jumps than noise makes was not tested.",
    }[made["jumps/calibrated"].verdict]  # fmt: skip
    met = any(made[name].verdict == "met" for name in CLAIMS)
    last = (
        "Dimensionality can guide where to look, within the limits named below."
        if met
        else "Dimensionality alone should not decide where to look; its targets are candidates, to be read "
        "beside their controls."
    )
    return joined([Phrase(said), Phrase(last)])


def _claims(made: Mapping[str, Finding]) -> Phrase:
    met = [claim for name, claim in CLAIMS.items() if made[name].verdict == "met"]
    if met:
        return Phrase(f"This study supports the claim{'s' * (len(met) > 1)} {listed(met)}.")
    if all(made[name].verdict == "untested" for name in CLAIMS):
        return Phrase("There were too few data to test any of the three founding claims in its calibrated form.")
    return Phrase("None of the three founding claims passed its calibrated criterion in this study.")


def _clocks(made: Mapping[str, Finding]) -> list[Finding]:
    """What the benchmark on events of known time adds; none without one."""
    if "prove/answer" not in made:
        return []
    rival = "the best combination of the signals that a researcher already has"
    said = {
        "met": f"On testbeds whose events are clocked, the score points better than {rival}.",
        "not met": f"On testbeds whose events are clocked, {rival} points better than the score, which adds to these "
        "signals and does not replace them.",
        "undecided": "On testbeds whose events are clocked, the score could not be shown to point better than "
        f"{rival}.",
    }[made["prove/answer"].verdict]  # fmt: skip
    return [finding("summary/clocks", Phrase(said), source="prove/answer")]
