"""Which code something was made by."""

import ast
import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import geophone

ROOT = Path(geophone.__file__).parent
_NAME = re.compile(r"geophone(\.\w+)+")
_NOT_DATA = {".py", ".pyi", ".pyc"}


def code_digest(entry: Callable[..., object] | str) -> str:
    """SHA-256 over the code that `entry` runs: a function's own source, and of every module of ours that it imports in
    its body, or that those import, directly or not; of a module, that is named by its path, the same from it on.

    What counts is written in the code: statements of import anywhere in a module, and names of our modules in strings,
    by which they are imported later. Data that lies beside a module counts with it. Other libraries do not.
    """
    total = hashlib.sha256()
    if isinstance(entry, str):
        names = {entry}
    else:
        source = textwrap.dedent(inspect.getsource(entry))
        total.update(source.encode())
        names = set(_imported(ast.parse(source)))
    for path in reached(names):
        total.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def reached(modules: set[str]) -> list[Path]:
    """The files of `modules`, of all that they import, and the data that lies beside those, in order of path."""
    waiting, seen, paths = set(modules), set(), set()
    while waiting:
        name = waiting.pop()
        path = _place(name)
        if path is None or path in seen:
            continue
        seen.add(path)
        statements, strings = _imports(path)
        waiting |= statements | strings
        # Whoever imports a module runs the packages around it, too, but asks for none of the names that those offer.
        for package in list(Path(*name.split(".")[1:]).parents)[:-1]:
            around = ROOT / package / "__init__.py"
            paths.add(around)
            waiting |= _imports(around)[0]
        paths.add(path)
        if path.parent != ROOT:
            paths.update(p for p in path.parent.rglob("*") if p.is_file() and p.suffix not in _NOT_DATA)
    return sorted(paths)


@cache
def _imports(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """What a file imports by statements, and what it names in strings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return frozenset(_imported(tree)), frozenset(text for text in texts if _NAME.fullmatch(text))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _place(name: str) -> Path | None:
    """The file of a module of ours; None where `name` is no module, or not ours."""
    first, *rest = name.split(".")
    if first != "geophone" or not rest:
        return None
    path = ROOT.joinpath(*rest)
    places = (path / "__init__.py", path.with_suffix(".py"))
    return next((place for place in places if place.is_file()), None)
