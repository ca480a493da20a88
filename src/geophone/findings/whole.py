"""Everything that a study says, by id, in the order in which it is told."""

from geophone.findings.finding import Finding
from geophone.findings.phenomena import phenomena
from geophone.findings.questions import questions
from geophone.findings.recovery import recovery
from geophone.findings.tables import tables_of
from geophone.store.study import Study


def study_findings(study: Study) -> dict[str, Finding]:
    """The findings of `study` by id. Those whose stage has not run are not among them; what is there and damaged raises
    StoreError."""
    tables = tables_of(study)
    made = [*phenomena(tables), *questions(tables)]
    made += [recovery(tables)] if tables.statistics else []
    return {each.id: each for each in made}
