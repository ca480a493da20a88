"""From series to phenomena: pure functions of arrays, each with its assumptions in its docstring."""

from geophone.detect.critical import critical_periods, transitions
from geophone.detect.jumps import jumps
from geophone.detect.order import convergence_order
from geophone.detect.stabilization import stabilization

__all__ = ["convergence_order", "critical_periods", "jumps", "stabilization", "transitions"]
