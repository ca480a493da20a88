"""From a tensor to numbers: the dimensionality of a representation. Stateless; arrays in, numbers out."""

import sys
from types import ModuleType

from geophone.dimensions.catalogue import (
    CATALOGUE,
    NAMES,
    VERSIONS,
    Dimension,
    Reading,
    chosen,
    dimensions,
    read,
    read_each,
)
from geophone.dimensions.cka import cka

__all__ = ["CATALOGUE", "NAMES", "VERSIONS", "Dimension", "Reading", "chosen", "cka", "dimensions", "read", "read_each"]


class _Room(ModuleType):
    """Lets `geophone.dimensions(x)` be called: importing this package puts it under the function's name."""

    __call__ = staticmethod(dimensions)


sys.modules[__name__].__class__ = _Room
