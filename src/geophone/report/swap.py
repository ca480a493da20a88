"""A folder that appears whole or not at all, in the place of an older one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from filecmp import cmp
from pathlib import Path

from geophone.errors import InputError
from geophone.store.folders import replace_folder

# What an atlas consists of; whatever else lies in an older one is somebody's and is carried over.
OWN = ("index.html", "assets", "runs", "targets", "data", "pictures", "prove", "kept")
MARK = "assets/atlas.css"


@contextmanager
def swapped(folder: Path) -> Iterator[Path]:
    """A new atlas in the place of the one in `folder`, whole or not at all. Files that say what they said before keep
    the time of their last change, so that a copy (rsync) or a browser takes only what is new. Raises InputError when
    `folder` holds something that is no atlas, StoreError when it cannot be written."""
    _own(folder)
    with replace_folder(folder, own=OWN) as fresh:
        yield fresh
        for path in fresh.rglob("*"):
            older = folder / path.relative_to(fresh)
            if path.is_file() and older.is_file() and cmp(path, older, shallow=False):
                was = older.stat()
                os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def _own(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; the atlas is a folder.")
    there = {path.name for path in folder.iterdir()}
    # An older release wrote one page and nothing beside it.
    if there and not (folder / MARK).is_file() and "index.html" not in there:
        raise InputError(f"{folder} holds something that is no atlas; give a new or an empty folder.")
