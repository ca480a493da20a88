"""What lies where in a study's folder is known to one module."""

import ast
from pathlib import Path

import pytest

from geophone.store.places import Places

PACKAGE = Path(__file__).parents[2] / "src" / "geophone"
# A page and the proving ground have folders and files of these names too.
SHARED = {"study", "index.html", "prove"}
NAMES = {path.name for path in vars(Places(Path("study"))).values()} - SHARED | {"phenomena", "run.json", "dig.json"}
# The proving ground keeps runs of its own, in folders of its own.
ELSEWHERE = {"prove", "store"}


def joined(path: Path) -> set[str]:
    """Names that are joined to a path with "/" or looked for in one, as far as they are a study's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            words = [node.right]
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("glob", "rglob")
        ):
            words = node.args
        else:
            continue
        texts = {word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)}
        found |= {text for text in texts if set(text.split("/")) & NAMES}
    return found


MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.relative_to(PACKAGE).parts[0] not in ELSEWHERE]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_other_module_spells_a_path_of_a_study(path):
    assert joined(path) == set()


def test_a_path_that_is_spelled_is_noticed(tmp_path):
    module = tmp_path / "m.py"
    module.write_text('a = study.folder / "digs" / name\nb = sorted(folder.glob("runs/*/run.json"))\nc = a / "mine"\n')
    assert joined(module) == {"digs", "runs/*/run.json"}
