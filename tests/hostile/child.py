"""Reads mutants in a process of its own: python child.py FOLDER SEED FIRST LAST [guests | verbs]

A line of JSON before each mutant and one after it, so that whoever started it knows at which one it died or hung.
"""

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from corpus import make_corpus
from mutations import mutated
from readers import Reader, check_said, readers

from geophone.errors import GeophoneError

ROOM = 4 * 2**30
TESTS = Path(__file__).parents[1]


def main(folder: Path, seed: int, first: int, last: int, what: list[str]) -> None:
    known = _readers(folder, what)
    for reader in [known[number % len(known)] for number in range(first, min(last, first + len(known)))]:
        reader.read(folder)
    _limit_memory()
    say(ready=len(known))
    for number in range(first, last):
        reader = known[number % len(known)]
        say(number=number, reader=reader.name)
        began = time.monotonic()
        how, error = one(reader, folder, np.random.default_rng([seed, number]))
        say(number=number, how=how, error=error, seconds=round(time.monotonic() - began, 3), peak=_peak())


def _readers(folder: Path, what: list[str]) -> list[Reader]:
    if "verbs" in what:
        sys.path += [str(TESTS), str(TESTS / "report")]
        from verbs import make_whole, verbs

        if not (folder / "whole").exists():
            make_whole(folder)
        return verbs(folder)
    if not (folder / "study").exists():
        make_corpus(folder, guests="guests" in what)
    return readers(folder, guests="guests" in what)


def one(reader: Reader, folder: Path, rng: np.random.Generator) -> tuple[str, str | None]:
    """How the mutant was made, and the trace of what was raised that should not have been."""
    path = folder / reader.file
    whole = path.read_bytes()
    data, how = mutated(whole, reader.kind, rng)
    path.write_bytes(data)
    try:
        reader.read(folder)
    except GeophoneError as error:
        try:
            check_said(error)
        except RuntimeError as wrong:
            return how, str(wrong)
    except BaseException:
        return how, traceback.format_exc(limit=-5)
    finally:
        path.write_bytes(whole)
    return how, None


def _limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))


def _peak() -> int:
    """The most memory that was resident since it was last asked, in MiB."""
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak.split()[1]) // 1024


def say(**what) -> None:
    os.write(_OUT, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    _OUT = os.dup(1)
    os.dup2(2, 1)
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5:])
