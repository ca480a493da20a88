"""The public face: what there is to import, how it is called, and that each says what it does.

`public.txt` beside this file is the promise. When it has to change, change it by hand with the code and say so in the
changelog: `python tests/test_public.py` prints how the face looks now.
"""

import dataclasses
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import geophone as gp

EXPECTED = Path(__file__).parent / "public.txt"
# Modules that the documents tell people to import from, beside `geophone` itself.
DOCUMENTED = (
    "geophone.detect",
    "geophone.dimensions",
    "geophone.evidence",
    "geophone.imports",
    "geophone.measure",
    "geophone.prove",
    "geophone.record",
    "geophone.study",
    "geophone.train",
)


def names_of(module) -> list[str]:
    """Its `__all__`, or the functions and classes without an underscore that are its own."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__]
    return sorted(n for n in own if not n.startswith("_"))


def parameters(function) -> str:
    """Names, kinds and whether there is a default: what a call rests on. Annotations and default values may change."""
    told, star = [], False
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not star:
            told, star = [*told, "*"], True
        star = star or p.kind is p.VAR_POSITIONAL
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        told.append(mark + p.name + ("" if p.default is p.empty else "="))
    return "(" + ", ".join(told) + ")"


def members(cls: type) -> list[str]:
    """Methods and properties of a class, and the fields of a record, without what starts with an underscore."""
    found = []
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_") or (dataclasses.is_dataclass(cls) and name in cls.__dataclass_fields__):
            continue
        if inspect.isfunction(value):
            found.append(f"    .{name}{parameters(value)}")
        elif isinstance(value, property):
            found.append(f"    .{name}")
    return found


def described(name: str, value) -> list[str]:
    if inspect.isclass(value):
        called = "" if issubclass(value, Exception) or getattr(value, "_is_protocol", False) else parameters(value)
        return [f"  class {name}{called}", *members(value)]
    return [f"  {name}{parameters(value)}" if callable(value) else f"  {name}: {type(value).__name__}"]


def face() -> str:
    lines = []
    for module in (gp, *map(import_module, DOCUMENTED)):
        lines.append(module.__name__)
        for name in names_of(module):
            lines += described(name, getattr(module, name) if module is not gp else public(name))
    return "\n".join(lines) + "\n"


def public(name: str):
    """What stands behind `geophone.NAME`, whichever module was imported before it."""
    return getattr(import_module(gp._HOME[name]), name)


def everything():
    for module in (gp, *map(import_module, DOCUMENTED)):
        for name in names_of(module):
            value = public(name) if module is gp else getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield pytest.param(value, id=f"{module.__name__}.{name}")


def test_the_face_is_what_was_promised():
    assert face() == EXPECTED.read_text(encoding="utf-8")


@pytest.mark.parametrize("value", everything())
def test_everything_public_says_what_it_does(value):
    doc = inspect.getdoc(value) or ""
    assert (len(doc) >= 40 and doc.rstrip().endswith((".", ")", ":"))) or "\n" in doc, f"{value.__name__}: {doc!r}"
    untold = [n for n, v in vars(value).items() if inspect.isfunction(v) and not n.startswith("_") and not v.__doc__]
    generated = {"update", "model_post_init"}
    if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
        assert set(untold) <= generated, f"{value.__name__}: {untold} have no docstring"


def test_what_refuses_its_input_says_so():
    """A function whose own body raises InputError names it in its docstring, or that of its class."""
    silent = []
    for value in (p.values[0] for p in everything()):
        if inspect.isfunction(value) and "raise InputError" in inspect.getsource(value):
            silent += [] if "InputError" in (value.__doc__ or "") else [value.__name__]
    assert silent == []


def test_functions_work_whatever_was_imported_before_them():
    """A submodule of a function's name must not take its place: `geophone.train` is both."""
    code = "import geophone.train, geophone.dig.run, geophone.dimensions.cka, geophone as gp\n"
    code += "assert all(callable(getattr(gp, n)) for n in gp.__all__)\ngp.train('no such network', out='nowhere')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "InputError" in done.stderr.splitlines()[-1], done.stderr


def test_names_that_are_not_there_are_refused_and_listed_ones_are():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gp.nothing
    assert set(gp.__all__) <= set(dir(gp))


if __name__ == "__main__":
    sys.stdout.write(face())
