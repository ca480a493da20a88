"""Findings in lines for a terminal or a plain page: headings, and under them the sentences."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from geophone.findings.finding import Quantity, counted, listed, phrase
from geophone.findings.number import STATISTICS
from geophone.findings.proving import proving
from geophone.findings.questions import ASKED, BESIDE, FORMS, questions
from geophone.findings.tables import Tables


def evidence_lines(statistics: Mapping[str, Any]) -> list[str]:
    """What statistics.json says: what was dug, the three questions with both forms and what stands beside them, what
    else changes, what holds where, and what could have been seen."""
    made = {each.id: each.sentence for each in questions(Tables("", pd.DataFrame(), statistics=statistics))}
    study = statistics["study"]
    lines = [_dug(study), *(f"Note: {note}" for note in study["notes"])]
    for question, asked in ASKED.items():
        beside = [f"beside/{name}" for name, (of, *_) in BESIDE.items() if of == question]
        lines += ["", asked, *(f"  {made[name]}" for name in (*FORMS[question][:2], *beside))]
    rest = ("changes", "correlations", "architectures/universal", "architectures/specific", "architectures/open")
    return [*lines, "", *(made[name] for name in rest), "", made["smallest"]]


def _dug(study: Mapping[str, Any]) -> str:
    count = lambda value, noun: counted(Quantity(float(value), "", f"{STATISTICS}, study"), noun)  # noqa: E731
    kinds = listed(f"{n} {kind}" for kind, n in study["runs_by_architecture"].items())
    return phrase(
        "{dug} dug in {runs} ({kinds}); {pairs} with a control. Dimension: {dimension}; pointed at by: {modes}.",
        dug=count(study["targets_dug"], "target"), runs=count(study["runs"], "run"), kinds=kinds,
        pairs=str(study["pairs"]), dimension=study["dimension"].replace("_", " "), modes=listed(study["modes"]),
    ).text  # fmt: skip


def benchmark_lines(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What the tables of `geophone prove` say, the primary answer first."""
    return [each.sentence for each in proving(tables)]
