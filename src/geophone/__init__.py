"""geophone listens to a network's layers while it trains and says where to dig.

The names below are the public face; each is imported when it is first used, so that `import geophone` and
`geophone --help` stay quick.
"""

import sys
from importlib import import_module
from types import ModuleType

_HOME = {
    "ActivationCapture": "geophone.record",
    "GeophoneError": "geophone.errors",
    "InputError": "geophone.errors",
    "Recorder": "geophone.record",
    "Schedule": "geophone.record",
    "Snapshots": "geophone.record",
    "Watch": "geophone.record",
    "What": "geophone.record",
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


class _Callable(ModuleType):
    """A module that has a public function's name, such as `geophone.train`, and can be called as that function."""

    def __call__(self, *args, **kwargs):
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(_HOME[name]), name)(*args, **kwargs)


class _Face(ModuleType):
    def __setattr__(self, name: str, value) -> None:
        # Importing a submodule puts it over the function of its name; whoever imported it, the function must work.
        if name in _HOME and type(value) is ModuleType:
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
