"""The one that writes a run: rows gather in memory and reach disk as parts, the manifest last."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from geophone.errors import StoreError
from geophone.records import Layer
from geophone.rows.series import SINGLE
from geophone.store.check import checkpoint_files
from geophone.store.locks import FolderLock, claim_empty, lock, now
from geophone.store.manifest import Manifest, read_manifest, versions_here
from geophone.store.places import SAMPLES, TOKENS
from geophone.store.tables import clear_temporaries, file_digest, parts, read_table, write_table, write_tables

Row = Mapping[str, Any]
# What a run holds, in the order in which it is written: a step that the series has is whole, whenever a writer is
# killed.
KINDS = ("weights", "heads", "scalars", "behaviour", "outputs", "concepts", "series")


def new_manifest(
    name: str,
    *,
    layers: Sequence[Layer],
    definitions: Mapping[str, int],
    rows: int = 0,
    about: Mapping[str, Any] | None = None,
    schedule: Mapping[str, Any] | None = None,
    probe: Mapping[str, Any] | None = None,
    threads: int = 0,
) -> Manifest:
    """The first manifest of a run that is made here and now; what is not known of it stays empty or 0."""
    return Manifest(
        name=name,
        about=dict(about or {}),
        schedule=dict(schedule or {}),
        layers=tuple(layers),
        rows=rows,
        probe=dict(probe or {}),
        definitions=dict(definitions),
        versions=versions_here(),
        threads=threads,
        created=now(),
    )


def series_row(
    index: int, step: int, layer: Layer, status: str, values: Mapping[str, float], *, probe: str = "main"
) -> dict[str, Any]:
    """The row of a series: what was measured of `layer` on `probe` at measurement `index`, after `step` updates."""
    place = {"index": index, "step": step, "probe": probe, "layer": layer.name, "depth": layer.depth}
    return {**place, "status": status, **values}


class RunWriter:
    """Owns one run folder while it is written.

    A part is written every `part_rows` measurements or `part_seconds` seconds, whichever comes first. The folder
    must be new or empty: a folder that holds anything is refused (InputError) and left as it was. `RunWriter.resume`
    takes up a run that is there: new parts follow the old ones. `measured` is the number of measurements it holds.
    """

    def __init__(self, folder: Path, manifest: Manifest, *, part_rows: int = 100, part_seconds: float = 30.0) -> None:
        claim_empty(folder)
        self._open(folder, manifest, part_rows, part_seconds)
        manifest.write(folder)

    @classmethod
    def resume(cls, folder: Path, *, after: int | None = None, part_rows: int = 100) -> "RunWriter":
        """Take up the run in `folder` again; what it holds of steps later than `after`, rows and checkpoints, is
        dropped. Raises StoreError where there is none, or another process is writing it."""
        writer = cls.__new__(cls)
        writer._open(folder, read_manifest(folder), part_rows, 30.0)
        if after is not None:
            writer._drop_later(after)
        return writer

    def _open(self, folder: Path, manifest: Manifest, part_rows: int, part_seconds: float) -> None:
        self.folder, self.manifest = folder, manifest
        self._part_rows, self._part_seconds = part_rows, part_seconds
        self._digests: dict[str, str] = {}
        self._rows: dict[str, list[Row]] = {kind: [] for kind in KINDS}
        self._unwritten = 0
        self._lock: FolderLock | None = lock(folder)
        clear_temporaries(folder)
        self._flushed = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        """A writer that goes to another process leaves the lock here, where the folder stays held."""
        return self.__dict__ | {"_lock": None}

    def take_up(self) -> None:
        """Go on after what another process has written of this run; what it had not written is lost."""
        self._digests, self._rows, self._unwritten = {}, {kind: [] for kind in KINDS}, 0
        self.manifest = read_manifest(self.folder)
        clear_temporaries(self.folder)

    def let_go(self) -> None:
        """Leave the folder to others; nothing where that has been done."""
        if self._lock is not None:
            self._lock.release()

    def update(self, **fields: Any) -> None:
        """Change fields of the manifest, and write it."""
        self.manifest = self.manifest.model_copy(update=fields)
        self.manifest.write(self.folder)

    def _drop_later(self, step: int) -> None:
        """Take the rows and checkpoints after `step` away, the last ones first, so that no gap is ever left."""
        for kind in reversed(KINDS):
            for path in reversed(parts(self.folder / kind)):
                if _kept_to(path, step):
                    break
        checkpoints = {s: digest for s, digest in self.manifest.checkpoints.items() if s <= step}
        fields = {"checkpoints": checkpoints, "status": "running", "note": "", "ended": "", "results": {}}
        self.manifest = self.manifest.model_copy(update=fields)
        self._write_manifest()

    @property
    def measured(self) -> int:
        """How many measurements the folder's series holds."""
        series = parts(self.folder / "series")
        return 1 + int(read_table(series[-1], columns=["index"])["index"].max()) if series else 0

    def add(
        self,
        series: Sequence[Row],
        scalars: Row | None,
        *,
        lists: Mapping[str, Row] | None = None,
        concepts: Sequence[Row] = (),
        weights: Sequence[Row] = (),
        heads: Sequence[Row] = (),
    ) -> None:
        """Take the rows of one step; `series` is empty on steps that were not measured. `lists` are the step's one row
        of "behaviour" and of "outputs", each with a list in it."""
        self._rows["series"].extend(series)
        self._rows["weights"].extend(weights)
        self._rows["heads"].extend(heads)
        self._rows["concepts"].extend(concepts)
        for kind, row in (lists or {}).items():
            self._rows[kind].append(row)
        self._unwritten += bool(series)
        if scalars is not None:
            self._rows["scalars"].append(scalars)
        late = time.monotonic() - self._flushed > self._part_seconds
        if self._unwritten >= self._part_rows or (series and late):
            self.flush()

    def flush(self) -> None:
        """Write what has gathered. Rows stay in memory until their part has its name."""
        waiting = {kind: rows for kind, rows in self._rows.items() if rows}
        if waiting:
            write_tables({self.next_part(kind): _frame(rows) for kind, rows in waiting.items()})
        for rows in waiting.values():
            rows.clear()
        self._unwritten = 0
        self._flushed = time.monotonic()

    def samples(self, columns: Mapping[str, Any], tokens: Mapping[str, Any]) -> None:
        """Write what is known of the scored samples, a row each, and the probe's `tokens` where it has such."""
        write_table(self.folder / SAMPLES, pd.DataFrame(dict(columns)))
        if tokens:
            write_table(self.folder / TOKENS, pd.DataFrame(dict(tokens)))

    def next_part(self, kind: str) -> Path:
        """Where the next part of a kind of rows goes."""
        folder = self.folder / kind
        return folder / f"part-{len(parts(folder)):05d}.parquet"

    def checkpoint(self, step: int, digest: str) -> None:
        known = self.manifest.checkpoints | {step: digest}
        self.manifest = self.manifest.model_copy(update={"checkpoints": known})
        self._write_manifest()

    def forget(self, step: int) -> None:
        """Take a checkpoint away: first out of the manifest, then its files."""
        known = {each: digest for each, digest in self.manifest.checkpoints.items() if each != step}
        self.manifest = self.manifest.model_copy(update={"checkpoints": known})
        self._write_manifest()
        for path in checkpoint_files(self.folder, step):
            path.unlink(missing_ok=True)

    def _write_manifest(self) -> None:
        """Written last, so that it never names a part that is not there."""
        for kind in KINDS:
            for path in parts(self.folder / kind):
                name = f"{kind}/{path.name}"
                if name not in self._digests:
                    self._digests[name] = file_digest(path)
        self.update(parts=dict(sorted(self._digests.items())))

    def finish(self, status: str, **last: Any) -> None:
        """Flush, write the last manifest with the fields `last`, and let the folder go. `measurements`, where they are
        not given, are those that are there: the last one may have been broken off."""
        try:
            self.flush()
            fields = {"status": status, "ended": now(), "measurements": self.measured, **last}
            self.manifest = self.manifest.model_copy(update=fields)
            self._write_manifest()
        finally:
            self.let_go()


def _frame(rows: Sequence[Row]) -> pd.DataFrame:
    frame = pd.DataFrame.from_records(rows)
    return frame.astype({name: "float32" for name in SINGLE if name in frame})


def _kept_to(path: Path, step: int) -> bool:
    """Whether `path` still has rows when those after `step` are gone; a part that cannot be read goes whole."""
    try:
        rows = read_table(path)
    except StoreError:
        path.unlink()
        return False
    earlier = rows[rows["step"] <= step]
    if earlier.empty:
        path.unlink()
    elif len(earlier) < len(rows):
        write_table(path, earlier)
    return not earlier.empty
