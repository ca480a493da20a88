"""File names for what users named: any name becomes one that every file system and address takes."""

import hashlib
import re
from collections.abc import Iterable

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A file name (without an extension) for each of `names`, all different, on systems that ignore case too.

    A name of letters, digits, `_`, `-` and `.` keeps itself; any other has the rest replaced by `-` and eight
    hexadecimal digits of its SHA-256 added. The same name has the same file name, whatever stands beside it, unless
    two names differ in case alone.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        safe = name if _plain(name) else _marked(name)
        if safe.lower() in taken:
            safe = _marked(name)
        taken.add(safe.lower())
        found[name] = safe
    return found


def _plain(name: str) -> bool:
    stem = name.split(".")[0].lower()
    return bool(_PLAIN.fullmatch(name)) and not name.endswith(".") and stem not in _RESERVED


def _marked(name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    return f"{kept or 'name'}-{digest}"
