"""From a tensor to numbers: the dimensionality of a representation. Stateless; arrays in, numbers out."""

from geophone._lazy import lazy

_HOME = {
    "CATALOGUE": "geophone.dimensions.catalogue",
    "NAMES": "geophone.dimensions.catalogue",
    "VERSIONS": "geophone.dimensions.catalogue",
    "Dimension": "geophone.dimensions.catalogue",
    "Reading": "geophone.dimensions.reading",
    "chosen": "geophone.dimensions.catalogue",
    "cka": "geophone.dimensions.similarity",
    "dimensions": "geophone.dimensions.reading",
    "read": "geophone.dimensions.reading",
    "read_each": "geophone.dimensions.reading",
}
__all__ = list(_HOME)
__getattr__, __dir__ = lazy(globals(), _HOME)
