"""Which code something was made by."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import geophone


def code_digest(rooms: Iterable[str]) -> str:
    """SHA-256 over the files of `rooms`, packages or modules of ours, such as "dig" or "study/stages"."""
    total = hashlib.sha256()
    root = Path(geophone.__file__).parent
    for room in rooms:
        place = root / room
        for path in sorted(place.rglob("*") if place.is_dir() else [place.with_suffix(".py")]):
            if path.is_file() and path.suffix != ".pyc":
                total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()
