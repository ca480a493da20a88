"""Write what follows from the one list of public names: the stubs, docs/api.md and tests/public.txt.

    python docs/make_api.py

The list is `_HOME` in `src/geophone/__init__.py` (and in the `__init__` of rooms that are as lazy). Stubs are what type
checkers and editors read in its place; `tests/test_public.py` fails while a file differs from what this would write.
"""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
LAZY = ("geophone", "geophone.dimensions", "geophone.record", "geophone.signals", "geophone.study")
HEAD = '"""Made by docs/make_api.py from the names in __init__.py: what a type checker sees of this package."""'
SECTIONS = {
    "record": "Recording", "_train": "Training by name", "store": "Opening", "_open": "Opening",
    "dimensions": "Measuring", "signals": "Measuring",
    "ingest": "Measuring", "detect": "Detecting", "target": "Pointing", "point": "Pointing", "dig": "Digging",
    "zoo": "Networks", "study": "Studies", "prove": "Proving ground", "records": "Values", "errors": "Errors",
}  # fmt: skip


def files() -> dict[Path, str]:
    """The text of every file that is made."""
    stubs = {ROOT / "src" / Path(*name.split(".")) / "__init__.pyi": stub(import_module(name)) for name in LAZY}
    face = import_module("geophone")
    return {**stubs, ROOT / "docs" / "api.md": api(face), ROOT / "tests" / "public.txt": promise(face)}


def stub(package: ModuleType) -> str:
    names = {name: home for name, home in package._HOME.items() if not inspect.ismodule(getattr(package, name))}
    lines = [f"from {home} import {name} as {name}" for name, home in names.items()]
    lines += [f"from {package.__name__} import {name} as {name}" for name in package._HOME if name not in names]
    return f"{HEAD}\n\n" + "\n".join(sorted(lines)) + "\n"


def api(face: ModuleType) -> str:
    """A page of references, in sections by the room that a name lives in."""
    by: dict[str, list[str]] = {section: [] for section in SECTIONS.values()}
    for name in face.__all__:
        value = getattr(face, name)
        for each in [getattr(value, inner) for inner in value.__all__] if inspect.ismodule(value) else [value]:
            by[SECTIONS[each.__module__.split(".")[1]]].append(f"{each.__module__}.{each.__name__}")
    parts = [f"## {section}\n\n" + "\n".join(f"::: {n}" for n in names) for section, names in by.items() if names]
    return (
        "# API\n\nMade from the docstrings. What is public is `geophone.__all__`; "
        "import it as `import geophone as gp`.\n\n"
        + "\n\n".join(parts) + "\n"
    )  # fmt: skip


def promise(face: ModuleType) -> str:
    """Every public name and how it is called."""
    return "\n".join(line for name in sorted(face.__all__) for line in described(name, getattr(face, name))) + "\n"


def described(name: str, value: Any) -> Iterator[str]:
    if inspect.ismodule(value):
        for inner in value.__all__:
            yield from described(f"{name}.{inner}", getattr(value, inner))
    elif inspect.isclass(value):
        bare = issubclass(value, Exception) or getattr(value, "_is_protocol", False)
        yield f"class {name}{'' if bare else parameters(value)}"
        yield from members(value)
    else:
        yield f"{name}{parameters(value)}"


def parameters(function: Any) -> str:
    """Names, kinds and whether there is a default: what a call rests on. Annotations and default values may change."""
    parts, star = [], False
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not star:
            parts, star = [*parts, "*"], True
        star = star or p.kind is p.VAR_POSITIONAL
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        parts.append(mark + p.name + ("" if p.default is p.empty else "="))
    return "(" + ", ".join(parts) + ")"


def members(cls: type) -> Iterator[str]:
    """Methods and properties of a class, without the fields of a record and what starts with an underscore."""
    fields: Mapping[str, Any] = getattr(cls, "__dataclass_fields__", {}) if dataclasses.is_dataclass(cls) else {}
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_") or name in fields:
            continue
        if inspect.isfunction(value):
            yield f"    .{name}{parameters(value)}"
        elif isinstance(value, property):
            yield f"    .{name}"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
