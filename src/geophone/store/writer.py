"""The one that writes a run: rows gather in memory and reach disk as parts, the manifest last."""

import fcntl
import os
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from geophone.errors import InputError, StoreError
from geophone.store.manifest import Manifest, read_manifest
from geophone.store.tables import clear_temporaries, file_digest, parts, read_table, write_table, write_tables

LOCK = ".lock"


class RunWriter:
    """Owns one run folder while it is written.

    A part is written every `part_rows` measurements or `part_seconds` seconds, whichever comes first. The folder
    must be new or empty: a folder that holds anything is refused (InputError) and left as it was. With `resume` it
    holds a run instead, which is added to: new parts after the old ones, under the same `manifest`. `after` then drops
    what that run holds of later steps, rows and checkpoints; `measured` is the number of measurements that stay.
    """

    def __init__(
        self,
        folder: Path,
        *,
        part_rows: int = 100,
        part_seconds: float = 30.0,
        resume: bool = False,
        after: int | None = None,
    ) -> None:
        self.folder = folder
        self._part_rows, self._part_seconds = part_rows, part_seconds
        self._digests: dict[str, str] = {}
        self._series: list[Mapping[str, Any]] = []
        self._scalars: list[Mapping[str, Any]] = []
        self._measured = 0
        self.manifest: Manifest | None = read_manifest(folder) if resume else None
        if not resume:
            claim_empty(folder)
        self._lock = lock(folder)
        clear_temporaries(folder)
        if resume and after is not None:
            self._drop_later(after)
        self._parts = {kind: len(parts(folder / kind)) for kind in ("series", "scalars")}
        self._flushed = time.monotonic()

    def begin(self, manifest: Manifest) -> None:
        self.manifest = manifest.model_copy(update={"created": now()})
        self.manifest.write(self.folder)

    def _drop_later(self, step: int) -> None:
        """Take the rows and checkpoints after `step` away, the last ones first, so that no gap is ever left."""
        for kind in ("scalars", "series"):
            for path in reversed(parts(self.folder / kind)):
                if _kept_to(path, step):
                    break
        kept = {s: digest for s, digest in self.manifest.checkpoints.items() if s <= step}
        update = {"checkpoints": kept, "status": "running", "note": "", "ended": "", "results": {}}
        self.manifest = self.manifest.model_copy(update=update)
        self._write_manifest()

    @property
    def measured(self) -> int:
        """How many measurements the folder's series holds."""
        found = parts(self.folder / "series")
        return 1 + int(read_table(found[-1], columns=["index"])["index"].max()) if found else 0

    def add(self, series: Sequence[Mapping[str, Any]], scalars: Mapping[str, Any] | None) -> None:
        """Take the rows of one step; `series` is empty on steps that were not measured."""
        self._series.extend(series)
        self._measured += bool(series)
        if scalars is not None:
            self._scalars.append(scalars)
        late = time.monotonic() - self._flushed > self._part_seconds
        if self._measured >= self._part_rows or (series and late):
            self.flush()

    def flush(self) -> None:
        """Write what has gathered. Rows stay in memory until their part has its name."""
        waiting = {kind: rows for kind, rows in (("series", self._series), ("scalars", self._scalars)) if rows}
        paths = {kind: self.folder / kind / f"part-{self._parts[kind]:05d}.parquet" for kind in waiting}
        if waiting:
            write_tables({paths[kind]: pd.DataFrame.from_records(rows) for kind, rows in waiting.items()})
        for kind, rows in waiting.items():
            self._parts[kind] += 1
            rows.clear()
        self._measured = 0
        self._flushed = time.monotonic()

    def checkpoint(self, step: int, digest: str) -> None:
        known = self.manifest.checkpoints | {step: digest}
        self.manifest = self.manifest.model_copy(update={"checkpoints": known})
        self._write_manifest()

    def _write_manifest(self) -> None:
        """Written last, so that it never names a part that is not there."""
        for kind in ("series", "scalars"):
            for path in parts(self.folder / kind):
                name = f"{kind}/{path.name}"
                if name not in self._digests:
                    self._digests[name] = file_digest(path)
        self.manifest = self.manifest.model_copy(update={"parts": dict(sorted(self._digests.items()))})
        self.manifest.write(self.folder)

    def finish(self, status: str, **last: Any) -> None:
        """Flush, write the last manifest with the fields `last`, and let the folder go."""
        try:
            self.flush()
            self.manifest = self.manifest.model_copy(update={"status": status, "ended": now(), **last})
            self._write_manifest()
        finally:
            self._lock.close()


def _kept_to(path: Path, step: int) -> bool:
    """Whether `path` still has rows when those after `step` are gone; a part that cannot be read goes whole."""
    try:
        rows = read_table(path)
    except StoreError:
        path.unlink()
        return False
    kept = rows[rows["step"] <= step]
    if kept.empty:
        path.unlink()
    elif len(kept) < len(rows):
        write_table(path, kept)
    return not kept.empty


def claim_empty(folder: Path) -> None:
    """Make `folder`, or accept it as it is when nothing but a stale lock is in it. Raises InputError or StoreError."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"out={str(folder)!r} is a file; give a folder that is new or empty.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = [p.name for p in folder.iterdir() if p.name != LOCK]
    except OSError as error:
        raise StoreError(f"cannot use {folder}: {error.strerror}.") from error
    if there:
        kinds = {"run.json": "another run", "runs": "another study"}
        known = [what for name, what in kinds.items() if name in there]
        what = known[0] if known else f"{len(there)} file(s), {sorted(there)[0]!r} among them"
        raise InputError(f"{folder} already holds {what}; nothing was touched. Give a folder that is new or empty.")


def lock(folder: Path):
    """Hold `folder` for this process, until the returned handle is closed. Raises StoreError if it is held."""
    try:
        handle = open(folder / LOCK, "a+")  # noqa: SIM115 - the lock lives as long as the handle
    except OSError as error:
        raise StoreError(f"cannot write in {folder}: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        holder = handle.read().strip() or "another process"
        handle.close()
        raise StoreError(f"{folder} is being written by {holder}; nothing was touched.") from error
    try:
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}, since {now()}\n")
        handle.flush()
    except OSError as error:
        handle.close()
        raise StoreError(f"cannot write in {folder}: {error.strerror}.") from error
    return handle


def is_held(folder: Path) -> bool:
    """Whether a living process holds `folder`."""
    if not (folder / LOCK).exists():
        return False
    try:
        with open(folder / LOCK) as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
