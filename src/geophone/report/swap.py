"""A folder that appears whole or not at all, in the place of an older one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geophone.errors import InputError
from geophone.store.folders import replace_folder

# What an atlas consists of; whatever else lies in an older one is somebody's and is carried over.
OWN = ("index.html", "assets", "runs", "targets", "data", "pictures", "prove")
MARK = "assets/atlas.css"


@contextmanager
def swapped(folder: Path) -> Iterator[Path]:
    """A new atlas in the place of the one in `folder`, whole or not at all. Raises InputError when `folder` holds
    something that is no atlas, StoreError when it cannot be written."""
    _own(folder)
    with replace_folder(folder, own=OWN) as fresh:
        yield fresh


def _own(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; the atlas is a folder.")
    there = {path.name for path in folder.iterdir()}
    # An older release wrote one page and nothing beside it.
    if there and not (folder / MARK).is_file() and "index.html" not in there:
        raise InputError(f"{folder} holds something that is no atlas; give a new or an empty folder.")
