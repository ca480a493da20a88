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
from geophone.store.study import Study


def study_findings(study: Study, benchmark: Mapping[str, pd.DataFrame] | None = None) -> dict[str, Finding]:
    """The findings of `study` by id; `benchmark` are the tables of a `geophone prove` (`prove.read_tables`), told
    beside them. Those whose stage has not run are not among them; what is there and damaged raises StoreError."""
    return findings_of(tables_of(study), benchmark) | {f.id: f for f in cases(chosen(dug_targets(study)))}


def findings_of(tables: Tables, benchmark: Mapping[str, pd.DataFrame] | None = None) -> dict[str, Finding]:
    """The same of the tables alone, without the case studies."""
    made = [*setting(tables), *phenomena(tables), *questions(tables)]
    made += [recovery(tables)] if tables.statistics else []
    made += limitations(tables, clocked=benchmark is not None)
    if benchmark is not None:
        from geophone.findings.proving import proving

        made += proving(benchmark)
    by_id = {each.id: each for each in made}
    return by_id | {each.id: each for each in summary(tables, by_id)}
