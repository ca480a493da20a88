"""What a stage was last made of, so that it is done again only when that has changed."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from geophone.store.code import code_digest
from geophone.store.study import Study
from geophone.store.tables import file_digest, parts, write_text

FILE = "stages.json"


class Memo:
    """`stages.json` of a study: for each stage the key of what went in, and the digest of every file that came out.

    A damaged memo counts as none: its stages are done again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            kept = {}
        self._kept: dict[str, Any] = kept if isinstance(kept, dict) else {}

    def holds(self, stage: str, key: str) -> bool:
        """Whether `stage` was made from `key`, and all that it made is still as it left it."""
        known = self._kept.get(stage)
        if not isinstance(known, dict) or known.get("key") != key or not isinstance(known.get("files"), dict):
            return False
        return all(
            (self._folder / name).is_file() and file_digest(self._folder / name) == digest
            for name, digest in known["files"].items()
        )

    def keep(self, stage: str, key: str, files: Iterable[Path]) -> None:
        made = {str(p.relative_to(self._folder)): file_digest(p) for p in sorted(files)}
        self._kept[stage] = {"key": key, "files": made}
        write_text(self._folder / FILE, json.dumps(self._kept, indent=1, sort_keys=True) + "\n")


def stage_key(*, rooms: Sequence[str], inputs: Any) -> str:
    """Digest of `inputs` (JSON) and of the code in `rooms`, packages or modules of ours."""
    return hashlib.sha256((json.dumps(inputs, sort_keys=True) + code_digest(rooms)).encode()).hexdigest()


def series_digest(study: Study) -> dict[str, str]:
    """A digest of each run's series and scalars, as they are on disk."""
    return {run.folder.name: _series_of(run.folder) for run in study}


def forks_digest(study: Study) -> dict[str, str]:
    """The same of the fork replicates, whose spread is one of the nulls."""
    folder = study.folder / "forks"
    return {place.relative_to(folder).as_posix(): _series_of(place) for place in sorted(folder.glob("*/*"))}


def _series_of(folder: Path) -> str:
    return files_digest(p for kind in ("series", "scalars") for p in parts(folder / kind))


def files_digest(paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.name.encode() + file_digest(path).encode())
    return total.hexdigest()
