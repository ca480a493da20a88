"""What the benchmark on events of known time says: does the ranker point to the right moment, layer and samples."""

import math
from collections.abc import Mapping

import pandas as pd

from geophone.findings.finding import Finding, Phrase, Quantity, counted, finding, phrase
from geophone.prove.choice import DIMENSIONS
from geophone.prove.evaluate import BEST, CEILING
from geophone.prove.tables import GROUPS, POOLED, RANKER

_VERDICTS = {"better": "met", "worse": "not met", "no better": "undecided"}
_CLAIM = "the ranker finds more of what is learned than the best rival"
_ANSWERS = {
    "better": "it finds more than they do",
    "worse": "it finds fewer than they do",
    "no better": "it could not be shown to find more than they do",
}


def proving(tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """The primary answer first, then ceiling and rivals, other runs, groups and testbeds, layers, samples, lists of the
    ranker's own length, shocks and false alarms."""
    scores, row = _Scores(tables["methods"]), tables["verdict"].iloc[0]
    beds = [bed for bed in dict.fromkeys(tables["methods"]["bed"]) if bed not in (POOLED, "behaviour")]
    made = [_answer(row, scores), _rivals(scores), _usual(scores), *(_bed(scores, bed) for bed in beds)]
    made += _layers(tables["layers"])
    return [*made, *_samples(scores), _list(scores), *_shocks(scores), *_alarms(tables["nuisances"])]


class _Scores:
    """The numbers of methods.csv by testbed (or group) and method."""

    source = "methods.csv of the benchmark"

    def __init__(self, methods: pd.DataFrame) -> None:
        self._rows = methods.set_index(["bed", "method"])

    def value(self, bed: str, method: str, column: str = "recall") -> float:
        return float(self._rows.loc[(bed, method), column])

    def of(self, bed: str, method: str, column: str, form: str = ".2f") -> Quantity:
        source = f"{self.source}, bed={bed}, method={method}: {column}"
        return Quantity(self.value(bed, method, column), form, source)

    def interval(self, bed: str, method: str, endpoint: str = "recall") -> Phrase:
        low, high = ("low", "high") if endpoint == "recall" else (f"{endpoint}_low", f"{endpoint}_high")
        ends = {"value": endpoint, "low": low, "high": high}
        return phrase("{value} [{low}, {high}]", **{key: self.of(bed, method, name) for key, name in ends.items()})


def _answer(row: pd.Series, scores: _Scores) -> Finding:
    ends = {key: Quantity(float(row[key]), "+.2f", "verdict.csv of the benchmark")
            for key in ("difference", "low", "high")}  # fmt: skip
    said = phrase(
        "On {runs} of testbeds whose events have times of their own in every run, the ranker finds {net} of the events "
        "with one moment per event, beyond what the moments of another run find. The signals that a researcher already "
        "has (losses, norms, behaviour and similarity of representations among them), joined as was best for each kind "
        "of event, find {best}: {answer} (difference {difference} [{low}, {high}]).",
        runs=counted(scores.of(POOLED, RANKER, "runs", ""), "fresh run"), net=scores.interval(POOLED, RANKER, "net"),
        best=scores.interval(POOLED, BEST, "net"), answer=_ANSWERS[str(row["answer"])], **ends,
    )  # fmt: skip
    return finding(
        "prove/answer", said, value=ends["difference"].value, low=ends["low"].value, high=ends["high"].value, null=0.0,
        source="verdict.csv of the benchmark", n=int(row["runs"]), claim=_CLAIM, verdict=_VERDICTS[str(row["answer"])],
    )  # fmt: skip


def _rivals(scores: _Scores) -> Finding:
    said = phrase(
        "Recall there is {ranker} by the ranker, {best} by the best rival, {dimensions} by dimensions alone and "
        "{random} by random moments; the slopes of the clocks themselves, a ceiling, find {ceiling}.",
        ranker=scores.interval(POOLED, RANKER), best=scores.interval(POOLED, BEST),
        dimensions=scores.interval(POOLED, DIMENSIONS), random=scores.of(POOLED, "random", "recall"),
        ceiling=scores.interval(POOLED, CEILING),
    )  # fmt: skip
    return finding("prove/rivals", said, source=scores.source)


def _usual(scores: _Scores) -> Finding:
    other = scores.of(POOLED, RANKER, "other")
    said = phrase(
        "The moments of another run of the same testbed find {other} of the events, where chance is {chance}: so much "
        "is the usual course of such a training and not this run.",
        other=other, chance=scores.of(POOLED, RANKER, "chance"),
    )  # fmt: skip
    return finding("prove/usual", said, value=other.value, source=scores.source)


def _bed(scores: _Scores, bed: str) -> Finding:
    said = phrase(
        "{bed}: the ranker finds {recall}, the best rival {best}, chance {chance}, another run's moments {other} "
        "({runs}).",
        bed=f"testbeds, {bed}" if bed in GROUPS else bed.replace("_", " "), recall=scores.interval(bed, RANKER),
        best=scores.interval(bed, BEST), chance=scores.of(bed, RANKER, "chance"), other=scores.of(bed, RANKER, "other"),
        runs=counted(scores.of(bed, RANKER, "runs", ""), "run"),
    )  # fmt: skip
    numbers = {
        key: scores.value(bed, RANKER, name) for key, name in (("value", "recall"), ("low", "low"), ("high", "high"))
    }
    return finding(
        f"prove/bed/{bed}", said, **numbers, null=scores.value(bed, RANKER, "chance"), source=scores.source,
        n=int(scores.value(bed, RANKER, "runs")),
    )  # fmt: skip


def _layers(layers: pd.DataFrame) -> list[Finding]:
    rows = layers[layers["bed"] == "all"].set_index("way")
    if "method" not in rows.index:
        return []
    source = "layers.csv of the benchmark, bed=all"
    own = ["method", "one layer", "swap test"]
    best = str(rows.drop(index=own, errors="ignore")["found"].idxmax())

    def of(way: str, column: str = "found") -> Quantity:
        return Quantity(float(rows.loc[way, column]), ".2f", f"{source}, way={way}: {column}")

    said = phrase(
        "Where the layer of an event is known, the ranker names it at {own} [{low}, {high}] of its hits; the best "
        "single layer signal ({name}) at {best}, always one layer at {one}.{swap}",
        own=of("method"), low=of("method", "found_low"), high=of("method", "found_high"), name=best.replace("_", " "),
        best=of(best), one=of("one layer"), swap=_swap(rows, source),
    )  # fmt: skip
    ends = {"value": "found", "low": "found_low", "high": "found_high"}
    numbers = {key: of("method", column).value for key, column in ends.items()}
    return [finding("prove/layers", said, **numbers, null=of("one layer").value, source=source)]


def _swap(rows: pd.DataFrame, source: str) -> Phrase:
    if "swap test" not in rows.index:
        return Phrase("")
    value = Quantity(float(rows.loc["swap test", "found"]), ".2f", f"{source}, way=swap test: found")
    return phrase(" With the weights of before and after, the swap test names {value}.", value=value)


def _samples(scores: _Scores) -> list[Finding]:
    value = scores.value(POOLED, RANKER, "sample_auc")
    if math.isnan(value):
        return []
    said = phrase("The samples that moved most are the event’s own: area under the ROC curve {area}.",
                  area=scores.interval(POOLED, RANKER, "sample_auc"))  # fmt: skip
    return [finding("prove/samples", said, value=value, null=0.5, source=scores.source)]


def _list(scores: _Scores) -> Finding:
    said = phrase(
        "Where nobody says how many events there are, the ranker’s own list has F1 {f1} (precision {precision}, recall "
        "{found}), the rival’s {rival}.",
        f1=scores.interval(POOLED, RANKER, "f1"), precision=scores.of(POOLED, RANKER, "precision"),
        found=scores.of(POOLED, RANKER, "found"), rival=scores.interval(POOLED, BEST, "f1"),
    )  # fmt: skip
    return finding("prove/list", said, value=scores.value(POOLED, RANKER, "f1"), source=scores.source)


def _shocks(scores: _Scores) -> list[Finding]:
    value = scores.value(POOLED, RANKER, "shocked")
    if math.isnan(value):
        return []
    said = phrase(
        "Where data or objective are changed on the way, {own} of the ranker’s first moments lie at the change instead "
        "of at what is learned after it, {rival} of the rival’s.",
        own=scores.of(POOLED, RANKER, "shocked"), rival=scores.of(POOLED, BEST, "shocked"),
    )  # fmt: skip
    return [finding("prove/shocks", said, value=value, source=scores.source)]


def _alarms(nuisances: pd.DataFrame) -> list[Finding]:
    made = []
    for (nuisance, method), row in nuisances.set_index(["nuisance", "method"]).iterrows():
        if method != RANKER or not row["runs"]:
            continue
        source = f"nuisances.csv of the benchmark, nuisance={nuisance}, method={method}"
        said = phrase(
            "{nuisance}: the change is among the first {three} moments of the ranker in {alarm} % of {runs}, the same "
            "place in {plain} % of undisturbed twins.",
            nuisance=str(nuisance), three=Quantity(3, "", "rule"), alarm=Quantity(100 * row["alarm"], ".0f", source),
            runs=counted(Quantity(row["runs"], "", source), "run"), plain=Quantity(100 * row["plain"], ".0f", source),
        )  # fmt: skip
        made.append(finding(f"prove/nuisance/{nuisance}", said, value=float(row["alarm"]), source=source))
    return made


def recall_rows(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Recall by testbed, of the ranker, the best rival, dimensions alone and random moments: bed, method, recall, low,
    high; the primary testbeds together last."""
    methods = tables["methods"]
    names = {RANKER: "geophone", BEST: "best rival", DIMENSIONS: "dimensions alone", "random": "random moments"}
    rows = methods[methods["method"].isin(names) & ~methods["bed"].isin((*GROUPS, "behaviour"))]
    rows = rows.assign(method=pd.Categorical(rows["method"].map(names), list(names.values()), ordered=True))
    rows = rows.assign(last=rows["bed"] == POOLED).sort_values(["last", "method"], kind="stable")
    columns = rows[["bed", "method", "recall", "low", "high"]]
    return columns.assign(bed=columns["bed"].str.replace("_", " "), method=columns["method"].astype(str))
