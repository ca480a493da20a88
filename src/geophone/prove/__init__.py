"""The proving ground: does the instrument point at the right moment? Runs whose events are clocked without it."""

from geophone.prove.protocol import confirm, develop, quick, read_tables
from geophone.prove.score import score

__all__ = ["confirm", "develop", "quick", "read_tables", "score"]
