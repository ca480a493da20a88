"""A folder that appears whole or not at all, in the place of an older one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geophone.errors import InputError, StoreError

# What an atlas consists of; whatever else lies in an older one is somebody's and is carried over.
OWN = ("index.html", "assets", "runs", "targets", "data", "pictures", "prove")
MARK = "assets/atlas.css"


@contextmanager
def swapped(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` to write into; when the block ends it takes the name of `folder`.

    On an error inside the block the new folder is removed and `folder` is as it was. Raises InputError when `folder`
    holds something that is no atlas, StoreError when it cannot be written.
    """
    _own(folder)
    fresh, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("tmp", "old"))
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        yield fresh
        if folder.is_dir():
            _carry(folder, fresh)
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        if old.is_dir() and not folder.exists():
            old.rename(folder)
        raise StoreError(
            f"could not write {folder}: {error.strerror or error}. Nothing that was there is lost."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _own(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; the atlas is a folder.")
    there = {path.name for path in folder.iterdir()}
    # An older release wrote one page and nothing beside it.
    if there and not (folder / MARK).is_file() and "index.html" not in there:
        raise InputError(f"{folder} holds something that is no atlas; give a new or an empty folder.")


def _carry(folder: Path, fresh: Path) -> None:
    for path in folder.iterdir():
        if path.name not in OWN:
            move = shutil.copytree if path.is_dir() else shutil.copy2
            move(path, fresh / path.name)
