"""What the benchmark on events of known time says: does the score point to the right moment."""

from collections.abc import Mapping

import pandas as pd

from geophone.findings.finding import Finding, Phrase, Quantity, counted, finding, listed, phrase, quoted
from geophone.prove.choice import DIMENSIONS_ONLY, GEOPHONE, WITHOUT_SCALARS
from geophone.prove.evaluate import CAUSAL, OFFLINE
from geophone.prove.tables import AIM_GAIN, AIM_GAIN_BEDS, AIM_RECALL, AIM_RECALL_BEDS, POOLED

_VERDICTS = {"better": "met", "worse": "not met", "no better": "undecided"}
_CLAIM = "the score finds more events than the best rival"


def proving(tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """The primary answer first, then rivals, other runs, each testbed, the causal track, false alarms and the aims."""
    methods, row = tables["methods"], tables["verdict"].iloc[0]
    scores, rival = _Scores(methods, OFFLINE), str(row["rival"])
    beds = [bed for bed in dict.fromkeys(methods["bed"]) if bed != POOLED]
    made = [
        _answer(row, scores, rival),
        _rivals(scores),
        finding("prove/usual", phrase(
            "The moments of another run of the same testbed find {other} of the events: so much is the usual course of "
            "such a training and not this run.", other=scores.of(POOLED, GEOPHONE, "other_run"),
        ), value=float(scores.row(POOLED, GEOPHONE)["other_run"]), source=scores.source),
        *(_bed(scores, bed, rival) for bed in beds),
        finding("prove/causal", phrase(
            "From the past alone the score finds {recall}.", recall=_Scores(methods, CAUSAL).recall(POOLED, GEOPHONE)
        ), source=scores.source),
    ]  # fmt: skip
    return [*made, *_alarms(tables["nuisances"]), _aims(row)]


class _Scores:
    """Recall by testbed and method, in one track."""

    def __init__(self, methods: pd.DataFrame, track: str) -> None:
        self.source = f"methods.csv of the benchmark, track={track}"
        self._rows = methods[methods["track"] == track].set_index(["bed", "method"])

    def row(self, bed: str, method: str) -> pd.Series:
        return self._rows.loc[(bed, method)]

    def of(self, bed: str, method: str, column: str, form: str = ".2f") -> Quantity:
        source = f"{self.source}, bed={bed}, method={method}: {column}"
        return Quantity(float(self.row(bed, method)[column]), form, source)

    def recall(self, bed: str, method: str) -> Phrase:
        ends = {key: self.of(bed, method, key) for key in ("recall", "low", "high")}
        return phrase("{recall} [{low}, {high}]", **ends)


def _answer(row: pd.Series, scores: _Scores, rival: str) -> Finding:
    value, low, high = (float(row[f"difference_{key}"]) for key in ("mean", "low", "high"))
    answer = {
        "better": "it finds more than they do", "worse": "it finds fewer than they do",
        "no better": "it could not be shown to find more than they do",
    }[str(row["answer"])]  # fmt: skip
    said = phrase(
        "On {runs} of testbeds whose events are clocked without any dimension, the score finds {recall} of the events "
        "with one moment per event; random moments find {chance}. The signals that a researcher already has (loss, "
        "gradient norm and similarity of representations among them), joined as well as could be, find {best}: "
        "{answer} (difference {value} [{low}, {high}]).",
        runs=counted(scores.of(POOLED, GEOPHONE, "runs", ""), "fresh run"), recall=scores.recall(POOLED, GEOPHONE),
        chance=scores.of(POOLED, "random", "recall"), best=scores.recall(POOLED, rival), answer=answer,
        **{key: Quantity(float(row[f"difference_{name}"]), "+.2f", "verdict.csv of the benchmark")
           for key, name in (("value", "mean"), ("low", "low"), ("high", "high"))},
    )  # fmt: skip
    return finding(
        "prove/answer", said, value=value, low=low, high=high, null=0.0, source="verdict.csv of the benchmark",
        n=int(scores.row(POOLED, GEOPHONE)["runs"]), claim=_CLAIM, verdict=_VERDICTS[str(row["answer"])],
    )  # fmt: skip


def _rivals(scores: _Scores) -> Finding:
    names = {DIMENSIONS_ONLY: "dimensions alone", "turn4": "1 − CKA", "weight_norm": "the weight norm"}
    each = listed(
        phrase("{name} {recall}", name=name, recall=scores.recall(POOLED, key)) for key, name in names.items()
    )
    said = phrase("Without losses and norms the score finds {own}; by themselves find {each}.",
                  own=scores.recall(POOLED, WITHOUT_SCALARS), each=each)  # fmt: skip
    return finding("prove/rivals", said, source=scores.source)


def _bed(scores: _Scores, bed: str, rival: str) -> Finding:
    row = scores.row(bed, GEOPHONE)
    said = phrase(
        "{bed}: the score finds {recall}, the best rival {best}, chance {chance} ({runs}).", bed=bed.replace("_", " "),
        recall=scores.recall(bed, GEOPHONE), best=scores.recall(bed, rival), chance=scores.of(bed, GEOPHONE, "chance"),
        runs=counted(scores.of(bed, GEOPHONE, "runs", ""), "run"),
    )  # fmt: skip
    return finding(
        f"prove/bed/{bed}", said, value=float(row["recall"]), low=float(row["low"]), high=float(row["high"]),
        null=float(row["chance"]), n=int(row["runs"]), source=scores.source,
    )  # fmt: skip


def _alarms(nuisances: pd.DataFrame) -> list[Finding]:
    rates, made = nuisances.set_index(["nuisance", "method"]), []
    for nuisance in dict.fromkeys(nuisances["nuisance"]):
        source = f"nuisances.csv of the benchmark, nuisance={nuisance}"
        share = lambda method: Quantity(100 * float(rates.loc[(nuisance, method), "alarm"]), ".0f", source)  # noqa: B023, E731
        runs = Quantity(float(rates.loc[(nuisance, GEOPHONE), "runs"]), "", source)
        if runs.value:
            said = phrase(
                "Under the nuisance {nuisance} the change is among the first {three} moments in {ours} % of {runs} by "
                "the score, in {dimensions} % by dimensions alone.", nuisance=nuisance, three=Quantity(3, "", "rule"),
                ours=share(GEOPHONE), runs=counted(runs, "run"), dimensions=share(DIMENSIONS_ONLY),
            )  # fmt: skip
            made.append(finding(f"prove/nuisance/{nuisance}", said, value=share(GEOPHONE).value / 100, source=source))
    return made


def _aims(row: pd.Series) -> Finding:
    aims = ((f"a recall of {AIM_RECALL} on {AIM_RECALL_BEDS} testbeds", "reached"),
            (f"a gain of {AIM_GAIN} on the best rival on {AIM_GAIN_BEDS}", "gained"))  # fmt: skip
    parts = [
        phrase("{aim}: reached on {count} ({names})", aim=quoted(aim, "what was aimed at"), names=listed(names),
               count=Quantity(len(names), "", "verdict.csv of the benchmark"))
        for aim, key in aims for names in [str(row[key]).split() if isinstance(row[key], str) else []]
    ]  # fmt: skip
    return finding("prove/aims", phrase("What was aimed at: {parts}.", parts=listed(parts, last="; ")),
                   source="verdict.csv of the benchmark")  # fmt: skip


def recall_rows(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Recall by testbed, of the score, the best rival, dimensions alone and random moments: bed, method, recall, low,
    high; the main testbeds together last."""
    methods = tables["methods"]
    names = {GEOPHONE: "geophone", str(tables["verdict"].iloc[0]["rival"]): "best rival",
             DIMENSIONS_ONLY: "dimensions alone", "random": "random moments"}  # fmt: skip
    rows = methods[(methods["track"] == OFFLINE) & methods["method"].isin(names)]
    rows = rows.assign(method=pd.Categorical(rows["method"].map(names), list(names.values()), ordered=True))
    rows = rows.assign(last=rows["bed"] == POOLED).sort_values(["last", "method"], kind="stable")
    columns = rows[["bed", "method", "recall", "low", "high"]]
    return columns.assign(bed=columns["bed"].str.replace("_", " "), method=columns["method"].astype(str))
