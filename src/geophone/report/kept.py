"""What pages show, kept in the atlas itself: the next call makes only the pages of what has changed."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geophone.store.code import code_digest

FOLDER = "kept"


@dataclass(frozen=True)
class Page:
    """What is shown of a run or a transition: `shown` for the template of its page, `script` (its data or charts, as
    JavaScript), of a run its `row` in the table of all runs, and the files of `pictures` that it shows."""

    shown: dict[str, Any]
    script: str
    row: dict[str, Any] = field(default_factory=dict)
    pictures: Sequence[str] = ()


class Kept:
    """The pages of the atlas in `old`, for the one that is written into `fresh`.

    `page(name, state, make)` is the page that was made of the same `state` (anything whose `repr` tells it from others)
    by the same code, else a new one; either way it goes into `fresh`. What is damaged or of another release is made
    anew. A page looks the same made and read: both have gone through JSON.
    """

    def __init__(self, old: Path, fresh: Path) -> None:
        self._old, self._fresh = old, fresh
        self._code = code_digest("geophone.report.page"), version("altair")

    def page(self, name: str, state: object, make: Callable[[], Page]) -> Page:
        key = hashlib.sha256(repr((self._code, state)).encode()).hexdigest()
        page = self._read(name, key)
        if page is None:
            made = make()
            page = Page(**json.loads(json.dumps(asdict(made), default=_plain)))
        about = {"key": key, "digest": _digest(page.script), "shown": page.shown, "row": page.row}
        (self._fresh / FOLDER).mkdir(parents=True, exist_ok=True)
        (self._fresh / "data").mkdir(exist_ok=True)
        _place(self._fresh, name).write_text(json.dumps(about | {"pictures": list(page.pictures)}), encoding="utf-8")
        (self._fresh / "data" / f"{name}.js").write_text(page.script, encoding="utf-8")
        return page

    def _read(self, name: str, key: str) -> Page | None:
        try:
            about = json.loads(_place(self._old, name).read_bytes())
            script = (self._old / "data" / f"{name}.js").read_text(encoding="utf-8")
            if (about["key"], about["digest"]) != (key, _digest(script)):
                return None
            return Page(dict(about["shown"]), script, dict(about["row"]), list(about["pictures"]))
        except (OSError, ValueError, KeyError, TypeError):  # not there, cut, or of another release: it is made anew
            return None


def digest_of(tables: Iterable[pd.DataFrame]) -> str:
    """What tells whether any value of `tables` has changed."""
    found = hashlib.sha256()
    for table in tables:
        found.update(table.to_csv(index=False).encode())
    return found.hexdigest()


def stamp(paths: Iterable[Path]) -> tuple:
    """What tells whether any of `paths` has changed: names, times and sizes of those that are there."""
    found = []
    for path in sorted(paths):
        try:
            known = path.stat()
        except FileNotFoundError:
            continue
        found.append((str(path), known.st_mtime_ns, known.st_size))
    return tuple(found)


def _place(atlas: Path, name: str) -> Path:
    return atlas / FOLDER / f"{name}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a page shows a {type(value).__name__}, which JSON cannot hold")
