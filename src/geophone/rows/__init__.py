"""Every table of a study, a model per kind of row: from it follow the columns, their kinds, and what may be missing."""

from geophone.rows.dig import CHOSEN, DUG, ChosenRow, TargetRow
from geophone.rows.evidence import EvidenceRow
from geophone.rows.model import Column, Row, columns_of, frame, misfit, typed
from geophone.rows.phenomena import PHENOMENA

__all__ = [
    "CHOSEN",
    "DUG",
    "PHENOMENA",
    "ChosenRow",
    "Column",
    "EvidenceRow",
    "Row",
    "TargetRow",
    "columns_of",
    "frame",
    "misfit",
    "typed",
]
