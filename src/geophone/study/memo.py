"""What a stage was last made of, so that it is done again only when that has changed."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from geophone.store.code import code_digest
from geophone.store.study import Study
from geophone.store.tables import file_digest, write_text
from geophone.study.stages import Stage


class Memo:
    """`stages.json` of a study: for each stage the key of what went in, and the digest of every file that came out.

    A damaged memo counts as none: its stages are done again.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        try:
            kept = json.loads(study.places.stages.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            kept = {}
        self._kept: dict[str, Any] = kept if isinstance(kept, dict) else {}

    def holds(self, stage: Stage, key: str) -> bool:
        """Whether `stage` was made from `key`, and all that it made is still as it left it."""
        known = self._kept.get(stage.name)
        if not isinstance(known, dict) or known.get("key") != key or not isinstance(known.get("files"), dict):
            return False
        places = {self._study.folder / name: digest for name, digest in known["files"].items()}
        return all(place.is_file() and file_digest(place) == digest for place, digest in places.items())

    def keep(self, stage: Stage, key: str) -> None:
        self._kept[stage.name] = {"key": key, "files": _digests(self._study.folder, stage.makes)}
        write_text(self._study.places.stages, json.dumps(self._kept, indent=1, sort_keys=True) + "\n")


def stage_key(stage: Stage, study: Study, options: Any) -> str:
    """Digest of what `stage` would be made of: the files that it needs, its options (JSON), its code."""
    inputs = {"files": _digests(study.folder, stage.needs), "options": options, "code": code_digest(stage.run)}
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _digests(folder: Path, patterns: Iterable[str]) -> dict[str, str]:
    """The digest of every file of `patterns` that is there, by its path in `folder`."""
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}
