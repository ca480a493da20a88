"""Everything that a study says, by id, in the order in which it is told."""

from collections.abc import Mapping

import pandas as pd

from geophone.findings.cases import cases, chosen, dug_targets
from geophone.findings.finding import Finding
from geophone.findings.phenomena import phenomena
from geophone.findings.questions import questions
from geophone.findings.recovery import recovery
from geophone.findings.setting import limitations, setting
from geophone.findings.summary import summary
from geophone.findings.tables import Tables, tables_of
from geophone.findings.windows import windows
from geophone.store.study import Study


def study_findings(study: Study, benchmark: Mapping[str, pd.DataFrame] | None = None) -> dict[str, Finding]:
    """The findings of `study` by id; `benchmark` are the tables of a `geophone prove` (`prove.read_tables`), told
    beside them. Those whose stage has not run are not among them; what is there and damaged raises StoreError."""
    return findings_of(tables_of(study), benchmark) | {f.id: f for f in cases(chosen(dug_targets(study)))}


def findings_of(tables: Tables, benchmark: Mapping[str, pd.DataFrame] | None = None) -> dict[str, Finding]:
    """The same of the tables alone, without the case studies."""
    made = [*setting(tables), *phenomena(tables), *questions(tables), *windows(tables)]
    made += [recovery(tables)] if tables.statistics else []
    made += limitations(tables, clocked=benchmark is not None)
    if benchmark is not None:
        from geophone.findings.proving import proving

        made += proving(benchmark)
    by_id = {each.id: each for each in made}
    return by_id | {each.id: each for each in summary(tables, by_id)}


_SECTIONS = {
    "In short": ("summary",),
    "Which layers settle first": ("order", "settled", "direction"),
    "Jumps and their types": ("jumps", "types"),
    "What goes with a jump": ("diversity", "selectivity", "depth", "beside", "smallest", "changes", "correlations"),
    "Every window, jump or not": ("windows",),
    "Critical periods": ("periods", "critical", "coordination", "coupling", "recovery"),
    "By architecture": ("architectures",),
    "Does it point to the right moment?": ("prove",),
}
_ELSEWHERE = ("case", "limitation", "change", "correlation", "rank")


def sections(findings: Mapping[str, Finding]) -> dict[str, list[Finding]]:
    """The whole sentences of `findings` in the calibrated forms under headings, in the order in which a reader wants
    them: what could not be tested stands last, under "Not to be answered here". Left out are the naive forms, case
    studies and limits, which have places of their own, and single measures, which stand in sums ("changes")."""
    told = [f for f in findings.values() if not f.part and "naive" not in f.id.split("/")]
    heads = {kind: head for head, kinds in _SECTIONS.items() for kind in kinds}
    found: dict[str, list[Finding]] = {head: [] for head in (*_SECTIONS, "Further", "Not to be answered here")}
    for each in told:
        kind = each.id.split("/")[0]
        if kind not in _ELSEWHERE:
            last = each.verdict == "untested"
            found["Not to be answered here" if last else heads.get(kind, "Further")].append(each)
    return {head: rows for head, rows in found.items() if rows}
