"""The public face: one list of names from which stubs, reference and promise follow; each name says what it does."""

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import geophone as gp

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "geophone"
_spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
make_api = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_api)


def everything():
    return [pytest.param(getattr(gp, name), id=name) for name in gp.__all__ if not inspect.ismodule(getattr(gp, name))]


@pytest.mark.parametrize("path", make_api.files(), ids=lambda p: p.name)
def test_what_follows_from_the_list_is_up_to_date(path):
    """`python docs/make_api.py` writes them. What is taken away from public.txt or renamed is a new major version."""
    assert path.read_text(encoding="utf-8") == make_api.files()[path]


@pytest.mark.parametrize("value", everything())
def test_everything_public_says_what_it_does(value):
    doc = inspect.getdoc(value) or ""
    assert (len(doc) >= 40 and doc.rstrip().endswith((".", ")", ":"))) or "\n" in doc, f"{value.__name__}: {doc!r}"
    silent = [n for n, v in vars(value).items() if inspect.isfunction(v) and not n.startswith("_") and not v.__doc__]
    generated = {"update", "model_post_init"}
    if inspect.isclass(value) and not getattr(value, "_is_protocol", False):
        assert set(silent) <= generated, f"{value.__name__}: {silent} have no docstring"


def test_what_refuses_its_input_says_so():
    """A function whose own body raises InputError names it in its docstring, or that of its class."""
    silent = []
    for value in (p.values[0] for p in everything()):
        if inspect.isfunction(value) and "raise InputError" in inspect.getsource(value):
            silent += [] if "InputError" in (value.__doc__ or "") else [value.__name__]
    assert silent == []


def test_functions_work_whatever_was_imported_before_them():
    """A submodule of a function's name must not take its place: `geophone.dig` is both."""
    code = "import geophone.dig.run, geophone.dimensions.similarity, geophone as gp\n"
    code += "assert [n for n in gp.__all__ if not callable(getattr(gp, n))] in ([], ['prove'])\n"
    code += "gp.train('no such network', out='nowhere')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "InputError" in done.stderr.splitlines()[-1], done.stderr


def test_import_loads_nothing_heavy():
    code = "import sys, geophone; print([m for m in ('torch', 'pandas', 'altair', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_names_that_are_not_there_are_refused_and_listed_ones_are():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gp.nothing
    assert set(gp.__all__) <= set(dir(gp))


def test_a_class_has_one_home():
    """No two public classes share a name: a reader who has seen one knows which is meant."""
    homes = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(path.relative_to(SOURCE).as_posix())
    # Each trainer calls its own form of the callback so.
    homes.pop("GeophoneCallback")
    assert {name: sorted(where) for name, where in homes.items() if len(where) > 1} == {}


def glossary() -> dict[str, str]:
    """Each term of docs/glossary.md with the module that it names as its home ("" where it has none in code)."""
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|.*\| (?:`([\w/.]+)`|-) \|$", (ROOT / "docs/glossary.md").read_text(), re.M)
    return dict(rows)


def test_every_term_of_the_glossary_has_one_home_that_is_there():
    terms = glossary()
    assert len(terms) >= 25
    assert [f"{t}: {home}" for t, home in terms.items() if home and not (SOURCE / home).exists()] == []


def test_words_of_the_first_release_are_gone():
    """The forms of a detector are naive and calibrated; a network has an architecture; "seed" is a random seed."""
    for path in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.j2")]:
        text = path.read_text(encoding="utf-8")
        old = re.findall(r"mode[\"']?\s*(?:==|=|:)\s*[\"'](?:seed|robust)[\"']|the (?:seed|robust) (?:form|rule)", text)
        assert not old or path.parts[-2] == "store", f"{path}: {old}"
