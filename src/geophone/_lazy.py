"""Names that are imported when they are first used, so that `import geophone` and `geophone --help` stay quick."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: dict[str, Any], homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose public names live elsewhere.

    `package` is its `globals()`, `homes` maps a name to the module that defines it, or that is meant itself where it
    defines no such name. What a type checker sees is the
    stub beside the package (`__init__.pyi`); a test holds the two to the same names.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        module = import_module(homes[name])
        package[name] = getattr(module, name, module)
        return package[name]

    def names() -> list[str]:
        return sorted({*package, *homes})

    return get, names
