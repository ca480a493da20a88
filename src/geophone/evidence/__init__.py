"""From digs to evidence: one table, honest tests, and what they say in words."""

from geophone.evidence.statistics import statistics, write_evidence
from geophone.evidence.table import evidence_table

__all__ = ["evidence_table", "statistics", "write_evidence"]
