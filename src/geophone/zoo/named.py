"""Functions of the user's own, named as module:function."""

import importlib
import sys
from collections.abc import Callable

from geophone.errors import InputError


def imported(name: str) -> Callable:
    """The function that "module:function" names; the current folder counts as a place for modules.

    Raises InputError when there is no such module or function.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise InputError(f"{name!r}: write module:function, such as mymodels:build.")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise InputError(f"{name!r}: there is no module {error.name!r} here or installed.") from error
    except AttributeError as error:
        raise InputError(f"{name!r}: {module} has no {function!r}.") from error
    if not callable(found):
        raise InputError(f"{name!r} is not a function.")
    return found
