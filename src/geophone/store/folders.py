"""Folders that appear whole or not at all, and the one process that may write one."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from geophone.errors import StoreError


@contextmanager
def replace_folder(folder: Path, *, own: Collection[str] | None = None) -> Iterator[Path]:
    """A new folder beside `folder` to write into; when the block ends it takes the name of `folder`.

    With `own`, the names that are written, whatever else lies in the old folder is somebody's and is carried over. On
    an error inside the block the new folder is removed, and `folder` is as it was. Raises StoreError when it cannot be
    written.
    """
    fresh, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("tmp", "old"))
    try:
        _clear_left(folder)
        fresh.mkdir(parents=True)
        yield fresh
        if folder.is_dir():
            if own is not None:
                _carry(folder, fresh, own)
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


def _clear_left(folder: Path) -> None:
    """Take away what processes that were killed left half done beside `folder`; what one had moved aside comes back."""
    for path in folder.parent.glob(f".{escape(folder.name)}.*"):
        name, _, kind = path.name.removeprefix(f".{folder.name}.").rpartition(".")
        if kind in ("tmp", "old") and name.isdecimal() and not _is_alive(int(name)):
            if kind == "old" and not folder.exists():
                path.rename(folder)
            else:
                shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _carry(folder: Path, fresh: Path, own: Collection[str]) -> None:
    for path in folder.iterdir():
        if path.name not in own:
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, fresh / path.name)
