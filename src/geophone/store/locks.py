"""Whose a folder is: one process at a time writes it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from geophone.errors import InputError, StoreError

LOCK, HOLDER = ".lock", ".lock.holder"
# Held beside it by a process that writes on behalf of the holder, and may outlive it by what it has still to write.
BEHIND = ".lock.behind"
# What holding a folder leaves in it, and nothing of a run.
LOCKS = (LOCK, HOLDER, BEHIND)
_FINISHING = 20.0  # seconds


class FolderLock:
    """A folder held for this process until `release`, or the end of the block or of the process, however it ends."""

    def __init__(self, held: FileLock, holder: Path) -> None:
        self._held, self._holder = held, holder

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let the folder go; nothing when that has been done."""
        if self._held.is_locked:
            self._holder.unlink(missing_ok=True)
            self._held.release()


def lock(folder: Path) -> FolderLock:
    """Hold `folder` for this process. Raises StoreError if another holds it, or it cannot be written in."""
    held = _lock_of(folder)
    try:
        held.acquire()
        if (folder / BEHIND).exists():
            _outlasted(folder)
        (folder / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}, since {now()}\n")
    except Timeout as error:
        raise StoreError(f"{folder} is being written by {_holder(folder)}; nothing was touched.") from error
    except OSError as error:
        held.release()
        raise StoreError(f"cannot write in {folder}: {error.strerror}.") from error
    return FolderLock(held, folder / HOLDER)


def _outlasted(folder: Path) -> None:
    """Wait for what a process that was killed left behind to have written the rest."""
    behind = FileLock(folder / BEHIND, timeout=_FINISHING, thread_local=False)
    behind.acquire()
    (folder / BEHIND).unlink(missing_ok=True)
    behind.release()


@contextmanager
def lock_behind(folder: Path) -> Iterator[None]:
    """Hold `folder` on behalf of the process that has it locked. Raises StoreError where that cannot be."""
    held = FileLock(folder / BEHIND, timeout=0, thread_local=False)
    try:
        held.acquire()
    except (Timeout, OSError) as error:
        raise StoreError(f"cannot write in {folder}: {error}.") from error
    try:
        yield
    finally:
        (folder / BEHIND).unlink(missing_ok=True)
        held.release()


def is_held(folder: Path) -> bool:
    """Whether a living process holds `folder`. Where this one may not write, nothing is told to be held."""
    if not (folder / LOCK).exists():
        return False
    held = _lock_of(folder)
    try:
        held.acquire()
    except Timeout:
        return True
    except OSError:
        return False
    held.release()
    return False


def claim_empty(folder: Path) -> None:
    """Make `folder`, or accept it as it is when nothing but a stale lock is in it. Raises InputError or StoreError."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"out={str(folder)!r} is a file; give a folder that is new or empty.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = [p.name for p in folder.iterdir() if p.name not in LOCKS]
    except OSError as error:
        raise StoreError(f"cannot use {folder}: {error.strerror}.") from error
    if there:
        kinds = {"run.json": "another run", "runs": "another study"}
        known = [what for name, what in kinds.items() if name in there]
        what = known[0] if known else f"{len(there)} file(s), {sorted(there)[0]!r} among them"
        raise InputError(f"{folder} already holds {what}; nothing was touched. Give a folder that is new or empty.")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _lock_of(folder: Path) -> FileLock:
    # Of one thread only it could not be let go by another, as when an exporter closes what a training loop opened.
    return FileLock(folder / LOCK, timeout=0, thread_local=False)


def _holder(folder: Path) -> str:
    try:
        return (folder / HOLDER).read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"
