"""Made by docs/make_api.py from the names in __init__.py: what a type checker sees of this package."""

from geophone.dimensions.catalogue import CATALOGUE as CATALOGUE
from geophone.dimensions.catalogue import Dimension as Dimension
from geophone.dimensions.catalogue import NAMES as NAMES
from geophone.dimensions.catalogue import VERSIONS as VERSIONS
from geophone.dimensions.catalogue import chosen as chosen
from geophone.dimensions.reading import Reading as Reading
from geophone.dimensions.reading import dimensions as dimensions
from geophone.dimensions.reading import read as read
from geophone.dimensions.reading import read_each as read_each
from geophone.dimensions.similarity import cka as cka
