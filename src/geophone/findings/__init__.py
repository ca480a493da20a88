"""What a study says: one finding per question, one sentence per finding, for terminal, page, notebook and paper."""

from geophone.findings.finding import Finding, Phrase, Quantity, as_json, listed, phrase
from geophone.findings.whole import sections, study_findings

__all__ = ["Finding", "Phrase", "Quantity", "as_json", "listed", "phrase", "sections", "study_findings"]
