"""A module imports only from floors below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "geophone"
FLOORS = {
    "errors": 0, "former": 0, "records": 0.25, "rows": 0.5,
    "dimensions": 1, "zoo": 1, "detect": 1, "stats": 1,
    "signals": 1.5, "charts": 1.5,
    "store": 2, "workers": 2, "phenomena": 2,
    "point": 2.5,
    "record": 3,
    "training": 4,
    "_lazy": 0, "_train": 5, "integrations": 5, "ingest": 5, "measure": 6, "imports": 6,
    "plots": 5, "_open": 6,
    "dig": 6,
    "evidence": 7, "prove": 7,
    "findings": 7.5,
    "report": 8, "paper": 8,
    "study": 9,
    "doctor": 9,
    "terminal": 10, "cli": 11, "__init__": 12, "__main__": 12,
}  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("geophone"):
            tail = node.module.split(".")[1:]
            found |= {tail[0]} if tail else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("geophone.")}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    here = room(path)
    for there in imports(path) - {here}:
        assert FLOORS[there] < FLOORS[here], f"{here} (floor {FLOORS[here]}) imports {there} (floor {FLOORS[there]})"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is {node.end_lineno - node.lineno + 1} lines"


def test_the_core_knows_no_torch_where_it_needs_none():
    for name in ("detect", "stats"):
        for path in (PACKAGE / name).rglob("*.py"):
            assert "torch" not in path.read_text(), path


def test_what_is_on_disk_is_read_without_torch():
    """A verb that is given what it cannot read says so at once."""
    code = "import sys, geophone.store.sql, geophone.store.writer; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
