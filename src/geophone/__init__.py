"""geophone listens to a network's layers while it trains and says where to dig.

The names below are the public face; each is imported when it is first used, so that `import geophone` and
`geophone --help` stay quick.
"""

from importlib import import_module

_HOME = {
    "ActivationCapture": "geophone.record",
    "GeophoneError": "geophone.errors",
    "InputError": "geophone.errors",
    "Recorder": "geophone.record",
    "Schedule": "geophone.record",
    "Snapshots": "geophone.record",
    "cka": "geophone.dimensions",
    "convergence_order": "geophone.detect",
    "critical_periods": "geophone.detect",
    "dig": "geophone.dig.run",
    "dimensions": "geophone.dimensions",
    "jumps": "geophone.detect",
    "layers": "geophone.record",
    "open": "geophone.opening",
    "stabilization": "geophone.detect",
    "targets": "geophone.target",
    "train": "geophone.train",
}

__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'geophone' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
